// One file, as all of it works on one struct: memory, heap, clauses, propagation, analysis, deletion, search.
#include "proof/sat.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"

// A clause lies in one array of words: a head of two, then its literals. A reference is the index of its head.
enum {
    HEAD_WORDS = 2,
    LEARNED = 1u << 31, // in the first word, beside the size
    DEAD = 1u << 30,
    SIZE_MASK = DEAD - 1,
    BINARY = 1u << 31, // in a watch's reference
    NO_REASON = UINT32_MAX,
    LBD_KEEP = 2,             // learned clauses of so few levels are never deleted
    REDUCE_FIRST = 2000,      // learned clauses before the first deletion
    REDUCE_STEP = 300,        // more before each later one
    RESTART_UNIT = 64,        // conflicts; times the Luby sequence
    ACTIVITY_TOP_LOG2 = 56,   // activities are scaled down above this
    ACTIVITY_SCALE_LOG2 = 28, // by so much
    UNASSIGNED = 2            // in the model
};

struct watch {
    uint32_t clause, blocker;
};

struct watches {
    struct watch *at;
    uint32_t len, room;
};

struct variable {
    uint64_t activity;
    uint32_t level, reason;
    uint32_t heap_at; // place in the heap, NO_REASON when absent
    bool phase;       // of its literal when it was last assigned: true is positive
    bool seen;
    bool defined; // never in the heap
};

struct sat {
    struct sat_limits limits;
    struct sat_effort spent;
    enum result err;
    bool broken; // the clauses alone exclude each other
    const struct sat_theory *theory;

    uint32_t *words;
    uint32_t word_count, word_room, wasted;
    uint32_t *learned;
    uint32_t learned_count, learned_room, learned_max, reductions;

    struct variable *vars;
    uint32_t var_count, var_room;
    int8_t *values; // per literal: 1 holds, -1 does not, 0 open
    uint32_t value_room;
    struct watches *watches; // per literal: clauses to look at when it becomes false
    uint32_t watches_room;
    uint8_t *model; // per variable
    uint32_t model_room;

    uint32_t *heap;
    uint32_t heap_count, heap_room;
    uint64_t increment;

    uint32_t *trail;
    uint32_t trail_count, trail_room, head;
    uint32_t *level_at; // per level, the trail's length before its decision
    uint32_t level_count, level_room;

    uint32_t *assumed;
    uint32_t assumed_count, assumed_room;
    const uint32_t *wanted; // of the question at hand; NULL: all
    uint32_t wanted_count;
    uint32_t *core;
    uint32_t core_count, core_room;
    // Scratch of conflict analysis.
    uint32_t *learnt;
    uint32_t learnt_count, learnt_room;
    uint32_t *stack;
    uint32_t stack_count, stack_room;
    uint32_t *clear;
    uint32_t clear_count, clear_room;
    uint32_t *level_stamp;
    uint32_t level_stamp_room, stamp;
};

// ---- memory

static void fail(struct sat *s, enum result why)
{
    if (!s->err)
        s->err = why;
}

// Room for `need` elements; what it grows by is zeroed.
static bool grow(struct sat *s, void *array, uint32_t *room, uint32_t need, size_t size)
{
    void **at = array;
    if (need <= *room)
        return true;
    if (s->err)
        return false;
    uint64_t more = *room ? (uint64_t)*room * 2 : 16;
    if (more < need)
        more = need;
    size_t added = (size_t)(more - *room) * size;
    if (more >= BINARY || added > s->limits.bytes - s->spent.bytes) {
        fail(s, RESULT_LIMIT);
        return false;
    }
    char *p = alloc_resize(*at, (size_t)more * size);
    if (!p) {
        fail(s, RESULT_NOMEM);
        return false;
    }
    memset(p + (size_t)*room * size, 0, added);
    *at = p;
    *room = (uint32_t)more;
    s->spent.bytes += added;
    return true;
}

