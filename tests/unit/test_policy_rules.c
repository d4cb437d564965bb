// policy/: what labels, scores, paths, constraints and proofs become in the image.
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/file.h"
#include "fake/families.h"
#include "policy/explain.h"
#include "policy/policy.h"
#include "policy/tree.h"

struct loaded {
    struct arena arena;
    struct diag_list diags;
    struct buf text;
    const struct policy_image *image;
    const struct policy_places *places;
};

// The policy of the golden files that says everything once.
static void load_all(struct loaded *l)
{
    const struct tree *tree;
    arena_init(&l->arena, 0, POLICY_ARENA_MAX);
    diag_init(&l->diags, &l->arena, POLICY_DIAGS_MAX);
    buf_init(&l->text, POLICY_BYTES_MAX);
    assert_int_equal(file_read(MERIT_SOURCE_DIR "/tests/golden/policy/labels.merit", &l->text),
                     RESULT_OK);
    assert_int_equal(policy_parse(buf_slice(&l->text), &l->arena, &l->diags, &tree), RESULT_OK);
    assert_int_equal(
        policy_compile_places(tree, &fake_registry, &l->arena, &l->diags, &l->image, &l->places),
        RESULT_OK);
}

static void unload(struct loaded *l)
{
    arena_deinit(&l->arena);
    buf_deinit(&l->text);
}

static void assert_text(const struct policy_image *p, struct image_str s, const char *want)
{
    struct slice got = image_text(p, s);
    if (!slice_eq_cstr(got, want))
        fail_msg("\"%.*s\" is not \"%s\"", SLICE_FMT(got), want);
}

static void assert_guard(const struct policy_image *p, struct image_list guard, const char *want)
{
    struct buf out;
    buf_init(&out, 1 << 20);
    if (guard.count)
        explain_guard(p, guard, &out);
    if (!slice_eq_cstr(buf_slice(&out), want))
        fail_msg("\"%.*s\" is not \"%s\"", SLICE_FMT(buf_slice(&out)), want);
    buf_deinit(&out);
}

static const struct image_signal *signal_of(const struct policy_image *p, const char *name)
{
    return image_signal(p, image_find_signal(p, slice_cstr(name)));
}

static void places_have_clearances(void **state)
{
    (void)state;
    struct loaded l;
    load_all(&l);
    const struct policy_image *p = l.image;
    const struct image_zone *z = IMAGE_AT(p, p->zones, struct image_zone);
    const struct image_sink *s = IMAGE_AT(p, p->sinks, struct image_sink);
    assert_int_equal(p->lattices.count, 2);
    assert_true(z[0].clears.level[0] == 2 && z[0].clears.level[1] == 1);
    assert_true(z[1].clears.level[0] == 1 && z[1].clears.level[1] == 0);
    assert_true(s[0].kind == IMAGE_SINK_LOG && s[0].zone == IMAGE_NONE && !s[0].carries_text);
    assert_true(s[1].kind == IMAGE_SINK_JUDGE && s[1].zone == 1 && s[1].call_nusd == 1000000 &&
                s[1].call_uj == 20000000 && s[1].timeout_ms == 5000);
    assert_true(s[2].kind == IMAGE_SINK_VERIFIER && s[2].call_nusd == -1 && s[2].call_uj == -1);
    assert_true(s[3].kind == IMAGE_SINK_RETRIEVER && s[3].cap_tok == 4000 &&
                s[3].holds.level[0] == 1 && s[3].clears.level[0] == 2);
    const struct image_model *small = image_model(p, 0), *large = image_model(p, 1);
    assert_true(small->energy_in_uj == INT64_C(40000000000) &&
                small->energy_out_uj == INT64_C(300000000000) && small->timeout_ms == 60000);
    assert_true(large->energy_in_uj == -1 && large->timeout_ms == 0);
    unload(&l);
}

