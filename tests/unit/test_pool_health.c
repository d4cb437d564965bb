// How a place falls out of service and comes back, seen by several loops.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/rng.h"
#include "helper/pool_make.h"

enum { IN_FLIGHT = 100, SECOND = 1000 * 1000 };

static const struct pool_report OK = {.outcome = POOL_OK}, FAILED = {.outcome = POOL_FAILED},
                                DROPPED = {.outcome = POOL_DROPPED};

static void prepare(struct pool_made *f, uint32_t places)
{
    pool_made_policy(f, &places, 1);
    pool_made_open(f);
}

static void begin(struct pool_made *f, int loop, int32_t place, uint64_t now, struct pool_call *c)
{
    assert_int_equal(pool_begin(&f->loops[loop], place, &(struct pool_ask){0}, now, c), RESULT_OK);
}

static void call(struct pool_made *f, int loop, int32_t place, const struct pool_report *r,
                 uint64_t now)
{
    struct pool_call c;
    begin(f, loop, place, now, &c);
    pool_end(&f->loops[loop], &c, r, now);
}

static int model_state(struct pool_made *f, int loop, uint64_t now)
{
    return pool_made_view(f, loop, now).states[0];
}

static int place_state(struct pool_made *f, int loop, int32_t place, uint64_t now)
{
    return pool_made_view(f, loop, now).places[place].state;
}

static uint64_t back_us(struct pool_made *f, int32_t place)
{
    return health_look(&pool_site(&f->pool, place)->place->health).until_ms * 1000;
}

// A restart breaks all that is under way. It is one event, however many calls of however many loops tell of it.
static void test_calls_that_break_together_count_once(void **state)
{
    struct pool_made f;
    struct pool_call calls[IN_FLIGHT];
    (void)state;
    prepare(&f, 1);
    for (int i = 0; i < IN_FLIGHT; i++)
        begin(&f, i % 4, 0, 1000, &calls[i]);
    for (int i = 0; i < IN_FLIGHT; i++)
        pool_end(&f.loops[i % 4], &calls[i], &FAILED, 1000);
    assert_int_equal(pool_site(&f.pool, 0)->place->errors, IN_FLIGHT);
    uint64_t back = back_us(&f, 0);
    assert_in_range(back, POOL_EJECT_MS * 1000, (POOL_EJECT_MS + POOL_EJECT_MS / 10 + 1) * 1000);
    for (int loop = 0; loop < 4; loop++) {
        assert_int_equal(model_state(&f, loop, back - 1000), POOL_MODEL_DOWN);
        assert_int_equal(model_state(&f, loop, back), POOL_MODEL_UP);
    }
    pool_made_close(&f);
}

static void test_a_trial_that_fails_doubles_the_time(void **state)
{
    struct pool_made f;
    (void)state;
    prepare(&f, 1);
    uint64_t now = 1000, wait = POOL_EJECT_MS;
    for (int i = 0; i < 3; i++)
        call(&f, i, 0, &FAILED, now);
    for (int i = 0; i < 8; i++) {
        uint64_t back = back_us(&f, 0);
        assert_in_range((back - now) / 1000, wait - 1, wait + wait / 10 + 1);
        assert_int_equal(model_state(&f, 0, back - 1000), POOL_MODEL_DOWN);
        now = back;
        call(&f, i % 4, 0, &FAILED, now);
        wait = 2 * wait < POOL_EJECT_MAX_MS ? 2 * wait : POOL_EJECT_MAX_MS;
    }
    pool_made_close(&f);
}

static void test_one_trial_among_all_loops(void **state)
{
    struct pool_made f;
    struct pool_call trial, other;
    (void)state;
    prepare(&f, 1);
    for (int i = 0; i < 3; i++)
        call(&f, 0, 0, &FAILED, 1000);
    uint64_t now = back_us(&f, 0);
    assert_int_equal(place_state(&f, 1, 0, now), POOL_PLACE_UP);
    begin(&f, 0, 0, now, &trial);
    for (int loop = 0; loop < 4; loop++) {
        assert_int_equal(place_state(&f, loop, 0, now), POOL_PLACE_TRYING);
        assert_int_equal(pool_begin(&f.loops[loop], 0, &(struct pool_ask){0}, now, &other),
                         RESULT_AGAIN);
    }
    assert_int_equal(pool_site(&f.pool, 0)->place->in_flight, 1);
    // Its first good byte brings the place back; the rest of a long stream is not waited for.
    pool_first(&f.loops[0], &trial, now + 1000);
    assert_int_equal(place_state(&f, 3, 0, now + 1000), POOL_PLACE_UP);
    call(&f, 2, 0, &OK, now + 2000);
    pool_end(&f.loops[0], &trial, &OK, now + 3000);
    pool_made_close(&f);
}

