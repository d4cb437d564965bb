// Compiled guards beside a naive evaluation of the expression they were written from, over all assignments of a small
// world. A guard that the compiler calls constant is constant.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "base/rng.h"
#include "fake/families.h"
#include "policy/explain.h"
#include "policy/policy.h"

// One assignment of the signals a, b, c (truth values), n (0 to 3), f (text, json, schema), e ("x", "y", "") and g
// (subsets of "s", "t") and l (a label: low, mid, top).
struct world {
    bool truth[3];
    int n, f, e, g, l;
};

enum { WORLDS = 8 * 4 * 3 * 3 * 4 * 3 };
static const char *const env_texts[] = {"x", "y", ""};
static const char *const set_texts[] = {"s", "t"};
static const char *const levels[] = {"low", "mid", "top"};

static struct world world_at(int i)
{
    struct world w = {{i & 1, i >> 1 & 1, i >> 2 & 1}, 0, 0, 0, 0, 0};
    i >>= 3;
    w.n = 1 + i % 4; // `n >= 0` would be answered by the range
    w.f = i / 4 % 3;
    w.e = i / 12 % 3;
    w.g = i / 36 % 4;
    w.l = i / 144;
    return w;
}

// The expression as bits: one per world.
struct bits {
    bool at[WORLDS];
};

static void question(struct rng *rng, struct buf *out, struct bits *bits)
{
    static const char *const truth[] = {"a", "b", "c"}, *const formats[] = {"text", "json",
                                                                            "schema"};
    static const char *const ops[] = {"==", "!=", "<", "<=", ">", ">="};
    unsigned kind = (unsigned)rng_below(rng, 10), op = (unsigned)rng_below(rng, 6),
             v = (unsigned)rng_below(rng, 4);
    unsigned w = (unsigned)rng_below(rng, 3);
    bool not = rng_below(rng, 2);
    switch (kind) {
    case 0:
        buf_cstr(out, not ? "true" : "false");
        break;
    case 1:
    case 2:
    case 3:
        buf_cstr(out, truth[w]);
        break;
    case 4:
    case 5:
        buf_printf(out, "n %s %u", ops[op], v + 1);
        break;
    case 6:
        if (v == 3)
            buf_printf(out, "f %sin (json, %s)", not ? "not " : "", formats[w]);
        else
            buf_printf(out, "f %s %s", ops[op % 2], formats[w]);
        break;
    case 7:
        if (v == 3)
            buf_printf(out, "e");
        else if (v == 2)
            buf_printf(out, "e %sin (\"%s\", \"y\")", not ? "not " : "", env_texts[w]);
        else
            buf_printf(out, "e %s \"%s\"", ops[op % 2], env_texts[w]);
        break;
    case 8:
        buf_printf(out, v == 3 ? "g" : "g %sin (\"%s\", \"z\")", not ? "not " : "",
                   set_texts[w % 2]);
        break;
    }
    // The level that it is compared with: one for which the answer is open.
    unsigned level = op == 2 || op == 5 ? 1 + w % 2 : op == 3 || op == 4 ? w % 2 : w;
    if (kind == 9 && v == 3)
        buf_printf(out, "l %sin (%s, %s)", not ? "not " : "", levels[w], levels[(w + 1) % 3]);
    else if (kind == 9)
        buf_printf(out, "l %s %s", ops[op], levels[level]);
    for (int i = 0; i < WORLDS; i++) {
        struct world x = world_at(i);
        int n = (int)v + 1;
        bool r = false;
        switch (kind) {
        case 0:
            r = not ;
            break;
        case 1:
        case 2:
        case 3:
            r = x.truth[w];
            break;
        case 4:
        case 5:
            r = op == 0   ? x.n == n
                : op == 1 ? x.n != n
                : op == 2 ? x.n < n
                : op == 3 ? x.n <= n
                : op == 4 ? x.n > n
                          : x.n >= n;
            break;
        case 6:
            r = v == 3 ? (x.f == 1 || x.f == (int)w) != not : (x.f == (int)w) == (op % 2 == 0);
            break;
        case 7:
            r = v == 3   ? x.e != 2
                : v == 2 ? (x.e == (int)w || x.e == 1) != not
                         : (x.e == (int)w) == (op % 2 == 0);
            break;
        case 9:
            n = (int)level;
            r = v == 3    ? (x.l == (int)w || x.l == (int)(w + 1) % 3) != not
                : op == 0 ? x.l == n
                : op == 1 ? x.l != n
                : op == 2 ? x.l < n
                : op == 3 ? x.l <= n
                : op == 4 ? x.l > n
                          : x.l >= n;
            break;
        case 8:
            r = v == 3 ? x.g != 0 : ((x.g >> (w % 2) & 1) != 0) != not ;
            break;
        }
        bits->at[i] = r;
    }
}

