// policy/: from text to image, and what the image says.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "base/alloc.h"
#include "base/file.h"
#include "fake/families.h"
#include "policy/explain.h"
#include "policy/fmt.h"
#include "policy/policy.h"
#include "policy/tree.h"

// Everything the language says now, once.
static const char whole[] =
    "# a policy\n"
    "policy \"demo\" version 1\n"
    "zone local\n"
    "zone cloud\n"
    "model swift  zone local  endpoint \"http://127.0.0.1:8000/v1\", \"http://127.0.0.1:8001/v1\"  "
    "as \"qwen3-8b\"\n"
    "             context 32k tok  output 2k tok  can tools, json, schema  effort off, on\n"
    "             price 0.03 in, 0.06 out, 0.003 cached usd/Mtok  quality 0.62\n"
    "model deep   zone cloud  provider openai \"gpt-5.5\"  key env OPENAI_API_KEY  context 128k "
    "tok output 8k tok\n"
    "             can tools, images, json, schema, logprobs  effort low, high  quality 0.9\n"
    "             price 1.25 in, 10 out usd/Mtok\n"
    "model sim    endpoint demo context 8k tok  price 0 in, 0 out usd/Mtok\n"
    "alias auto -> routes\n"
    "alias fast -> route picture\n"
    "alias \"gpt-4o\" -> model deep\n"
    "pass \"/v1/embeddings\" to swift\n"
    "signal attack     = jailbreak above 0.7\n"
    "signal urgent     = keywords(\"urgent\", \"asap\")\n"
    "signal sqlish     = keywords(regex \"select\\s+.+\\s+from\", case on)\n"
    "signal recipe     = keywords(bm25 \"bake a cake\", \"oven temperature\") above 0.1\n"
    "signal longish    = context above 8k tok\n"
    "signal images     = modality(images)\n"
    "signal depth      = conversation(tool_cycles)\n"
    "signal group      = caller(group)\n"
    "signal env        = metadata(\"env\")  on_error \"prod\"\n"
    "signal format     = output  on_error json\n"
    "path  cheap(m)    = answer(m)\n"
    "route blocked  when attack                                -> refuse \"unsafe request\"\n"
    "route picture  when images > 0                            -> answer(deep, sim) else refuse "
    "\"no \\\"eyes\\\"\"\n"
    "route code     when sqlish or (depth >= 3 and not urgent) -> answer(deep high, swift) "
    "minimise cost\n"
    "               where quality >= 0.6\n"
    "route staff    when group in (\"staff\", \"ops\", \"staff\")   -> cheap(any) maximise quality "
    "within 0.05 usd\n"
    "route odd      when env != \"prod\" and not (format == json or longish or recipe) -> "
    "answer(any) minimise cost\n"
    "otherwise                                                 -> answer(any) minimise cost\n";

struct loaded {
    struct arena arena;
    struct diag_list diags;
    const struct policy_image *image;
    enum result result;
};

static void load(struct loaded *l, const char *text)
{
    arena_init(&l->arena, 0, POLICY_ARENA_MAX);
    diag_init(&l->diags, &l->arena, POLICY_DIAGS_MAX);
    l->result = policy_load(slice_cstr(text), &fake_registry, &l->arena, &l->diags, &l->image);
}

static void unload(struct loaded *l)
{
    arena_deinit(&l->arena);
}

static void show(struct loaded *l, const char *text)
{
    struct buf out;
    buf_init(&out, 1 << 20);
    diag_render(&l->diags, slice_cstr(text), SLICE("test.merit"), false, &out);
    print_message("%.*s", SLICE_FMT(buf_slice(&out)));
    buf_deinit(&out);
}

static void assert_text(const struct policy_image *p, struct image_str s, const char *want)
{
    struct slice got = image_text(p, s);
    if (!slice_eq_cstr(got, want))
        fail_msg("\"%.*s\" is not \"%s\"", SLICE_FMT(got), want);
}