static bool push(struct sat *s, uint32_t **at, uint32_t *count, uint32_t *room, uint32_t value)
{
    if (!grow(s, at, room, *count + 1, sizeof **at))
        return false;
    (*at)[(*count)++] = value;
    return true;
}

enum result sat_open(const struct sat_limits *limits, struct sat **out)
{
    struct sat *s = alloc_zeroed(1, sizeof *s);
    *out = NULL;
    if (!s)
        return RESULT_NOMEM;
    s->limits = *limits;
    s->increment = 1024;
    s->learned_max = REDUCE_FIRST;
    // Variable 0 is the constant behind SAT_TRUE.
    uint32_t one = sat_new(s);
    sat_clause(s, &one, 1);
    if (s->err) {
        enum result r = s->err;
        sat_close(s);
        return r;
    }
    assert(one == SAT_TRUE);
    *out = s;
    return RESULT_OK;
}

void sat_close(struct sat *s)
{
    if (!s)
        return;
    for (uint32_t i = 0; i < s->watches_room; i++)
        alloc_free(s->watches[i].at);
    void *const blocks[] = {s->words, s->learned, s->vars,  s->values,   s->watches,
                            s->model, s->heap,    s->trail, s->level_at, s->assumed,
                            s->core,  s->learnt,  s->stack, s->clear,    s->level_stamp};
    for (size_t i = 0; i < MERIT_COUNT(blocks); i++)
        alloc_free(blocks[i]);
    alloc_free(s);
}

enum result sat_result(const struct sat *s)
{
    return s->err;
}

struct sat_effort sat_effort(const struct sat *s)
{
    return s->spent;
}

void sat_theory(struct sat *s, const struct sat_theory *theory)
{
    s->theory = theory;
}

// ---- the heap of open variables, the most active first

static bool before(const struct sat *s, uint32_t a, uint32_t b)
{
    uint64_t x = s->vars[a].activity, y = s->vars[b].activity;
    return x != y ? x > y : a < b;
}

static void heap_put(struct sat *s, uint32_t at, uint32_t var)
{
    s->heap[at] = var;
    s->vars[var].heap_at = at;
}

static void heap_up(struct sat *s, uint32_t at)
{
    uint32_t var = s->heap[at];
    for (uint32_t parent; at && before(s, var, s->heap[parent = (at - 1) / 2]); at = parent)
        heap_put(s, at, s->heap[parent]);
    heap_put(s, at, var);
}

static void heap_down(struct sat *s, uint32_t at)
{
    uint32_t var = s->heap[at];
    for (uint32_t child; (child = at * 2 + 1) < s->heap_count; at = child) {
        if (child + 1 < s->heap_count && before(s, s->heap[child + 1], s->heap[child]))
            child++;
        if (!before(s, s->heap[child], var))
            break;
        heap_put(s, at, s->heap[child]);
    }
    heap_put(s, at, var);
}

// Room for all variables is made by sat_new.
static void heap_insert(struct sat *s, uint32_t var)
{
    if (s->vars[var].heap_at != NO_REASON || s->vars[var].defined)
        return;
    heap_put(s, s->heap_count++, var);
    heap_up(s, s->heap_count - 1);
}

static uint32_t heap_pop(struct sat *s)
{
    uint32_t var = s->heap[0], last = s->heap[--s->heap_count];
    s->vars[var].heap_at = NO_REASON;
    if (s->heap_count) {
        heap_put(s, 0, last);
        heap_down(s, 0);
    }
    return var;
}

// Activities are whole numbers, so that no rounding differs between machines.
static void bump(struct sat *s, uint32_t var)
{
    s->vars[var].activity += s->increment;
    if (s->vars[var].heap_at != NO_REASON)
        heap_up(s, s->vars[var].heap_at);
}

