#include "api/effort.h"

static const struct slice EFFORTS[IMAGE_EFFORT_COUNT_] = {
    [IMAGE_EFFORT_OFF] = {"\"none\"", 6},
    [IMAGE_EFFORT_LOW] = {"\"low\"", 5},
    [IMAGE_EFFORT_MEDIUM] = {"\"medium\"", 8},
    [IMAGE_EFFORT_HIGH] = {"\"high\"", 6},
};

static bool is_asked(const struct openai_request *o)
{
    return o->reasoning_effort != JSON_NONE &&
           json_type(&o->json, o->reasoning_effort) != JSON_NULL;
}

enum image_effort effort_asked(const struct openai_request *o)
{
    if (o->reasoning_effort == JSON_NONE || json_type(&o->json, o->reasoning_effort) != JSON_STRING)
        return IMAGE_EFFORT_DEFAULT;
    for (int i = 0; i < IMAGE_EFFORT_COUNT_; i++)
        if (EFFORTS[i].len && json_string_is(&o->json, o->reasoning_effort,
                                             slice_make(EFFORTS[i].ptr + 1, EFFORTS[i].len - 2)))
            return (enum image_effort)i;
    return IMAGE_EFFORT_DEFAULT;
}

// Gives a member of an object its value, wherever and however often it stands there: an upstream may read the first or the
// last of them.
static enum result put(struct json_edits *e, const struct json *j, uint32_t object,
                       struct slice name, struct slice value, struct arena *arena)
{
    uint32_t at = 0, key, old;
    bool found = false;
    enum result r = RESULT_OK;
    while (!r && json_member(j, object, &at, &key, &old)) {
        if (!json_string_is(j, key, name))
            continue;
        r = found ? json_edit_remove(e, j, object, key) : json_edit_value(e, j, old, value);
        found = true;
    }
    if (r || found)
        return r;
    struct buf b;
    buf_init(&b, 64 * 1024);
    json_write_string(&b, name);
    buf_byte(&b, ':');
    buf_add(&b, value);
    struct slice member = buf_result(&b) ? SLICE_EMPTY : arena_copy(arena, buf_slice(&b));
    buf_deinit(&b);
    return member.ptr ? json_edit_member(e, j, object, member) : RESULT_NOMEM;
}

// What Merit itself writes or reads is no knob.
static bool is_merits(struct slice name)
{
    static const char *const names[] = {"model",      "messages",
                                        "stream",     "stream_options",
                                        "max_tokens", "max_completion_tokens",
                                        "n",          "reasoning_effort",
                                        "n_predict"};
    for (size_t i = 0; i < MERIT_COUNT(names); i++)
        if (slice_eq_cstr(name, names[i]))
            return true;
    return false;
}

static enum result take_out(const struct openai_request *o, struct json_edits *e)
{
    return o->reasoning_effort == JSON_NONE
               ? RESULT_OK
               : json_edit_remove(e, &o->json, 0, o->reasoning_effort_key);
}

static enum result by_word(const struct openai_request *o, enum image_effort effort,
                           struct json_edits *e, struct arena *arena)
{
    struct slice value = EFFORTS[effort];
    if (!value.len) // `on`: as the model is by itself
        return take_out(o, e);
    if (o->reasoning_effort != JSON_NONE)
        return json_edit_value(e, &o->json, o->reasoning_effort, value);
    struct slice member = arena_printf(arena, "\"reasoning_effort\":%.*s", SLICE_FMT(value));
    return member.ptr ? json_edit_member(e, &o->json, 0, member) : RESULT_NOMEM;
}

static enum result by_template(const struct openai_request *o, struct slice name, bool on,
                               struct json_edits *e, struct arena *arena)
{
    struct slice value = on ? SLICE("true") : SLICE("false");
    uint32_t kwargs = o->template_kwargs;
    if (kwargs != JSON_NONE && json_type(&o->json, kwargs) == JSON_OBJECT)
        return put(e, &o->json, kwargs, name, value, arena);
    struct buf b;
    buf_init(&b, 64 * 1024);
    buf_byte(&b, '{');
    json_write_string(&b, name);
    buf_byte(&b, ':');
    buf_add(&b, value);
    buf_byte(&b, '}');
    struct slice whole = buf_result(&b) ? SLICE_EMPTY : arena_copy(arena, buf_slice(&b));
    buf_deinit(&b);
    return whole.ptr ? put(e, &o->json, 0, SLICE("chat_template_kwargs"), whole, arena)
                     : RESULT_NOMEM;
}

static enum result by_budget(const struct openai_request *o, struct slice name, uint32_t tok,
                             struct json_edits *e, struct arena *arena)
{
    struct slice value = arena_printf(arena, "%u", tok);
    if (!value.ptr)
        return RESULT_NOMEM;
    return put(e, &o->json, 0, name.len ? name : SLICE("thinking_budget"), value, arena);
}

enum result effort_edit(const struct openai_request *o, const struct policy_image *p,
                        const struct image_model *m, enum image_effort chosen, bool dropped,
                        struct json_edits *e, struct arena *arena)
{
    enum image_effort effort = chosen;
    if (effort == IMAGE_EFFORT_DEFAULT) {
        if (!is_asked(o))
            return RESULT_OK;
        if (dropped)
            return take_out(o, e);
        if (!(m->efforts & ~(1u << IMAGE_EFFORT_DEFAULT)))
            return RESULT_OK; // nothing is known of it
        effort = effort_asked(o);
        if (effort == IMAGE_EFFORT_DEFAULT || !(m->efforts >> effort & 1))
            return take_out(o, e);
        if (m->knob == IMAGE_KNOB_REASONING_EFFORT)
            return RESULT_OK; // as the client wrote it
    }
    if (m->knob == IMAGE_KNOB_REASONING_EFFORT)
        return by_word(o, effort, e, arena);
    enum result r = take_out(o, e);
    if (r)
        return r;
    struct slice name = image_text(p, m->knob_name);
    if (m->knob == IMAGE_KNOB_THINKING && is_merits(name))
        return RESULT_OK;
    if (m->knob == IMAGE_KNOB_TEMPLATE)
        return by_template(o, name.len ? name : SLICE("enable_thinking"),
                           effort != IMAGE_EFFORT_OFF, e, arena);
    // A model that thinks as much as it wants when nothing is said.
    if (effort != IMAGE_EFFORT_OFF && !m->thinking_tok[effort])
        return RESULT_OK;
    return by_budget(o, name, effort == IMAGE_EFFORT_OFF ? 0 : m->thinking_tok[effort], e, arena);
}
