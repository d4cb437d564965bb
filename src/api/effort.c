#include "api/effort.h"

static const struct slice EFFORTS[IMAGE_EFFORT_COUNT_] = {
    [IMAGE_EFFORT_OFF] = {"\"none\"", 6},
    [IMAGE_EFFORT_LOW] = {"\"low\"", 5},
    [IMAGE_EFFORT_MEDIUM] = {"\"medium\"", 8},
    [IMAGE_EFFORT_HIGH] = {"\"high\"", 6},
};

// What the client asks for, as far as the policy has a word for it.
enum image_effort effort_asked(const struct request *r)
{
    const struct openai_request *o = &r->openai;
    if (o->reasoning_effort == JSON_NONE || json_type(&o->json, o->reasoning_effort) != JSON_STRING)
        return IMAGE_EFFORT_DEFAULT;
    for (int i = 0; i < IMAGE_EFFORT_COUNT_; i++)
        if (EFFORTS[i].len && json_string_is(&o->json, o->reasoning_effort,
                                             slice_make(EFFORTS[i].ptr + 1, EFFORTS[i].len - 2)))
            return (enum image_effort)i;
    return IMAGE_EFFORT_DEFAULT;
}

enum result effort_edit(struct request *r, struct json_edits *e)
{
    const struct openai_request *o = &r->openai;
    struct slice value = EFFORTS[r->decision->effort];
    if (r->decision->effort_dropped && o->reasoning_effort != JSON_NONE)
        return json_edit_remove(e, &o->json, 0, o->reasoning_effort_key);
    if (!value.len)
        return RESULT_OK;
    if (o->reasoning_effort != JSON_NONE)
        return json_edit_value(e, &o->json, o->reasoning_effort, value);
    struct slice member = arena_printf(r->x->arena, "\"reasoning_effort\":%.*s", SLICE_FMT(value));
    return member.ptr ? json_edit_member(e, &o->json, 0, member) : RESULT_NOMEM;
}
