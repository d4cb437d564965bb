#include "text/token_post.h"

#include "text/token_open.h"

static enum result add_piece(struct post_template *t, char *problem, struct post_piece piece)
{
    if (t->count == POST_PIECES_MAX)
        return token_problem(problem, RESULT_LIMIT, "post_processor has more than %d parts",
                             POST_PIECES_MAX);
    t->pieces[t->count++] = piece;
    t->special += !piece.is_text;
    return RESULT_OK;
}

static enum result add_id(struct post_template *t, const struct json *j, uint32_t node,
                          char *problem, uint8_t type)
{
    uint64_t id;
    if (json_u64(j, node, &id) != RESULT_OK || id >= TOKENIZER_VOCAB_MAX)
        return token_problem(problem, RESULT_SYNTAX, "post_processor has an id that is none");
    return add_piece(t, problem, (struct post_piece){.type = type, .id = (uint32_t)id});
}

// The id of ["[SEP]", 102].
static enum result read_named(const struct json *j, uint32_t node, struct slice key, char *problem,
                              uint32_t *out)
{
    uint32_t pair = token_member(j, node, key), at = 0, item;
    uint64_t id = UINT64_MAX;
    for (unsigned i = 0;
         pair != JSON_NONE && json_type(j, pair) == JSON_ARRAY && json_element(j, pair, &at, &item);
         i++) {
        if (i == 1 && json_u64(j, item, &id) != RESULT_OK)
            id = UINT64_MAX;
    }
    if (id >= TOKENIZER_VOCAB_MAX)
        return token_problem(problem, RESULT_SYNTAX, "post_processor.%.*s is no token and id",
                             SLICE_FMT(key));
    *out = (uint32_t)id;
    return RESULT_OK;
}

// [CLS] A [SEP], and with a pair B [SEP] (BERT) or [SEP] B [SEP], all of type 0 (RoBERTa).
static enum result read_bert(const struct json *j, uint32_t node, bool roberta, char *problem,
                             struct token_post *out)
{
    uint32_t sep, cls;
    enum result r = read_named(j, node, SLICE("sep"), problem, &sep);
    if (!r)
        r = read_named(j, node, SLICE("cls"), problem, &cls);
    if (r)
        return r;
    const struct post_piece first[] = {{.id = cls}, {.is_text = true}, {.id = sep}};
    const struct post_piece second[] = {
        {.id = sep},
        {.is_text = true, .sequence = 1, .type = !roberta},
        {.id = sep, .type = !roberta},
    };
    for (unsigned i = 0; !r && i < MERIT_COUNT(first); i++) {
        r = add_piece(&out->single, problem, first[i]);
        if (!r)
            r = add_piece(&out->pair, problem, first[i]);
    }
    for (unsigned i = !roberta; !r && i < MERIT_COUNT(second); i++)
        r = add_piece(&out->pair, problem, second[i]);
    return r;
}

static enum result read_trim(const struct json *j, uint32_t node, char *problem,
                             struct token_post *out)
{
    bool trim, prefix;
    enum result r = token_bool(j, node, SLICE("trim_offsets"), true, problem, &trim);
    if (!r)
        r = token_bool(j, node, SLICE("add_prefix_space"), true, problem, &prefix);
    if (r || !trim)
        return r;
    if (out->trim_count == POST_TRIMS_MAX)
        return token_problem(problem, RESULT_LIMIT, "offsets are trimmed more than %d times",
                             POST_TRIMS_MAX);
    out->trims[out->trim_count++] = prefix;
    return RESULT_OK;
}

static enum result read_type(const struct json *j, uint32_t piece, char *problem, uint8_t *type)
{
    uint64_t id;
    if (json_u64(j, token_member(j, piece, SLICE("type_id")), &id) != RESULT_OK || id > UINT8_MAX)
        return token_problem(problem, RESULT_SYNTAX, "post_processor has a type_id that is none");
    *type = (uint8_t)id;
    return RESULT_OK;
}

static enum result read_special(const struct json *j, uint32_t node, uint32_t piece, char *problem,
                                struct arena *arena, struct post_template *t)
{
    struct slice name;
    uint8_t type;
    enum result r = token_string(j, piece, SLICE("id"), arena, problem, NULL, &name);
    if (!r)
        r = read_type(j, piece, problem, &type);
    if (r)
        return r;
    uint32_t special = token_member(j, token_member(j, node, SLICE("special_tokens")), name),
             ids = token_member(j, special, SLICE("ids")), at = 0, id;
    if (ids == JSON_NONE || json_type(j, ids) != JSON_ARRAY)
        return token_problem(problem, RESULT_SYNTAX, "post_processor has no special token %.*s",
                             (int)(name.len < 64 ? name.len : 64), name.ptr);
    while (!r && json_element(j, ids, &at, &id))
        r = add_id(t, j, id, problem, type);
    return r;
}

