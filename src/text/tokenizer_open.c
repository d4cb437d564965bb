// A tokenizer from its tokenizer.json.
#include "base/alloc.h"
#include "text/token_open.h"
#include "text/tokenizer_parts.h"

enum { TOKENS_MAX = 16 * 1000 * 1000, DEPTH_MAX = 64 };

static const struct token_model_kind *const kinds[] = {&token_wordpiece, &token_bpe,
                                                       &token_unigram};

// The kind of a model object; older files do not name it.
static const struct token_model_kind *find_kind(const struct json *j, uint32_t model)
{
    struct slice type = token_type(j, model);
    if (!type.len) {
        uint32_t vocab = token_member(j, model, SLICE("vocab"));
        if (token_member(j, model, SLICE("merges")) != JSON_NONE)
            return &token_bpe;
        if (vocab != JSON_NONE && json_type(j, vocab) == JSON_ARRAY)
            return &token_unigram;
        return token_member(j, model, SLICE("continuing_subword_prefix")) != JSON_NONE
                   ? &token_wordpiece
                   : NULL;
    }
    for (size_t i = 0; i < MERIT_COUNT(kinds); i++) {
        if (slice_eq_cstr(type, kinds[i]->name))
            return kinds[i];
    }
    return NULL;
}

static enum result read_model(struct tokenizer *t, const struct json *j, char *problem)
{
    uint32_t model = token_member(j, 0, SLICE("model"));
    if (model == JSON_NONE || json_type(j, model) != JSON_OBJECT)
        return token_problem(problem, RESULT_SYNTAX, "there is no model");
    t->kind = find_kind(j, model);
    struct slice type = token_type(j, model);
    if (!t->kind)
        return token_problem(problem, RESULT_UNSUPPORTED, "model %.*s",
                             (int)(type.len < 64 ? type.len : 64), type.ptr ? type.ptr : "");
    enum result r = t->kind->open(j, model, pretoken_byte_level(t->pretoken), problem, &t->model);
    if (!r)
        t->vocab = t->kind->vocab(t->model);
    return r;
}

// One added token, whose place in the lists is that of the last with the same content. The id is the model's where that
// has the token, as in the reference.
static enum result read_added(struct tokenizer *t, const struct json *j, uint32_t node,
                              struct normalizer_scratch *scratch, char *problem)
{
    struct slice content;
    uint64_t id;
    bool special, normalized;
    struct added_token token = {0};
    enum result r = token_string(j, node, SLICE("content"), &t->arena, problem, NULL, &content);
    if (!r)
        r = token_bool(j, node, SLICE("special"), false, problem, &special);
    if (!r)
        r = token_bool(j, node, SLICE("normalized"), !special, problem, &normalized);
    if (!r)
        r = token_bool(j, node, SLICE("single_word"), false, problem, &token.single_word);
    if (!r)
        r = token_bool(j, node, SLICE("lstrip"), false, problem, &token.lstrip);
    if (!r)
        r = token_bool(j, node, SLICE("rstrip"), false, problem, &token.rstrip);
    if (r || !content.len)
        return r;
    if (json_u64(j, token_member(j, node, SLICE("id")), &id) != RESULT_OK ||
        id >= TOKENIZER_VOCAB_MAX)
        return token_problem(problem, RESULT_SYNTAX, "an added token has an id that is none");
    uint32_t known = t->kind->find(t->model, content);
    token.id = known != UINT32_MAX ? known : (uint32_t)id;
    token.content = content;
    struct added_token *entry = map_get(&t->by_content, content);
    if (!entry) {
        entry = &t->added[t->added_count++];
        r = map_put(&t->by_content, content, entry);
        if (r)
            return r;
    }
    *entry = token;
    if (token.id >= t->vocab)
        t->vocab = token.id + 1;
    uint32_t at = (uint32_t)(entry - t->added);
    t->in_text[at] = t->in_normal[at] = (struct added_token){0};
    if (!normalized) {
        t->in_text[at] = token;
        return RESULT_OK;
    }
    const uint32_t *from;
    r = normalizer_apply(t->normalizer, scratch, content, &content, &from);
    if (r)
        return r;
    t->in_normal[at] = token;
    t->in_normal[at].content = arena_copy(&t->arena, content);
    return t->in_normal[at].content.ptr ? RESULT_OK : RESULT_NOMEM;
}

static enum result read_added_all(struct tokenizer *t, const struct json *j, char *problem)
{
    uint32_t list = token_member(j, 0, SLICE("added_tokens")), at = 0, item, count = 0;
    if (list == JSON_NONE)
        return RESULT_OK;
    if (json_type(j, list) != JSON_ARRAY)
        return token_problem(problem, RESULT_SYNTAX, "added_tokens is no list");
    while (json_element(j, list, &at, &item))
        count++;
    if (count > ADDED_TOKENS_MAX)
        return token_problem(problem, RESULT_LIMIT, "more than %d added tokens", ADDED_TOKENS_MAX);
    struct normalizer_scratch *scratch = NULL;
    t->added = alloc_zeroed(count + 1, sizeof *t->added);
    t->in_text = alloc_zeroed(count + 1, sizeof *t->in_text);
    t->in_normal = alloc_zeroed(count + 1, sizeof *t->in_normal);
    enum result r = t->added && t->in_text && t->in_normal ? RESULT_OK : RESULT_NOMEM;
    if (!r)
        r = normalizer_scratch_open(&scratch);
    for (at = 0; !r && json_element(j, list, &at, &item);)
        r = read_added(t, j, item, scratch, problem);
    normalizer_scratch_close(scratch);
    if (!r)
        r = added_set_open(t->in_text, t->added_count, &t->text_set);
    if (!r)
        r = added_set_open(t->in_normal, t->added_count, &t->normal_set);
    if (r == RESULT_LIMIT)
        token_problem(problem, r, "an added token is longer than %d bytes, or all are too long",
                      ADDED_BYTES_MAX);
    return r;
}

