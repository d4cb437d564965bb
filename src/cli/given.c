#include "cli/given.h"

#include "base/diag.h"
#include "route/route.h"
#include "text/json.h"

static const char *wanted(enum signal_type t)
{
    static const char *const names[] = {"true or false", "a number", "one of its words", "a string",
                                        "an array of strings"};
    return names[t];
}

static int word_index(const struct policy_image *p, const struct image_signal *s,
                      const struct json *j, uint32_t token)
{
    const struct image_str *words = IMAGE_AT(p, s->words, struct image_str);
    for (uint32_t i = 0; i < s->words.count; i++)
        if (json_string_is(j, token, image_text(p, words[i])))
            return (int)i;
    return -1;
}

static enum result take_set(const struct json *j, uint32_t token, struct arena *arena,
                            struct fact *f)
{
    uint32_t at = 0, value, n = 0;
    while (json_element(j, token, &at, &value))
        n++;
    struct slice *texts = ARENA_ARRAY(arena, struct slice, n + 1);
    if (!texts)
        return RESULT_NOMEM;
    f->texts = texts;
    for (at = 0; json_element(j, token, &at, &value);) {
        if (json_type(j, value) != JSON_STRING)
            return RESULT_TYPE;
        texts[f->text_count] = json_string(j, value, arena);
        if (!texts[f->text_count++].ptr)
            return RESULT_NOMEM;
    }
    return RESULT_OK;
}

static enum result take(const struct policy_image *p, const struct image_signal *s,
                        const struct json *j, uint32_t token, struct arena *arena, struct fact *f)
{
    enum json_type t = json_type(j, token);
    int word;
    switch (s->type) {
    case SIGNAL_BOOL:
        if (t == JSON_TRUE || t == JSON_FALSE)
            f->number = t == JSON_TRUE;
        else if (json_double(j, token, &f->number) || (f->number != 0 && f->number != 1))
            return RESULT_TYPE;
        return RESULT_OK;
    case SIGNAL_NUMBER:
        return json_double(j, token, &f->number) ? RESULT_TYPE : RESULT_OK;
    case SIGNAL_ENUM:
        if (t != JSON_STRING || (word = word_index(p, s, j, token)) < 0)
            return RESULT_TYPE;
        f->number = word;
        return RESULT_OK;
    case SIGNAL_TEXT:
        if (t != JSON_STRING)
            return RESULT_TYPE;
        f->text = json_string(j, token, arena);
        return f->text.ptr ? RESULT_OK : RESULT_NOMEM;
    case SIGNAL_SET:
        return t == JSON_ARRAY ? take_set(j, token, arena, f) : RESULT_TYPE;
    }
    return RESULT_TYPE;
}

static enum result no_signal(const struct policy_image *p, struct slice name, struct arena *arena,
                             struct buf *why)
{
    struct slice *names = ARENA_ARRAY(arena, struct slice, p->signals.count + 1);
    buf_printf(why, "the policy has no signal \"%.*s\"", SLICE_FMT(name));
    if (!names)
        return RESULT_NOT_FOUND;
    for (uint32_t i = 0; i < p->signals.count; i++)
        names[i] = image_text(p, image_signal(p, (int32_t)i)->name);
    int near = diag_nearest(name, names, p->signals.count);
    if (near >= 0)
        buf_printf(why, "; did you mean \"%.*s\"?", SLICE_FMT(names[near]));
    return RESULT_NOT_FOUND;
}

// {"failed": true}, or {"failed": false}, which says nothing. RESULT_NOT_FOUND: something else.
static enum result take_failed(const struct json *j, uint32_t token, bool *failed)
{
    uint32_t at = 0, key, value, members = 0;
    enum result r = RESULT_NOT_FOUND;
    if (json_type(j, token) != JSON_OBJECT)
        return r;
    while (json_member(j, token, &at, &key, &value)) {
        enum json_type t = json_type(j, value);
        if (members++ || !json_string_is(j, key, SLICE("failed")) ||
            (t != JSON_TRUE && t != JSON_FALSE))
            return RESULT_NOT_FOUND;
        *failed = t == JSON_TRUE;
        r = RESULT_OK;
    }
    return r;
}

static enum result take_one(const struct policy_image *p, int32_t i, const struct json *j,
                            uint32_t value, struct arena *arena, struct fact *f)
{
    bool failed = json_type(j, value) == JSON_NULL;
    if (failed || take_failed(j, value, &failed) == RESULT_OK) {
        if (failed)
            route_failed_fact(p, i, FACT_ERROR_GIVEN, f);
        if (failed && image_signal(p, i)->type == SIGNAL_SET && f->text.len) {
            f->texts = &f->text;
            f->text_count = 1;
        }
        return RESULT_OK;
    }
    f->state = FACT_GIVEN;
    f->probability = 1;
    return take(p, image_signal(p, i), j, value, arena, f);
}

enum result given_parse(const struct policy_image *p, struct slice text, struct arena *arena,
                        const struct fact **out, struct buf *why)
{
    struct json j;
    struct fact *facts = ARENA_ARRAY(arena, struct fact, p->signals.count + 1);
    if (!facts)
        return RESULT_NOMEM;
    enum result r = json_parse(&j, text, &json_limits_default, arena);
    if (r == RESULT_NOMEM)
        return r;
    if (r || json_type(&j, 0) != JSON_OBJECT) {
        buf_printf(why, "not a JSON object of signal values");
        return RESULT_SYNTAX;
    }
    uint32_t at = 0, key, value;
    while (json_member(&j, 0, &at, &key, &value)) {
        struct slice name = json_string(&j, key, arena);
        if (!name.ptr)
            return RESULT_NOMEM;
        int32_t i = image_find_signal(p, name);
        if (i == IMAGE_NONE)
            return no_signal(p, name, arena, why);
        if (facts[i].state != FACT_UNKNOWN) {
            buf_printf(why, "\"%.*s\" stands twice", SLICE_FMT(name));
            return RESULT_DUPLICATE;
        }
        const struct image_signal *s = image_signal(p, i);
        r = take_one(p, i, &j, value, arena, &facts[i]);
        if (r == RESULT_TYPE)
            buf_printf(why, "\"%.*s\" must be %s, or {\"failed\": true}", SLICE_FMT(name),
                       wanted(s->type));
        if (r)
            return r;
    }
    *out = facts;
    return RESULT_OK;
}
