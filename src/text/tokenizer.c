// Encoding: the text is made well-formed, added tokens are cut out, what is between them is normalised, searched again,
// cut into pieces and given to the model. Each stage knows the bytes of the one before, so that a token's place in the
// text is found by going back through them.
#include "text/tokenizer.h"

#include "base/alloc.h"
#include "text/char_class.h"
#include "text/tokenizer_parts.h"
#include "text/utf8.h"

// Tokens of one text.
struct token_list {
    struct token *at;
    uint32_t count, room;
};

struct tokenizer_scratch {
    struct normalizer_scratch *normalizer;
    struct pretoken_scratch *pretoken;
    void *model;
    bool has_model;
    const struct token_model_kind *kind;
    struct added_search in_text, in_normal;
    struct piece_tokens pieces;
    struct token_list lists[2], out;
    // The text with U+FFFD for what is not UTF-8, and the byte of the given text for each byte.
    char *repaired;
    uint32_t *repaired_from;
    uint32_t repaired_room;
    size_t largest; // text since the memory was last given back
};

// One text on its way.
struct encoding {
    const struct tokenizer *t;
    struct tokenizer_scratch *s;
    struct slice text;         // well-formed
    const uint32_t *text_from; // NULL: the text as given
    struct token_list *out;
    uint8_t sequence;
    uint32_t limit; // no more pieces once there are so many tokens; 0: none
    // The part between added tokens that is worked on: what is normalised, and where it began in the text.
    const uint32_t *from;
    uint32_t part, section;
};

enum {
    LIST_MAX = 1 << 27,
    TEXT_KEEP =
        1024 *
        1024, // what a longer text made the scratch grow to is given back before the next shorter one
};

static enum result list_reserve(struct token_list *l, uint32_t more)
{
    if (MERIT_LIKELY(l->room - l->count >= more))
        return RESULT_OK;
    if (more > LIST_MAX - l->count)
        return RESULT_LIMIT;
    uint32_t room = (l->count + more) + (l->count + more) / 2 + 64;
    struct token *at = alloc_resize(l->at, (size_t)room * sizeof *at);
    if (!at)
        return RESULT_NOMEM;
    l->at = at;
    l->room = room;
    return RESULT_OK;
}

static inline bool inside(struct slice text, uint32_t at)
{
    return at < text.len && ((unsigned char)text.ptr[at] & 0xc0) == 0x80;
}

// Whole characters of the text around bytes `first` to `last`.
static inline void widen(struct slice text, uint32_t first, uint32_t last, struct token *token)
{
    while (inside(text, first))
        first--;
    do {
        last++;
    } while (inside(text, last));
    token->begin = first;
    token->end = last;
}

// How many characters at the begin (or the end) of a token are white space, or the byte-level alphabet's space. `s` is the
// token as the vocabulary has it, or its raw bytes behind ByteLevel.
static uint32_t blanks(struct slice s, bool at_end, bool raw)
{
    const unsigned char *p = (const unsigned char *)s.ptr;
    uint32_t count = 0, n = (uint32_t)s.len;
    if (raw) {
        while (count < n && p[at_end ? n - 1 - count : count] == ' ')
            count++;
        return count;
    }
    for (uint32_t at = at_end ? n : 0; at_end ? at > 0 : at < n; count++) {
        unsigned len;
        uint32_t here = at;
        if (at_end) {
            do {
                here--;
            } while (here && (p[here] & 0xc0) == 0x80);
        }
        uint32_t code = char_decode(p + here, &len);
        if (code != 0x120 && !(char_class(code) & CHAR_SPACE))
            break;
        at = at_end ? here : here + len;
    }
    return count;
}