// Calls that began before the place fell out say nothing of it afterwards: neither does a failure put it out again, or
// lengthen its time, nor does the end of an old stream bring it back while it is dead.
static void test_calls_of_before_an_ejection_are_not_heard(void **state)
{
    struct pool_made f;
    struct pool_call old[8], trial;
    (void)state;
    prepare(&f, 1);
    for (int i = 0; i < 8; i++)
        begin(&f, i % 4, 0, 1000, &old[i]);
    for (int i = 0; i < 3; i++)
        call(&f, 0, 0, &FAILED, 1000);
    uint64_t back = back_us(&f, 0);
    pool_end(&f.loops[0], &old[0], &OK, 2000);
    assert_int_equal(place_state(&f, 0, 0, 2000), POOL_PLACE_OUT);
    pool_end(&f.loops[1], &old[1], &FAILED, 3000);
    assert_int_equal(back_us(&f, 0), back);
    // While it is tried, too.
    begin(&f, 0, 0, back, &trial);
    pool_end(&f.loops[2], &old[2], &OK, back);
    assert_int_equal(place_state(&f, 0, 0, back), POOL_PLACE_TRYING);
    pool_end(&f.loops[3], &old[3], &FAILED, back);
    assert_int_equal(place_state(&f, 0, 0, back), POOL_PLACE_TRYING);
    pool_end(&f.loops[0], &trial, &OK, back);
    // And when it is back: four more of them would have been enough.
    for (int i = 4; i < 8; i++)
        pool_end(&f.loops[i % 4], &old[i], &FAILED, back);
    assert_int_equal(place_state(&f, 0, 0, back), POOL_PLACE_UP);
    pool_made_close(&f);
}

static void test_a_trial_that_tells_nothing_gives_way(void **state)
{
    struct pool_made f;
    struct pool_call lost, next;
    (void)state;
    prepare(&f, 1);
    for (int i = 0; i < 3; i++)
        call(&f, 0, 0, &FAILED, 1000);
    uint64_t now = back_us(&f, 0);
    begin(&f, 0, 0, now, &lost);
    pool_end(&f.loops[0], &lost, &DROPPED, now);
    assert_int_equal(place_state(&f, 1, 0, now), POOL_PLACE_UP);
    begin(&f, 0, 0, now, &lost);
    uint64_t later = now + (uint64_t)POOL_TRIAL_MS * 1000;
    assert_int_equal(place_state(&f, 1, 0, later - 1000), POOL_PLACE_TRYING);
    begin(&f, 1, 0, later, &next);
    pool_end(&f.loops[0], &lost, &FAILED, later);
    assert_int_equal(place_state(&f, 1, 0, later), POOL_PLACE_TRYING);
    pool_end(&f.loops[1], &next, &OK, later);
    assert_int_equal(place_state(&f, 1, 0, later), POOL_PLACE_UP);
    pool_made_close(&f);
}