static void decay(struct sat *s)
{
    s->increment += s->increment >> 4;
    if (s->increment >> ACTIVITY_TOP_LOG2 == 0)
        return;
    s->increment >>= ACTIVITY_SCALE_LOG2;
    for (uint32_t i = 0; i < s->var_count; i++)
        s->vars[i].activity >>= ACTIVITY_SCALE_LOG2;
    // Activities that differed may be equal now, and then the smaller index goes first.
    for (uint32_t i = s->heap_count / 2; i-- > 0;)
        heap_down(s, i);
}

// ---- assignment

static int value_of(const struct sat *s, uint32_t literal)
{
    return s->values[literal];
}

static void assign(struct sat *s, uint32_t literal, uint32_t reason)
{
    struct variable *v = &s->vars[literal >> 1];
    s->values[literal] = 1;
    s->values[literal ^ 1] = -1;
    v->level = s->level_count;
    v->reason = reason;
    s->trail[s->trail_count++] = literal;
}

// Assumptions that hold already open empty levels, so there may be more levels than variables.
static bool open_level(struct sat *s)
{
    return grow(s, &s->level_stamp, &s->level_stamp_room, s->level_count + 2,
                sizeof *s->level_stamp) &&
           push(s, &s->level_at, &s->level_count, &s->level_room, s->trail_count);
}

static void backtrack(struct sat *s, uint32_t level)
{
    if (s->level_count <= level)
        return;
    uint32_t keep = s->level_at[level];
    for (uint32_t i = s->trail_count; i-- > keep;) {
        uint32_t literal = s->trail[i], var = literal >> 1;
        s->values[literal] = s->values[literal ^ 1] = 0;
        s->vars[var].phase = !(literal & 1);
        heap_insert(s, var);
    }
    s->trail_count = s->head = keep;
    s->level_count = level;
}

static uint32_t new_variable(struct sat *s, bool defined)
{
    uint32_t var = s->var_count, need = var + 1;
    if (!grow(s, &s->vars, &s->var_room, need, sizeof *s->vars) ||
        !grow(s, &s->values, &s->value_room, need * 2, sizeof *s->values) ||
        !grow(s, &s->watches, &s->watches_room, need * 2, sizeof *s->watches) ||
        !grow(s, &s->model, &s->model_room, need, sizeof *s->model) ||
        !grow(s, &s->heap, &s->heap_room, need, sizeof *s->heap) ||
        !grow(s, &s->trail, &s->trail_room, need, sizeof *s->trail) ||
        !grow(s, &s->level_stamp, &s->level_stamp_room, need + 1, sizeof *s->level_stamp))
        return SAT_TRUE;
    s->vars[var] = (struct variable){.reason = NO_REASON, .heap_at = NO_REASON, .defined = defined};
    s->var_count++;
    heap_insert(s, var);
    return var * 2;
}

uint32_t sat_new(struct sat *s)
{
    return new_variable(s, false);
}

uint32_t sat_new_defined(struct sat *s)
{
    return new_variable(s, true);
}

// ---- clauses

static uint32_t size_of(const struct sat *s, uint32_t clause)
{
    return s->words[clause] & SIZE_MASK;
}

static uint32_t *literals_of(const struct sat *s, uint32_t clause)
{
    return s->words + clause + HEAD_WORDS;
}

static bool watch(struct sat *s, uint32_t literal, uint32_t clause, uint32_t blocker)
{
    struct watches *w = &s->watches[literal];
    if (!grow(s, &w->at, &w->room, w->len + 1, sizeof *w->at))
        return false;
    w->at[w->len++] = (struct watch){clause, blocker};
    return true;
}