// Takes white space off a token's place, character by character as the reference counts them.
static void trim(const struct encoding *e, struct token *token, struct slice s, bool raw)
{
    uint32_t head = blanks(s, false, raw), tail = blanks(s, true, raw);
    for (uint32_t i = 0; (head || tail) && i < e->t->post.trim_count; i++) {
        uint32_t leading = head, end = token->end;
        if (leading == 1 && e->t->post.trims[i] && (!e->out->count || !token->begin))
            leading = 0;
        for (; leading && token->begin < token->end; leading--) {
            do {
                token->begin++;
            } while (inside(e->text, token->begin));
        }
        uint32_t trailing = tail;
        for (; trailing && end; trailing--) {
            do {
                end--;
            } while (inside(e->text, end));
        }
        if (!trailing)
            token->end = end > token->begin ? end : token->begin;
    }
}

// Notes a token whose place in the well-formed text is set.
static inline void list_add(const struct encoding *e, struct token token)
{
    if (e->text_from) {
        bool empty = token.begin == token.end;
        uint32_t last = empty ? token.begin : token.end - 1;
        token.begin = token.begin < e->text.len ? e->text_from[token.begin]
                      : token.begin             ? e->text_from[token.begin - 1] + 1
                                                : 0;
        token.end = empty ? token.begin : e->text_from[last] + 1;
    }
    e->out->at[e->out->count++] = token;
}

static enum result add_added(const struct encoding *e, uint32_t id, uint32_t first, uint32_t last,
                             struct slice s)
{
    enum result r = list_reserve(e->out, 1);
    if (r)
        return r;
    struct token token = {.id = id, .sequence = e->sequence, .type = e->sequence};
    widen(e->text, first, last, &token);
    if (e->t->post.trim_count)
        trim(e, &token, s, false);
    list_add(e, token);
    return RESULT_OK;
}

static inline uint32_t to_text(const struct encoding *e, uint32_t normal)
{
    return e->section + (e->from ? e->from[normal] : normal);
}

// The tokens of one piece, which begins at `begin` of the cut text.
static enum result add_piece(const struct encoding *e, const struct pretoken_cut *cut,
                             uint32_t begin)
{
    const struct piece_tokens *pieces = &e->s->pieces;
    enum result r = list_reserve(e->out, pieces->count);
    if (r)
        return r;
    for (uint32_t i = 0; i < pieces->count; i++) {
        uint32_t first = begin + pieces->at[i].begin, behind = begin + pieces->at[i].end,
                 last = behind > first ? behind - 1 : first;
        struct token token = {.id = pieces->at[i].id, .sequence = e->sequence, .type = e->sequence};
        if (cut->from) {
            widen(e->text, to_text(e, e->part + cut->from[first]),
                  to_text(e, e->part + cut->from[last]), &token);
        } else {
            widen(e->text, to_text(e, e->part + first), to_text(e, e->part + last), &token);
        }
        if (e->t->post.trim_count) {
            // An unknown token, one for a byte or one that continues a word is spelt otherwise than the text; only
            // Unigram spells what is unknown as it stands.
            bool raw = pretoken_byte_level(e->t->pretoken);
            struct slice s = slice_make(cut->text.ptr + first, behind - first);
            if (raw || e->s->kind == &token_unigram || e->s->kind->find(e->t->model, s) == token.id)
                trim(e, &token, s, raw);
        }
        list_add(e, token);
    }
    return RESULT_OK;
}

static inline bool full(const struct encoding *e)
{
    return e->limit && e->out->count >= e->limit;
}

// Normalised text between added tokens. `*done` when there are tokens enough.
static enum result encode_part(const struct encoding *e, struct slice normal, bool *done)
{
    struct tokenizer_scratch *s = e->s;
    struct pretoken_cut cut;
    enum result r =
        pretoken_cut(e->t->pretoken, s->pretoken, normal, to_text(e, e->part) == 0, &cut);
    for (uint32_t i = 0; !r && i < cut.count; i++) {
        uint32_t begin = cut.pieces[i].begin;
        s->pieces.count = 0;
        r = s->kind->encode(e->t->model, s->model,
                            slice_make(cut.text.ptr + begin, cut.pieces[i].end - begin),
                            &s->pieces);
        if (!r)
            r = add_piece(e, &cut, begin);
        if (!r && full(e)) {
            *done = true;
            break;
        }
    }
    return r;
}

