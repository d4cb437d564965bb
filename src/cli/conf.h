// merit.conf: the settings of the process. Optional; every setting has a default, flags override the file.
//
// One setting per line: `name value...`. `#` begins a comment. Names are dotted (`limits.head`), or written under a
// section line: `[limits]` then `head 32KiB`; `[]` ends a section. A value with spaces or `#` stands in double quotes
// (`\"` and `\\` inside). Units are mandatory: 500us 20ms 10s 5m 1h, 512B 32KiB 8MiB; `off` is 0 where a limit may be
// absent. A setting that may stand several times says so; any other one may stand once. Relative paths in a file
// mean the file's own directory; in a flag the working directory.
//
// What is decided is not here: models, routes and zones are the policy's (policy/).
// All texts lie in the conf's arena. Plain data: filled by one thread before the server starts, then only read.
#ifndef MERIT_CLI_CONF_H
#define MERIT_CLI_CONF_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "base/arena.h"
#include "base/buf.h"
#include "base/diag.h"
#include "base/result.h"
#include "net/http_client.h"
#include "net/http_server.h"
#include "net/tls.h"

enum {
    CONF_BYTES_MAX = 256 * 1024,
    CONF_LISTEN_MAX = 16,
    CONF_CERTIFICATES_MAX = 32,
    CONF_HOSTS_MAX = 32,
    CONF_VALUES_MAX = 4, // values on one line
    CONF_DIAGS_MAX = 100,
    CONF_THREADS_MAX = 64,
};

struct conf_listen {
    const char *host; // an IP address, an IPv6 one without brackets
    uint16_t port;    // 0: any free one
    bool tls;
    bool loopback; // nobody outside this machine can reach it
};

struct conf {
    // listen (several)
    struct conf_listen listen[CONF_LISTEN_MAX];
    uint32_t listen_count;
    // admin.listen (several); count 0 when `off`
    struct conf_listen admin[CONF_LISTEN_MAX];
    uint32_t admin_count;
    // admin.host (several): names that a Host header of the admin side may carry, beside loopback ones
    const char *admin_hosts[CONF_HOSTS_MAX];
    uint32_t admin_host_count;
    // tls.certificate CHAIN KEY [SERVER_NAME] (several)
    struct tls_certificate certificates[CONF_CERTIFICATES_MAX];
    uint32_t certificate_count;

    const char *policy; // path, or "demo" for the built-in one; NULL: where policy_file_read looks
    const char *meter_nvml, *meter_powercap; // where meters are; NULL: the system's
    const char *prices;                      // path of a list of prices; NULL: the built-in one
    const char *region;  // where this process runs, as endpoints state theirs; NULL: not said
    const char *observe; // observe-only: everything goes to this model; NULL when off
    double demo_pace;    // factor on the demo pool's delays; 0 for none

    uint32_t threads; // event loops; 0: one per CPU that the process may use
    uint32_t busy_poll_us;

    struct http_limits http;   // of the traffic side; limits.* and timeouts.*
    uint32_t drain_timeout_ms; // after SIGTERM; streams that still run are then broken
    uint32_t decisions_kept;   // in the ring of recent ones

    struct http_client_limits client; // upstream.*
    uint32_t connect_timeout_ms, first_byte_timeout_ms, upstream_idle_timeout_ms,
        total_timeout_ms;       // 0: none
    uint32_t attempts;          // endpoints tried for one request before the first byte
    uint32_t backoff_ms;        // longest pause of a request that is sent again and again; 0: none
    const char *upstream_roots; // PEM file of trusted roots; NULL: the system's

    uint32_t compute_threads; // of the pool of encoders; 0: one less than CPUs
    uint32_t compute_queue_tok, compute_cache_bytes, compute_deadline_ms;
    uint32_t pool_scrape_ms, pool_check_ms, pool_idle_ms, pool_judge_ms, pool_dns_ms;
    uint32_t carbon_feed_ms, carbon_stale_ms;
    const char *pool_nameserver;            // NULL: the system's
    const char *model_embed, *model_entity; // names or folders; NULL: none

    uint32_t budget_status; // 402 or 429: of a budget that does not bear a request

    const char *log_access;    // path, "-" for standard output, NULL for off
    const char *log_decisions; // likewise

    const char *keys;   // path of the key file; it need not exist
    const char *cache;  // directory of compiled policies; NULL when off
    const char *data;   // directory of what is measured and of the ledger; NULL when off
    const char *ledger; // directory, "auto" for one below `data`, NULL for off; see conf_ledger
    uint32_t ledger_accounts, ledger_backlog_bytes;
    uint32_t ledger_keep_days; // 0: forever

    struct arena arena; // private from here on
    uint8_t level[128]; // where each setting comes from: 0 default, 1 file, 2 flag
};

// All defaults. RESULT_NOMEM.
enum result conf_init(struct conf *c) MERIT_NODISCARD;
void conf_deinit(struct conf *c);

// Reads settings from `text`, over what is there; `directory` (may be NULL) is put before relative paths. Every
// mistake is a diagnostic; lines without one take effect. RESULT_SYNTAX when there was an error, RESULT_NOMEM,
// RESULT_LIMIT above CONF_BYTES_MAX.
enum result conf_parse(struct conf *c, struct slice text, const char *directory,
                       struct diag_list *diags) MERIT_NODISCARD;
// The same from a file; diagnostics are rendered into `why`. `path` NULL: "merit.conf" in the working directory if it
// exists, else only defaults. RESULT_NOT_FOUND, RESULT_IO and as above.
enum result conf_load(struct conf *c, const char *path, bool colour,
                      struct buf *why) MERIT_NODISCARD;

// One flag of a command line: every setting is one, with dashes for the dot and underscores: `--limits-head 64KiB`,
// `--listen=0.0.0.0:8780`. A setting of several values takes them in one argument, separated by spaces. The first
// flag of a setting that may stand several times replaces what the file said. `*at` moves over what was read.
// RESULT_NOT_FOUND: argv[*at] is none of them, nothing was read. RESULT_SYNTAX with a sentence in `why`; RESULT_NOMEM.
enum result conf_flag(struct conf *c, int argc, char **argv, int *at,
                      struct buf *why) MERIT_NODISCARD;

// What only shows when all is read: a TLS listener without certificate, limits that contradict each other. Call it
// after the last flag. RESULT_SYNTAX with sentences in `why`.
enum result conf_check(struct conf *c, struct buf *why) MERIT_NODISCARD;

// The ledger's directory, in the conf's arena; NULL when it is off, or `auto` without a data directory or memory.
const char *conf_ledger(struct conf *c);

// All settings with their values as a commented file that conf_parse reads back to the same; a setting that has its
// default is commented out.
void conf_print(const struct conf *c, struct buf *out);
// A JSON object of name -> value (arrays for settings that may stand several times).
void conf_print_json(const struct conf *c, struct buf *out);
// The settings as flags for --help: name, default, one line.
void conf_help(struct buf *out);

#endif
