#include "pool/speeds.h"

#include <math.h>
#include <stdlib.h>

// Grade guessed, 2026-11: 50 calls tell of the last seconds to minutes of a busy place.
static const double MEMORY = 50;
static const double SURPRISE = 3;                 // spreads that a call may be off
static const double SPREAD_MIN_MS = 1;            // below it a clock tells nothing
static const double BASE_MS = 20;                 // of a call without a prompt
static const double LENGTHS_APART_TOK2 = 64 * 64; // variance of prompts that shows a slope

enum { ROW_MAX = 10 }; // surprises on one side that are counted

static double clip(double v, double low, double high)
{
    return v < low ? low : v > high ? high : v;
}

// What is seen, and one call of no tokens that took BASE_MS beside it: so a slope can be told from calls of one length, and
// what they took is not laid to the place as such.
struct sums {
    double n, x, y, xx, xy;
};

static struct sums sums_of(const struct speeds *s)
{
    return (struct sums){s->n + 1, s->x, s->y + BASE_MS, s->xx, s->xy};
}

// Milliseconds per token to compute, or 0 when it cannot be told.
static double slope(const struct speeds *s)
{
    if (s->firsts < SPEEDS_FIRSTS_MIN)
        return 0;
    struct sums v = sums_of(s);
    double variance = v.xx / v.n - v.x / v.n * (v.x / v.n);
    if (variance < LENGTHS_APART_TOK2)
        return 0;
    double k = (v.xy / v.n - v.x / v.n * (v.y / v.n)) / variance;
    return k > 0 ? k : 0;
}

static double base_ms(const struct speeds *s)
{
    double k = slope(s), b = (s->y - k * s->x) / s->n;
    return b > 0 ? b : 0;
}

static double toward(double spread, double off, uint32_t seen)
{
    double w = seen < MEMORY ? 1.0 / (seen + 1) : 1 / MEMORY;
    return spread + w * ((off < 0 ? -off : off) - spread);
}

// What is left of what was learned, before a call that ended then.
static double left_of(const struct speeds *s, uint64_t at_ms)
{
    uint64_t since = s->at_ms + SPEEDS_FADE_AFTER_MS;
    return s->at_ms && at_ms > since ? exp(-(double)(at_ms - since) / SPEEDS_FADE_MS) : 1;
}

// A surprise is cut to what is usual, as far as what is usual is still known. One teaches next to nothing; several in a row on
// the same side are no accident, and each may move four times as much as the one before it.
static double surprise(double off, double room, double left, int8_t *row)
{
    bool same = off > 0 ? *row > 0 : *row < 0;
    room = ldexp(room, 2 * (same ? abs(*row) : 0));
    double cut = clip(off, -room, room);
    if (cut == off)
        *row = 0;
    else if (!same)
        *row = off > 0 ? 1 : -1;
    else if (abs(*row) < ROW_MAX)
        *row = (int8_t)(*row + (off > 0 ? 1 : -1));
    return off + left * (cut - off);
}

static void learn_first(struct speeds *s, double tokens, double ms, double left)
{
    double y = ms;
    if (s->firsts >= SPEEDS_FIRSTS_MIN) {
        double expected = base_ms(s) + slope(s) * tokens;
        double room =
            SURPRISE * (s->first_spread_ms > SPREAD_MIN_MS ? s->first_spread_ms : SPREAD_MIN_MS);
        // A surprise moves the spread as far as it may move the rest, so that a lasting change is followed.
        double off = surprise(ms - expected, room, left, &s->first_row);
        y = expected + off;
        s->first_spread_ms = toward(s->first_spread_ms, off, s->firsts - SPEEDS_FIRSTS_MIN);
    }
    double keep = (1 - 1 / MEMORY) * left;
    s->n = s->n * keep + 1;
    s->x = s->x * keep + tokens;
    s->y = s->y * keep + y;
    s->xx = s->xx * keep + tokens * tokens;
    s->xy = s->xy * keep + tokens * y;
    s->firsts++;
}

static void learn_each(struct speeds *s, double ms, bool guessed, double left)
{
    if (s->each_guessed && !guessed) {
        s->eaches = 0;
        s->each_guessed = false;
    }
    if (s->eaches && guessed && !s->each_guessed)
        return;
    s->each_guessed = guessed;
    if (!s->eaches) {
        s->each_ms = ms;
        s->each_spread_ms = ms / 4;
    } else {
        double room = SURPRISE * (s->each_spread_ms > 0.01 ? s->each_spread_ms : 0.01);
        double off = surprise(ms - s->each_ms, room, left, &s->each_row);
        double w = s->eaches < MEMORY / 2 ? 1.0 / (s->eaches + 1) : 2 / MEMORY;
        s->each_ms += (1 - left * (1 - w)) * off;
        s->each_spread_ms = toward(s->each_spread_ms, off, s->eaches);
    }
    s->eaches++;
}

// A quantile by steps: 19 up when a call took longer, 1 down when it did not, so that it rests where that is even. Large
// steps at first.
static void learn_slow(struct speeds *s, double ms)
{
    double step = s->slows < SPEEDS_SLOWS_MIN ? 0.5 : 0.1;
    if (!s->slows++)
        s->slow_ms = ms;
    else
        s->slow_ms *= ms > s->slow_ms ? 1 + 0.95 * step : 1 - 0.05 * step;
}

void speeds_learn(struct speeds *s, const struct speeds_call *c)
{
    double left = left_of(s, c->at_ms);
    s->at_ms = c->at_ms > s->at_ms ? c->at_ms : s->at_ms;
    bool split = c->streamed && c->first_ms >= 0 && c->total_ms >= c->first_ms;
    if (split)
        learn_slow(s, c->first_ms);
    if (split && !c->waited)
        learn_first(s, c->computed_tok, c->first_ms, left);
    if (c->output_tok < SPEEDS_OUTPUT_MIN)
        return;
    if (split) {
        learn_each(s, (c->total_ms - c->first_ms) / (c->output_tok - 1), false, left);
    } else if (!c->streamed && !c->waited && c->total_ms > 0) {
        double first = s->firsts ? base_ms(s) + slope(s) * c->computed_tok : 0;
        double rest = c->total_ms > first ? c->total_ms - first : 0;
        learn_each(s, rest / c->output_tok, true, left);
    }
}

double speeds_prefill_tok_s(const struct speeds *s)
{
    double k = slope(s);
    return k > 0 ? 1000 / k : -1;
}

double speeds_first_ms(const struct speeds *s)
{
    return s->firsts ? base_ms(s) : -1;
}

double speeds_each_ms(const struct speeds *s)
{
    return s->eaches ? s->each_ms : -1;
}

double speeds_slow_ms(const struct speeds *s)
{
    return s->slows >= SPEEDS_SLOWS_MIN ? s->slow_ms : -1;
}
