// Hashes: SipHash-1-3 for tables that hostile input can reach, FNV-1a for digests of small fixed things.
#ifndef MERIT_BASE_HASH_H
#define MERIT_BASE_HASH_H

#include <stdint.h>

#include "base/slice.h"

struct hash_key {
    uint64_t k0, k1;
};

// SipHash-1-3 (Aumasson and Bernstein, 2012; one compression and three finalisation rounds).
uint64_t hash_sip13(const struct hash_key *key, struct slice s);

// FNV-1a, 64 bit. Not for hostile input.
static inline uint64_t hash_fnv(uint64_t seed, struct slice s)
{
    uint64_t h = seed ^ 0xcbf29ce484222325u;
    for (size_t i = 0; i < s.len; i++)
        h = (h ^ (unsigned char)s.ptr[i]) * 0x100000001b3u;
    return h;
}

#endif
