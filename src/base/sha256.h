// SHA-256 (FIPS 180-4), for digests of policies and of files. Portable C, about 200 MB/s; not for secrets that a
// timing could tell.
#ifndef MERIT_BASE_SHA256_H
#define MERIT_BASE_SHA256_H

#include <stddef.h>
#include <stdint.h>

#include "base/slice.h"

enum { SHA256_BYTES = 32, SHA256_BLOCK = 64 };

struct sha256 {
    uint32_t h[8];
    uint64_t total; // bytes so far
    uint8_t block[SHA256_BLOCK];
};

void sha256_init(struct sha256 *s);
void sha256_update(struct sha256 *s, const void *data, size_t n);
void sha256_final(struct sha256 *s, uint8_t out[SHA256_BYTES]);
// All at once.
void sha256_of(struct slice data, uint8_t out[SHA256_BYTES]);
// Lower-case hex of `n` bytes: 2 * n characters without a NUL into `out`.
void sha256_hex(const uint8_t *digest, size_t n, char *out);

#endif