static void expression(struct rng *rng, unsigned depth, struct buf *out, struct bits *bits)
{
    unsigned kind = depth == 0 ? 0 : (unsigned)rng_below(rng, 4);
    struct bits part;
    if (kind == 0) {
        question(rng, out, bits);
    } else if (kind == 1) {
        BUF_LIT(out, "not (");
        expression(rng, depth - 1, out, &part);
        BUF_LIT(out, ")");
        for (int i = 0; i < WORLDS; i++)
            bits->at[i] = !part.at[i];
    } else {
        unsigned count = 2 + (unsigned)rng_below(rng, 3);
        for (unsigned k = 0; k < count; k++) {
            if (k > 0)
                buf_cstr(out, kind == 2 ? " and " : " or ");
            // `and` binds tighter: parts of an `or` need no parentheses, those of an `and` do.
            bool bare = depth == 1 || (kind == 3 && rng_below(rng, 2));
            buf_cstr(out, bare ? "" : "(");
            if (bare && depth > 1 && rng_below(rng, 2)) {
                struct bits other;
                question(rng, out, &part);
                BUF_LIT(out, " and ");
                question(rng, out, &other);
                for (int i = 0; i < WORLDS; i++)
                    part.at[i] &= other.at[i];
            } else {
                expression(rng, bare ? 0 : depth - 1, out, &part);
            }
            buf_cstr(out, bare ? "" : ")");
            for (int i = 0; i < WORLDS; i++)
                bits->at[i] = k == 0      ? part.at[i]
                              : kind == 2 ? bits->at[i] && part.at[i]
                                          : bits->at[i] || part.at[i];
        }
    }
}

// The image's side, by its definition.
static bool atom_holds(const struct policy_image *p, const struct image_atom *a,
                       const struct world *w)
{
    static const char *const formats[] = {"text", "json", "schema"};
    char name = image_text(p, image_signal(p, a->signal)->name).ptr[0];
    const struct image_str *texts = IMAGE_AT(p, a->texts, struct image_str);
    double n = name == 'n' ? w->n : name == 'f' ? w->f : name == 'l' ? w->l : 0;
    switch (a->op) {
    case IMAGE_OP_TRUE:
        return name == 'e' ? w->e != 2 : name == 'g' ? w->g != 0 : w->truth[name - 'a'];
    case IMAGE_OP_EQ:
        if (name == 'e')
            return slice_eq_cstr(image_text(p, texts[0]), env_texts[w->e]);
        return n == a->number;
    case IMAGE_OP_LT:
        return n < a->number;
    case IMAGE_OP_LE:
        return n <= a->number;
    case IMAGE_OP_GT:
        return n > a->number;
    case IMAGE_OP_GE:
        return n >= a->number;
    case IMAGE_OP_IN:
        if (name == 'f' || name == 'l')
            return a->words >> (name == 'f' ? w->f : w->l) & 1;
        for (uint32_t i = 0; i < a->texts.count; i++)
            for (int k = 0; k < 2; k++)
                if (name == 'e'
                        ? slice_eq_cstr(image_text(p, texts[i]), env_texts[w->e])
                        : (w->g >> k & 1) && slice_eq_cstr(image_text(p, texts[i]), set_texts[k]))
                    return true;
        return false;
    case IMAGE_OP_NE:
    case IMAGE_OP_FAILED:
        break;
    }
    fail_msg("%s: the compiler writes no such atom", formats[0]);
    return false;
}

