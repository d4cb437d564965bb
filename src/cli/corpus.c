#include "cli/corpus.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "cli/given.h"
#include "text/json.h"

static enum result take_text(const struct json *j, uint32_t value, const char *name,
                             struct arena *arena, struct slice *out, struct buf *why)
{
    if (json_type(j, value) != JSON_STRING) {
        buf_printf(why, "\"%s\" must be a string", name);
        return RESULT_TYPE;
    }
    *out = json_string(j, value, arena);
    return out->ptr ? RESULT_OK : RESULT_NOMEM;
}

static enum result unknown(const char *where, struct slice name, struct buf *why)
{
    buf_printf(why, "%s has no member \"%.*s\"", where, SLICE_FMT(name));
    return RESULT_NOT_FOUND;
}

static enum result take_expect(const struct json *j, uint32_t object, struct arena *arena,
                               struct corpus_line *l, struct buf *why)
{
    uint32_t at = 0, key, value, n = 0;
    if (json_type(j, object) != JSON_OBJECT) {
        buf_printf(why, "\"expect\" must be an object");
        return RESULT_TYPE;
    }
    for (; json_member(j, object, &at, &key, &value); n++) {
        enum result r = RESULT_OK;
        if (json_string_is(j, key, SLICE("route"))) {
            r = take_text(j, value, "route", arena, &l->route, why);
        } else if (json_string_is(j, key, SLICE("model"))) {
            r = take_text(j, value, "model", arena, &l->model, why);
        } else if (json_string_is(j, key, SLICE("zone"))) {
            r = take_text(j, value, "zone", arena, &l->zone, why);
        } else if (json_string_is(j, key, SLICE("refuse"))) {
            enum json_type t = json_type(j, value);
            if (t != JSON_TRUE && t != JSON_FALSE) {
                buf_printf(why, "\"refuse\" must be true or false");
                return RESULT_TYPE;
            }
            l->says_refuse = true;
            l->refuse = t == JSON_TRUE;
        } else {
            r = unknown("\"expect\"", json_raw(j, key), why);
        }
        if (r)
            return r;
    }
    if (n == 0)
        buf_printf(why, "\"expect\" says nothing");
    return n ? RESULT_OK : RESULT_TYPE;
}

// Names that the policy does not have would never agree: that is a mistake of the corpus.
static enum result check_names(const struct policy_image *p, const struct corpus_line *l,
                               struct buf *why)
{
    const struct image_zone *zones = IMAGE_AT(p, p->zones, struct image_zone);
    bool zone = l->zone.len == 0;
    for (uint32_t i = 0; i < p->zones.count; i++)
        zone |= slice_eq(image_text(p, zones[i].name), l->zone);
    if (l->route.len && image_find_route(p, l->route) < 0)
        buf_printf(why, "the policy has no route \"%.*s\"", SLICE_FMT(l->route));
    else if (l->model.len && image_find_model(p, l->model) < 0)
        buf_printf(why, "the policy has no model \"%.*s\"", SLICE_FMT(l->model));
    else if (!zone)
        buf_printf(why, "the policy has no zone \"%.*s\"", SLICE_FMT(l->zone));
    return why->len ? RESULT_NOT_FOUND : RESULT_OK;
}

static enum result take_line(const struct policy_image *p, struct slice text, bool need_expect,
                             struct arena *arena, struct corpus_line *l, struct buf *why)
{
    struct json j;
    uint32_t at = 0, key, value;
    bool expects = false;
    enum result r = json_parse(&j, text, &json_limits_default, arena);
    if (r == RESULT_NOMEM)
        return r;
    if (r || json_type(&j, 0) != JSON_OBJECT) {
        buf_printf(why, "not a JSON object");
        return RESULT_SYNTAX;
    }
    while (!r && json_member(&j, 0, &at, &key, &value)) {
        bool twice = false;
        struct slice name = json_raw(&j, key);
        json_get(&j, 0, name, &twice);
        if (twice) {
            buf_printf(why, "\"%.*s\" stands twice", SLICE_FMT(name));
            r = RESULT_DUPLICATE;
        } else if (json_string_is(&j, key, SLICE("user"))) {
            r = take_text(&j, value, "user", arena, &l->user, why);
        } else if (json_string_is(&j, key, SLICE("given"))) {
            struct slice given = slice_make(text.ptr + json_begin(&j, value),
                                            json_end(&j, value) - json_begin(&j, value));
            r = given_parse(p, given, arena, &l->given, why);
        } else if (json_string_is(&j, key, SLICE("expect"))) {
            expects = true;
            r = take_expect(&j, value, arena, l, why);
        } else {
            r = unknown("a line", name, why);
        }
    }
    if (!r && need_expect && !expects) {
        buf_printf(why, "\"expect\" is missing");
        r = RESULT_NOT_FOUND;
    }
    return r ? r : check_names(p, l, why);
}

