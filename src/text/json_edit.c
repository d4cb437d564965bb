#include <assert.h>

#include "text/json.h"

enum { EDIT_MEMBER, EDIT_VALUE, EDIT_REMOVE };

static struct json_edit *add(struct json_edits *e, uint8_t kind)
{
    uint32_t places = kind == EDIT_MEMBER ? 2 : 1;
    for (uint32_t i = 0; i < e->count; i++)
        places += e->items[i].kind == EDIT_MEMBER ? 2 : 1;
    if (places > JSON_EDITS_MAX)
        return NULL;
    struct json_edit *edit = &e->items[e->count++];
    *edit = (struct json_edit){.kind = kind};
    return edit;
}

enum result json_edit_value(struct json_edits *e, const struct json *j, uint32_t value,
                            struct slice with)
{
    assert(value < j->count && !j->tokens[value].is_key);
    struct json_edit *edit = add(e, EDIT_VALUE);
    if (!edit)
        return RESULT_LIMIT;
    edit->at = json_begin(j, value);
    edit->remove = json_end(j, value) - edit->at;
    edit->insert = with;
    return RESULT_OK;
}

enum result json_edit_member(struct json_edits *e, const struct json *j, uint32_t object,
                             struct slice member)
{
    assert(object < j->count && json_type(j, object) == JSON_OBJECT);
    struct json_edit *edit = add(e, EDIT_MEMBER);
    if (!edit)
        return RESULT_LIMIT;
    edit->object = object;
    edit->at = j->tokens[object].at + 1;
    edit->insert = member;
    edit->comma = j->tokens[object].next > object + 1;
    return RESULT_OK;
}

enum result json_edit_remove(struct json_edits *e, const struct json *j, uint32_t object,
                             uint32_t key)
{
    assert(key < j->count && j->tokens[key].is_key);
    struct json_edit *edit = add(e, EDIT_REMOVE);
    if (!edit)
        return RESULT_LIMIT;
    uint32_t at = 0, name, value;
    edit->object = object;
    while (json_member(j, object, &at, &name, &value) && name != key)
        edit->prev_end = json_end(j, value);
    assert(name == key);
    // A member owns the comma before it; only the first has none.
    uint32_t end = json_end(j, key + 1), next = j->tokens[key + 1].next;
    edit->at = edit->prev_end ? edit->prev_end : json_begin(j, key);
    edit->remove = end - edit->at;
    edit->next_at = next < j->tokens[object].next ? json_begin(j, next) : 0;
    return RESULT_OK;
}

static bool before(const struct json_edit *a, const struct json_edit *b)
{
    return a->at != b->at ? a->at < b->at : a->kind < b->kind;
}

// Members that are added stand before the removed ones of their object, because of the order of kinds. A member is
// removed with the comma before it. So when the first ones of an object go, the first that stays still has a comma
// before it: it serves what was added, or goes too.
static void settle_commas(struct json_edits *e)
{
    for (uint32_t i = 0; i < e->count; i++) {
        struct json_edit *last = &e->items[i];
        if (last->kind != EDIT_REMOVE || last->prev_end)
            continue;
        bool added = false;
        for (uint32_t k = 0; k < i; k++) {
            struct json_edit *other = &e->items[k];
            if (other->kind == EDIT_MEMBER && other->object == last->object) {
                other->comma = false;
                added = true;
            }
        }
        for (uint32_t k = i + 1; k < e->count; k++) {
            struct json_edit *other = &e->items[k];
            if (other->kind == EDIT_REMOVE && other->object == last->object &&
                other->at == last->at + last->remove)
                last = other;
        }
        if (!added && last->next_at)
            last->remove = last->next_at - last->at;
    }
    for (uint32_t i = 0; i + 1 < e->count; i++) {
        struct json_edit *a = &e->items[i], *b = a + 1;
        if (a->kind == EDIT_MEMBER && b->kind == EDIT_MEMBER && a->object == b->object)
            a->comma = true;
    }
}

uint32_t json_edit_pieces(struct json_edits *e, struct slice text,
                          struct slice pieces[2 * JSON_EDITS_MAX + 1], uint64_t *total)
{
    for (uint32_t i = 1; i < e->count; i++) {
        struct json_edit edit = e->items[i];
        uint32_t k = i;
        for (; k > 0 && before(&edit, &e->items[k - 1]); k--)
            e->items[k] = e->items[k - 1];
        e->items[k] = edit;
    }
    settle_commas(e);
    uint32_t count = 0, at = 0;
    *total = 0;
    for (uint32_t i = 0; i <= e->count; i++) {
        const struct json_edit *edit = i < e->count ? &e->items[i] : NULL;
        uint32_t stop = edit ? edit->at : (uint32_t)text.len;
        assert(stop >= at && stop <= text.len);
        if (stop > at)
            pieces[count++] = slice_make(text.ptr + at, stop - at);
        at = stop;
        if (!edit)
            break;
        at += edit->remove;
        if (edit->insert.len)
            pieces[count++] = edit->insert;
        if (edit->comma)
            pieces[count++] = SLICE(",");
    }
    for (uint32_t i = 0; i < count; i++)
        *total += pieces[i].len;
    return count;
}
