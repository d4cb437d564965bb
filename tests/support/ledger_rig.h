// What the tests of the ledger's files share: a folder that goes away, asks with all the trimmings, SQL on the store.
#ifndef MERIT_TESTS_LEDGER_RIG_H
#define MERIT_TESTS_LEDGER_RIG_H

#include <dirent.h>
#include <limits.h>
#include <pthread.h>
#include <sqlite3.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "ledger/ledger.h"

#define RIG_SECOND UINT64_C(1000000)
// 2026-11-21T20:30:15Z
#define RIG_NOW (UINT64_C(1795293015) * RIG_SECOND)

struct rig {
    char folder[64];
    char events[8192]; // "code: text" lines of what was told, in order
    pthread_mutex_t lock;
    struct ledger_options options;
};

static inline void rig_event(void *context, const struct ledger_event *e)
{
    struct rig *r = context;
    pthread_mutex_lock(&r->lock);
    size_t n = strlen(r->events);
    snprintf(r->events + n, sizeof r->events - n, "%s: %.*s\n", e->code, SLICE_FMT(e->text));
    pthread_mutex_unlock(&r->lock);
}

static inline bool rig_told(struct rig *r, const char *text)
{
    pthread_mutex_lock(&r->lock);
    bool told = strstr(r->events, text) != NULL;
    pthread_mutex_unlock(&r->lock);
    return told;
}

static inline void rig_open(struct rig *r)
{
    *r = (struct rig){.folder = "/tmp/merit-ledger-XXXXXX"};
    pthread_mutex_init(&r->lock, NULL);
    if (!mkdtemp(r->folder))
        abort();
    r->options = (struct ledger_options){.directory = r->folder,
                                         .now_us = RIG_NOW,
                                         .commit_ms = 5,
                                         .journal_slots = 256,
                                         .event = rig_event,
                                         .context = r};
}

static inline void rig_path(const struct rig *r, const char *name, char out[PATH_MAX])
{
    snprintf(out, PATH_MAX, "%s/%s", r->folder, name);
}

static inline void rig_close(struct rig *r)
{
    DIR *d = opendir(r->folder);
    struct dirent *e;
    char path[PATH_MAX];
    while (d && (e = readdir(d))) {
        if (strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0)
            continue;
        rig_path(r, e->d_name, path);
        unlink(path);
    }
    if (d)
        closedir(d);
    rmdir(r->folder);
}

// NULL with the sentence in `why`.
static inline struct ledger *rig_ledger(struct rig *r, char why[1000])
{
    struct ledger *l = NULL;
    struct buf b;
    buf_init(&b, 900);
    if (ledger_open(&l, &r->options, &b))
        l = NULL;
    if (why)
        snprintf(why, 1000, "%.*s", SLICE_FMT(buf_slice(&b)));
    buf_deinit(&b);
    return l;
}

static inline struct ledger_budget rig_budget(uint64_t account, int64_t limit)
{
    return (struct ledger_budget){.account = account,
                                  .unit = IMAGE_UNIT_NUSD,
                                  .window = IMAGE_PER_MONTH,
                                  .hard = true,
                                  .limit = limit,
                                  .name = SLICE("5 usd/month hard"),
                                  .holder = SLICE("tenant free")};
}

static inline struct ledger_ask rig_ask(int64_t nusd, const struct ledger_budget *b, uint32_t count,
                                        uint64_t now_us)
{
    static const uint8_t digest[IMAGE_DIGEST_BYTES] = {0xab, 0xcd};
    struct ledger_ask a = {.who = {.decision = "d-0123456789",
                                   .key = SLICE("k-4Fz0aQ9x"),
                                   .caller = SLICE("ada"),
                                   .team = SLICE("engines"),
                                   .tenant = SLICE("free"),
                                   .session = SLICE("2d1f0f5e-2f5c-4e0e-9a52-0d5b3f0a7c11"),
                                   .loop = SLICE("task-7"),
                                   .route = SLICE("quick"),
                                   .model = SLICE("qwen3-8b"),
                                   .effort = SLICE("off"),
                                   .place = SLICE("http://vllm-a:8000/v1"),
                                   .attempt = 1,
                                   .policy = digest},
                           .now_us = now_us,
                           .budgets = b,
                           .budget_count = count};
    for (int i = 0; i < LEDGER_UNITS; i++)
        a.bound.of[i] = a.expected.of[i] = 10 + i;
    a.bound.of[IMAGE_UNIT_NUSD] = nusd;
    a.expected.of[IMAGE_UNIT_NUSD] = nusd / 2;
    return a;
}

static inline struct ledger_settled rig_took(int64_t nusd, uint64_t now_us)
{
    struct ledger_settled s = {
        .now_us = now_us, .reason = "", .input_tok = 7, .cached_tok = 3, .output_tok = 2};
    for (int i = 0; i < LEDGER_UNITS; i++)
        s.took.of[i] = s.baseline.of[i] = 5 + i;
    s.took.of[IMAGE_UNIT_NUSD] = nusd;
    s.baseline.of[IMAGE_UNIT_NUSD] = 10 * nusd;
    return s;
}

// Reserves and settles one; false when it was refused.
static inline bool rig_one(struct ledger *l, const struct ledger_budget *b, int64_t bound,
                           int64_t took)
{
    struct ledger_ask ask = rig_ask(bound, b, 1, RIG_NOW);
    struct ledger_ticket t;
    struct ledger_refusal no;
    struct ledger_settled s = rig_took(took, RIG_NOW + RIG_SECOND);
    if (ledger_reserve(l, &ask, &t, &no))
        return false;
    ledger_settle(l, &t, &s);
    return true;
}

// The same, patient with a journal that has to grow first.
static inline bool rig_one_soon(struct ledger *l, const struct ledger_budget *b, int64_t bound,
                                int64_t took)
{
    for (int i = 0; i < 2000; i++) {
        if (rig_one(l, b, bound, took))
            return true;
        usleep(1000);
    }
    return false;
}

// The first column of the first row as a number, -1 without a row, -2 on an error.
static inline int64_t rig_number(const struct rig *r, const char *sql)
{
    char path[PATH_MAX];
    sqlite3 *db = NULL;
    sqlite3_stmt *st = NULL;
    int64_t out = -2;
    rig_path(r, "ledger.db", path);
    if (sqlite3_open_v2(path, &db, SQLITE_OPEN_READWRITE, NULL) == SQLITE_OK &&
        sqlite3_busy_timeout(db, 2000) == SQLITE_OK &&
        sqlite3_prepare_v2(db, sql, -1, &st, NULL) == SQLITE_OK) {
        int code = sqlite3_step(st);
        out = code == SQLITE_ROW ? sqlite3_column_int64(st, 0) : code == SQLITE_DONE ? -1 : -2;
    }
    sqlite3_finalize(st);
    sqlite3_close(db);
    return out;
}

#endif