// Answers that take longer than a trial may: the place comes back with the first that is good, though another trial is under way.
static void test_a_slow_trial_counts_when_it_is_good(void **state)
{
    struct pool_made f;
    struct pool_call slow[12];
    (void)state;
    prepare(&f, 1);
    for (int i = 0; i < 3; i++)
        call(&f, 0, 0, &FAILED, 1000);
    uint64_t now = back_us(&f, 0), trial = (uint64_t)POOL_TRIAL_MS * 1000;
    for (uint64_t i = 0; i < 3; i++)
        begin(&f, (int)i, 0, now + i * trial, &slow[i]);
    pool_end(&f.loops[1], &slow[1], &FAILED, now + 2 * trial + 1000);
    assert_int_equal(place_state(&f, 3, 0, now + 2 * trial + 1000), POOL_PLACE_TRYING);
    pool_end(&f.loops[0], &slow[0], &OK, now + 2 * trial + 2000);
    assert_int_equal(place_state(&f, 3, 0, now + 2 * trial + 2000), POOL_PLACE_UP);
    // It is out again: what is left of before is not heard, nor is a trial of long ago.
    for (int i = 0; i < 3; i++)
        call(&f, 0, 0, &FAILED, now + 2 * trial + 3000);
    pool_end(&f.loops[2], &slow[2], &OK, now + 2 * trial + 4000);
    assert_int_equal(place_state(&f, 3, 0, now + 2 * trial + 4000), POOL_PLACE_OUT);
    uint64_t back = back_us(&f, 0);
    for (uint64_t i = 0; i < 12; i++)
        begin(&f, (int)(i % 4), 0, back + i * trial, &slow[i]);
    pool_end(&f.loops[0], &slow[0], &OK, back + 11 * trial);
    assert_int_equal(place_state(&f, 3, 0, back + 11 * trial), POOL_PLACE_TRYING);
    pool_end(&f.loops[0], &slow[8], &OK, back + 11 * trial);
    assert_int_equal(place_state(&f, 3, 0, back + 11 * trial), POOL_PLACE_UP);
    for (int i = 1; i < 12; i++)
        if (i != 8)
            pool_end(&f.loops[i % 4], &slow[i], &OK, back + 11 * trial);
    pool_made_close(&f);
}

static void test_a_relapse_goes_on_where_it_was(void **state)
{
    struct pool_made f;
    (void)state;
    prepare(&f, 1);
    for (int i = 0; i < 3; i++)
        call(&f, 0, 0, &FAILED, 1000);
    uint64_t now = back_us(&f, 0);
    call(&f, 0, 0, &OK, now);
    for (int i = 0; i < 3; i++)
        call(&f, 0, 0, &FAILED, now);
    assert_true(back_us(&f, 0) - now >= 2 * POOL_EJECT_MS * 1000);
    now = back_us(&f, 0);
    call(&f, 0, 0, &OK, now);
    now += (uint64_t)POOL_RELAPSE_MS * 1000;
    for (int i = 0; i < 3; i++)
        call(&f, 0, 0, &FAILED, now);
    assert_true(back_us(&f, 0) - now < 2 * POOL_EJECT_MS * 1000);
    pool_made_close(&f);
}

static void test_where_it_is_asked_to_wait_it_waits(void **state)
{
    struct pool_made f;
    (void)state;
    prepare(&f, 2);
    call(&f, 0, 0, &(struct pool_report){.outcome = POOL_LIMITED, .retry_after_s = 5}, SECOND);
    assert_int_equal(place_state(&f, 1, 0, 2 * SECOND), POOL_PLACE_LIMITED);
    assert_int_equal(pool_pick(&f.loops[1], 0, 0, 0, POOL_PICK_ANY, 2 * SECOND), 1);
    assert_int_equal(pool_pick(&f.loops[1], 0, 2, 0, POOL_PICK_ANY, 2 * SECOND), IMAGE_NONE);
    assert_int_equal(model_state(&f, 1, 2 * SECOND), POOL_MODEL_UP);
    assert_int_equal(place_state(&f, 1, 0, 6 * SECOND), POOL_PLACE_UP);
    // A 503 that says when is no failure.
    for (int i = 0; i < 9; i++)
        call(&f, 0, 0, &(struct pool_report){.outcome = POOL_FAILED, .retry_after_s = 2},
             7 * SECOND);
    assert_int_equal(place_state(&f, 1, 0, 7 * SECOND), POOL_PLACE_LIMITED);
    assert_int_equal(pool_retry_after_s(&f.loops[1], 0, 7 * SECOND), 1);
    assert_int_equal(place_state(&f, 1, 0, 9 * SECOND), POOL_PLACE_UP);
    // Who says nothing but 429 is left alone as well, though it does not say for how long; one good answer ends that.
    const struct pool_report busy = {.outcome = POOL_LIMITED};
    for (int i = 0; i < 3; i++) {
        assert_int_equal(place_state(&f, 1, 0, 9 * SECOND), POOL_PLACE_UP);
        call(&f, 0, 0, &busy, 9 * SECOND);
    }
    assert_int_equal(place_state(&f, 1, 0, 9 * SECOND), POOL_PLACE_LIMITED);
    assert_int_equal(place_state(&f, 1, 0, 9 * SECOND + POOL_BUSY_MS * 1000), POOL_PLACE_UP);
    call(&f, 0, 0, &busy, 9 * SECOND + 300000);
    assert_int_equal(place_state(&f, 1, 0, 9 * SECOND + 700000), POOL_PLACE_LIMITED);
    call(&f, 0, 0, &OK, 9 * SECOND + 900000);
    call(&f, 0, 0, &busy, 9 * SECOND + 900000);
    assert_int_equal(place_state(&f, 1, 0, 9 * SECOND + 900000), POOL_PLACE_UP);
    // Nobody is believed for ever.
    call(&f, 0, 0, &(struct pool_report){.outcome = POOL_LIMITED, .retry_after_s = 86400},
         10 * SECOND);
    assert_int_equal(place_state(&f, 1, 0, 10 * SECOND + (uint64_t)POOL_RETRY_AFTER_MAX_S * SECOND),
                     POOL_PLACE_UP);
    pool_made_close(&f);
}