static void models_are_read(void **state)
{
    (void)state;
    struct loaded l;
    load(&l, whole);
    show(&l, whole);
    assert_int_equal(l.result, RESULT_OK);
    const struct policy_image *p = l.image;
    assert_text(p, p->name, "demo");
    assert_int_equal(p->policy_version, 1);
    assert_int_equal(p->zones.count, 2);
    assert_int_equal(p->models.count, 3);
    const struct image_model *swift = image_model(p, image_find_model(p, SLICE("swift")));
    assert_text(p, swift->upstream_name, "qwen3-8b");
    assert_int_equal(swift->endpoints.count, 2);
    assert_text(p, IMAGE_AT(p, swift->endpoints, struct image_endpoint)[1].url,
                "http://127.0.0.1:8001/v1");
    assert_int_equal(swift->context_tok, 32000);
    assert_int_equal(swift->output_tok, 2000);
    assert_int_equal(swift->can, WORK_NEED_TOOLS | WORK_NEED_JSON | WORK_NEED_SCHEMA);
    assert_int_equal(swift->efforts, 1 | 1 << IMAGE_EFFORT_OFF | 1 << IMAGE_EFFORT_ON);
    assert_int_equal(swift->price_in_nusd, 30000000);
    assert_int_equal(swift->price_cached_nusd, 3000000);
    assert_int_equal(swift->line, 5);
    const struct image_model *deep = image_model(p, image_find_model(p, SLICE("deep")));
    assert_text(p, IMAGE_AT(p, deep->endpoints, struct image_endpoint)->url,
                "https://api.openai.com/v1");
    assert_text(p, deep->upstream_name, "gpt-5.5");
    assert_text(p, deep->key_name, "OPENAI_API_KEY");
    assert_int_equal(deep->key_source, IMAGE_KEY_ENV);
    assert_int_equal(deep->price_cached_nusd, deep->price_in_nusd);
    assert_int_equal(deep->zone, 1);
    const struct image_model *sim = image_model(p, 2);
    assert_text(p, IMAGE_AT(p, sim->endpoints, struct image_endpoint)->url, "demo:");
    assert_text(p, sim->upstream_name, "sim");
    assert_true(sim->priced && sim->quality < 0 && sim->zone == IMAGE_NONE &&
                sim->output_tok == 8000);
    assert_int_equal(image_find_alias(p, SLICE("gpt-4o"))->index, 1);
    assert_int_equal(image_find_alias(p, SLICE("fast"))->target, IMAGE_TARGET_ROUTE);
    assert_null(image_find_alias(p, SLICE("swift")));
    assert_text(p, IMAGE_AT(p, p->passes, struct image_pass)->path, "/v1/embeddings");
    unload(&l);
}

static void signals_are_typed(void **state)
{
    (void)state;
    struct loaded l;
    load(&l, whole);
    const struct policy_image *p = l.image;
    const struct image_signal *sql = image_signal(p, image_find_signal(p, SLICE("sqlish")));
    const struct image_arg *a = IMAGE_AT(p, sql->args, struct image_arg);
    assert_int_equal(sql->args.count, 2);
    assert_text(p, a[0].tag, "regex");
    assert_text(p, a[0].text, "select\\s+.+\\s+from");
    assert_text(p, a[1].name, "case");
    assert_text(p, a[1].text, "on");
    assert_memory_equal(whole + a[1].begin, "case on", 7);
    const struct image_signal *recipe = image_signal(p, image_find_signal(p, SLICE("recipe")));
    assert_text(p, IMAGE_AT(p, recipe->args, struct image_arg)[1].tag, "bm25");
    assert_true(recipe->type == SIGNAL_BOOL && recipe->has_threshold && recipe->threshold_above);
    assert_true(recipe->threshold == 0.1);
    assert_true(image_signal(p, image_find_signal(p, SLICE("longish")))->threshold == 8000);
    const struct image_signal *format = image_signal(p, image_find_signal(p, SLICE("format")));
    assert_true(format->type == SIGNAL_ENUM && format->words.count == 3 &&
                format->error_number == 1);
    assert_text(p, image_signal(p, image_find_signal(p, SLICE("env")))->error_text, "prod");
    unload(&l);
}

static void guards_are_folded(void **state)
{
    (void)state;
    struct loaded l;
    load(&l, whole);
    const struct policy_image *p = l.image;
    const struct image_route *odd = image_route(p, image_find_route(p, SLICE("odd")));
    const struct image_node *n = IMAGE_AT(p, odd->guard, struct image_node);
    const struct image_atom *atoms = IMAGE_AT(p, p->atoms, struct image_atom);
    // and(not(env == "prod"), not(or(format == json, longish, recipe)))
    assert_int_equal(odd->guard.count, 8);
    assert_true(n[0].kind == IMAGE_NODE_AND && n[0].arg == 2 && n[0].size == 8);
    assert_true(n[1].kind == IMAGE_NODE_NOT && n[1].size == 2);
    assert_text(p, atoms[n[2].arg].shown, "env == \"prod\"");
    assert_true(n[4].kind == IMAGE_NODE_OR && n[4].arg == 3);
    const struct image_route *staff = image_route(p, image_find_route(p, SLICE("staff")));
    const struct image_atom *in = &atoms[IMAGE_AT(p, staff->guard, struct image_node)->arg];
    assert_int_equal(in->op, IMAGE_OP_IN);
    assert_int_equal(in->texts.count, 2);
    assert_text(p, IMAGE_AT(p, in->texts, struct image_str)[0], "ops");
    assert_int_equal(staff->cost_max_nusd, 50000000);
    assert_text(p, staff->path_name, "cheap");
    assert_true(IMAGE_AT(p, image_chains(p, staff)->steps, struct image_step)->any);
    assert_int_equal(IMAGE_AT(p, image_chains(p, staff)->steps, struct image_step)->bindings.count,
                     3);
    const struct image_route *code = image_route(p, image_find_route(p, SLICE("code")));
    const struct image_binding *b =
        IMAGE_AT(p, IMAGE_AT(p, image_chains(p, code)->steps, struct image_step)->bindings,
                 struct image_binding);
    assert_true(b[0].model == 1 && b[0].effort == IMAGE_EFFORT_HIGH &&
                b[1].effort == IMAGE_EFFORT_DEFAULT);
    assert_true(code->quality_min > 0.59F && code->objective == IMAGE_OBJECTIVE_COST);
    const struct image_route *picture = image_route(p, image_find_route(p, SLICE("picture")));
    assert_text(p, IMAGE_AT(p, image_chains(p, picture)[1].steps, struct image_step)->text,
                "no \"eyes\"");
    const struct image_route *last = image_route(p, (int32_t)p->routes.count - 1);
    assert_true(last->is_otherwise && last->guard.count == 1);
    unload(&l);
}