static void labels_become_terms(void **state)
{
    (void)state;
    struct loaded l;
    load_all(&l);
    const struct policy_image *p = l.image;
    const struct image_signal *data = signal_of(p, "data"), *asserted = signal_of(p, "data.caller");
    const struct image_term *t = IMAGE_AT(p, data->terms, struct image_term);
    assert_true(data->derive == IMAGE_DERIVE_LABEL && data->lattice == 0 && data->depth == 1 &&
                data->error_level == 2 && data->type == SIGNAL_ENUM && !data->hidden);
    assert_int_equal(data->terms.count, 5);
    assert_guard(p, t[0].guard, "data.caller in (\"internal\")");
    assert_int_equal(t[0].word, 1);
    // A word that is no level is the top; one of another lattice says nothing here.
    assert_guard(p, t[1].guard, "data.caller in (\"?\", \"phi\")");
    assert_int_equal(t[1].word, 2);
    assert_guard(p, t[2].guard, "data.pii");
    assert_int_equal(t[2].word, 2);
    assert_guard(p, t[3].guard, "code or attack");
    assert_int_equal(t[3].word, 1);
    assert_guard(p, t[4].guard, "code");
    assert_true(asserted->hidden && asserted->type == SIGNAL_SET && asserted->closed &&
                asserted->words.count == 6);
    assert_true(signal_of(p, "data.pii")->hidden && signal_of(p, "data.pii")->args.count == 2);
    assert_int_equal(signal_of(p, "place")->error_level, 1);
    // All ways to ask for the same levels are one atom, and so are their opposites.
    const struct image_atom *a = IMAGE_AT(p, p->atoms, struct image_atom);
    unsigned at_least_internal = 0, at_top = 0, others = 0;
    for (uint32_t i = 0; i < p->atoms.count; i++) {
        if (a[i].signal != image_find_signal(p, SLICE("data")))
            continue;
        if (a[i].op == IMAGE_OP_IN && a[i].words == 6)
            at_least_internal++;
        else if (a[i].op == IMAGE_OP_EQ && a[i].number == 2)
            at_top++;
        else
            others++;
    }
    assert_true(at_least_internal == 1 && at_top == 1 && others == 1); // `== internal`
    unload(&l);
}

static void scores_and_groups_become_terms(void **state)
{
    (void)state;
    struct loaded l;
    load_all(&l);
    const struct policy_image *p = l.image;
    const struct image_signal *risk = signal_of(p, "risk"), *topic = signal_of(p, "topic"),
                              *sure = signal_of(p, "sure");
    const struct image_term *t = IMAGE_AT(p, risk->terms, struct image_term);
    const struct image_band *b = IMAGE_AT(p, risk->bands, struct image_band);
    assert_true(risk->terms.count == 3 && risk->type == SIGNAL_ENUM && risk->words.count == 3);
    assert_true(t[0].weight == 0.5 && t[0].signal == image_find_signal(p, SLICE("likely")) &&
                t[0].guard.count == 0);
    assert_true(t[1].weight == 0.3 && t[1].signal == IMAGE_NONE);
    assert_guard(p, t[1].guard, "data >= internal");
    assert_true(t[2].weight == -0.2);
    assert_guard(p, t[2].guard, "code");
    assert_true(risk->number_min == -0.2 && risk->number_max == 0.8 && risk->depth == 2);
    assert_true(isinf(b[0].from) && b[1].from == 0.3 && b[2].from == 0.7);
    assert_true(topic->type == SIGNAL_ENUM && topic->terms.count == 2 && topic->words.count == 3 &&
                topic->otherwise == 2 && topic->temperature == 0.1 && topic->margin == 0.05);
    assert_text(p, IMAGE_AT(p, topic->words, struct image_str)[2], "other");
    assert_true(sure->type == SIGNAL_BOOL && sure->has_threshold && sure->threshold == 0.5);
    unload(&l);
}

static const struct image_step *step_at(const struct policy_image *p, const char *route,
                                        uint32_t chain, uint32_t step)
{
    const struct image_route *r = image_route(p, image_find_route(p, slice_cstr(route)));
    assert_true(chain < r->chains.count);
    const struct image_chain *c = image_chains(p, r) + chain;
    assert_true(step < c->steps.count);
    return IMAGE_AT(p, c->steps, struct image_step) + step;
}