// Keeps a clause of two or more literals, watched by the first two. NO_REASON on failure.
static uint32_t keep(struct sat *s, const uint32_t *literals, uint32_t count, bool learned,
                     uint32_t lbd)
{
    uint32_t clause = s->word_count;
    if (count > SIZE_MASK || clause > BINARY - HEAD_WORDS - count) {
        fail(s, RESULT_LIMIT);
        return NO_REASON;
    }
    if (!grow(s, &s->words, &s->word_room, clause + HEAD_WORDS + count, sizeof *s->words) ||
        (learned && !push(s, &s->learned, &s->learned_count, &s->learned_room, clause)))
        return NO_REASON;
    s->words[clause] = count | (learned ? LEARNED : 0);
    s->words[clause + 1] = lbd;
    memcpy(literals_of(s, clause), literals, count * sizeof *literals);
    s->word_count += HEAD_WORDS + count;
    uint32_t ref = clause | (count == 2 ? BINARY : 0);
    if (!watch(s, literals[0], ref, literals[1]) || !watch(s, literals[1], ref, literals[0]))
        return NO_REASON;
    return clause;
}

static int by_literal(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    return x < y ? -1 : x > y;
}

void sat_clause(struct sat *s, const uint32_t *literals, uint32_t count)
{
    backtrack(s, 0);
    if (s->err || s->broken || !grow(s, &s->learnt, &s->learnt_room, count + 1, sizeof *s->learnt))
        return;
    uint32_t *kept = s->learnt, n = 0;
    if (count)
        memcpy(kept, literals, count * sizeof *kept);
    if (count > 1)
        qsort(kept, count, sizeof *kept, by_literal);
    for (uint32_t i = 0; i < count; i++) {
        assert(kept[i] >> 1 < s->var_count);
        int v = value_of(s, kept[i]);
        if (v > 0 || (n && kept[n - 1] == (kept[i] ^ 1)))
            return;
        if (v == 0 && (!n || kept[n - 1] != kept[i]))
            kept[n++] = kept[i];
    }
    if (n == 0)
        s->broken = true;
    else if (n == 1)
        assign(s, kept[0], NO_REASON);
    else
        (void)keep(s, kept, n, false, 0);
}

// The clause that conflicts, or NO_REASON.
static uint32_t propagate(struct sat *s)
{
    while (s->head < s->trail_count) {
        uint32_t falsified = s->trail[s->head++] ^ 1;
        struct watches *ws = &s->watches[falsified];
        uint32_t kept = 0, i = 0;
        s->spent.propagations++;
        while (i < ws->len) {
            struct watch w = ws->at[i++];
            int v = value_of(s, w.blocker);
            if (v > 0) {
                ws->at[kept++] = w;
                continue;
            }
            uint32_t clause = w.clause & ~(uint32_t)BINARY, first = w.blocker;
            if (!(w.clause & BINARY)) {
                uint32_t *l = literals_of(s, clause), size = size_of(s, clause), k = 2;
                first = l[0] ^ l[1] ^ falsified;
                v = value_of(s, first);
                while (v <= 0 && k < size && value_of(s, l[k]) < 0)
                    k++;
                if (v <= 0 && k < size) {
                    l[0] = first;
                    l[1] = l[k];
                    l[k] = falsified;
                    if (!watch(s, l[1], clause, first))
                        return NO_REASON;
                    // The array of `falsified` stands: a clause holds a literal once.
                    continue;
                }
                w.blocker = first;
            }
            ws->at[kept++] = w;
            if (v < 0) {
                memmove(ws->at + kept, ws->at + i, (ws->len - i) * sizeof *ws->at);
                ws->len -= i - kept;
                s->head = s->trail_count;
                return clause;
            }
            if (v == 0)
                assign(s, first, clause);
        }
        ws->len = kept;
    }
    return NO_REASON;
}

// ---- conflicts

