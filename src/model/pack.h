// Packed models: what a folder was converted to for one instruction set and one plan, with its tokenizer and labels, in
// one file of the cache that is mapped read-only and so shared between processes.
//
//   header | tokenizer.json | labels, a NUL behind each | zeros to a page | the encoder's block
//
// A file's name carries everything that its bytes depend on, so an old one is never read by mistake; a sum over all bytes
// shows damage, and a file that others could have written is not read. Whoever finds no good file packs anew.
#ifndef MERIT_MODEL_PACK_H
#define MERIT_MODEL_PACK_H

#include <stdint.h>

#include "base/compiler.h"
#include "base/result.h"
#include "base/sha256.h"
#include "base/slice.h"
#include "nn/encoder.h"
#include "nn/tier.h"

enum { PACK_VERSION = 1, PACK_PAGE = 4096, PACK_PROBLEM_BYTES = 320, PACK_LOCK_MS = 120 * 1000 };
#define PACK_BYTES_MAX ((uint64_t)16 << 30)

struct pack_key {
    uint8_t digest[SHA256_BYTES]; // of the folder
    enum nn_tier tier;
    enum encoder_plan plan;
};

struct pack {
    void *at; // the mapping
    size_t bytes;
    bool in_cache; // false: memory of this process alone
    struct slice tokenizer, encoder;
    struct slice labels; // label_count texts, each with a NUL behind it
    uint32_t label_count, length_tok;
};

// The file's path in `folder`; false when it is too long.
bool pack_path(const char *folder, const struct pack_key *key, char *path, size_t room);

// Maps a file that is there. RESULT_NOT_FOUND, RESULT_SYNTAX or RESULT_EOF (damaged), RESULT_VERSION (of another build or
// of something else), RESULT_DENIED (not ours alone), RESULT_IO, RESULT_NOMEM.
enum result pack_open(struct pack *p, const char *folder,
                      const struct pack_key *key) MERIT_NODISCARD;
// Also of pack_write.
void pack_close(struct pack *p);

struct pack_parts {
    struct slice tokenizer;
    const struct slice *labels; // no NUL inside
    uint32_t label_count, length_tok;
    size_t block_max; // bytes that `fill` needs at most
    // Writes the encoder's block, aligned to a page. Its failure is pack_write's.
    enum result (*fill)(void *ctx, void *block, size_t bytes, size_t *used);
    void *ctx;
};

// Packs into a temporary file whose blocks are taken from the disk before anything is written (so that a full disk is
// told and never a signal), syncs it, renames it and maps it. `folder` NULL: into memory of this process. RESULT_IO with
// what to do in `problem`, RESULT_LIMIT, RESULT_NOMEM, or what `fill` returned; the temporary file is gone then.
enum result pack_write(struct pack *p, const char *folder, const struct pack_key *key,
                       const struct pack_parts *parts,
                       char problem[PACK_PROBLEM_BYTES]) MERIT_NODISCARD;

// So that of several processes one packs and the others wait for it: until it is done or dead, at most `wait_ms`. `*lock`
// is -1 when it could not be had in that time or the folder takes no lock; packing without one is safe, only double work.
void pack_lock(const char *folder, uint32_t wait_ms, int *lock);
void pack_unlock(int lock);

#endif
