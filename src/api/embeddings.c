#include "api/embeddings.h"

#include <math.h>

#include "api/attempt.h"
#include "api/waiting.h"
#include "base/alloc.h"
#include "path/answer_error.h"

struct embeddings {
    struct slice *inputs;
    uint32_t count, done; // done: embedded and written
    uint32_t dim;         // of the encoder
    uint32_t dimensions;  // of the answer
    bool base64;
    struct trunk_ask ask; // of the step under way
    float *vector;        // [dim]
    uint64_t tokens, cpu_us;
    struct buf answer;
};

static const struct trunk_service *service_of(const struct request *r)
{
    return r->epoch->serving->decider.trunk;
}

// What was read is paid for, whatever came of it.
static void settle(struct request *r, enum ledger_end end, const char *reason)
{
    const struct embeddings *e = r->embeddings;
    if (e)
        account_settle_local(r, end, e->tokens, e->cpu_us, reason);
}

static void reject(struct request *r, const struct api_error *e, enum metrics_reject reason)
{
    struct gateway *g = r->g;
    settle(r, LEDGER_FAILED, e->code);
    metric_add(&g->metrics->in_flight, (uint64_t)-1);
    request_reject(r->x, g, e, reason);
}

static void bad_request(struct request *r, const char *code, const char *param,
                        struct slice message)
{
    reject(r,
           &(struct api_error){.status = 400,
                               .type = "invalid_request_error",
                               .code = code,
                               .param = param,
                               .message = message,
                               .final = true},
           METRICS_REJECT_BAD_REQUEST);
}

static void no_memory(struct request *r)
{
    reject(r, &request_error_no_memory, METRICS_REJECT_OVERLOAD);
}

// --- reading the request

static void no_such_model(struct request *r, struct slice asked)
{
    const struct trunk_service *t = service_of(r);
    struct slice message;
    if (t && t->dim[TRUNK_EMBED])
        message =
            arena_printf(r->x->arena,
                         "The embedding model \"%.*s\" is not here; \"%.*s\" is, and \"embed\" "
                         "names it too.",
                         SLICE_FMT(slice_head(asked, 200)), SLICE_FMT(t->name[TRUNK_EMBED]));
    else
        message = SLICE("No embedding model is installed here; `merit model pull "
                        "all-minilm-l6-v2` gets one, and the next start of Merit serves it.");
    reject(r,
           &(struct api_error){.status = 404,
                               .type = "invalid_request_error",
                               .code = "model_not_found",
                               .param = "model",
                               .message = message,
                               .final = true},
           METRICS_REJECT_MODEL);
}

static bool is_local(const struct request *r, struct slice name)
{
    const struct trunk_service *t = service_of(r);
    return t && t->dim[TRUNK_EMBED] &&
           (slice_eq(name, t->name[TRUNK_EMBED]) || slice_eq(name, SLICE("embed")));
}