// Whether the other literals of the learned clause imply this one, so that it can be left out.
static bool implied(struct sat *s, uint32_t literal)
{
    uint32_t mark = s->clear_count;
    s->stack_count = 0;
    if (!push(s, &s->stack, &s->stack_count, &s->stack_room, literal >> 1))
        return false;
    while (s->stack_count) {
        uint32_t var = s->stack[--s->stack_count], clause = s->vars[var].reason;
        const uint32_t *l = literals_of(s, clause);
        for (uint32_t i = 0, n = size_of(s, clause); i < n; i++) {
            uint32_t other = l[i] >> 1;
            struct variable *v = &s->vars[other];
            if (other == var || v->seen || v->level == 0)
                continue;
            bool ok = v->reason != NO_REASON &&
                      s->level_stamp[v->level] == s->stamp; // of a level that the clause has
            if (ok && push(s, &s->stack, &s->stack_count, &s->stack_room, other) &&
                push(s, &s->clear, &s->clear_count, &s->clear_room, other)) {
                v->seen = true;
                continue;
            }
            while (s->clear_count > mark)
                s->vars[s->clear[--s->clear_count]].seen = false;
            return false;
        }
    }
    return true;
}

static void minimise(struct sat *s)
{
    uint32_t kept = 1;
    s->stamp++;
    for (uint32_t i = 1; i < s->learnt_count; i++)
        s->level_stamp[s->vars[s->learnt[i] >> 1].level] = s->stamp;
    for (uint32_t i = 1; i < s->learnt_count; i++) {
        uint32_t l = s->learnt[i];
        if (s->vars[l >> 1].reason == NO_REASON || !implied(s, l))
            s->learnt[kept++] = l;
    }
    s->learnt_count = kept;
}

static uint32_t levels_of(struct sat *s, const uint32_t *literals, uint32_t count)
{
    uint32_t levels = 0;
    s->stamp++;
    for (uint32_t i = 0; i < count; i++) {
        uint32_t level = s->vars[literals[i] >> 1].level;
        levels += s->level_stamp[level] != s->stamp;
        s->level_stamp[level] = s->stamp;
    }
    return levels;
}

// The clause learned from a conflict into s->learnt, the literal to flip first; gives the level to go back to.
static uint32_t analyse(struct sat *s, uint32_t clause)
{
    uint32_t open = 0, at = s->trail_count, var = UINT32_MAX;
    s->learnt_count = s->clear_count = 0;
    if (!push(s, &s->learnt, &s->learnt_count, &s->learnt_room, 0))
        return 0;
    for (;;) {
        if (s->words[clause] & LEARNED) {
            uint32_t lbd = levels_of(s, literals_of(s, clause), size_of(s, clause));
            if (lbd < s->words[clause + 1])
                s->words[clause + 1] = lbd;
        }
        const uint32_t *l = literals_of(s, clause);
        for (uint32_t i = 0, n = size_of(s, clause); i < n; i++) {
            uint32_t other = l[i] >> 1;
            struct variable *v = &s->vars[other];
            if (other == var || v->seen || v->level == 0)
                continue;
            if (!push(s, &s->clear, &s->clear_count, &s->clear_room, other))
                return 0;
            v->seen = true;
            bump(s, other);
            if (v->level == s->level_count)
                open++;
            else if (!push(s, &s->learnt, &s->learnt_count, &s->learnt_room, l[i]))
                return 0;
        }
        while (!s->vars[s->trail[--at] >> 1].seen)
            ;
        var = s->trail[at] >> 1;
        if (--open == 0)
            break;
        clause = s->vars[var].reason;
    }
    s->learnt[0] = s->trail[at] ^ 1;
    minimise(s);
    uint32_t level = 0;
    for (uint32_t i = 1; i < s->learnt_count; i++) {
        uint32_t of = s->vars[s->learnt[i] >> 1].level;
        if (of <= level)
            continue;
        level = of;
        uint32_t t = s->learnt[1];
        s->learnt[1] = s->learnt[i];
        s->learnt[i] = t;
    }
    return level;
}

static void forget_seen(struct sat *s)
{
    while (s->clear_count)
        s->vars[s->clear[--s->clear_count]].seen = false;
}

static void learn(struct sat *s, uint32_t conflict)
{
    uint32_t level = analyse(s, conflict);
    forget_seen(s);
    if (s->err)
        return;
    uint32_t lbd = levels_of(s, s->learnt, s->learnt_count), reason = NO_REASON;
    backtrack(s, level);
    if (s->learnt_count > 1)
        reason = keep(s, s->learnt, s->learnt_count, true, lbd);
    if (!s->err)
        assign(s, s->learnt[0], reason);
    decay(s);
}