static enum result read_template(const struct json *j, uint32_t node, struct slice key,
                                 char *problem, struct arena *arena, struct post_template *t)
{
    uint32_t list = token_member(j, node, key), at = 0, item;
    if (list == JSON_NONE || json_type(j, list) != JSON_ARRAY)
        return token_problem(problem, RESULT_SYNTAX, "post_processor.%.*s is no list",
                             SLICE_FMT(key));
    enum result r = RESULT_OK;
    while (!r && json_element(j, list, &at, &item)) {
        uint32_t text = token_member(j, item, SLICE("Sequence")),
                 special = token_member(j, item, SLICE("SpecialToken"));
        if (special != JSON_NONE) {
            r = read_special(j, node, special, problem, arena, t);
            continue;
        }
        uint32_t id = token_member(j, text, SLICE("id"));
        struct post_piece piece = {.is_text = true};
        piece.sequence = id != JSON_NONE && slice_eq(json_raw(j, id), SLICE("B"));
        if (id == JSON_NONE || (!piece.sequence && !slice_eq(json_raw(j, id), SLICE("A"))) ||
            (piece.sequence && slice_eq(key, SLICE("single"))))
            return token_problem(problem, RESULT_SYNTAX, "post_processor.%.*s names no text",
                                 SLICE_FMT(key));
        r = read_type(j, text, problem, &piece.type);
        if (!r)
            r = add_piece(t, problem, piece);
    }
    return r;
}

static enum result read_all(const struct json *j, uint32_t node, char *problem, struct arena *arena,
                            struct token_post *out)
{
    struct slice type = token_type(j, node);
    bool roberta = slice_eq(type, SLICE("RobertaProcessing")),
         bert = slice_eq(type, SLICE("BertProcessing")),
         template = slice_eq(type, SLICE("TemplateProcessing"));
    enum result r = RESULT_OK;
    if ((roberta || bert || template) && (out->single.count || out->pair.count))
        return token_problem(problem, RESULT_UNSUPPORTED, "post_processor with two templates");
    if (roberta)
        r = read_trim(j, node, problem, out);
    if (r)
        return r;
    if (roberta || bert)
        return read_bert(j, node, roberta, problem, out);
    if (template) {
        r = read_template(j, node, SLICE("single"), problem, arena, &out->single);
        return r ? r : read_template(j, node, SLICE("pair"), problem, arena, &out->pair);
    }
    if (slice_eq(type, SLICE("ByteLevel")))
        return read_trim(j, node, problem, out);
    if (!slice_eq(type, SLICE("Sequence")))
        return token_problem(problem, RESULT_UNSUPPORTED, "post_processor %.*s",
                             (int)(type.len < 64 ? type.len : 64), type.ptr ? type.ptr : "");
    uint32_t list = token_member(j, node, SLICE("processors")), at = 0, item;
    if (list == JSON_NONE || json_type(j, list) != JSON_ARRAY)
        return token_problem(problem, RESULT_SYNTAX, "post_processor Sequence has no list");
    while (!r && json_element(j, list, &at, &item))
        r = read_all(j, item, problem, arena, out);
    return r;
}

enum result token_post_open(const struct json *j, uint32_t node, char *problem,
                            struct token_post *out)
{
    *out = (struct token_post){0};
    struct arena arena;
    arena_init(&arena, 0, (size_t)TOKENIZER_JSON_MAX * 3);
    enum result r = RESULT_OK;
    if (node != JSON_NONE && json_type(j, node) != JSON_NULL)
        r = read_all(j, node, problem, &arena, out);
    arena_deinit(&arena);
    if (r || out->single.count || out->pair.count)
        return r;
    // No template: the texts one behind the other.
    const struct post_piece texts[] = {{.is_text = true},
                                       {.is_text = true, .sequence = 1, .type = 1}};
    r = add_piece(&out->single, problem, texts[0]);
    for (unsigned i = 0; !r && i < MERIT_COUNT(texts); i++)
        r = add_piece(&out->pair, problem, texts[i]);
    return r;
}

void token_post_truncate(uint32_t max, uint32_t counts[2], bool pair)
{
    if (!pair) {
        counts[0] = counts[0] < max ? counts[0] : max;
        return;
    }
    if ((uint64_t)counts[0] + counts[1] <= max)
        return;
    bool swap = counts[0] > counts[1];
    uint32_t shorter = swap ? counts[1] : counts[0], longer;
    longer = shorter > max || max - shorter < shorter ? shorter : max - shorter;
    if ((uint64_t)shorter + longer > max) {
        shorter = max / 2;
        longer = shorter + max % 2;
    }
    uint32_t keep[2] = {swap ? longer : shorter, swap ? shorter : longer};
    for (unsigned i = 0; i < 2; i++)
        counts[i] = counts[i] < keep[i] ? counts[i] : keep[i];
}