// The input as texts. False: it was answered.
static bool read_texts(struct request *r, struct embeddings *e, const struct json *j,
                       uint32_t input)
{
    struct arena *arena = r->x->arena;
    bool one = input != JSON_NONE && json_type(j, input) == JSON_STRING;
    uint32_t at = 0, value, n = 0;
    if (!one && (input == JSON_NONE || json_type(j, input) != JSON_ARRAY)) {
        bad_request(r, "invalid_input", "input",
                    SLICE("\"input\" is to be a string or an array of strings."));
        return false;
    }
    if (!(e->inputs = ARENA_ARRAY(arena, struct slice, EMBEDDINGS_INPUTS_MAX))) {
        no_memory(r);
        return false;
    }
    while (one ? n == 0 : json_element(j, input, &at, &value)) {
        if (one)
            value = input;
        if (n == EMBEDDINGS_INPUTS_MAX) {
            bad_request(
                r, "too_many_inputs", "input",
                SLICE("\"input\" holds more than 2048 texts; send them in several requests."));
            return false;
        }
        if (json_type(j, value) == JSON_NUMBER || json_type(j, value) == JSON_ARRAY) {
            bad_request(r, "token_input_unsupported", "input",
                        SLICE("\"input\" holds token ids. They are another tokenizer's than this "
                              "model's, so send the text itself (LangChain: "
                              "check_embedding_ctx_length=False)."));
            return false;
        }
        struct slice text =
            json_type(j, value) == JSON_STRING ? json_string(j, value, arena) : SLICE_EMPTY;
        if (json_type(j, value) == JSON_STRING && !text.ptr) {
            no_memory(r);
            return false;
        }
        if (!text.len || text.len > EMBEDDINGS_TEXT_BYTES_MAX) {
            struct slice why = arena_printf(arena, "\"input\" %u %s.", n,
                                            !text.len ? "is empty or no string"
                                                      : "is longer than 131072 bytes; cut it");
            bad_request(r, text.len ? "context_length_exceeded" : "invalid_input", "input", why);
            return false;
        }
        e->inputs[n++] = text;
    }
    if (!n)
        bad_request(r, "invalid_input", "input", SLICE("\"input\" holds no text."));
    e->count = n;
    return n > 0;
}

// False: it was answered.
static bool read_options(struct request *r, struct embeddings *e, const struct json *j)
{
    uint32_t format = json_get(j, 0, SLICE("encoding_format"), NULL);
    uint32_t dimensions = json_get(j, 0, SLICE("dimensions"), NULL);
    uint64_t d = e->dim;
    if (format != JSON_NONE && json_type(j, format) != JSON_NULL) {
        e->base64 =
            json_type(j, format) == JSON_STRING && json_string_is(j, format, SLICE("base64"));
        if (!e->base64 &&
            !(json_type(j, format) == JSON_STRING && json_string_is(j, format, SLICE("float")))) {
            bad_request(r, "invalid_encoding_format", "encoding_format",
                        SLICE("\"encoding_format\" is \"float\" or \"base64\"."));
            return false;
        }
    }
    if (dimensions != JSON_NONE && json_type(j, dimensions) != JSON_NULL &&
        (json_u64(j, dimensions, &d) || !d || d > e->dim)) {
        bad_request(
            r, "invalid_dimensions", "dimensions",
            arena_printf(r->x->arena, "\"dimensions\" is a whole number from 1 to %u.", e->dim));
        return false;
    }
    e->dimensions = (uint32_t)d;
    return true;
}

// --- writing the answer

static void write_base64(struct buf *out, const unsigned char *p, size_t n)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    char *to = buf_reserve(out, (n + 2) / 3 * 4);
    if (!to)
        return;
    for (size_t i = 0; i < n; i += 3) {
        size_t have = n - i < 3 ? n - i : 3;
        uint32_t v = (uint32_t)p[i] << 16 | (have > 1 ? (uint32_t)p[i + 1] << 8 : 0) |
                     (have > 2 ? (uint32_t)p[i + 2] : 0);
        *to++ = digits[v >> 18];
        *to++ = digits[v >> 12 & 63];
        *to++ = have > 1 ? digits[v >> 6 & 63] : '=';
        *to++ = have > 2 ? digits[v & 63] : '=';
    }
    out->len += (n + 2) / 3 * 4;
}

// The mean of a text's windows, cut to the wanted length, of length 1. False when there are none.
static bool mean_of(const struct embeddings *e, const struct trunk_answer *a, uint32_t text,
                    uint32_t *window, float *out)
{
    uint32_t n = 0;
    double square = 0;
    memset(out, 0, e->dim * sizeof *out);
    for (; *window < a->window_count && a->windows[*window].text == text; ++*window, n++)
        for (uint32_t i = 0; i < e->dimensions; i++)
            out[i] += a->windows[*window].vector[i];
    for (uint32_t i = 0; i < e->dimensions; i++)
        square += (double)out[i] * (double)out[i];
    for (uint32_t i = 0; i < e->dimensions && square > 0; i++)
        out[i] = (float)((double)out[i] / sqrt(square));
    return n > 0;
}