// The assumptions behind the falsity of `literal`, itself included, into the core.
static void explain(struct sat *s, uint32_t literal)
{
    s->core_count = s->clear_count = 0;
    struct variable *first = &s->vars[literal >> 1];
    push(s, &s->core, &s->core_count, &s->core_room, literal);
    if (first->level == 0)
        return;
    first->seen = true;
    for (uint32_t i = s->trail_count, end = s->level_at[0]; i-- > end;) {
        uint32_t var = s->trail[i] >> 1, clause = s->vars[var].reason;
        if (!s->vars[var].seen)
            continue;
        s->vars[var].seen = false;
        if (clause == NO_REASON) {
            if (s->trail[i] != literal)
                push(s, &s->core, &s->core_count, &s->core_room, s->trail[i]);
            continue;
        }
        const uint32_t *l = literals_of(s, clause);
        for (uint32_t k = 0, n = size_of(s, clause); k < n; k++)
            if (l[k] >> 1 != var && s->vars[l[k] >> 1].level > 0)
                s->vars[l[k] >> 1].seen = true;
    }
}

// ---- deletion of learned clauses

static bool is_reason(const struct sat *s, uint32_t clause)
{
    const uint32_t *l = literals_of(s, clause);
    return (value_of(s, l[0]) > 0 && s->vars[l[0] >> 1].reason == clause) ||
           (value_of(s, l[1]) > 0 && s->vars[l[1] >> 1].reason == clause);
}

// Clauses of many levels and literals first; among equals the younger.
static int by_worth(const void *a, const void *b, void *ctx)
{
    const struct sat *s = ctx;
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    if (s->words[x + 1] != s->words[y + 1])
        return s->words[x + 1] > s->words[y + 1] ? -1 : 1;
    if (size_of(s, x) != size_of(s, y))
        return size_of(s, x) > size_of(s, y) ? -1 : 1;
    return x > y ? -1 : x < y;
}

// Moves the living clauses together. The second word of a moved one's old place holds the new one.
static void compact(struct sat *s)
{
    uint32_t room = s->word_count - s->wasted + 1, used = 0;
    uint32_t *words = alloc_bytes(room * sizeof *words);
    if (!words) {
        fail(s, RESULT_NOMEM);
        return;
    }
    for (uint32_t at = 0, size; at < s->word_count; at += HEAD_WORDS + size) {
        size = size_of(s, at);
        if (s->words[at] & DEAD)
            continue;
        memcpy(words + used, s->words + at, (HEAD_WORDS + size) * sizeof *words);
        s->words[at + 1] = used;
        used += HEAD_WORDS + size;
    }
    for (uint32_t i = 0; i < s->var_count * 2; i++) {
        struct watches *w = &s->watches[i];
        uint32_t kept = 0;
        for (uint32_t k = 0; k < w->len; k++) {
            uint32_t binary = w->at[k].clause & BINARY, clause = w->at[k].clause ^ binary;
            if (!(s->words[clause] & DEAD))
                w->at[kept++] = (struct watch){s->words[clause + 1] | binary, w->at[k].blocker};
        }
        w->len = kept;
    }
    for (uint32_t i = 0; i < s->trail_count; i++) {
        struct variable *v = &s->vars[s->trail[i] >> 1];
        if (v->reason != NO_REASON)
            v->reason = s->words[v->reason + 1];
    }
    for (uint32_t i = 0; i < s->learned_count; i++)
        s->learned[i] = s->words[s->learned[i] + 1];
    alloc_free(s->words);
    s->spent.bytes -= (size_t)s->word_room * sizeof *words;
    s->spent.bytes += (size_t)room * sizeof *words;
    s->words = words;
    s->word_count = used;
    s->word_room = room;
    s->wasted = 0;
}