// The text from `section` on, up to the next added token.
static enum result encode_section(struct encoding *e, struct slice section, bool *done)
{
    struct tokenizer_scratch *s = e->s;
    struct slice normal;
    struct added_split split;
    bool more = true;
    enum result r = normalizer_apply(e->t->normalizer, s->normalizer, section, &normal, &e->from);
    if (r)
        return r;
    added_search_begin(&s->in_normal, e->t->normal_set, normal);
    while (!r && !*done) {
        r = added_search_next(&s->in_normal, &split, &more);
        if (r || !more)
            break;
        struct slice part = slice_make(normal.ptr + split.begin, split.end - split.begin);
        e->part = split.begin;
        if (!split.token)
            r = encode_part(e, part, done);
        else if (part.len)
            r = add_added(e, split.token->id, to_text(e, split.begin), to_text(e, split.end - 1),
                          part);
    }
    return r;
}

// `text` with U+FFFD for each byte that is no part of a character.
static enum result repair(struct tokenizer_scratch *s, struct slice *text, const uint32_t **from)
{
    if (utf8_valid(*text)) {
        *from = NULL;
        return RESULT_OK;
    }
    size_t room = text->len * 3;
    if (s->repaired_room < room) {
        char *repaired = alloc_resize(s->repaired, room);
        if (!repaired)
            return RESULT_NOMEM;
        s->repaired = repaired;
        uint32_t *places = alloc_resize(s->repaired_from, room * sizeof *places);
        if (!places)
            return RESULT_NOMEM;
        s->repaired_from = places;
        s->repaired_room = (uint32_t)room;
    }
    uint32_t len = 0;
    for (size_t at = 0; at < text->len;) {
        size_t begin = at;
        unsigned n = utf8_put(utf8_next(*text, &at), s->repaired + len);
        for (unsigned i = 0; i < n; i++)
            s->repaired_from[len + i] = (uint32_t)(at - begin == n ? begin + i : begin);
        len += n;
    }
    *text = slice_make(s->repaired, len);
    *from = s->repaired_from;
    return RESULT_OK;
}

static enum result encode_text(const struct tokenizer *t, struct tokenizer_scratch *s,
                               struct slice text, uint8_t sequence, uint32_t limit)
{
    struct encoding e = {
        .t = t, .s = s, .out = &s->lists[sequence], .sequence = sequence, .limit = limit};
    struct added_split split;
    bool more = true, done = false;
    e.out->count = 0;
    enum result r = repair(s, &text, &e.text_from);
    e.text = text;
    if (r)
        return r;
    added_search_begin(&s->in_text, t->text_set, text);
    while (!r && !done) {
        r = added_search_next(&s->in_text, &split, &more);
        if (r || !more)
            break;
        struct slice part = slice_make(text.ptr + split.begin, split.end - split.begin);
        e.section = split.begin;
        if (!split.token)
            r = encode_section(&e, part, &done);
        else if (part.len)
            r = add_added(&e, split.token->id, split.begin, split.end - 1, part);
    }
    return r;
}

// Puts the texts' tokens where the template wants them.
static enum result put_together(const struct post_template *template, struct tokenizer_scratch *s,
                                const uint32_t counts[2], bool bare)
{
    struct token_list *out = &s->out;
    out->count = 0;
    enum result r = list_reserve(out, 1); // so that no tokens have a place, too
    if (r)
        return r;
    for (uint32_t i = 0; i < template->count; i++) {
        const struct post_piece *p = &template->pieces[i];
        if (!p->is_text && bare)
            continue;
        uint32_t n = p->is_text ? counts[p->sequence] : 1;
        r = list_reserve(out, n);
        if (r)
            return r;
        if (!p->is_text) {
            out->at[out->count++] = (struct token){.id = p->id, .type = p->type, .special = true};
            continue;
        }
        for (uint32_t k = 0; k < n; k++) {
            out->at[out->count] = s->lists[p->sequence].at[k];
            out->at[out->count++].type = p->type;
        }
    }
    return RESULT_OK;
}