enum result corpus_next(const struct policy_image *image, struct slice *rest, uint32_t *line,
                        bool need_expect, struct arena *arena, struct corpus_line *out,
                        struct buf *why)
{
    struct slice text;
    buf_reset(why);
    while (rest->ptr && rest->len && slice_split(rest, '\n', &text)) {
        if (++*line > CORPUS_LINES_MAX) {
            buf_printf(why, "more than %d lines", CORPUS_LINES_MAX);
            return RESULT_LIMIT;
        }
        if (text.len > CORPUS_LINE_MAX) {
            buf_printf(why, "longer than %d bytes", CORPUS_LINE_MAX);
            return RESULT_LIMIT;
        }
        if (text.len && text.ptr[text.len - 1] == '\r')
            text.len--;
        text = slice_trim(text);
        if (text.len == 0 || text.ptr[0] == '#')
            continue;
        *out = (struct corpus_line){.line = *line};
        return take_line(image, text, need_expect, arena, out, why);
    }
    return RESULT_EOF;
}

bool corpus_agrees(const struct corpus_line *l, const struct decision *d, struct buf *why)
{
    const struct policy_image *p = d->image;
    const struct image_zone *zones = IMAGE_AT(p, p->zones, struct image_zone);
    struct slice none = SLICE("none");
    struct slice route = d->route >= 0 ? image_text(p, image_route(p, d->route)->name) : none;
    const struct image_model *m = d->model >= 0 ? image_model(p, d->model) : NULL;
    struct slice model = m ? image_text(p, m->name) : none;
    struct slice zone = m && m->zone >= 0 ? image_text(p, zones[m->zone].name) : none;
    bool refused = d->end != DECISION_ANSWER;
    buf_reset(why);
    if (l->route.len && !slice_eq(l->route, route))
        buf_printf(why, "route %.*s, not %.*s", SLICE_FMT(route), SLICE_FMT(l->route));
    else if (l->says_refuse && l->refuse != refused)
        buf_printf(why, refused ? "refused" : "answered by %.*s, not refused", SLICE_FMT(model));
    else if (l->model.len && !slice_eq(l->model, model))
        buf_printf(why, "model %.*s, not %.*s", SLICE_FMT(model), SLICE_FMT(l->model));
    else if (l->zone.len && !slice_eq(l->zone, zone))
        buf_printf(why, "zone %.*s, not %.*s", SLICE_FMT(zone), SLICE_FMT(l->zone));
    return why->len == 0;
}

enum result corpus_read(const char *policy, struct slice path, struct buf *out)
{
    char folder[PATH_MAX], file[PATH_MAX], real[PATH_MAX];
    char *end;
    if (!policy || !strcmp(policy, "-") || path.len == 0 || path.ptr[0] == '/' ||
        memchr(path.ptr, 0, path.len))
        return RESULT_DENIED;
    if (!realpath(policy, folder))
        return RESULT_NOT_FOUND;
    end = strrchr(folder, '/');
    size_t n = (size_t)(end + 1 - folder); // with the slash
    if (n + path.len >= sizeof file)
        return RESULT_LIMIT;
    memcpy(file, folder, n);
    memcpy(file + n, path.ptr, path.len);
    file[n + path.len] = '\0';
    if (!realpath(file, real))
        return RESULT_NOT_FOUND;
    if (strncmp(real, folder, n) != 0)
        return RESULT_DENIED;
    return file_read(real, out);
}
