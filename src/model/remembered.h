// Answers to exact texts, remembered: what an encoder said of one text, by the SHA-256 of model and text.
//
// A text that fits one window has the same answer for every reading; only of a longer one the reading is part of its name.
// Bounded in bytes; what was not asked for longest goes first. Shared by threads, with a lock inside: not for event loops.
#ifndef MERIT_MODEL_REMEMBERED_H
#define MERIT_MODEL_REMEMBERED_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/compiler.h"
#include "base/result.h"
#include "base/sha256.h"
#include "base/slice.h"
#include "work/trunk.h"

struct remembered;

struct remembered_key {
    uint8_t bytes[SHA256_BYTES];
};
struct remembered_key remembered_key(struct slice digest, struct slice text);

// What was said of one text; `text` of windows and entities means nothing here.
struct text_answer {
    const struct trunk_window *windows;
    const struct trunk_entity *entities;
    uint32_t window_count, entity_count, tokens;
};

// `cap_bytes` of all entries, one of which takes at most `entry_bytes`. RESULT_NOMEM.
enum result remembered_open(size_t cap_bytes, size_t entry_bytes,
                            struct remembered **out) MERIT_NODISCARD;
void remembered_close(struct remembered *m);

// Copies into the arena. RESULT_NOT_FOUND; RESULT_AGAIN when the lock is taken and `wait` is false; RESULT_NOMEM.
enum result remembered_find(struct remembered *m, const struct remembered_key *key,
                            enum trunk_reading reading, uint32_t dim, bool wait,
                            struct arena *arena, struct text_answer *out);
// Without effect when there is no memory or the answer is too large. `whole`: one window holds the text.
void remembered_keep(struct remembered *m, const struct remembered_key *key,
                     enum trunk_reading reading, bool whole, uint32_t dim, bool wait,
                     const struct text_answer *answer);
size_t remembered_bytes(struct remembered *m);

#endif