static enum result check_post(struct tokenizer *t, char *problem)
{
    const struct post_template *templates[] = {&t->post.single, &t->post.pair};
    for (unsigned k = 0; k < MERIT_COUNT(templates); k++) {
        for (uint32_t i = 0; i < templates[k]->count; i++) {
            const struct post_piece *p = &templates[k]->pieces[i];
            if (!p->is_text && p->id >= t->vocab)
                return token_problem(problem, RESULT_SYNTAX,
                                     "post_processor: id %u is outside the vocabulary", p->id);
        }
    }
    bool behind = false;
    for (uint32_t i = 0; i < t->post.single.count; i++) {
        const struct post_piece *p = &t->post.single.pieces[i];
        if (p->is_text) {
            behind = true;
            continue;
        }
        t->frame[t->before_count + t->behind_count] =
            (struct token){.id = p->id, .type = p->type, .special = true};
        if (behind)
            t->behind_count++;
        else
            t->before_count++;
    }
    return RESULT_OK;
}

static enum result read_all(struct tokenizer *t, const struct json *j, char *problem)
{
    if (json_type(j, 0) != JSON_OBJECT)
        return token_problem(problem, RESULT_SYNTAX, "the file is no object");
    uint32_t version = token_member(j, 0, SLICE("version"));
    if (version != JSON_NONE && !slice_eq(json_raw(j, version), SLICE("1.0")))
        return token_problem(problem, RESULT_UNSUPPORTED, "version other than 1.0");
    enum result r =
        normalizer_open(j, token_member(j, 0, SLICE("normalizer")), problem, &t->normalizer);
    if (!r)
        r = pretoken_open(j, token_member(j, 0, SLICE("pre_tokenizer")), problem, &t->pretoken);
    if (!r)
        r = read_model(t, j, problem);
    if (!r)
        r = read_added_all(t, j, problem);
    if (!r)
        r = token_post_open(j, token_member(j, 0, SLICE("post_processor")), problem, &t->post);
    return r ? r : check_post(t, problem);
}

enum result tokenizer_open(struct slice json, char problem[TOKENIZER_PROBLEM_BYTES],
                           struct tokenizer **out)
{
    if (problem)
        problem[0] = 0;
    if (json.len > TOKENIZER_JSON_MAX)
        return token_problem(problem, RESULT_LIMIT, "the file is larger than %d bytes",
                             TOKENIZER_JSON_MAX);
    struct tokenizer *t = alloc_zeroed(1, sizeof *t);
    if (!t)
        return RESULT_NOMEM;
    struct arena arena;
    struct json j;
    const struct json_limits limits = {.depth_max = DEPTH_MAX, .token_max = TOKENS_MAX};
    arena_init(&arena, 0, (size_t)TOKENS_MAX * sizeof(struct json_token) * 3);
    arena_init(&t->arena, 0, (size_t)TOKENIZER_JSON_MAX * 8);
    // The key hangs on the whole file, so that tokens cannot be chosen to collide under it; the same file, the same key.
    struct hash_key key = {0};
    key.k0 = hash_sip13(&key, json);
    map_init(&t->by_content, key, ADDED_TOKENS_MAX);
    enum result r = json_parse(&j, json, &limits, &arena);
    if (r && r != RESULT_NOMEM)
        r = token_problem(problem, r == RESULT_LIMIT ? r : RESULT_SYNTAX, "not JSON at byte %u: %s",
                          j.error_at, result_name(r));
    if (!r)
        r = read_all(t, &j, problem);
    arena_deinit(&arena);
    if (r) {
        tokenizer_close(t);
        return r;
    }
    *out = t;
    return RESULT_OK;
}

void tokenizer_close(struct tokenizer *t)
{
    if (!t)
        return;
    if (t->model)
        t->kind->close(t->model);
    pretoken_close(t->pretoken);
    normalizer_close(t->normalizer);
    added_set_close(t->text_set);
    added_set_close(t->normal_set);
    map_deinit(&t->by_content);
    alloc_free(t->added);
    alloc_free(t->in_text);
    alloc_free(t->in_normal);
    arena_deinit(&t->arena);
    alloc_free(t);
}

uint32_t tokenizer_vocab(const struct tokenizer *t)
{
    return t->vocab;
}

uint32_t tokenizer_id(const struct tokenizer *t, struct slice token)
{
    const struct added_token *added = map_get(&t->by_content, token);
    return added ? added->id : t->kind->find(t->model, token);
}

void tokenizer_frame(const struct tokenizer *t, const struct token **before, uint32_t *before_count,
                     const struct token **behind, uint32_t *behind_count)
{
    *before = t->frame;
    *before_count = t->before_count;
    *behind = t->frame + t->before_count;
    *behind_count = t->behind_count;
}
