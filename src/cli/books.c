#include "cli/books.h"

#include <stdio.h>

#include "base/file.h"
#include "ledger/ledger.h"
#include "route/lengths.h"

enum { ROUND_MS = 1000, SAVE_ROUNDS = 60, PATH_BYTES = 4096, WHY_MAX = 4096 };

static bool path_of(const struct books *b, const char *name, char out[PATH_BYTES])
{
    int n = b->data ? snprintf(out, PATH_BYTES, "%s/%s", b->data, name) : -1;
    return n > 0 && n < PATH_BYTES;
}

static void complain(struct books *b, const char *what, const char *path, enum result r)
{
    char room[FILE_ERROR_BYTES];
    if (!b->complained)
        fprintf(stderr, "merit: cannot %s %s: %s; lengths of answers are learned all the same\n",
                what, path, file_problem(r, room));
    b->complained = true;
}

// --- the ledger

static void on_event(void *context, const struct ledger_event *e)
{
    (void)context;
    fprintf(stderr, "merit: %s: %.*s\n", e->code, SLICE_FMT(e->text));
}

static enum result open_ledger(struct books *b, const struct books_ledger *l, uint64_t now_us,
                               struct buf *why)
{
    const struct ledger_options options = {.directory = l->directory,
                                           .accounts = l->accounts,
                                           .backlog_bytes = l->backlog_bytes,
                                           .keep_days = l->keep_days,
                                           .now_us = now_us,
                                           .event = on_event};
    buf_reset(why);
    return ledger_open(&b->ledger, &options, why);
}

static enum result keep_ledger(struct books *b, const struct books_ledger *l, bool budgets,
                               uint64_t now_us)
{
    struct buf why;
    bool wanted = l->directory != NULL;
    buf_init(&why, WHY_MAX);
    enum result r = open_ledger(b, l, now_us, &why);
    b->kept = wanted && !r;
    if (r)
        fprintf(stderr, "merit: the ledger in %s does not open: %.*s\n",
                wanted ? l->directory : "memory",
                SLICE_FMT(why.len ? buf_slice(&why) : slice_cstr(result_name(r))));
    if (wanted && (r == RESULT_EXISTS || r == RESULT_IO) && !budgets) {
        fprintf(stderr, "merit: no row is kept of this process's requests\n");
        const struct books_ledger memory = {.accounts = l->accounts};
        r = open_ledger(b, &memory, now_us, &why);
    }
    buf_deinit(&why);
    return r;
}

// --- lengths

static void save(struct books *b)
{
    struct buf out;
    char path[PATH_BYTES];
    b->since_saved = 0;
    if (lengths_answers(b->lengths) == b->saved || !path_of(b, "lengths", path))
        return;
    buf_init(&out, LENGTHS_FILE_MAX);
    lengths_write(b->lengths, &out);
    enum result r = buf_result(&out);
    if (!r)
        r = file_make_folder(b->data, 0700);
    if (!r)
        r = file_replace(path, buf_slice(&out), 0600);
    if (r)
        complain(b, "keep what was learned in", path, r);
    else
        b->saved = lengths_answers(b->lengths);
    buf_deinit(&out);
}

static void load(struct books *b)
{
    struct buf text;
    char path[PATH_BYTES];
    if (!path_of(b, "lengths", path))
        return;
    buf_init(&text, LENGTHS_FILE_MAX);
    enum result r = file_read(path, &text);
    if (r && r != RESULT_NOT_FOUND)
        complain(b, "read what was learned in", path, r);
    if (!r && (r = lengths_read(b->lengths, buf_slice(&text))))
        fprintf(stderr, "merit: %s is %s; lengths of answers are learned anew\n", path,
                r == RESULT_VERSION ? "of another version of Merit" : "damaged");
    b->saved = lengths_answers(b->lengths);
    buf_deinit(&text);
}

// Without memory the old one stays good.
static void publish(struct books *b)
{
    struct lengths_epoch *e;
    if (lengths_epoch_make(b->lengths, &e))
        return;
    for (uint32_t i = 0; i < b->count; i++)
        if (gateway_post_lengths(b->gateways[i], e))
            break;
    lengths_epoch_unref(e);
}

static void on_due(struct loop_timer *t)
{
    struct books *b = MERIT_CONTAINER(t, struct books, timer);
    if (lengths_merge(b->lengths))
        publish(b);
    if (++b->since_saved >= SAVE_ROUNDS)
        save(b);
    loop_timer_set(b->loop, t, ROUND_MS);
}

// --- life

enum result books_open(struct books *b, const char *data, const struct books_ledger *ledger,
                       uint32_t loops, bool budgets, uint64_t now_us)
{
    *b = (struct books){.data = data, .timer.on_due = on_due};
    enum result r = lengths_open(&b->lengths, loops);
    if (r)
        return r;
    load(b);
    return keep_ledger(b, ledger, budgets, now_us);
}

void books_start(struct books *b, struct loop *loop, struct gateway **gateways, uint32_t count)
{
    b->loop = loop;
    b->gateways = gateways;
    b->count = count;
    publish(b);
    loop_timer_set(loop, &b->timer, ROUND_MS);
}

void books_stop(struct books *b)
{
    if (b->loop)
        loop_timer_cancel(b->loop, &b->timer);
    b->loop = NULL;
}

void books_close(struct books *b)
{
    if (b->lengths) {
        lengths_merge(b->lengths);
        save(b);
    }
    ledger_close(b->ledger);
    lengths_close(b->lengths);
    b->ledger = NULL;
    b->lengths = NULL;
}

// --- what it comes to

static double in_units(enum image_unit u, int64_t v)
{
    return u == IMAGE_UNIT_NUSD                       ? (double)v / 1e9
           : u == IMAGE_UNIT_UJ || u == IMAGE_UNIT_UG ? (double)v / 1e6
                                                      : (double)v;
}

void books_process(const struct books *b, const struct serving *s, uint64_t now_us,
                   struct metrics_process *out)
{
    const struct image_constraint *c =
        IMAGE_AT(s->image, s->image->constraints, struct image_constraint);
    static const char *const windows[] = {"request", "minute", "hour", "day", "month", "life"};
    static const char *const units[LEDGER_UNITS] = {"usd", "J",     "g",       "ms",
                                                    "tok", "calls", "requests"};
    out->lengths_answers = lengths_answers(b->lengths);
    out->lengths_dropped = lengths_dropped(b->lengths);
    out->lengths_cells = lengths_cells(b->lengths);
    if (b->ledger)
        ledger_stats(b->ledger, &out->ledger);
    out->budget_count = 0;
    for (uint32_t i = 0; i < s->rules.count && out->budget_count < METRICS_BUDGETS_SHOWN; i++) {
        int32_t at = s->rules.rules[i].constraint;
        if (c[at].scope != IMAGE_SCOPE_ALL || !b->ledger)
            continue;
        struct ledger_budget budget = account_budget(s->image, &s->rules.rules[i], SLICE("all"));
        int64_t used = ledger_used(b->ledger, &budget, now_us);
        out->budgets[out->budget_count++] = (struct metrics_budget){
            .slot = s->budget_slots[at],
            .unit = units[c[at].unit],
            .window = windows[c[at].window],
            .limit = in_units(c[at].unit, c[at].limit),
            .left = in_units(c[at].unit, used < c[at].limit ? c[at].limit - used : 0)};
    }
}
