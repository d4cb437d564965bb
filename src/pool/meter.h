// Meters of energy: counters of the machines, and who of those that ran side by side took how much of them.
//
//   NVML  nvmlDeviceGetTotalEnergyConsumption of one GPU (mJ since the driver was loaded; Volta and later), from
//         libnvidia-ml.so.1, which is opened when a policy asks for it and never linked
//   RAPL  energy_uj of one CPU package in /sys/class/powercap, its memory (dram) with it where there is one; the counter
//         wraps at max_energy_range_uj, which is folded away as long as it is read once before it has gone around
//
// A meter that is not there has a name and a reason, never a zero. Boundary of both: the device alone, no host, no PUE.
// One thread per meter (the control side).
#ifndef MERIT_POOL_METER_H
#define MERIT_POOL_METER_H

#include <stdbool.h>
#include <stdint.h>

#include "base/compiler.h"
#include "base/result.h"
#include "work/image.h"

enum {
    METER_WHY_BYTES = 256,
    METER_PATH_BYTES = 512,
    METER_ROWS_MAX = 4096, // that one interval is divided among
    METER_MILLI = 1000,
};

struct meter;

// Where to look; NULL for the places named above. For tests and for machines that have them elsewhere.
struct meter_places {
    const char *nvml;     // the library
    const char *powercap; // the folder
};

// RESULT_NOT_FOUND: no such library, GPU or package. RESULT_DENIED: it is there, but not for this user (energy_uj is
// root's on most systems). RESULT_UNSUPPORTED: the device does not count. RESULT_IO: the driver failed. RESULT_NOMEM.
// `why` says it in a sentence, unless RESULT_OK.
enum result meter_open(enum image_meter kind, uint32_t index, const struct meter_places *places,
                       struct meter **out, char why[METER_WHY_BYTES]) MERIT_NODISCARD;
void meter_close(struct meter *m);

// Microjoule since the last call (the first: since meter_open). RESULT_AGAIN: the counter went back without a wrap (a
// driver was loaded anew, a machine woke up): what was between is lost and not invented, the next call counts from here; `*uj` has what is sure.
// RESULT_IO: it could not be read; the next call has what was missed.
enum result meter_read(struct meter *m, uint64_t *uj) MERIT_NODISCARD;

// ---- shares

// What one request did in an interval.
struct meter_row {
    uint64_t prefill_tok; // of its prompt computed, prefix hits left out
    uint64_t decode_tok;  // generated
    uint64_t held;        // KV blocks times microseconds that it kept
    uint64_t uj;          // out: its share
};

// Divides `uj` among the rows:
//   idle part       in proportion to `held`
//   the rest        E * (beta * prefill_r / sum prefill + (1 - beta) * decode_r / sum decode)
// where a sum is zero its part goes by the other one, then by what is left. `idle_uj` is held to `uj`, `beta_milli` to
// METER_MILLI. In integers, and the shares add up to `uj` exactly. Returns what no row could bear: all of it when nothing ran
// (sums all zero), else 0. At most METER_ROWS_MAX rows, each count below 2^48.
uint64_t meter_attribute(uint64_t uj, uint64_t idle_uj, uint32_t beta_milli, struct meter_row *rows,
                         uint32_t count);

// Share of the prefill in what is not idle, by the curve of the model: prefill_j p / (prefill_j p + e(b) d).
uint32_t meter_beta_milli(const struct image_energy *e, uint64_t prefill_tok, uint64_t decode_tok,
                          double batch);

// ---- private to pool/meter_*.c: the two kinds

struct meter_kind {
    enum result (*read)(struct meter *m, uint64_t *uj);
    void (*close)(struct meter *m);
};
struct meter {
    const struct meter_kind *kind;
};
enum result meter_nvml_open(uint32_t index, const char *library, struct meter **out,
                            char why[METER_WHY_BYTES]);
enum result meter_rapl_open(uint32_t index, const char *folder, struct meter **out,
                            char why[METER_WHY_BYTES]);

#endif