static void write_vector(struct embeddings *e, uint32_t index)
{
    struct buf *out = &e->answer;
    BUF_LIT(out, "{\"object\":\"embedding\",\"index\":");
    buf_u64(out, index);
    BUF_LIT(out, ",\"embedding\":");
    if (e->base64) {
        // Little-endian f32, as numpy reads it on every machine that Merit runs on.
        buf_byte(out, '"');
        write_base64(out, (const unsigned char *)e->vector, e->dimensions * sizeof *e->vector);
        buf_byte(out, '"');
    } else {
        buf_byte(out, '[');
        // Nine decimals hold all that a component of a vector of length 1 has to say.
        for (uint32_t i = 0; i < e->dimensions; i++) {
            if (i)
                buf_byte(out, ',');
            buf_nano(out, (int64_t)lround((double)e->vector[i] * 1e9));
        }
        buf_byte(out, ']');
    }
    buf_byte(out, '}');
}

static void finish(struct request *r)
{
    struct embeddings *e = r->embeddings;
    const struct trunk_service *t = service_of(r);
    struct metrics_shard *m = r->g->metrics;
    BUF_LIT(&e->answer, "],\"model\":");
    json_write_string(&e->answer, t->name[TRUNK_EMBED]);
    buf_printf(&e->answer, ",\"usage\":{\"prompt_tokens\":%llu,\"total_tokens\":%llu}}",
               (unsigned long long)e->tokens, (unsigned long long)e->tokens);
    if (buf_result(&e->answer)) {
        no_memory(r);
        return;
    }
    metric_add(&m->embedded_texts, e->count);
    metric_add(&m->embedded_tok, e->tokens);
    settle(r, LEDGER_ANSWERED, "");
    struct http_header headers[PATH_HEADERS_MAX] = {
        {SLICE("content-type"), SLICE("application/json")}};
    size_t n = 1;
    account_headers(r, NULL, headers, &n);
    request_end(r, METRICS_ANSWERED, NULL, 200);
    http_respond(r->x, 200, headers, n, buf_slice(&e->answer));
}

// --- steps

static void next_step(struct request *r);

static void step_failed(struct request *r, enum result why)
{
    struct api_error e = {.status = 503,
                          .type = "server_error",
                          .code = "encoder_busy",
                          .retry_after_s = 1,
                          .message =
                              SLICE("More texts wait for the encoder than it may queue; send "
                                    "fewer at a time, or later.")};
    if (why == RESULT_NOMEM) {
        no_memory(r);
        return;
    }
    if (why == RESULT_TIMEOUT) {
        e.code = "encoder_timeout";
        e.message = SLICE("The encoder did not get to it in time.");
    } else if (why != RESULT_LIMIT) {
        e.code = "encoder_failed";
        e.message = SLICE("The encoder could not read it.");
    }
    reject(r, &e, METRICS_REJECT_OVERLOAD);
}

static void on_step(struct request *r, enum result why)
{
    struct embeddings *e = r->embeddings;
    const struct trunk_answer *a = &e->ask.answer;
    uint32_t window = 0;
    if (!why)
        why = a->result;
    if (why) {
        step_failed(r, why);
        return;
    }
    e->cpu_us += r->waited_us;
    for (uint32_t i = 0; i < e->ask.count; i++) {
        if (!mean_of(e, a, i, &window, e->vector)) {
            bad_request(
                r, "invalid_input", "input",
                arena_printf(r->x->arena, "\"input\" %u holds nothing but white space.", e->done));
            return;
        }
        if (e->done)
            buf_byte(&e->answer, ',');
        write_vector(e, e->done++);
        e->tokens += a->text_tok ? a->text_tok[i] : 0;
    }
    next_step(r);
}

