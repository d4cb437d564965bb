// What is measured while serving: counted against naive sums, kept over edits, starts and damaged files.
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "api/decider.h"
#include "api/measured.h"
#include "base/alloc.h"
#include "base/rng.h"
#include "text/json.h"

#define HEAD                                                                                       \
    "policy \"t\" version 1\nzone z\nmodel m zone z endpoint \"http://127.0.0.1:1/v1\" context "   \
    "8192 tok output 1k tok\n"

static const char policy[] = HEAD "signal loud = keywords(\"now\", \"urgent\")\n"
                                  "signal rude = keywords(\"stupid\")\n"
                                  "signal words = structure(words)\n"
                                  "signal team = caller(team)\n"
                                  "route a when loud and words > 3 -> answer(m)\n"
                                  "route b when rude or team == \"x\" -> answer(m)\n"
                                  "otherwise -> answer(m)\n";
enum { LOUD, RUDE, WORDS, TEAM, SIGNALS };

struct fixture {
    struct decider decider;
    struct plan_scratch *scratch;
    struct arena arena;
    struct measured *measured;
    uint64_t now, tick;
};

static uint64_t tick(void *ctx)
{
    struct fixture *f = ctx;
    return f->now += f->tick;
}

static void open_fixture(struct fixture *f, const char *text, uint32_t loops)
{
    struct diag_list diags;
    struct arena notes;
    arena_init(&notes, 0, 1 << 20);
    diag_init(&diags, &notes, 16);
    *f = (struct fixture){.tick = 1000};
    assert_int_equal(decider_open(&f->decider, slice_cstr(text), NULL, DECIDER_ANY, &diags),
                     RESULT_OK);
    arena_deinit(&notes);
    assert_int_equal(plan_scratch_open(f->decider.plan, &f->scratch), RESULT_OK);
    arena_init(&f->arena, 0, 16 << 20);
    assert_int_equal(measured_open(&f->measured, f->decider.image, &f->decider.costs, NULL, loops),
                     RESULT_OK);
}

static void close_fixture(struct fixture *f)
{
    measured_close(f->measured);
    plan_scratch_close(f->scratch);
    decider_close(&f->decider);
    arena_deinit(&f->arena);
}

// Decides on a text and counts it; the decision lives until the next one.
static const struct decision *serve(struct fixture *f, uint32_t loop, const char *text,
                                    const struct route_costs *costs, bool late)
{
    static struct work_message message;
    static struct work_part part;
    static struct work work;
    struct plan_clock clock = {tick, f};
    struct route_options options = {.costs = costs};
    struct decider_job job;
    part = (struct work_part){.kind = WORK_TEXT, .text = slice_cstr(text)};
    message = (struct work_message){.role = WORK_USER, .part_count = 1};
    work = (struct work){
        .messages = &message, .message_count = 1, .parts = &part, .part_count = 1, .choices = 1};
    arena_reset(&f->arena);
    assert_int_equal(
        decider_begin(&f->decider, f->scratch, &work, NULL, &options, &clock, &f->arena, &job),
        RESULT_OK);
    if (late)
        decider_expire(&job);
    assert_int_equal(decider_step(&job), RESULT_OK);
    measured_count(f->measured, loop, &job.run);
    return job.run.decision;
}

static const char *const texts[] = {
    "do it now please, at once", "now", "hello", "you are stupid", "so stupid, do it now",
    "what is the weather like"};

static struct measured_epoch *epoch_of(const struct fixture *f)
{
    struct measured_epoch *e;
    assert_int_equal(measured_epoch(f->measured, &e), RESULT_OK);
    return e;
}