static bool node_holds(const struct policy_image *p, const struct image_node *n,
                       const struct world *w)
{
    const struct image_node *child = n + 1;
    switch (n->kind) {
    case IMAGE_NODE_TRUE:
        return true;
    case IMAGE_NODE_ATOM:
        return atom_holds(p, IMAGE_AT(p, p->atoms, struct image_atom) + n->arg, w);
    case IMAGE_NODE_NOT:
        return !node_holds(p, child, w);
    default:
        for (uint32_t i = 0; i < n->arg; i++, child += child->size)
            if (node_holds(p, child, w) != (n->kind == IMAGE_NODE_AND))
                return n->kind == IMAGE_NODE_OR;
        return n->kind == IMAGE_NODE_AND;
    }
}

static const char head[] =
    "policy \"p\" version 1\nlattice x = low < mid < top\nmodel m endpoint demo context 1k tok\n"
    "signal a = keywords(\"a\")\nsignal b = keywords(\"b\")\nsignal c = keywords(\"c\")\n"
    "signal n = conversation(turns)\nsignal f = output\nsignal e = metadata(\"e\")\n"
    "signal g = caller(group)\nsignal l label x = max(caller)\nroute r when ";

static enum result load(struct slice guard, struct arena *arena, struct diag_list *diags,
                        struct buf *text, const struct policy_image **image)
{
    buf_reset(text);
    BUF_LIT(text, head);
    buf_add(text, guard);
    BUF_LIT(text, " -> answer(m)\notherwise -> answer(m)\n");
    return policy_load(buf_slice(text), &fake_registry, arena, diags, image);
}

static void compiled_guards_mean_what_they_say(void **state)
{
    (void)state;
    struct rng rng;
    struct buf guard, text, shown;
    struct bits bits;
    unsigned constant = 0, loaded = 0;
    rng_seed(&rng, 11);
    buf_init(&guard, 1 << 20);
    buf_init(&text, 1 << 20);
    buf_init(&shown, 1 << 20);
    for (int round = 0; round < 4000; round++) {
        struct arena arena;
        struct diag_list diags;
        const struct policy_image *image, *again;
        arena_init(&arena, 1 << 16, 1 << 26);
        diag_init(&diags, &arena, 20);
        buf_reset(&guard);
        expression(&rng, 1 + (unsigned)rng_below(&rng, 3), &guard, &bits);
        enum result r = load(buf_slice(&guard), &arena, &diags, &text, &image);
        if (r != RESULT_OK) {
            bool always = !strcmp(diags.items[0].code, "always-true");
            assert_true(diags.errors == 1 &&
                        (always || !strcmp(diags.items[0].code, "never-true")));
            for (int i = 0; i < WORLDS; i++)
                assert_int_equal(bits.at[i], always);
            constant++;
        } else {
            const struct image_node *n =
                IMAGE_AT(image, image_route(image, 0)->guard, struct image_node);
            // The explanation is the same guard in the policy's own words.
            buf_reset(&shown);
            explain_guard(image, image_route(image, 0)->guard, &shown);
            assert_int_equal(load(buf_slice(&shown), &arena, &diags, &text, &again), RESULT_OK);
            const struct image_node *m =
                IMAGE_AT(again, image_route(again, 0)->guard, struct image_node);
            for (int i = 0; i < WORLDS; i++) {
                struct world w = world_at(i);
                if (node_holds(image, n, &w) != bits.at[i] ||
                    node_holds(again, m, &w) != bits.at[i])
                    fail_msg("%.*s\n%.*s", SLICE_FMT(buf_slice(&guard)),
                             SLICE_FMT(buf_slice(&shown)));
            }
            loaded++;
        }
        arena_deinit(&arena);
    }
    assert_true(constant > 50 && loaded > 1000);
    buf_deinit(&guard);
    buf_deinit(&text);
    buf_deinit(&shown);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(compiled_guards_mean_what_they_say)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