static void test_a_model_that_is_refused_everywhere_is_down(void **state)
{
    struct pool_made f;
    (void)state;
    prepare(&f, 4);
    const struct pool_report refused = {.outcome = POOL_REFUSED};
    for (int i = 0; i < POOL_MODEL_REFUSALS; i++) {
        assert_int_equal(model_state(&f, i % 4, 1000), POOL_MODEL_UP);
        call(&f, i % 4, i % 4, &refused, 1000);
    }
    assert_int_equal(model_state(&f, 0, 1000), POOL_MODEL_DOWN);
    for (int i = 0; i < 4; i++)
        assert_int_equal(place_state(&f, 0, i, 1000), POOL_PLACE_UP);
    uint64_t back = 1000 + (POOL_EJECT_MS + POOL_EJECT_MS / 10 + 1) * 1000;
    call(&f, 0, 2, &OK, back);
    assert_int_equal(model_state(&f, 1, back), POOL_MODEL_UP);
    pool_made_close(&f);
}

static void test_one_that_refuses_what_another_takes_is_out(void **state)
{
    struct pool_made f;
    (void)state;
    prepare(&f, 3);
    const struct pool_report key = {.outcome = POOL_REFUSED},
                             name = {.outcome = POOL_REFUSED, .denial = HEALTH_WHY_UNKNOWN};
    struct place *p[3];
    for (int i = 0; i < 3; i++)
        p[i] = pool_site(&f.pool, i)->place;
    call(&f, 0, 0, &key, 1000);
    assert_int_equal(place_state(&f, 1, 0, 1000), POOL_PLACE_UP); // by itself it may be the key
    pool_taken_elsewhere(&f.loops[0], 0, p[1], 401, 1000);        // another one stands there now
    assert_int_equal(place_state(&f, 1, 0, 1000), POOL_PLACE_UP);
    pool_taken_elsewhere(&f.loops[0], 0, p[0], 401, 1000);
    assert_int_equal(place_state(&f, 1, 0, 1000), POOL_PLACE_OUT);
    assert_int_equal(p[0]->health.why, HEALTH_WHY_KEY);
    assert_int_equal(pool_out_s(&f.loops[0], 0, 1000), 0);
    assert_false(pool_is_denied(&f.loops[0], 0, 1000));
    // A 403 only when it is so again and again.
    for (int i = 0; i < POOL_FORBIDDEN_IN_ROW; i++) {
        assert_int_equal(place_state(&f, 1, 1, 1000), POOL_PLACE_UP);
        pool_taken_elsewhere(&f.loops[i], 1, p[1], 403, 1000);
    }
    assert_int_equal(place_state(&f, 1, 1, 1000), POOL_PLACE_OUT);
    pool_taken_elsewhere(&f.loops[1], 2, p[2], 403, 1000);
    pool_taken_elsewhere(&f.loops[1], 2, p[2], 403, 1000);
    call(&f, 0, 2, &OK, 1000);
    pool_taken_elsewhere(&f.loops[1], 2, p[2], 403, 1000);
    assert_int_equal(place_state(&f, 1, 2, 1000), POOL_PLACE_UP);
    // Nobody is sent there for want of another: it lives, and will not take it.
    assert_int_equal(pool_pick(&f.loops[0], 0, 4, 0, POOL_PICK_ANY, 1000), IMAGE_NONE);
    // Its trials are rare, and each that is refused makes them rarer.
    uint64_t now = 1000, wait = POOL_DENIED_MS;
    for (int i = 0; i < 6; i++) {
        uint64_t back = health_look(&p[0]->health).until_ms * 1000;
        assert_in_range((back - now) / 1000, wait - 1, wait + wait / 10 + 1);
        now = back;
        call(&f, i % 4, 0, i % 2 ? &name : &key, now);
        assert_int_equal(place_state(&f, 1, 0, now), POOL_PLACE_OUT);
        assert_int_equal(p[0]->health.why, i % 2 ? HEALTH_WHY_UNKNOWN : HEALTH_WHY_KEY);
        wait = 2 * wait < POOL_DENIED_MAX_MS ? 2 * wait : POOL_DENIED_MAX_MS;
    }
    now = health_look(&p[0]->health).until_ms * 1000;
    call(&f, 0, 0, &OK, now);
    assert_int_equal(place_state(&f, 1, 0, now), POOL_PLACE_UP);
    pool_made_close(&f);
}