static void reduce(struct sat *s)
{
    uint32_t kept = 0, drop = s->learned_count / 2;
    qsort_r(s->learned, s->learned_count, sizeof *s->learned, by_worth, s);
    for (uint32_t i = 0; i < s->learned_count; i++) {
        uint32_t clause = s->learned[i];
        if (i < drop && s->words[clause + 1] > LBD_KEEP && size_of(s, clause) > 2 &&
            !is_reason(s, clause)) {
            s->words[clause] |= DEAD;
            s->wasted += HEAD_WORDS + size_of(s, clause);
        } else {
            s->learned[kept++] = clause;
        }
    }
    s->learned_count = kept;
    s->learned_max += REDUCE_STEP;
    compact(s);
}

// ---- search

// The Luby sequence 1 1 2 1 1 2 4 ..., from index 0.
static uint64_t luby(uint64_t i)
{
    for (;;) {
        unsigned k = 64 - (unsigned)__builtin_clzll(i + 1);
        if (i + 1 == (UINT64_C(1) << k) - 1)
            return UINT64_C(1) << (k - 1);
        i -= (UINT64_C(1) << (k - 1)) - 1;
    }
}

static void save_model(struct sat *s)
{
    for (uint32_t i = 0; i < s->var_count; i++)
        s->model[i] = s->values[i * 2] > 0 ? 1 : s->values[i * 2] < 0 ? 0 : UNASSIGNED;
}

bool sat_value(const struct sat *s, uint32_t literal)
{
    assert(literal >> 1 < s->var_count);
    return (s->model[literal >> 1] == 1) != (literal & 1);
}

bool sat_known(const struct sat *s, uint32_t literal)
{
    assert(literal >> 1 < s->var_count);
    return s->model[literal >> 1] != UNASSIGNED;
}

const uint32_t *sat_core(const struct sat *s, uint32_t *count)
{
    *count = s->core_count;
    return s->core;
}

enum step { STEP_ON, STEP_YES, STEP_NO, STEP_UNSURE };

static enum step full(struct sat *s)
{
    save_model(s);
    if (!s->theory)
        return STEP_YES;
    enum sat_fit fit = s->theory->check(s->theory->ctx);
    if (fit == SAT_REFINED)
        s->spent.conflicts++; // counted, so that a theory without end meets the limit
    return fit == SAT_FITS ? STEP_YES : fit == SAT_UNSURE ? STEP_UNSURE : STEP_ON;
}

static enum step guess(struct sat *s, uint32_t var)
{
    if (!open_level(s))
        return STEP_UNSURE;
    assign(s, var * 2 + !s->vars[var].phase, NO_REASON);
    return STEP_ON;
}

// There are few of them, so no heap is needed.
static enum step decide_wanted(struct sat *s)
{
    uint32_t best = NO_REASON;
    for (uint32_t i = 0; i < s->wanted_count; i++) {
        uint32_t var = s->wanted[i] >> 1;
        if (value_of(s, var * 2) == 0 && (best == NO_REASON || before(s, var, best)))
            best = var;
    }
    if (best != NO_REASON)
        return guess(s, best);
    save_model(s);
    return STEP_YES;
}

// The next assumption or guess.
static enum step decide(struct sat *s)
{
    while (s->level_count < s->assumed_count) {
        uint32_t l = s->assumed[s->level_count];
        int v = value_of(s, l);
        if (v < 0) {
            explain(s, l);
            return STEP_NO;
        }
        if (!open_level(s))
            return STEP_UNSURE;
        if (v == 0) {
            assign(s, l, NO_REASON);
            return STEP_ON;
        }
    }
    if (s->wanted)
        return decide_wanted(s);
    while (s->heap_count) {
        uint32_t var = heap_pop(s);
        if (value_of(s, var * 2))
            continue;
        return guess(s, var);
    }
    return full(s);
}

