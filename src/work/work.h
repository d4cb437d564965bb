// One request as the router understands it. Plain data: a dialect (api/) fills it once, signals and route read it.
//
// Texts are slices of the request's body where it has no escapes there, and else decoded once into the request's
// arena; `raw` is always the undecoded run inside the body, so that a place in the text can be mapped back. All of it
// lives as long as that arena. Nothing here is freed by itself; one thread at a time.
#ifndef MERIT_WORK_WORK_H
#define MERIT_WORK_WORK_H

#include <stdbool.h>
#include <stdint.h>

#include "base/slice.h"

// Limits of one request; over them the dialect answers 400 and names the limit.
enum {
    WORK_MODEL_BYTES_MAX = 1024, // of the name that is asked for; decisions keep it
    WORK_MESSAGES_MAX = 4096,
    WORK_PARTS_MAX = 16384,
    WORK_TOOLS_MAX = 1024,
    WORK_METADATA_MAX = 32,      // entries of the body's `metadata`
    WORK_METADATA_KEY_MAX = 128, // bytes
    WORK_METADATA_VALUE_MAX = 1024,
    WORK_HEADERS_MAX = 64,
    WORK_GROUPS_MAX = 32,
    WORK_LABELS_MAX = 8, // of a caller
};

enum work_role {
    WORK_SYSTEM,
    WORK_DEVELOPER,
    WORK_USER,
    WORK_ASSISTANT,
    WORK_TOOL,  // a tool's result
    WORK_OTHER, // a role that this build does not know; passed on untouched
    WORK_ROLE_COUNT_
};

enum work_part_kind {
    WORK_TEXT,
    WORK_IMAGE,
    WORK_AUDIO,
    WORK_FILE,
    WORK_PART_OTHER,
};

struct work_part {
    enum work_part_kind kind;
    struct slice text; // decoded; empty when the part is not text
    struct slice raw;  // the same run in the body, between the quotes
};

struct work_message {
    enum work_role role;
    uint32_t part_first, part_count; // into work.parts
    uint32_t tool_calls;             // calls that an assistant message asks for
    bool synthetic;                  // a continuation line that an agent wrote, not its user
};

struct work_pair {
    struct slice name, value;
};

enum work_format { WORK_FORMAT_TEXT, WORK_FORMAT_JSON, WORK_FORMAT_SCHEMA, WORK_FORMAT_COUNT_ };

// What the work needs and what a model can do; the same bits on both sides.
enum work_need {
    WORK_NEED_TOOLS = 1 << 0,
    WORK_NEED_IMAGES = 1 << 1,
    WORK_NEED_AUDIO = 1 << 2,
    WORK_NEED_FILES = 1 << 3,
    WORK_NEED_JSON = 1 << 4,   // JSON mode
    WORK_NEED_SCHEMA = 1 << 5, // an answer held to a JSON schema
    WORK_NEED_LOGPROBS = 1 << 6,
    WORK_NEED_COUNT_ = 7
};

// Who asks, as the keys say. Never taken from a header alone.
struct work_caller {
    bool known;
    uint32_t group_count;
    struct slice id, team, tenant;
    struct slice groups[WORK_GROUPS_MAX];
    // Levels that the caller asserts of what it sends: those of its key, and those of the request when the key may
    // steer. Together: a request can only add to what its key says.
    uint32_t label_count;
    struct slice labels[WORK_LABELS_MAX];
};

// Adds the words of a comma-separated list to the labels. What does not fit makes the last one a word that is no level,
// so that nothing is lost silently.
void work_caller_label(struct work_caller *c, struct slice list);

struct work {
    struct slice body;        // as it came
    struct slice model_asked; // decoded; empty when the request names none
    const struct work_message *messages;
    uint32_t message_count;
    const struct work_part *parts;
    uint32_t part_count;

    const struct slice *tool_names; // of the tools offered
    uint32_t tool_count;
    uint32_t tool_bytes; // raw bytes of the tools array
    bool tool_required;  // tool_choice forces a call

    uint32_t needs; // enum work_need bits
    enum work_format format;
    uint32_t max_output_tok; // 0 when the client gave none
    uint32_t choices;        // n, at least 1
    bool stream;
    bool usage_asked; // stream_options.include_usage
    uint32_t image_count, audio_count;

    const struct work_pair *headers; // names as sent: compare with slice_ieq
    uint32_t header_count;
    uint32_t metadata_count;
    struct slice session; // empty when the client gave none

    // The task anchor: the last user message that a person wrote. In a tool loop that is not the last message
    // (work_anchor in work/anchor.h finds it). WORK_NO_ANCHOR when there is none.
    uint32_t anchor;
    // Estimated input tokens of the whole request (work/tokens.h tells how, and how wrong it may be).
    uint32_t input_tok;

    // Last, because they are large and mostly empty.
    struct work_caller caller;
    struct work_pair metadata[WORK_METADATA_MAX];
};

#define WORK_NO_ANCHOR UINT32_MAX

// The bits of `needs` as words, in the order of enum work_need: "tools", "images", ...
const char *work_need_name(unsigned bit_index);

#endif
