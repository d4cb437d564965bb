// The table behind merit.conf: one row per setting. Private to conf*.c.
#ifndef MERIT_CLI_CONF_SETTINGS_H
#define MERIT_CLI_CONF_SETTINGS_H

#include "cli/conf.h"

enum conf_kind {
    CONF_LISTEN,      // [HOST:]PORT [tls]
    CONF_HOST,        // a name
    CONF_CERTIFICATE, // CHAIN KEY [SERVER_NAME]
    CONF_PATH,        // const char *
    CONF_TEXT,        // const char *
    CONF_COUNT,       // uint32_t
    CONF_SIZE,        // uint32_t, bytes
    CONF_MS,          // uint32_t
    CONF_US,          // uint32_t
    CONF_DAYS,        // uint32_t
    CONF_RATIO,       // double
};

struct conf_setting {
    const char *name;
    enum conf_kind kind;
    uint32_t offset;  // of the value, or of the array
    uint32_t counted; // offset of the array's count; 0: stands once
    const char *fallback;
    const char *absent; // the word for NULL or 0: "off", "auto"; NULL when there is none
    double min, max;    // of numbers; 0 is also good when `absent` is given
    const char *form;   // of the value, for messages and help
    const char *help;   // one line
};

extern const struct conf_setting conf_settings[];
extern const uint32_t conf_setting_count;

struct conf_value {
    struct slice text; // decoded, a NUL behind it, in the conf's arena
    struct span span;
};

// What is wrong with a line, for a diagnostic or a message.
struct conf_problem {
    uint32_t value; // index of the offending value; `count` when one is missing
    char message[256];
    char help[256];
};

// Sets one setting; level 1 is a file, 2 a flag. RESULT_SYNTAX with `problem`, RESULT_NOMEM.
enum result conf_apply(struct conf *c, const struct conf_setting *s,
                       const struct conf_value *values, uint32_t count, const char *directory,
                       uint8_t level, struct conf_problem *problem);
// One value as the file writes it; `i` counts through a setting that may stand several times.
void conf_value_print(const struct conf *c, const struct conf_setting *s, uint32_t i,
                      struct buf *out);
// How many values there are: 1 for a setting that stands once.
uint32_t conf_value_count(const struct conf *c, const struct conf_setting *s);

#endif