static void paths_are_written_out(void **state)
{
    (void)state;
    struct loaded l;
    load_all(&l);
    const struct policy_image *p = l.image;
    const struct image_route *up = image_route(p, image_find_route(p, SLICE("up"))),
                             *law = image_route(p, image_find_route(p, SLICE("law"))),
                             *deep = image_route(p, image_find_route(p, SLICE("deep")));
    assert_text(p, up->path_name, "ladder");
    assert_true(up->chains.count == 3 && up->objective == IMAGE_OBJECTIVE_ENERGY);
    assert_true(fabs((double)up->risk - 0.1) < 1e-6);
    const struct image_step *redact = step_at(p, "up", 0, 0), *escalated = step_at(p, "up", 1, 0);
    assert_true(redact->kind == IMAGE_STEP_REDACT && redact->lattice == 0 && redact->level == 1 &&
                redact->sink == IMAGE_NONE);
    assert_int_equal(step_at(p, "up", 0, 2)->sink, 2);
    assert_true(escalated->kind == IMAGE_STEP_ANSWER && escalated->escalated &&
                !step_at(p, "up", 0, 1)->escalated);
    assert_int_equal(IMAGE_AT(p, escalated->bindings, struct image_binding)->effort,
                     IMAGE_EFFORT_HIGH);
    // Steps before a path with an `else` stand before each of its chains, but not before a refusal.
    assert_text(p, law->path_name, "checked");
    assert_int_equal(law->chains.count, 2);
    assert_int_equal(image_chains(p, law)[0].steps.count, 4);
    assert_int_equal(image_chains(p, law)[1].steps.count, 1);
    assert_int_equal(step_at(p, "law", 0, 0)->kind, IMAGE_STEP_CACHE);
    assert_int_equal(step_at(p, "law", 0, 1)->kind, IMAGE_STEP_RETRIEVE);
    const struct image_step *answer = step_at(p, "law", 0, 2), *verify = step_at(p, "law", 0, 3);
    assert_true(answer->retries == 1 && answer->cap_tok == 1000 && answer->bindings.count == 2);
    assert_true(verify->kind == IMAGE_STEP_VERIFY && verify->sink == IMAGE_NONE &&
                verify->bindings.count == 1);
    assert_int_equal(step_at(p, "law", 1, 0)->kind, IMAGE_STEP_REFUSE);
    assert_int_equal(deep->chains.count, 3);
    assert_true(step_at(p, "deep", 0, 0)->kind == IMAGE_STEP_CLARIFY &&
                step_at(p, "deep", 0, 0)->count == 1);
    assert_int_equal(step_at(p, "deep", 0, 1)->hedges, 1);
    assert_true(step_at(p, "deep", 1, 0)->kind == IMAGE_STEP_FUSE &&
                step_at(p, "deep", 1, 0)->bindings.count == 2);
    unload(&l);
}