static bool exhausted(const struct sat *s, const struct sat_effort *begin)
{
    const struct sat_limits *l = &s->limits;
    return s->err || s->spent.conflicts - begin->conflicts >= l->conflicts ||
           s->spent.propagations - begin->propagations >= l->propagations ||
           s->spent.conflicts >= l->conflicts_all || s->spent.propagations >= l->propagations_all;
}

static enum step search(struct sat *s)
{
    const struct sat_effort begin = s->spent;
    uint64_t restarts = 0, conflicts = 0;
    for (;;) {
        if (s->broken)
            return STEP_NO;
        if (exhausted(s, &begin))
            return STEP_UNSURE;
        uint32_t conflict = propagate(s);
        if (conflict != NO_REASON) {
            s->spent.conflicts++;
            conflicts++;
            if (s->level_count == 0)
                s->broken = true;
            else
                learn(s, conflict);
            continue;
        }
        if (conflicts >= RESTART_UNIT * luby(restarts)) {
            restarts++;
            conflicts = 0;
            backtrack(s, s->assumed_count);
            if (s->learned_count > s->learned_max)
                reduce(s);
        }
        enum step step = decide(s);
        if (step != STEP_ON)
            return step;
    }
}

// Takes over the assumptions; levels that the last question had in common with this one stand.
static bool assume(struct sat *s, const uint32_t *assumed, uint32_t count)
{
    uint32_t same = 0;
    while (same < count && same < s->assumed_count && same < s->level_count &&
           s->assumed[same] == assumed[same])
        same++;
    backtrack(s, same);
    if (!grow(s, &s->assumed, &s->assumed_room, count + 1, sizeof *s->assumed))
        return false;
    if (count)
        memcpy(s->assumed, assumed, count * sizeof *assumed);
    s->assumed_count = count;
    return true;
}

// The core as the caller's assumptions, in their order.
static void order_core(struct sat *s)
{
    for (uint32_t i = 0; i < s->core_count; i++)
        s->vars[s->core[i] >> 1].seen = true;
    uint32_t n = 0;
    for (uint32_t i = 0; i < s->assumed_count; i++) {
        struct variable *v = &s->vars[s->assumed[i] >> 1];
        if (!v->seen)
            continue;
        bool listed = false, both = false;
        for (uint32_t k = 0; k < i && !listed; k++)
            listed = s->assumed[k] == s->assumed[i];
        for (uint32_t k = 0; k < s->core_count && !both; k++)
            both = s->core[k] == s->assumed[i];
        if (!listed && both)
            push(s, &s->stack, &n, &s->stack_room, s->assumed[i]);
    }
    for (uint32_t i = 0; i < s->core_count; i++)
        s->vars[s->core[i] >> 1].seen = false;
    s->core_count = 0;
    for (uint32_t i = 0; i < n; i++)
        push(s, &s->core, &s->core_count, &s->core_room, s->stack[i]);
}

static enum sat_answer solve(struct sat *s, const uint32_t *assumed, uint32_t count)
{
    s->spent.questions++;
    s->core_count = 0;
    if (s->err || !assume(s, assumed, count))
        return SAT_UNKNOWN;
    enum step step = search(s);
    if (s->err || step == STEP_UNSURE) {
        backtrack(s, 0);
        return SAT_UNKNOWN;
    }
    if (step == STEP_NO) {
        order_core(s);
        return s->err ? SAT_UNKNOWN : SAT_NO;
    }
    return SAT_YES;
}

enum sat_answer sat_solve(struct sat *s, const uint32_t *assumed, uint32_t count)
{
    s->wanted = NULL;
    return solve(s, assumed, count);
}

enum sat_answer sat_solve_part(struct sat *s, const uint32_t *assumed, uint32_t count,
                               const uint32_t *wanted, uint32_t wanted_count)
{
    s->wanted = wanted;
    s->wanted_count = wanted_count;
    enum sat_answer answer = solve(s, assumed, count);
    s->wanted = NULL;
    return answer;
}
