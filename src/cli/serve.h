// What a running server holds: read from the settings by cmd_serve.c, opened, run and taken apart by serve.c. One control
// thread, which is the caller's. Private to those two.
#ifndef MERIT_CLI_SERVE_H
#define MERIT_CLI_SERVE_H

#include <limits.h>
#include <pthread.h>
#include <stdint.h>

#include "api/admin.h"
#include "api/gateway.h"
#include "cli/books.h"
#include "cli/conf.h"
#include "cli/encoders.h"
#include "cli/loading.h"
#include "cli/measuring.h"
#include "cli/reckoning.h"
#include "pool/keeper.h"
#include "sim/pool.h"

enum { SERVE_WHY_MAX = 256 * 1024 };

struct serve {
    struct conf conf;
    const char *policy_arg;
    const char *policy_name, *policy_file;
    struct loop *loop;
    struct sim *sim;
    struct dns *dns;
    struct tls_context *server_tls, *client_tls;
    struct log_sink *access_log, *decision_log;
    struct metrics_names *names;
    struct gateway_shared shared;
    struct gateway **gateways;
    struct loop **loops;
    pthread_t *threads;
    uint32_t count, running;
    struct admin *admin;
    struct keeper *keeper;
    char policy_folder[PATH_MAX];
    struct measuring measuring;
    struct reckoning reckoning;
    struct books books;
    struct loading loading;
    struct encoders encoders;
    struct buf encoder_notes; // what is missing
    struct serving *serving;
    struct key_set *keys;
    struct loop_io signals, watch;
    struct loop_timer reload_timer, drain_timer;
    uint64_t start_wall_us, reloads_ok, reloads_failed;
    _Atomic uint32_t idle;
    bool draining;
};

// Opens everything, runs until SIGTERM, drains. The exit code; messages go to standard error.
int serve_run(struct serve *s);
// Takes apart what is open; also one that was never run (all zero but for the descriptors, which are -1).
void serve_close(struct serve *s);
// What standard error says once the doors are open.
void serve_say_ready(const struct serve *s);

#endif