static void constraints_are_a_list(void **state)
{
    (void)state;
    struct loaded l;
    load_all(&l);
    const struct policy_image *p = l.image;
    const struct image_constraint *c = IMAGE_AT(p, p->constraints, struct image_constraint);
    assert_int_equal(p->constraints.count, 19);
    for (uint32_t i = 0; i < 2; i++) {
        assert_text(p, c[i].name, "no way down");
        assert_true(c[i].kind == IMAGE_FORBID && c[i].target == IMAGE_FORBID_BELOW &&
                    c[i].index == 0 && c[i].level == i + 1);
    }
    assert_guard(p, c[0].guard, "data >= internal");
    assert_guard(p, c[1].guard, "data == phi");
    assert_true(c[2].target == IMAGE_FORBID_ZONE && c[2].index == 1 && c[3].index == 0 &&
                c[2].guard.at == c[3].guard.at);
    assert_text(p, c[3].name,
                "forbid zone cloud, local when data == phi and topic == law and data == internal");
    assert_true(c[4].target == IMAGE_FORBID_MODEL && c[4].index == 1 && c[4].guard.count == 0);
    assert_true(c[5].target == IMAGE_FORBID_ENDPOINT && c[5].index == 1);
    assert_true(c[6].target == IMAGE_FORBID_EFFORT && c[6].index == IMAGE_EFFORT_HIGH);
    assert_true(c[7].target == IMAGE_FORBID_STEP && c[7].index == IMAGE_STEP_CACHE);
    assert_guard(p, c[7].guard, "data >= internal");
    assert_true(c[8].target == IMAGE_FORBID_SINK && c[8].index == 1 && c[9].index == 3);
    assert_guard(p, c[8].guard, "data == phi"); // not data < phi
    assert_true(c[10].kind == IMAGE_REQUIRE && c[10].step == IMAGE_STEP_VERIFY && c[10].sink == 2);
    assert_true(c[11].kind == IMAGE_REQUIRE && c[11].sink == IMAGE_NONE);
    assert_true(c[12].kind == IMAGE_ALLOW && c[12].extra == IMAGE_EXTRA_ESCALATE &&
                c[12].count == 1 && c[13].extra == IMAGE_EXTRA_HEDGE &&
                c[14].extra == IMAGE_EXTRA_FUSE && c[14].count == 2);
    assert_true(c[15].kind == IMAGE_BUDGET && c[15].unit == IMAGE_UNIT_NUSD &&
                c[15].limit == 50000000 && c[15].window == IMAGE_PER_REQUEST && c[15].hard);
    assert_true(c[16].unit == IMAGE_UNIT_UJ && c[16].limit == INT64_C(2000000000) && c[16].hard);
    assert_true(c[17].scope == IMAGE_SCOPE_TENANT && c[17].window == IMAGE_PER_DAY && !c[17].hard);
    assert_true(c[18].unit == IMAGE_UNIT_CALLS && c[18].limit == 100 && c[18].hard);
    unload(&l);
}

static void theorems_have_claims(void **state)
{
    (void)state;
    struct loaded l;
    load_all(&l);
    const struct policy_image *p = l.image;
    const struct image_theorem *t = IMAGE_AT(p, p->theorems, struct image_theorem);
    assert_int_equal(p->theorems.count, 10);
#define CLAIM(theorem, i) (IMAGE_AT(p, t[theorem].claims, struct image_claim)[i])
    assert_true(CLAIM(0, 0).kind == IMAGE_CLAIM_REACHES && CLAIM(0, 0).negated &&
                CLAIM(0, 0).level == 2 && CLAIM(0, 0).target == IMAGE_FORBID_ZONE &&
                CLAIM(0, 0).index == 1);
    assert_true(t[1].claims.count == 2 && CLAIM(1, 0).unit == IMAGE_UNIT_NUSD &&
                CLAIM(1, 0).limit == 250000000 && CLAIM(1, 0).index == IMAGE_NONE &&
                CLAIM(1, 1).unit == IMAGE_UNIT_MS && CLAIM(1, 1).limit == 60000);
    assert_text(p, t[2].name, "law is checked");
    assert_guard(p, t[2].guard, "topic == law");
    assert_true(CLAIM(2, 0).kind == IMAGE_CLAIM_PASSES && CLAIM(2, 0).index == IMAGE_NONE &&
                CLAIM(2, 1).kind == IMAGE_CLAIM_REFUSE && CLAIM(2, 1).negated);
    assert_true(CLAIM(3, 0).kind == IMAGE_CLAIM_NEVER);
    assert_guard(p, t[3].guard, "attack and code and risk == low");
    assert_true(CLAIM(4, 0).index == 0 && CLAIM(4, 0).unit == IMAGE_UNIT_UJ &&
                CLAIM(4, 1).index == (int32_t)p->routes.count - 1);
    assert_true(t[5].is_test && t[5].guard.count == 0);
    assert_text(p, t[5].user, "my SSN is 123-45-6789");
    assert_true(CLAIM(5, 0).kind == IMAGE_CLAIM_ZONE && CLAIM(5, 0).list.count == 1);
    assert_int_equal(t[6].claims.count, 3);
    assert_true(CLAIM(6, 1).list.count == 2 && CLAIM(6, 2).kind == IMAGE_CLAIM_MODEL &&
                CLAIM(6, 2).negated);
    assert_true(CLAIM(7, 0).kind == IMAGE_CLAIM_FEASIBLE);
    assert_guard(p, t[8].guard, "data.caller in (\"phi\")");
    assert_text(p, t[9].corpus, "cases.jsonl");
    assert_true(t[9].agree_min == 0.98 && t[9].claims.count == 0);
    const struct image_assume *a = IMAGE_AT(p, p->assumes, struct image_assume);
    assert_int_equal(p->assumes.count, 3);
    assert_text(p, a[0].code, "shadowed");
    assert_text(p, a[0].name, "up");
    assert_text(p, a[1].reason, "too wide");
    unload(&l);
}

