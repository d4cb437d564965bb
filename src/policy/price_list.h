// Prices of providers' models: a list that is built in (models/prices.csv) or given by the setting `prices PATH`.
//
// A line is
//   provider,model,in,cached,written,out,call,batch,date,source,grade
// with prices in US dollars per million tokens, `call` in US dollars per request, `batch` in percent of the price that
// deferred work pays. An empty `cached` or `written` is the price of `in`; an empty `call` is nothing; an empty `batch`: no
// batch rate. `date` (YYYY-MM-DD, when the price was seen), `source` and `grade` (measured, cited, guessed) must
// be there: a price without them is refused. The first line names the columns, in this order; lines that
// begin with # and empty lines are passed over. No quoting: a field holds no comma. `model` is the provider's name of it
// (struct image_model's upstream_name), or ends in `*`: then it stands for every name that begins so, the longest one wins,
// and an exact name before all.
//
// Pure. A list is immutable; its texts and rows live in the arena.
#ifndef MERIT_POLICY_PRICE_LIST_H
#define MERIT_POLICY_PRICE_LIST_H

#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/compiler.h"
#include "base/diag.h"
#include "base/result.h"
#include "base/slice.h"
#include "work/image.h"

enum {
    PRICE_LIST_BYTES_MAX = 4 * 1024 * 1024,
    PRICE_LIST_ROWS_MAX = 20000,
    PRICE_LIST_FIELD_MAX = 256, // bytes
    PRICE_LIST_DIAGS_MAX = 50,
    PRICE_LIST_DIGEST = 32,
};

struct price_row {
    struct slice provider, model; // `model` without its `*`
    bool prefix;
    int64_t in_nusd, cached_nusd, written_nusd, out_nusd; // per million tokens
    int64_t call_nusd;                                    // per request
    uint32_t batch_percent;                               // 0: no batch rate
    struct slice date, source;
    enum image_grade grade;
    uint32_t line;
};

struct price_list {
    const struct price_row *rows; // by provider, then model
    uint32_t count;
    uint8_t digest[PRICE_LIST_DIGEST]; // SHA-256 of the text
};

// The built-in list's text: models/prices.csv.
extern const struct slice PRICE_LIST_SHIPPED;

// Reads a list; every finding with its line goes into `diags`. `text` is copied. Results: RESULT_OK, RESULT_SYNTAX (a
// line is not of the form), RESULT_UTF8, RESULT_LIMIT (bytes, rows), RESULT_NOMEM. `*out` is empty unless RESULT_OK.
enum result price_list_read(struct slice text, struct arena *arena, struct diag_list *diags,
                            struct price_list *out) MERIT_NODISCARD;

// The built-in one. RESULT_NOMEM.
enum result price_list_shipped(struct arena *arena, struct price_list *out) MERIT_NODISCARD;

// NULL: the list has no price for it. Providers' names fold letters, models' do not.
const struct price_row *price_list_find(const struct price_list *list, struct slice provider,
                                        struct slice model);

#endif