// Probabilities and shares against sums made by hand of the decisions' own facts.
static void counts_are_sums(void **state)
{
    (void)state;
    struct fixture f;
    struct rng rng;
    uint32_t bought[SIGNALS] = {0}, shared[SIGNALS] = {0}, asked[16] = {0}, held[16] = {0};
    open_fixture(&f, policy, 3);
    const struct policy_image *p = f.decider.image;
    struct measured_epoch *e = epoch_of(&f);
    assert_int_equal(e->costs.epoch, 0);
    for (int i = 0; i < SIGNALS; i++)
        assert_int_equal(e->costs.own_ns[i], f.decider.costs.own_ns[i]);
    for (uint32_t g = 1; g < ROUTE_GROUPS; g++)
        assert_memory_equal(e->costs.group_ns[g], f.decider.costs.group_ns[g],
                            sizeof e->costs.group_ns[g]);
    assert_int_equal(e->costs.holds[0], ROUTE_HOLDS_ONE / 2);
    rng_seed(&rng, 5);
    for (int n = 0; n < 400; n++) {
        bool late = rng_below(&rng, 10) == 0;
        const struct decision *d = serve(&f, (uint32_t)rng_below(&rng, 3),
                                         texts[rng_below(&rng, MERIT_COUNT(texts))], NULL, late);
        for (int i = 0; i < SIGNALS && !late; i++)
            if (d->facts[i].state != FACT_UNKNOWN) {
                bought[i]++;
                shared[i] += d->facts[i].share != FACT_SHARE_NONE;
                for (uint32_t a = 0; a < p->atoms.count; a++) {
                    const struct image_atom *atom = IMAGE_AT(p, p->atoms, struct image_atom) + a;
                    if (atom->signal != i)
                        continue;
                    asked[a]++;
                    held[a] += route_atom_holds(p, atom, &d->facts[i]);
                }
            }
    }
    assert_true(measured_merge(f.measured));
    assert_false(measured_merge(f.measured)); // nothing new
    struct measured_epoch *after = epoch_of(&f);
    assert_int_not_equal(after->costs.epoch, 0);
    assert_true(after->costs.epoch < UINT64_C(1) << 48);
    for (uint32_t a = 0; a < p->atoms.count; a++)
        assert_int_equal(after->costs.holds[a],
                         (uint64_t)ROUTE_HOLDS_ONE * (held[a] + 1) / (asked[a] + 2));
    for (int i = 0; i < SIGNALS; i++) {
        uint64_t needs = (uint64_t)ROUTE_HOLDS_ONE * (shared[i] + 2) / (bought[i] + 2);
        assert_int_equal(after->costs.needs[i],
                         needs < ROUTE_HOLDS_ONE ? needs : ROUTE_HOLDS_ONE - 1);
        assert_true(bought[i] > 20);
    }
    // One tick of the clock is what each of them took: half an octave about 1000 ns, the guesses weighed in.
    assert_in_range(after->costs.own_ns[WORDS], 800, 1250);
    assert_in_range(after->costs.own_ns[TEAM], 800, 1250);
    assert_in_range(after->costs.group_ns[ROUTE_GROUP_SCAN][0], 600, 1250);
    measured_epoch_unref(e);
    measured_epoch_unref(after);
    close_fixture(&f);
}

// What a thread that is put aside now and then makes of a cost is cut; what is dear every tenth time is not.
static void a_rare_outlier_is_no_cost(void **state)
{
    (void)state;
    struct fixture f;
    open_fixture(&f, policy, 1);
    for (int n = 0; n < 2000; n++) {
        f.tick = n % 500 == 7 ? 50000000 : 1000;
        serve(&f, 0, "hello", NULL, false);
    }
    measured_merge(f.measured);
    struct measured_epoch *e = epoch_of(&f);
    assert_in_range(e->costs.own_ns[TEAM], 800, 1300);
    measured_epoch_unref(e);
    for (int n = 0; n < 2000; n++) {
        f.tick = n % 10 == 7 ? 1000000 : 1000;
        serve(&f, 0, "hello", NULL, false);
    }
    measured_merge(f.measured);
    e = epoch_of(&f);
    assert_in_range(e->costs.own_ns[TEAM], 35000, 75000); // 5 % of all of them
    measured_epoch_unref(e);
    close_fixture(&f);
}

static void the_first_and_then_a_sample(void **state)
{
    (void)state;
    struct fixture f;
    uint32_t wanted = 0;
    open_fixture(&f, policy, 2);
    for (int n = 0; n < MEASURED_FIRST; n++)
        assert_true(measured_wants(f.measured, 1));
    for (int n = 0; n < 320; n++)
        wanted += measured_wants(f.measured, 1);
    assert_int_equal(wanted, 320 / MEASURED_EVERY);
    assert_true(measured_wants(f.measured, 0));
    close_fixture(&f);
}

// Without an end, totals stay bounded and follow what changes.
static void old_counts_fade(void **state)
{
    (void)state;
    struct fixture f;
    open_fixture(&f, policy, 1);
    for (int n = 0; n < 150000; n++) {
        serve(&f, 0, "hello", NULL, false);
        if (n % 1000 == 0)
            measured_merge(f.measured);
    }
    for (int n = 0; n < 60000; n++)
        serve(&f, 0, "do it now please, at once", NULL, false);
    measured_merge(f.measured);
    struct measured_epoch *e = epoch_of(&f);
    assert_true(e->costs.holds[0] > ROUTE_HOLDS_ONE * 2 / 5);
    measured_epoch_unref(e);
    struct buf out;
    buf_init(&out, MEASURED_FILE_MAX);
    uint32_t kept;
    measured_write(f.measured, &out);
    struct fixture g;
    open_fixture(&g, policy, 1);
    assert_int_equal(measured_read(g.measured, buf_slice(&out), &kept), RESULT_OK);
    buf_deinit(&out);
    close_fixture(&f);
    close_fixture(&g);
}

