// metadata and header: what the caller says about the request.
//
//   metadata("key")    text: the value in the body's `metadata`; empty when it is absent
//   header("x-name")   text: the value of a request header; empty when it is absent
//
// Asks: the metadata (exact keys) or the headers (names without regard to case; of several equal
// ones the first). Costs: one comparison per entry, at most WORK_METADATA_MAX or WORK_HEADERS_MAX.
// Evidence: none. Limits: both are the caller's word and prove nothing about who asks; use
// caller(...) for that. `authorization`, `proxy-authorization`, `cookie`, `x-api-key` and every
// `x-merit-` name are refused when the policy is compiled: credentials are no signal, and what
// Merit itself writes would be an echo. Cannot fail.
#include "signal/families.h"

enum { HEADER_NAME_MAX = 128 };

static const struct signal_arg_spec metadata_args[] = {
    {.kind = SIGNAL_ARG_STRING, .required = true, .help = "a key of the request's metadata"},
};
static const struct signal_arg_spec header_args[] = {
    {.kind = SIGNAL_ARG_STRING, .required = true, .help = "a header's name"},
};

static enum signal_type type(const struct policy_image *image, const struct image_signal *def)
{
    (void)image;
    (void)def;
    return SIGNAL_TEXT;
}

static bool is_refused(struct slice name)
{
    static const char *const refused[] = {"authorization", "proxy-authorization", "cookie",
                                          "x-api-key"};
    for (size_t i = 0; i < MERIT_COUNT(refused); i++)
        if (slice_ieq(name, slice_cstr(refused[i])))
            return true;
    return name.len >= 8 && slice_ieq(slice_head(name, 8), SLICE("x-merit-"));
}

static bool is_token(struct slice name)
{
    for (size_t i = 0; i < name.len; i++) {
        char c = name.ptr[i];
        bool alnum = (unsigned char)(c - '0') < 10 || (unsigned char)((c | 32) - 'a') < 26;
        if (!alnum && (c == '\0' || !strchr("!#$%&'*+-.^_`|~", c)))
            return false;
    }
    return name.len > 0 && name.len <= HEADER_NAME_MAX;
}

static void check_metadata(const struct policy_image *image, const struct image_signal *def,
                           void (*fail)(void *ctx, uint32_t arg, const char *message), void *ctx)
{
    struct slice key = signal_arg_string(image, def);
    if (key.len == 0 || key.len > WORK_METADATA_KEY_MAX)
        fail(ctx, 0, "a metadata key has 1 to 128 bytes");
}

static void check_header(const struct policy_image *image, const struct image_signal *def,
                         void (*fail)(void *ctx, uint32_t arg, const char *message), void *ctx)
{
    struct slice name = signal_arg_string(image, def);
    if (!is_token(name))
        fail(ctx, 0, "not a header name");
    else if (is_refused(name))
        fail(ctx, 0, "credentials and Merit's own headers are no signals");
}

static enum result prepare_key(const struct policy_image *image, const struct image_signal *def,
                               struct arena *arena, const struct signal_load *load, void **state)
{
    (void)load;
    struct slice *key = ARENA_NEW(arena, struct slice);
    if (!key)
        return RESULT_NOMEM;
    *key = signal_arg_string(image, def);
    *state = key;
    return key->len ? RESULT_OK : RESULT_SYNTAX;
}

static enum result prepare_header(const struct policy_image *image, const struct image_signal *def,
                                  struct arena *arena, const struct signal_load *load, void **state)
{
    struct slice name = signal_arg_string(image, def);
    return is_token(name) && !is_refused(name) ? prepare_key(image, def, arena, load, state)
                                               : RESULT_SYNTAX;
}

static enum result compute_metadata(const void *state, struct signal_context *ctx, struct fact *out)
{
    const struct slice *key = state;
    const struct work *w = ctx->work;
    signal_fact_text(out, SLICE_EMPTY);
    for (uint32_t i = 0; i < w->metadata_count; i++)
        if (slice_eq(w->metadata[i].name, *key)) {
            signal_fact_text(out, w->metadata[i].value);
            break;
        }
    return RESULT_OK;
}

static enum result compute_header(const void *state, struct signal_context *ctx, struct fact *out)
{
    const struct slice *name = state;
    const struct work *w = ctx->work;
    signal_fact_text(out, SLICE_EMPTY);
    for (uint32_t i = 0; i < w->header_count; i++)
        if (slice_ieq(w->headers[i].name, *name)) {
            signal_fact_text(out, w->headers[i].value);
            break;
        }
    return RESULT_OK;
}

const struct signal_family signal_metadata = {
    .name = "metadata",
    .summary = "a value of the request's metadata",
    .cost = SIGNAL_COST_FREE,
    .args = metadata_args,
    .arg_count = MERIT_COUNT(metadata_args),
    .type = type,
    .check = check_metadata,
    .prepare = prepare_key,
    .compute = compute_metadata,
};

const struct signal_family signal_header = {
    .name = "header",
    .summary = "a header of the request",
    .cost = SIGNAL_COST_FREE,
    .args = header_args,
    .arg_count = MERIT_COUNT(header_args),
    .type = type,
    .check = check_header,
    .prepare = prepare_header,
    .compute = compute_header,
};