static void lists_free(struct tokenizer_scratch *s)
{
    struct token_list *lists[] = {&s->lists[0], &s->lists[1], &s->out};
    for (unsigned i = 0; i < MERIT_COUNT(lists); i++) {
        alloc_free(lists[i]->at);
        *lists[i] = (struct token_list){0};
    }
    alloc_free(s->pieces.at);
    s->pieces = (struct piece_tokens){0};
    alloc_free(s->repaired);
    alloc_free(s->repaired_from);
    s->repaired = NULL;
    s->repaired_from = NULL;
    s->repaired_room = 0;
    added_search_deinit(&s->in_text);
    added_search_deinit(&s->in_normal);
}

// Gives the memory of a long text back. What cannot be made anew stays as it is.
static void shrink(const struct tokenizer *t, struct tokenizer_scratch *s)
{
    struct normalizer_scratch *normalizer;
    struct pretoken_scratch *pretoken;
    void *model;
    lists_free(s);
    if (normalizer_scratch_open(&normalizer) == RESULT_OK) {
        normalizer_scratch_close(s->normalizer);
        s->normalizer = normalizer;
    }
    if (pretoken_scratch_open(&pretoken) == RESULT_OK) {
        pretoken_scratch_close(s->pretoken);
        s->pretoken = pretoken;
    }
    if (t->kind->scratch_open(t->model, &model) == RESULT_OK) {
        t->kind->scratch_close(s->model);
        s->model = model;
    }
    s->largest = 0;
}

enum result tokenizer_encode(const struct tokenizer *t, struct tokenizer_scratch *s,
                             struct slice text, struct slice pair,
                             const struct tokenizer_options *options, const struct token **tokens,
                             uint32_t *count)
{
    bool is_pair = pair.ptr != NULL;
    const struct post_template *template = is_pair ? &t->post.pair : &t->post.single;
    uint32_t special = options->bare ? 0 : template->special, max = options->max_tok,
             counts[2] = {0, 0};
    if (text.len > TOKENIZER_TEXT_MAX || pair.len > TOKENIZER_TEXT_MAX || (max && max < special))
        return RESULT_LIMIT;
    if (!text.ptr)
        text.ptr = "";
    size_t size = text.len > pair.len ? text.len : pair.len;
    if (s->largest > TEXT_KEEP && size <= TEXT_KEEP)
        shrink(t, s);
    s->largest = size > s->largest ? size : s->largest;
    // Of two texts the whole lengths decide what is kept of each.
    enum result r = encode_text(t, s, text, 0, is_pair ? 0 : max);
    counts[0] = s->lists[0].count;
    if (!r && is_pair) {
        r = encode_text(t, s, pair, 1, 0);
        counts[1] = s->lists[1].count;
    }
    if (r)
        return r;
    if (max)
        token_post_truncate(max - special, counts, is_pair);
    r = put_together(template, s, counts, options->bare);
    if (r)
        return r;
    *tokens = s->out.at;
    *count = s->out.count;
    return RESULT_OK;
}

enum result tokenizer_scratch_open(const struct tokenizer *t, struct tokenizer_scratch **out)
{
    struct tokenizer_scratch *s = alloc_zeroed(1, sizeof *s);
    if (!s)
        return RESULT_NOMEM;
    s->kind = t->kind;
    enum result r = normalizer_scratch_open(&s->normalizer);
    if (!r)
        r = pretoken_scratch_open(&s->pretoken);
    if (!r)
        r = t->kind->scratch_open(t->model, &s->model);
    s->has_model = !r;
    if (r) {
        tokenizer_scratch_close(s);
        return r;
    }
    *out = s;
    return RESULT_OK;
}

void tokenizer_scratch_close(struct tokenizer_scratch *s)
{
    if (!s)
        return;
    if (s->has_model)
        s->kind->scratch_close(s->model);
    pretoken_scratch_close(s->pretoken);
    normalizer_scratch_close(s->normalizer);
    lists_free(s);
    alloc_free(s);
}