static void places_of_elements_are_where_they_stand(void **state)
{
    (void)state;
    struct loaded l;
    load_all(&l);
    static const struct {
        enum image_section section;
        uint32_t index;
        const char *text;
    } spans[] = {
        {IMAGE_ZONES, 0, "local"},
        {IMAGE_SINKS, 1, "judge"},
        {IMAGE_LATTICES, 1, "region"},
        {IMAGE_SIGNALS, 6, "data"},
        {IMAGE_TERMS, 2, "pii(email, ssn)"},
        {IMAGE_TERMS, 3, "internal when code or attack"},
        {IMAGE_BANDS, 1, "medium above 0.3"},
        {IMAGE_CONSTRAINTS, 4, "forbid model large"},
        {IMAGE_STEPS, 0, "redact(internal)"},
        {IMAGE_CLAIMS, 0, "no phi reaches zone cloud"},
        {IMAGE_THEOREMS, 5,
         "test \"ssn stays home\" given user \"my SSN is 123-45-6789\" expect zone local"},
        {IMAGE_ASSUMES, 1, "assume not-proved \"too wide\""},
    };
    for (size_t i = 0; i < MERIT_COUNT(spans); i++) {
        struct span s = policy_place(l.places, spans[i].section, spans[i].index);
        struct slice got = slice_make(l.text.ptr + s.begin, s.end - s.begin);
        if (!slice_eq_cstr(got, spans[i].text))
            fail_msg("\"%.*s\" is not \"%s\"", SLICE_FMT(got), spans[i].text);
    }
    unload(&l);
}

// Changed in one bit, its checksum made right again: refused, or sound enough to be explained.
static void damaged_images_are_refused_or_whole(void **state)
{
    (void)state;
    struct loaded l;
    struct buf out;
    load_all(&l);
    size_t size = l.image->size, step = 3;
    uint64_t *block = malloc(size + 8);
    struct policy_image *copy = (struct policy_image *)block;
    uint32_t refused = 0, opened = 0;
    buf_init(&out, 1 << 24);
    for (size_t i = 12; i < l.image->strs.at; i += step) {
        const struct policy_image *p;
        memcpy(copy, l.image, size);
        ((unsigned char *)copy)[i] ^= (unsigned char)(1 << i % 8);
        if (copy->size > size)
            continue;
        image_seal(copy);
        if (image_open(copy, size, &p)) {
            refused++;
            continue;
        }
        opened++;
        buf_reset(&out);
        explain_policy(p, &out);
        explain_policy_json(p, &out);
    }
    assert_true(refused > 1000 && opened > 1000);
    buf_deinit(&out);
    free(block);
    unload(&l);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(places_have_clearances),
        cmocka_unit_test(labels_become_terms),
        cmocka_unit_test(scores_and_groups_become_terms),
        cmocka_unit_test(paths_are_written_out),
        cmocka_unit_test(constraints_are_a_list),
        cmocka_unit_test(theorems_have_claims),
        cmocka_unit_test(places_of_elements_are_where_they_stand),
        cmocka_unit_test(damaged_images_are_refused_or_whole),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