// Another name for a signal, another order, another route: what is asked is the same and is kept; what is not begins anew.
static void an_edit_keeps_what_is_unchanged(void **state)
{
    (void)state;
    static const char edited[] = HEAD "signal crew = caller(team)\n"
                                      "signal noisy = keywords(\"now\", \"urgent\")\n"
                                      "signal rude = keywords(\"stupid\", \"dumb\")\n"
                                      "route b when crew == \"x\" or noisy -> answer(m)\n"
                                      "route c when rude -> answer(m)\n"
                                      "otherwise -> answer(m)\n";
    struct fixture f, g;
    struct buf out;
    uint32_t kept;
    open_fixture(&f, policy, 1);
    open_fixture(&g, edited, 1);
    for (int n = 0; n < 300; n++)
        serve(&f, 0, texts[n % (int)MERIT_COUNT(texts)], NULL, false);
    measured_merge(f.measured);
    buf_init(&out, MEASURED_FILE_MAX);
    measured_write(f.measured, &out);
    assert_int_equal(measured_read(g.measured, buf_slice(&out), &kept), RESULT_OK);
    assert_int_equal(kept, 4); // two signals, an atom of each
    struct measured_epoch *a = epoch_of(&f), *b = epoch_of(&g);
    assert_int_equal(b->costs.own_ns[0], a->costs.own_ns[TEAM]);
    assert_int_equal(b->costs.needs[1], a->costs.needs[LOUD]);
    assert_int_equal(b->costs.own_ns[2], g.decider.costs.own_ns[2]);
    assert_memory_equal(a->costs.group_ns, b->costs.group_ns, sizeof a->costs.group_ns);
    assert_int_equal(measured_decisions(g.measured), 300);
    measured_epoch_unref(a);
    measured_epoch_unref(b);
    buf_deinit(&out);
    close_fixture(&f);
    close_fixture(&g);
}

// The same counts make the same epoch, number and all.
static void kept_bytes_give_the_same_epoch(void **state)
{
    (void)state;
    struct fixture f, g;
    struct buf out, again;
    uint32_t kept;
    open_fixture(&f, policy, 1);
    open_fixture(&g, policy, 4);
    for (int n = 0; n < 300; n++)
        serve(&f, 0, texts[n % (int)MERIT_COUNT(texts)], NULL, false);
    measured_merge(f.measured);
    buf_init(&out, MEASURED_FILE_MAX);
    buf_init(&again, MEASURED_FILE_MAX);
    measured_write(f.measured, &out);
    assert_int_equal(measured_read(g.measured, buf_slice(&out), &kept), RESULT_OK);
    measured_write(g.measured, &again);
    assert_true(slice_eq(buf_slice(&out), buf_slice(&again)));
    struct measured_epoch *a = epoch_of(&f), *b = epoch_of(&g);
    assert_int_equal(a->costs.epoch, b->costs.epoch);
    // And a decision under it says so.
    assert_int_equal(serve(&g, 0, "hello", &b->costs, false)->costs_epoch, a->costs.epoch);
    measured_epoch_unref(a);
    measured_epoch_unref(b);
    buf_deinit(&out);
    buf_deinit(&again);
    close_fixture(&f);
    close_fixture(&g);
}

static void a_damaged_file_is_refused(void **state)
{
    (void)state;
    struct fixture f, g;
    struct buf out, before, after;
    uint32_t kept;
    open_fixture(&f, policy, 1);
    open_fixture(&g, policy, 1);
    for (int n = 0; n < 100; n++)
        serve(&f, 0, texts[n % (int)MERIT_COUNT(texts)], NULL, false);
    measured_merge(f.measured);
    buf_init(&out, MEASURED_FILE_MAX);
    buf_init(&before, MEASURED_FILE_MAX);
    buf_init(&after, MEASURED_FILE_MAX);
    measured_write(f.measured, &out);
    measured_write(g.measured, &before);
    for (size_t i = 0; i < out.len; i += i < 128 ? 1 : 97) {
        out.ptr[i] ^= 0x10;
        enum result r = measured_read(g.measured, buf_slice(&out), &kept);
        assert_true(r == RESULT_SYNTAX || (r == RESULT_VERSION && i >= 8 && i < 12));
        out.ptr[i] ^= 0x10;
    }
    for (size_t n = 0; n < out.len; n += n < 128 ? 1 : 1013)
        assert_int_equal(measured_read(g.measured, slice_make(out.ptr, n), &kept), RESULT_SYNTAX);
    assert_int_equal(measured_read(g.measured, SLICE("merit-keys 1\n"), &kept), RESULT_SYNTAX);
    measured_write(g.measured, &after);
    assert_true(slice_eq(buf_slice(&before), buf_slice(&after))); // nothing was taken of them
    buf_deinit(&out);
    buf_deinit(&before);
    buf_deinit(&after);
    close_fixture(&f);
    close_fixture(&g);
}

