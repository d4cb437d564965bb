#include "sim/script.h"

// 20ms or 2s, at most an hour.
static bool duration(struct slice s, uint32_t *ms)
{
    uint64_t factor = 1, v;
    if (slice_ends_with(s, SLICE("ms")))
        s.len -= 2;
    else if (slice_ends_with(s, SLICE("s")))
        s.len -= 1, factor = 1000;
    else
        return false;
    if (!slice_u64(s, &v) || v * factor > 3600000)
        return false;
    *ms = (uint32_t)(v * factor);
    return true;
}

static bool number(struct slice s, uint64_t most, uint32_t *out)
{
    uint64_t v;
    if (!slice_u64(s, &v) || v > most)
        return false;
    *out = (uint32_t)v;
    return true;
}

static bool valued(struct sim_directive *d, struct slice name, struct slice value, uint32_t **after)
{
    if (slice_eq_cstr(name, "status"))
        return number(value, 599, &d->status) && d->status >= 200;
    if (slice_eq_cstr(name, "retry-after"))
        return number(value, 86400, &d->retry_after_s);
    if (slice_eq_cstr(name, "delay"))
        return duration(value, &d->delay_ms);
    if (slice_eq_cstr(name, "slow"))
        return duration(value, &d->slow_ms);
    if (slice_eq_cstr(name, "headers"))
        return number(value, 256 * 1024, &d->header_bytes);
    if (slice_eq_cstr(name, "tokens"))
        return number(value, SIM_OUTPUT_MAX, &d->tokens);
    if (slice_eq_cstr(name, "times"))
        return number(value, 1000000, &d->times);
    if (slice_eq_cstr(name, "port"))
        return number(value, 65535, &d->port);
    if (slice_eq_cstr(name, "type"))
        return (d->type = value).len > 0;
    if (slice_eq_cstr(name, "model"))
        return (d->model = value).len > 0;
    if (slice_eq_cstr(name, "after") && *after)
        return number(value, SIM_OUTPUT_MAX, *after);
    return false;
}

static bool bare(struct sim_directive *d, struct slice word, uint32_t **after)
{
    static const char *const stops[] = {"cut", "error", "hang"};
    uint32_t *places[] = {&d->cut_after, &d->error_after, &d->hang_after};
    for (size_t i = 0; i < MERIT_COUNT(stops); i++) {
        if (slice_eq_cstr(word, stops[i])) {
            *places[i] = 0;
            *after = places[i];
            return true;
        }
    }
    static const char *const switches[] = {"garbage", "empty", "no-done", "no-usage"};
    bool *flags[] = {&d->garbage, &d->empty, &d->no_done, &d->no_usage};
    for (size_t i = 0; i < MERIT_COUNT(switches); i++) {
        if (slice_eq_cstr(word, switches[i]))
            return *flags[i] = true;
    }
    return false;
}

enum result sim_directive_parse(struct slice text, struct sim_directive *out, struct slice *bad)
{
    *out = (struct sim_directive){
        .text = text,
        .status = UINT32_MAX,
        .retry_after_s = UINT32_MAX,
        .delay_ms = UINT32_MAX,
        .slow_ms = UINT32_MAX,
        .header_bytes = UINT32_MAX,
        .tokens = UINT32_MAX,
        .times = UINT32_MAX,
        .port = UINT32_MAX,
        .cut_after = UINT32_MAX,
        .error_after = UINT32_MAX,
        .hang_after = UINT32_MAX,
    };
    uint32_t *after = NULL;
    struct slice word;
    while (slice_split(&text, ' ', &word)) {
        if (!word.len)
            continue;
        struct slice value = word, name;
        slice_split(&value, '=', &name);
        bool ok = value.ptr ? valued(out, name, value, &after) : bare(out, word, &after);
        if (!ok) {
            *bad = word;
            return RESULT_SYNTAX;
        }
    }
    return RESULT_OK;
}