static void test_how_long_everything_is_out(void **state)
{
    struct pool_made f;
    (void)state;
    prepare(&f, 2);
    for (int i = 0; i < 3; i++)
        call(&f, 0, 0, &FAILED, 1000);
    assert_int_equal(pool_out_s(&f.loops[1], 0, 1000), 0); // the other one serves
    for (int i = 0; i < 3; i++)
        call(&f, 0, 1, &FAILED, 3 * SECOND);
    uint64_t back = health_look(&pool_site(&f.pool, 0)->place->health).until_ms * 1000;
    uint64_t later = health_look(&pool_site(&f.pool, 1)->place->health).until_ms * 1000;
    assert_true(back <= 3 * SECOND && later > 3 * SECOND);
    assert_int_equal(pool_out_s(&f.loops[1], 0, 3 * SECOND), 1); // its trial is due
    call(&f, 0, 0, &FAILED, 3 * SECOND);
    assert_in_range(pool_out_s(&f.loops[1], 0, 3 * SECOND), 2, 3);
    assert_in_range(pool_out_s(&f.loops[1], 0, later - 1000), 1, 1);
    call(&f, 0, 1, &OK, later);
    assert_int_equal(pool_out_s(&f.loops[1], 0, later), 0);
    assert_false(pool_is_denied(&f.loops[1], 0, 3 * SECOND));
    pool_made_close(&f);
}

static void test_slots_are_never_exceeded(void **state)
{
    struct pool_made f;
    struct pool_call c[3];
    uint32_t places = 1;
    (void)state;
    pool_made_policy(&f, &places, 1);
    pool_made_endpoint(&f, 0)->slots = 2;
    pool_made_open(&f);
    begin(&f, 0, 0, 1000, &c[0]);
    begin(&f, 1, 0, 1000, &c[1]);
    assert_int_equal(pool_begin(&f.loops[2], 0, &(struct pool_ask){.force = true}, 1000, &c[2]),
                     RESULT_AGAIN);
    assert_int_equal(pool_pick(&f.loops[3], 0, 0, 0, POOL_PICK_ANY, 1000), IMAGE_NONE);
    pool_end(&f.loops[0], &c[0], &OK, 2000);
    begin(&f, 2, 0, 2000, &c[2]);
    pool_end(&f.loops[1], &c[1], &OK, 2000);
    pool_end(&f.loops[2], &c[2], &OK, 2000);
    assert_int_equal(pool_site(&f.pool, 0)->place->in_flight, 0);
    pool_made_close(&f);
}

// --- outliers against an oracle that is written another way

struct judged {
    double badness;
    bool candidate;
};

