// The encoders that a command asks: opened by name from the cache, behind a compute pool (model/compute.h).
//
// A model that is not here is no error: signals make do without, and a line says how to get it. Nothing is ever fetched.
#ifndef MERIT_CLI_ENCODERS_H
#define MERIT_CLI_ENCODERS_H

#include <limits.h>

#include "base/buf.h"
#include "base/compiler.h"
#include "base/result.h"
#include "model/compute.h"

struct model;
struct reader_model;

enum { ENCODERS_KINDS_MAX = 64 };
#define ENCODERS_EMBED_DEFAULT "all-minilm-l6-v2"
#define ENCODERS_ENTITY_DEFAULT "rampart"

struct encoders_options {
    const char *names[TRUNK_MODELS]; // NULL: none is wanted
    uint32_t threads, queue_tok;
    size_t cache_bytes;
};
// The default models, on the caller's own thread, nothing remembered: for commands that decide once.
extern const struct encoders_options encoders_for_commands;

struct encoders {
    struct model *models[TRUNK_MODELS];
    struct reader_model *readers;           // [TRUNK_MODELS]
    struct slice kinds[ENCODERS_KINDS_MAX]; // of the entity model
    char heads[PATH_MAX];
    struct compute *compute;
    const struct trunk_service *service;
};

// `notes` gets a line for each model that is wanted and cannot be had, with what mends it. RESULT_NOMEM.
enum result encoders_open(struct encoders *e, const struct encoders_options *options,
                          struct buf *notes) MERIT_NODISCARD;
// No-op on one that is all zero.
void encoders_close(struct encoders *e);

#endif
