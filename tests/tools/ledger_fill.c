// Fills a ledger for tests and documentation: ledger_fill DIRECTORY < lines
//
// Each line: time (seconds since 1970), model, route, tenant, end (answered, failed, ... or open), bound, took and
// baseline in nano-USD, microjoules, input, cached and output tokens; -1 for what is not known. One budget bears on each: 1
// USD a day of the tenant.
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/hash.h"
#include "ledger/ledger.h"

enum { LINE_MAX_BYTES = 1000, FIELDS = 12 };

static void fill(struct ledger *l, char *line)
{
    char *field[FIELDS] = {0}, *save = NULL;
    int n = 0;
    for (char *p = strtok_r(line, " \n", &save); p && n < FIELDS; p = strtok_r(NULL, " \n", &save))
        field[n++] = p;
    if (n != FIELDS)
        return;
    int64_t v[FIELDS];
    for (int i = 0; i < FIELDS; i++)
        v[i] = strtoll(field[i], NULL, 10);
    struct ledger_budget b = {.account = hash_fnv(1, slice_cstr(field[3])),
                              .unit = IMAGE_UNIT_NUSD,
                              .window = IMAGE_PER_DAY,
                              .hard = true,
                              .limit = 1000000000,
                              .name = SLICE("1 usd/day hard"),
                              .holder = slice_cstr(field[3])};
    struct ledger_ask ask = {.who = {.decision = "d",
                                     .caller = SLICE("ada"),
                                     .route = slice_cstr(field[2]),
                                     .model = slice_cstr(field[1]),
                                     .tenant = slice_cstr(field[3]),
                                     .attempt = 1},
                             .now_us = (uint64_t)v[0] * 1000000,
                             .budgets = &b,
                             .budget_count = 1};
    struct ledger_settled s = {.now_us = ask.now_us + 1000000,
                               .input_tok = (uint32_t)v[9],
                               .cached_tok = (uint32_t)v[10],
                               .output_tok = (uint32_t)v[11],
                               .reason = ""};
    for (int i = 0; i < LEDGER_UNITS; i++)
        ask.bound.of[i] = ask.expected.of[i] = s.took.of[i] = s.baseline.of[i] = -1;
    ask.bound.of[IMAGE_UNIT_NUSD] = v[5];
    s.took.of[IMAGE_UNIT_NUSD] = v[6];
    s.baseline.of[IMAGE_UNIT_NUSD] = v[7];
    s.took.of[IMAGE_UNIT_UJ] = v[8];
    struct ledger_ticket t;
    struct ledger_refusal no;
    if (ledger_reserve(l, &ask, &t, &no)) {
        printf("refused: %s, left %" PRId64 ", need %" PRId64 "\n", ledger_refused_name(no.kind),
               no.left, no.need);
        return;
    }
    if (strcmp(field[4], "open") == 0)
        return;
    for (int e = 0; e < LEDGER_END_COUNT_; e++)
        if (strcmp(field[4], ledger_end_name((enum ledger_end)e)) == 0)
            s.end = (enum ledger_end)e;
    ledger_settle(l, &t, &s);
    printf("used %" PRId64 "\n", ledger_used(l, &b, ask.now_us));
}

int main(int argc, char **argv)
{
    struct ledger *l = NULL;
    struct buf why;
    char line[LINE_MAX_BYTES];
    buf_init(&why, 1000);
    struct ledger_options o = {.directory = argc > 1 ? argv[1] : ".",
                               .now_us = UINT64_C(1795000000000000),
                               .journal_slots = 256};
    if (ledger_open(&l, &o, &why)) {
        fprintf(stderr, "%.*s\n", SLICE_FMT(buf_slice(&why)));
        return 1;
    }
    while (fgets(line, sizeof line, stdin))
        fill(l, line);
    ledger_close(l);
    buf_deinit(&why);
    return 0;
}