struct counter {
    struct fixture *f;
    struct route_run run;
    uint32_t loop;
};

enum { COUNTED = 20000 };

static void *count_many(void *ctx)
{
    struct counter *c = ctx;
    for (int n = 0; n < COUNTED; n++)
        measured_count(c->f->measured, c->loop, &c->run);
    return NULL;
}

// Loops count while the control thread merges: nothing is lost, nothing counted twice.
static void loops_count_while_it_merges(void **state)
{
    (void)state;
    struct fixture f;
    enum { LOOPS = 2 };
    pthread_t threads[LOOPS];
    struct counter counters[LOOPS];
    open_fixture(&f, policy, LOOPS);
    serve(&f, 0, "hello", NULL, false);
    // A finished run, counted again and again.
    struct decider_job job;
    struct work work = {.choices = 1, .anchor = WORK_NO_ANCHOR};
    assert_int_equal(decider_begin(&f.decider, f.scratch, &work, NULL, NULL, NULL, &f.arena, &job),
                     RESULT_OK);
    assert_int_equal(decider_step(&job), RESULT_OK);
    for (uint32_t i = 0; i < LOOPS; i++) {
        counters[i] = (struct counter){&f, job.run, i};
        assert_int_equal(pthread_create(&threads[i], NULL, count_many, &counters[i]), 0);
    }
    for (int n = 0; n < 200; n++)
        measured_merge(f.measured);
    for (uint32_t i = 0; i < LOOPS; i++)
        pthread_join(threads[i], NULL);
    measured_merge(f.measured);
    assert_int_equal(measured_decisions(f.measured), LOOPS * COUNTED + 1);
    close_fixture(&f);
}

static void json_is_json(void **state)
{
    (void)state;
    struct fixture f;
    struct buf out;
    struct json j;
    open_fixture(&f, policy, 1);
    for (int n = 0; n < 100; n++)
        serve(&f, 0, texts[n % (int)MERIT_COUNT(texts)], NULL, false);
    measured_merge(f.measured);
    buf_init(&out, 1 << 20);
    measured_json(f.measured, &out);
    assert_int_equal(json_parse(&j, buf_slice(&out), &json_limits_default, &f.arena), RESULT_OK);
    assert_true(slice_find(buf_slice(&out), SLICE("\"atom\":\"words > 3\"")) > 0);
    assert_true(slice_find(buf_slice(&out), SLICE("\"artifact\":\"pattern scan\"")) > 0);
    buf_deinit(&out);
    close_fixture(&f);
}

static void every_allocation_may_fail(void **state)
{
    (void)state;
    struct fixture f;
    struct buf out;
    uint32_t kept;
    open_fixture(&f, policy, 1);
    buf_init(&out, MEASURED_FILE_MAX);
    measured_write(f.measured, &out);
    for (uint64_t n = 1, done = 0; !done; n++) {
        struct measured *m = NULL;
        struct measured_epoch *e = NULL;
        alloc_fail_at(n, 0);
        enum result r = measured_open(&m, f.decider.image, &f.decider.costs, NULL, 2);
        if (!r)
            r = measured_read(m, buf_slice(&out), &kept);
        if (!r)
            r = measured_epoch(m, &e);
        alloc_fail_at(0, 0);
        done = r == RESULT_OK;
        assert_true(done || r == RESULT_NOMEM);
        measured_epoch_unref(e);
        measured_close(m);
    }
    buf_deinit(&out);
    close_fixture(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(counts_are_sums),
        cmocka_unit_test(a_rare_outlier_is_no_cost),
        cmocka_unit_test(the_first_and_then_a_sample),
        cmocka_unit_test(old_counts_fade),
        cmocka_unit_test(an_edit_keeps_what_is_unchanged),
        cmocka_unit_test(kept_bytes_give_the_same_epoch),
        cmocka_unit_test(a_damaged_file_is_refused),
        cmocka_unit_test(loops_count_while_it_merges),
        cmocka_unit_test(json_is_json),
        cmocka_unit_test(every_allocation_may_fail),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