static void same_text_gives_same_bytes(void **state)
{
    (void)state;
    struct loaded a, b;
    load(&a, whole);
    load(&b, whole);
    assert_int_equal(a.image->size, b.image->size);
    assert_memory_equal(a.image, b.image, a.image->size);
    const struct policy_image *opened;
    assert_int_equal(image_open(a.image, a.image->size, &opened), RESULT_OK);
    unload(&a);
    unload(&b);
}

// Any byte changed, the checksum made right again: opened and walked, or refused, never followed out of the block.
static void damaged_images_are_refused_or_whole(void **state)
{
    (void)state;
    struct loaded l;
    load(&l, whole);
    size_t size = l.image->size;
    struct policy_image *copy = alloc_bytes(size);
    uint32_t refused = 0;
    for (size_t i = 12; i < size; i++) {
        for (int bit = 0; bit < 8; bit += 3) {
            const struct policy_image *p;
            memcpy(copy, l.image, size);
            ((unsigned char *)copy)[i] ^= (unsigned char)(1 << bit);
            if (copy->size > size) {
                assert_int_equal(image_open(copy, size, &p), RESULT_SYNTAX);
                continue;
            }
            assert_int_equal(image_open(copy, size, &p), RESULT_SYNTAX);
            image_seal(copy);
            refused += image_open(copy, size, &p) != RESULT_OK;
        }
    }
    assert_true(refused > 1000);
    const struct policy_image *cut;
    assert_int_equal(image_open(l.image, size - 1, &cut), RESULT_SYNTAX);
    assert_int_equal(image_open(l.image, 11, &cut), RESULT_SYNTAX);
    assert_null(cut);
    alloc_free(copy);
    unload(&l);
}

static void every_failed_allocation_is_survived(void **state)
{
    (void)state;
    for (uint64_t n = 1;; n++) {
        struct loaded l;
        alloc_fail_at(n, 0);
        load(&l, whole);
        alloc_fail_at(0, 0);
        bool done = l.result == RESULT_OK && l.diags.dropped == 0;
        if (l.result != RESULT_OK)
            assert_null(l.image);
        unload(&l);
        if (done && n > 5)
            break;
        assert_true(n < 10000);
    }
    for (uint64_t n = 1; n < 200; n++) {
        struct loaded l;
        alloc_fail_at(n, 1);
        load(&l, whole);
        alloc_fail_at(0, 0);
        assert_true(l.result == RESULT_OK || !l.image);
        unload(&l);
    }
}

// The same for a file full of mistakes, for formatting, and for what shows them.
static void every_failed_allocation_is_survived_while_complaining(void **state)
{
    (void)state;
    static const char *const names[] = {"names",  "types",  "routes", "labels",   "whole",
                                        "syntax", "scores", "rules",  "theorems", "lattices"};
    for (size_t i = 0; i < MERIT_COUNT(names); i++) {
        char path[256];
        struct buf text;
        snprintf(path, sizeof path, "%s/tests/golden/policy/%s.merit", MERIT_SOURCE_DIR, names[i]);
        buf_init(&text, POLICY_BYTES_MAX);
        assert_int_equal(file_read(path, &text), RESULT_OK);
        for (uint64_t n = 1;; n++) {
            struct loaded l;
            struct buf out;
            const struct tree *tree = NULL;
            buf_init(&out, 1 << 20);
            uint64_t before = alloc_count();
            alloc_fail_at(n, 0);
            arena_init(&l.arena, 0, POLICY_ARENA_MAX);
            diag_init(&l.diags, &l.arena, POLICY_DIAGS_MAX);
            enum result r =
                policy_load(buf_slice(&text), &fake_registry, &l.arena, &l.diags, &l.image);
            assert_true((r == RESULT_OK) == (l.image != NULL));
            if (policy_parse(buf_slice(&text), &l.arena, &l.diags, &tree) == RESULT_OK)
                (void)!fmt_policy(tree, &out);
            diag_render(&l.diags, buf_slice(&text), SLICE("f"), false, &out);
            if (l.image)
                explain_policy_json(l.image, &out);
            bool done = alloc_count() - before < n;
            alloc_fail_at(0, 0);
            arena_deinit(&l.arena);
            buf_deinit(&out);
            if (done)
                break;
        }
        buf_deinit(&text);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(models_are_read),
        cmocka_unit_test(signals_are_typed),
        cmocka_unit_test(guards_are_folded),
        cmocka_unit_test(same_text_gives_same_bytes),
        cmocka_unit_test(damaged_images_are_refused_or_whole),
        cmocka_unit_test(every_failed_allocation_is_survived),
        cmocka_unit_test(every_failed_allocation_is_survived_while_complaining),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
