// What `merit init` finds, and the policy that it writes for it.
#ifndef MERIT_CLI_INIT_H
#define MERIT_CLI_INIT_H

#include <stdbool.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/buf.h"
#include "base/result.h"
#include "base/slice.h"

enum {
    INIT_SERVERS_MAX = 8,
    INIT_MODELS_MAX = 12, // of one server; more are counted
    INIT_PROVIDERS_MAX = 8,
    INIT_TIMEOUT_MS = 700,
    INIT_CONTEXT_GUESS = 8192,
};

struct init_server {
    const char *name; // "Ollama"
    uint16_t port;    // on 127.0.0.1
};
extern const struct init_server init_servers[]; // ends with a NULL name

struct init_model {
    struct slice id;   // as the server calls it
    struct slice name; // in the policy: a word, unique
    uint32_t context_tok;
    bool context_known;
};

struct init_found_server {
    struct init_server server;
    struct init_model models[INIT_MODELS_MAX];
    uint32_t model_count, left_out;
};

// A provider whose key stands in the environment. Its value is neither kept nor sent anywhere.
struct init_provider {
    const char *name, *variable, *label;
    const char *model; // one to begin with
    uint32_t context_tok;
    const char *can;
};
extern const struct init_provider init_providers[]; // ends with a NULL name

struct init_found {
    struct init_found_server servers[INIT_SERVERS_MAX];
    uint32_t server_count;
    const struct init_provider *providers[INIT_PROVIDERS_MAX];
    uint32_t provider_count;
};

// Asks each of `servers` on 127.0.0.1 for its models. RESULT_NOMEM.
enum result init_look(const struct init_server *servers, struct arena *arena,
                      struct init_found *found);
// Takes the models of one answer to GET /v1/models. RESULT_SYNTAX: it is no list of models. RESULT_NOMEM.
enum result init_models(struct slice body, struct arena *arena, struct init_found_server *server);
// The policy's text; nothing when nothing was found (the demo policy then serves).
void init_write(struct init_found *found, struct arena *arena, struct buf *out);

#endif
