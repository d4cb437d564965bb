// Personal data and secrets that have a shape: found by pattern and, where there is one, check digit.
//
//   EMAIL  local@domain.tld                      URL   a scheme or www., or a bare domain of a common ending
//   PHONE  +CC, (area), and grouped national     IP    version 4 (not a software version) and version 6
//   IBAN   country length and mod 97             CARD  12 to 19 digits, issuer prefix, grouping, Luhn
//   SSN    area, group and serial in range       KEY   known prefixes, private keys, JWT, `password = ...`
//
// Names, places and other kinds that need a model are in the same list of types; signal/pii.c joins both. Look-alike and
// invisible characters are seen through (text/skeleton.h); spans are bytes of the original. One pass, a bounded look ahead
// at each word: linear.
#ifndef MERIT_SIGNAL_PII_SCAN_H
#define MERIT_SIGNAL_PII_SCAN_H

#include <stdbool.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/compiler.h"
#include "base/result.h"
#include "base/slice.h"
#include "text/skeleton.h"

enum pii_type {
    PII_EMAIL,
    PII_PHONE,
    PII_URL,
    PII_IP,
    PII_IBAN,
    PII_CARD,
    PII_SSN,
    PII_KEY,
    PII_NAME,    // from here on only by a model
    PII_ADDRESS, // street, city, state, postal code
    PII_ID,      // passports, driving licences, tax and other numbers of government
    PII_ACCOUNT, // bank account and routing numbers
    PII_TYPES
};

extern const char *const pii_type_names[PII_TYPES + 1]; // "email", ...; NULL-terminated

enum { PII_SPANS_MAX = 4096 };

struct pii_span {
    uint32_t begin, end; // bytes of the text
    enum pii_type type;
    float probability;
};

struct pii_spans {
    struct pii_span *at;
    uint32_t count, room;
    uint32_t seen; // types, as bits; those beyond PII_SPANS_MAX as well
    bool cut;      // there are more than PII_SPANS_MAX
};

// Appends to `out`, in order and without overlap, what of `types` (bits by enum pii_type) has a shape. RESULT_NOMEM,
// RESULT_LIMIT.
enum result pii_scan(struct slice text, uint32_t types, struct arena *arena,
                     struct pii_spans *out) MERIT_NODISCARD;
// The same in steps, for those that must not keep others waiting: RESULT_AGAIN when about `bytes` were read and there is more.
struct pii_scan {
    struct slice text;
    struct skeleton folded;
    uint32_t types, at, dull;
    bool word; // the byte before belongs to a word
};
enum result pii_scan_begin(struct pii_scan *s, struct slice text, uint32_t types,
                           struct arena *arena) MERIT_NODISCARD;
enum result pii_scan_some(struct pii_scan *s, uint32_t bytes, struct arena *arena,
                          struct pii_spans *out) MERIT_NODISCARD;
enum result pii_spans_add(struct pii_spans *s, struct arena *arena,
                          struct pii_span span) MERIT_NODISCARD;

// What an entity model's label means here; PII_TYPES: nothing.
enum pii_type pii_type_of_label(struct slice label);
// Adds the entities of one text (`view` of the ask) that are of `types` and that no span of a shape covers; neighbours of
// one kind become one. `spans` holds what pii_scan found in `text`.
struct trunk_answer;
enum result pii_add_entities(struct pii_spans *spans, struct slice text, uint32_t view,
                             const struct trunk_answer *answer, const uint8_t *type_of,
                             uint32_t types, struct arena *arena) MERIT_NODISCARD;

// A detector looks at `s` from `at`, the first byte of a word, and tells where what it knows ends; 0: not its kind. Private
// to pii_*.c; `before` may be looked at for context.
uint32_t pii_number(struct slice s, uint32_t at, uint32_t types, enum pii_type *type);
uint32_t pii_iban(struct slice s, uint32_t at);
uint32_t pii_ip6(struct slice s, uint32_t at);
// `dull`: no signed token begins before this place; 0 at first. It keeps a run of what could be tokens linear.
uint32_t pii_key(struct slice s, uint32_t at, uint32_t *begin, uint32_t *dull);

// Check digits, for tests and pattern writers.
bool pii_luhn(const char *digits, unsigned count);
bool pii_mod97(const char *iban, unsigned count); // upper-case letters and digits, no blanks

#endif