static void naive_judge(const struct health_window *w, uint32_t n, bool *go)
{
    struct judged j[POOL_PLACES_PER_MODEL_MAX] = {{0}};
    uint32_t out = 0;
    for (uint32_t i = 0; i < n; i++) {
        double calls = 0, errors = 0, times[POOL_PLACES_PER_MODEL_MAX];
        uint32_t t = 0;
        go[i] = false;
        out += w[i].out;
        for (uint32_t k = 0; k < n; k++) {
            if (k == i || w[k].out)
                continue;
            calls += (double)w[k].calls;
            errors += (double)w[k].errors;
            if (w[k].first_ms >= 0 && w[k].firsts >= 10)
                times[t++] = (double)w[k].first_ms;
        }
        if (w[i].out)
            continue;
        if (w[i].calls >= 10 && calls >= 10) {
            uint64_t own = w[i].errors * 1000000 / w[i].calls;
            uint64_t rest = (uint64_t)errors * 1000000 / (uint64_t)calls;
            if (own >= 300000 && own >= 3 * rest)
                j[i] = (struct judged){(double)(own - rest) + 10, true};
        }
        if (!j[i].candidate && t && w[i].first_ms >= 0 && w[i].firsts >= 10) {
            // The middle one: as many below it as the half.
            double middle = -1;
            for (uint32_t k = 0; k < t; k++) {
                uint32_t below = 0, equal = 0;
                for (uint32_t q = 0; q < t; q++) {
                    below += times[q] < times[k];
                    equal += times[q] <= times[k];
                }
                if (below <= t / 2 && equal > t / 2)
                    middle = times[k];
            }
            if ((double)w[i].first_ms - middle >= 500 && (double)w[i].first_ms >= 5 * middle)
                j[i] = (struct judged){1, true};
        }
    }
    while (2 * (out + 1) <= n) {
        int worst = -1;
        for (uint32_t i = 0; i < n; i++) {
            if (j[i].candidate && (worst < 0 || j[i].badness > j[worst].badness))
                worst = (int)i;
        }
        if (worst < 0)
            break;
        j[worst].candidate = false;
        go[worst] = true;
        out++;
    }
}

static void test_outliers_are_those_of_the_oracle(void **state)
{
    struct rng rng;
    uint32_t put = 0, many = 0;
    (void)state;
    rng_seed(&rng, 7);
    for (int round = 0; round < 20000; round++) {
        struct health_window w[POOL_PLACES_PER_MODEL_MAX];
        enum health_why why[POOL_PLACES_PER_MODEL_MAX];
        bool go[POOL_PLACES_PER_MODEL_MAX];
        uint32_t n = 1 + (uint32_t)rng_below(&rng, round % 10 ? 6 : 64);
        for (uint32_t i = 0; i < n; i++) {
            uint64_t calls = rng_below(&rng, 40);
            w[i] = (struct health_window){
                .calls = calls,
                .errors = rng_below(&rng, 3) ? calls * rng_below(&rng, 10) / 100
                                             : rng_below(&rng, calls + 1),
                .first_ms = rng_below(&rng, 8)
                                ? (float)rng_below(&rng, rng_below(&rng, 4) ? 300 : 9000)
                                : -1,
                .firsts = (uint32_t)rng_below(&rng, 30),
                .out = rng_below(&rng, 6) == 0,
            };
        }
        naive_judge(w, n, go);
        uint32_t told = health_judge(w, n, why), counted = 0;
        for (uint32_t i = 0; i < n; i++) {
            assert_int_equal(why[i] != HEALTH_WHY_NONE, go[i]);
            counted += go[i];
        }
        assert_int_equal(told, counted);
        put += counted > 0;
        many += counted > 1;
    }
    assert_true(put > 2000 && many > 200);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_calls_that_break_together_count_once),
        cmocka_unit_test(test_a_trial_that_fails_doubles_the_time),
        cmocka_unit_test(test_one_trial_among_all_loops),
        cmocka_unit_test(test_calls_of_before_an_ejection_are_not_heard),
        cmocka_unit_test(test_a_trial_that_tells_nothing_gives_way),
        cmocka_unit_test(test_a_slow_trial_counts_when_it_is_good),
        cmocka_unit_test(test_a_relapse_goes_on_where_it_was),
        cmocka_unit_test(test_where_it_is_asked_to_wait_it_waits),
        cmocka_unit_test(test_a_model_that_is_refused_everywhere_is_down),
        cmocka_unit_test(test_one_that_refuses_what_another_takes_is_out),
        cmocka_unit_test(test_how_long_everything_is_out),
        cmocka_unit_test(test_slots_are_never_exceeded),
        cmocka_unit_test(test_outliers_are_those_of_the_oracle),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