// How many texts go to the pool together from `at` on.
static uint32_t step_texts(const struct embeddings *e, uint32_t at)
{
    uint32_t n = 0;
    uint64_t bytes = 0;
    while (at + n < e->count && n < EMBEDDINGS_STEP_TEXTS) {
        bytes += e->inputs[at + n].len;
        if (n && bytes > 4 * EMBEDDINGS_STEP_TOK)
            break;
        n++;
    }
    return n;
}

static void next_step(struct request *r)
{
    struct embeddings *e = r->embeddings;
    if (e->done == e->count) {
        finish(r);
        return;
    }
    uint32_t n = step_texts(e, e->done);
    e->ask = (struct trunk_ask){
        .model = TRUNK_EMBED, .reading = TRUNK_WHOLE, .texts = e->inputs + e->done, .count = n};
    enum result res = waiting_begin(r, &e->ask, EMBEDDINGS_DEADLINE_MS, on_step);
    if (res)
        step_failed(r, res);
}

// Whether the budgets bear it; false: it was answered.
static bool reserve(struct request *r)
{
    struct embeddings *e = r->embeddings;
    uint64_t bytes = 0, steps = 0;
    for (uint32_t i = 0; i < e->count; i++)
        bytes += e->inputs[i].len;
    for (uint32_t at = 0; at < e->count; at += step_texts(e, at))
        steps++;
    enum result res = account_begin(r);
    if (!res) {
        account_decided(r);
        res = account_reserve_local(r, service_of(r)->name[TRUNK_EMBED], bytes, e->count,
                                    steps * EMBEDDINGS_DEADLINE_MS);
    }
    if (!res)
        return true;
    if (res == RESULT_LIMIT) {
        struct api_error refused;
        account_refuse(r, &refused);
        request_refuse(r, &refused, METRICS_REFUSED);
    } else {
        no_memory(r);
    }
    return false;
}

void embeddings_begin(struct request *r)
{
    struct arena *arena = r->x->arena;
    struct json j;
    enum result res = json_parse(&j, r->x->body, &json_limits_default, arena);
    if (res == RESULT_NOMEM) {
        no_memory(r);
        return;
    }
    if (res || json_type(&j, 0) != JSON_OBJECT) {
        bad_request(r, "invalid_json", NULL, SLICE("The body is no JSON object."));
        return;
    }
    uint32_t model = json_get(&j, 0, SLICE("model"), NULL);
    struct slice name = model != JSON_NONE && json_type(&j, model) == JSON_STRING
                            ? json_string(&j, model, arena)
                            : SLICE_EMPTY;
    if (!is_local(r, name)) {
        if (r->model != IMAGE_NONE)
            attempt_pass(r, r->model);
        else
            no_such_model(r, name);
        return;
    }
    r->model = r->pass = IMAGE_NONE;
    struct embeddings *e = ARENA_NEW(arena, struct embeddings);
    if (e) {
        e->dim = service_of(r)->dim[TRUNK_EMBED];
        e->vector = ARENA_ARRAY(arena, float, e->dim);
    }
    if (!e || !e->vector) {
        no_memory(r);
        return;
    }
    if (!read_options(r, e, &j) || !read_texts(r, e, &j, json_get(&j, 0, SLICE("input"), NULL)))
        return;
    buf_init(&e->answer, EMBEDDINGS_ANSWER_MAX);
    BUF_LIT(&e->answer, "{\"object\":\"list\",\"data\":[");
    r->embeddings = e;
    if (!reserve(r))
        return;
    metric_add(&r->g->metrics->embeddings, 1);
    next_step(r);
}

void embeddings_client_gone(struct request *r)
{
    waiting_drop(r);
    settle(r, LEDGER_GONE, "client_gone");
    request_end(r, METRICS_GONE, NULL, 0);
}

void embeddings_close(struct request *r)
{
    if (r->embeddings) {
        settle(r, LEDGER_GONE, "client_gone");
        buf_deinit(&r->embeddings->answer);
    }
    r->embeddings = NULL;
}
