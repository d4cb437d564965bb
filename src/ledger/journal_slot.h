// The form of a slot and of a file's header. Private to journal*.c. This machine's byte order: a journal does not travel.
#ifndef MERIT_LEDGER_JOURNAL_SLOT_H
#define MERIT_LEDGER_JOURNAL_SLOT_H

#include <stdatomic.h>
#include <stdint.h>

#include "ledger/journal.h"

enum { SLOT_FREE = 0, SLOT_RESERVED = 0x56534552, SLOT_SETTLED = 0x4c544553 }; // "RESV", "SETL"

struct slot_draw {
    uint64_t account;
    uint64_t where; // number << 8 | hard << 7 | window << 4 | unit
    int64_t amount;
};

struct slot_reserve {
    uint64_t id, at_us;
    int64_t expected[LEDGER_UNITS], bound[LEDGER_UNITS];
    uint32_t attempt;
    uint16_t body_len; // used bytes of the body, a multiple of 8
    uint8_t draw_count, cut;
    uint8_t policy[IMAGE_DIGEST_BYTES];
    char decision[LEDGER_DECISION_BYTES];
    uint8_t name_lens[JOURNAL_NAMES];
    uint8_t spare[2];
};

struct slot_settle {
    uint64_t id, at_us;
    int64_t took[LEDGER_UNITS], baseline[LEDGER_UNITS];
    uint32_t input_tok, cached_tok, output_tok;
    uint8_t end, estimated, reason_len, spare;
    char reason[LEDGER_REASON_MAX];
};

struct journal_slot {
    _Atomic uint32_t state;
    uint32_t spare;
    uint64_t reserve_sum; // of `reserve` and the body's used bytes
    uint64_t settle_sum;  // of `settle`
    struct slot_reserve reserve;
    struct slot_settle settle;
    char body[JOURNAL_BODY_BYTES]; // draws, then names
};
_Static_assert(sizeof(struct slot_reserve) % 8 == 0 && sizeof(struct slot_settle) % 8 == 0,
               "words");
_Static_assert(sizeof(struct journal_slot) == JOURNAL_SLOT_BYTES, "fixed");

struct journal_header {
    char magic[8];
    uint32_t version, slot_bytes, slots, number;
    uint64_t created_us;
    uint64_t sum; // of what stands before it
};

// Behind the header in journal.0: a note of the store thread, of which a torn write does no harm.
enum { JOURNAL_NOTE_AT = 512 };
struct journal_note {
    _Atomic uint64_t stored_id, check; // the same, and its complement
};

uint64_t journal_sum(uint64_t seed, const void *words, size_t bytes);

// One mapped file.
struct journal_file {
    int fd;
    int guard;     // 0: none
    bool hopeless; // it was cut and cannot be made whole
    uint32_t slots;
    char *map;
    size_t bytes;
    _Atomic uint64_t *free, *done; // bit per slot: nobody's; settled
    _Atomic uint32_t hint;         // the first word with a free bit, perhaps
};

// A slot's index is its file's number above these bits, its place below.
enum { SLOT_BITS = 20 };

struct journal {
    int lock_fd;
    char *directory;
    uint32_t file_slots, file_max;
    uint64_t now_us;
    void (*event)(void *context, const struct ledger_event *e);
    void *context;
    _Atomic(struct journal_file *) files[JOURNAL_FILES_MAX];
    _Atomic uint32_t file_count; // one past the highest
    _Atomic int64_t free;
    _Atomic uint64_t total, settled;
    _Atomic uint64_t freed; // since the start
    uint64_t damaged, last_id;
    uint64_t run_id; // the first ticket of the run before
};

// journal_file.c
// Makes journal.NUMBER, maps it, and shows it to all.
enum result journal_file_add(struct journal *j, uint32_t number) MERIT_NODISCARD;
void journal_tell(struct journal *j, const char *code, bool trouble, const char *fmt, ...)
    MERIT_PRINTF(4, 5);

// journal_guard.c
// From then on a touch of the map does not end the process when the file is cut, or the disk fails.
void journal_guard_add(struct journal_file *f);
void journal_guard_remove(struct journal_file *f);
// What was left of a file that was cut since the last look; -1: it is whole.
int64_t journal_guard_cut(struct journal_file *f);

static inline struct journal_slot *journal_slot_at(const struct journal *j, uint32_t slot)
{
    struct journal_file *f =
        atomic_load_explicit(&j->files[slot >> SLOT_BITS], memory_order_acquire);
    return (struct journal_slot *)(void *)(f->map + JOURNAL_HEADER_BYTES +
                                           (size_t)(slot & ((1u << SLOT_BITS) - 1)) *
                                               JOURNAL_SLOT_BYTES);
}

#endif
