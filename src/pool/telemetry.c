#include "pool/telemetry.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "text/json.h"

const char *const telemetry_fault_texts[TELEMETRY_FAULTS] = {
    [TELEMETRY_OK] = "",
    [TELEMETRY_NOT_ASKED] = "nothing was asked for yet",
    [TELEMETRY_UNREACHABLE] = "it cannot be reached",
    [TELEMETRY_SLOW] = "no whole answer came in time",
    [TELEMETRY_STATUS] = "it answers with another status than 200",
    [TELEMETRY_HTML] = "it is a web page, not metrics",
    [TELEMETRY_FORMAT] = "it is not in the Prometheus text format",
    [TELEMETRY_NOTHING] = "none of the engine's metrics is in it",
    [TELEMETRY_VALUE] = "a number in it cannot be",
    [TELEMETRY_LARGE] = "it is over 8 MiB",
    [TELEMETRY_LINE] = "a line in it is over 64 KiB",
    [TELEMETRY_MEMORY] = "there is no memory for it",
};

enum field {
    FIELD_QUEUE,
    FIELD_RUNNING,
    FIELD_KV,
    FIELD_QUERIES,
    FIELD_HITS,
    FIELD_SHARE,
    FIELD_PREEMPTIONS,
    FIELD_WORK,
    FIELD_BLOCKS,
    FIELD_CACHE_INFO,
    FIELD_LORA_INFO,
};

struct metric_name {
    const char *name; // counters without their `_total`
    enum field field;
};

// Names and meanings as the engines have them in 2026-11; older names beside the newer ones.
static const struct metric_name VLLM[] = {
    {"vllm:num_requests_waiting", FIELD_QUEUE},   {"vllm:num_requests_running", FIELD_RUNNING},
    {"vllm:kv_cache_usage_perc", FIELD_KV},       {"vllm:gpu_cache_usage_perc", FIELD_KV},
    {"vllm:prefix_cache_queries", FIELD_QUERIES}, {"vllm:gpu_prefix_cache_queries", FIELD_QUERIES},
    {"vllm:prefix_cache_hits", FIELD_HITS},       {"vllm:gpu_prefix_cache_hits", FIELD_HITS},
    {"vllm:num_preemptions", FIELD_PREEMPTIONS},  {"vllm:prompt_tokens", FIELD_WORK},
    {"vllm:generation_tokens", FIELD_WORK},       {"vllm:cache_config_info", FIELD_CACHE_INFO},
    {"vllm:lora_requests_info", FIELD_LORA_INFO}, {NULL, 0},
};
static const struct metric_name SGLANG[] = {
    {"sglang:num_queue_reqs", FIELD_QUEUE},
    {"sglang:num_running_reqs", FIELD_RUNNING},
    {"sglang:token_usage", FIELD_KV},
    {"sglang:cache_hit_rate", FIELD_SHARE},
    {"sglang:max_total_num_tokens", FIELD_BLOCKS}, // its pages are tokens
    {"sglang:prompt_tokens", FIELD_WORK},
    {"sglang:generation_tokens", FIELD_WORK},
    {NULL, 0},
};
static const struct metric_name LLAMACPP[] = {
    {"llamacpp:requests_deferred", FIELD_QUEUE}, {"llamacpp:requests_processing", FIELD_RUNNING},
    {"llamacpp:kv_cache_usage_ratio", FIELD_KV}, {"llamacpp:prompt_tokens", FIELD_WORK},
    {"llamacpp:tokens_predicted", FIELD_WORK},   {NULL, 0},
};
static const struct metric_name TGI[] = {
    {"tgi_queue_size", FIELD_QUEUE},
    {"tgi_batch_current_size", FIELD_RUNNING},
    {"tgi_request_count", FIELD_WORK},
    {NULL, 0},
};
static const struct metric_name *const TABLES[IMAGE_ENGINE_COUNT_] = {
    [IMAGE_ENGINE_VLLM] = VLLM,
    [IMAGE_ENGINE_SGLANG] = SGLANG,
    [IMAGE_ENGINE_LLAMACPP] = LLAMACPP,
    [IMAGE_ENGINE_TGI] = TGI,
};

struct slice telemetry_metrics_path(enum image_engine engine)
{
    return engine == IMAGE_ENGINE_NONE ? SLICE_EMPTY : SLICE("/metrics");
}

struct slice telemetry_health_path(enum image_engine engine)
{
    return engine == IMAGE_ENGINE_NONE ? SLICE_EMPTY : SLICE("/health");
}

// --- one line

static const struct telemetry UNKNOWN = {
    .queue = -1,
    .running = -1,
    .kv_use = -1,
    .prefix_queries = -1,
    .prefix_hits = -1,
    .prefix_share = -1,
    .preemptions = -1,
    .work_done = -1,
    .block_tok = -1,
    .blocks = -1,
    .slots = -1,
};

static bool number_of(struct slice s, double *out)
{
    char text[64], *end;
    if (!s.len || s.len >= sizeof text)
        return false;
    memcpy(text, s.ptr, s.len);
    text[s.len] = '\0';
    // strtod also takes hexadecimal and leading blanks, which the format does not have.
    if (memchr(text, 'x', s.len) || memchr(text, 'X', s.len) || text[0] <= ' ')
        return false;
    *out = strtod(text, &end);
    return end == text + s.len;
}

struct sample {
    struct slice name, labels; // labels: between the braces
    double value;
};

static size_t name_length(struct slice s)
{
    size_t n = 0;
    while (n < s.len &&
           (s.ptr[n] == '_' || s.ptr[n] == ':' || (s.ptr[n] >= '0' && s.ptr[n] <= '9') ||
            ((s.ptr[n] | 0x20) >= 'a' && (s.ptr[n] | 0x20) <= 'z')))
        n++;
    return n;
}

// The place of the brace that ends the labels, or 0.
static size_t labels_end(struct slice s, size_t at)
{
    bool quoted = false;
    for (; at < s.len; at++) {
        if (quoted && s.ptr[at] == '\\')
            at++;
        else if (s.ptr[at] == '"')
            quoted = !quoted;
        else if (!quoted && s.ptr[at] == '}')
            return at;
    }
    return 0;
}

static bool parse_sample(struct slice line, struct sample *out)
{
    size_t n = name_length(line);
    if (!n)
        return false;
    *out = (struct sample){.name = slice_head(line, n)};
    struct slice rest = slice_from(line, n);
    if (rest.len && rest.ptr[0] == '{') {
        size_t end = labels_end(rest, 1);
        if (!end)
            return false;
        out->labels = slice_make(rest.ptr + 1, end - 1);
        rest = slice_from(rest, end + 1);
    }
    rest = slice_trim(rest);
    size_t word = 0;
    while (word < rest.len && rest.ptr[word] != ' ' && rest.ptr[word] != '\t')
        word++;
    return number_of(slice_head(rest, word), &out->value);
}

// The label's value as it stands between its quotes; empty: it has none.
static struct slice label_of(struct slice labels, struct slice name)
{
    while (labels.len) {
        size_t n = 0;
        while (n < labels.len && labels.ptr[n] != '=')
            n++;
        struct slice key = slice_trim(slice_head(labels, n));
        if (n + 1 >= labels.len || labels.ptr[n + 1] != '"')
            return SLICE_EMPTY;
        size_t from = n + 2, to = from;
        while (to < labels.len && labels.ptr[to] != '"')
            to += labels.ptr[to] == '\\' ? 2 : 1;
        if (to >= labels.len)
            return SLICE_EMPTY;
        if (slice_eq(key, name))
            return slice_make(labels.ptr + from, to - from);
        labels = slice_trim(slice_from(labels, to + 1));
        if (labels.len && labels.ptr[0] == ',')
            labels = slice_trim(slice_from(labels, 1));
    }
    return SLICE_EMPTY;
}

static void add(double *to, double value)
{
    *to = *to < 0 ? value : *to + value;
}

// Each line may be possible and all of them together not: what is added up has to fit what it is written to.
static bool adds_up(const struct telemetry *t)
{
    const double most = UINT64_C(1) << 53;
    return t->queue <= TELEMETRY_COUNT_MAX && t->running <= TELEMETRY_COUNT_MAX &&
           t->prefix_queries <= most && t->prefix_hits <= most && t->preemptions <= most &&
           t->work_done <= most &&
           (t->block_tok < 0 || t->blocks < 0 || t->blocks * t->block_tok <= UINT32_MAX);
}

static bool in_list(struct slice list, struct slice name)
{
    struct slice piece;
    while (name.len && slice_split(&list, ',', &piece)) {
        if (slice_eq(slice_trim(piece), name))
            return true;
    }
    return false;
}

static uint32_t list_count(struct slice list)
{
    struct slice piece;
    uint32_t n = 0;
    while (slice_split(&list, ',', &piece))
        n += slice_trim(piece).len > 0;
    return n;
}

static void take_adapters(struct telemetry_reader *r, const struct sample *s)
{
    double most;
    // The value is the time of the line; an engine leaves old lines standing.
    if (r->out.lora_told && s->value < r->lora_at)
        return;
    struct slice running = label_of(s->labels, SLICE("running_lora_adapters"));
    struct slice waiting = label_of(s->labels, SLICE("waiting_lora_adapters"));
    r->lora_at = s->value;
    r->out.lora_told = true;
    r->out.lora_loaded = in_list(running, r->adapter) || in_list(waiting, r->adapter);
    r->out.lora_room = number_of(label_of(s->labels, SLICE("max_lora")), &most) &&
                       (double)(list_count(running) + list_count(waiting)) < most;
}

static void take_cache(struct telemetry_reader *r, const struct sample *s)
{
    double block, blocks;
    // An engine that has not measured its memory yet says "None".
    if (!number_of(label_of(s->labels, SLICE("block_size")), &block) ||
        !number_of(label_of(s->labels, SLICE("num_gpu_blocks")), &blocks))
        return;
    if (block >= 1 && block <= 65536 && blocks >= 1 && blocks <= UINT32_MAX / block) {
        r->out.block_tok = block;
        add(&r->out.blocks, blocks);
    }
}

static bool take_value(struct telemetry_reader *r, enum field field, double v)
{
    struct telemetry *t = &r->out;
    if (!isfinite(v) || v < 0)
        return false;
    switch (field) {
    case FIELD_QUEUE:
    case FIELD_RUNNING:
        if (v > TELEMETRY_COUNT_MAX)
            return false;
        add(field == FIELD_QUEUE ? &t->queue : &t->running, v);
        return true;
    case FIELD_KV:
        if (v > 1.0001)
            return false;
        r->kv_count++;
        add(&t->kv_use, v > 1 ? 1 : v);
        return true;
    case FIELD_SHARE:
        t->prefix_share = v > 1 ? -1 : v;
        return true;
    case FIELD_BLOCKS:
        if (v < 1 || v > UINT32_MAX)
            return false;
        t->block_tok = 1;
        t->blocks = v;
        return true;
    case FIELD_QUERIES:
        add(&t->prefix_queries, v);
        return true;
    case FIELD_HITS:
        add(&t->prefix_hits, v);
        return true;
    case FIELD_PREEMPTIONS:
        add(&t->preemptions, v);
        return true;
    case FIELD_WORK:
        add(&t->work_done, v);
        return true;
    case FIELD_CACHE_INFO:
    case FIELD_LORA_INFO:
        break;
    }
    return true;
}

static bool named(struct slice name, const char *metric)
{
    size_t n = strlen(metric);
    if (name.len < n || memcmp(name.ptr, metric, n) != 0)
        return false;
    return name.len == n || slice_eq(slice_from(name, n), SLICE("_total"));
}

static void take_line(struct telemetry_reader *r, struct slice line)
{
    struct sample s;
    line = slice_trim(line);
    if (!line.len || line.ptr[0] == '#')
        return;
    if (line.ptr[0] == '<') {
        r->fault = TELEMETRY_HTML;
        return;
    }
    if (!parse_sample(line, &s)) {
        // A page in another format is one at its first line.
        r->bad++;
        if (!r->samples)
            r->fault = TELEMETRY_FORMAT;
        return;
    }
    r->samples++;
    for (const struct metric_name *m = TABLES[r->engine]; m && m->name; m++) {
        if (!named(s.name, m->name))
            continue;
        if (m->field == FIELD_LORA_INFO)
            take_adapters(r, &s);
        else if (m->field == FIELD_CACHE_INFO)
            take_cache(r, &s);
        else if (!take_value(r, m->field, s.value))
            r->fault = TELEMETRY_VALUE;
        return;
    }
}

// --- a page

void telemetry_begin(struct telemetry_reader *r, enum image_engine engine, struct slice adapter)
{
    *r = (struct telemetry_reader){.engine = engine, .adapter = adapter, .out = UNKNOWN};
    buf_init(&r->line, TELEMETRY_LINE_MAX);
}

bool telemetry_feed(struct telemetry_reader *r, struct slice piece)
{
    r->bytes += piece.len;
    if (r->bytes > TELEMETRY_BYTES_MAX && !r->fault)
        r->fault = TELEMETRY_LARGE;
    while (piece.len && !r->fault) {
        const char *end = memchr(piece.ptr, '\n', piece.len);
        size_t n = end ? (size_t)(end - piece.ptr) : piece.len;
        struct slice line = slice_head(piece, n);
        piece = slice_from(piece, end ? n + 1 : n);
        if (end && !r->line.len && n <= TELEMETRY_LINE_MAX) {
            take_line(r, line);
            continue;
        }
        buf_add(&r->line, line);
        if (buf_result(&r->line)) {
            r->fault = buf_result(&r->line) == RESULT_LIMIT ? TELEMETRY_LINE : TELEMETRY_MEMORY;
        } else if (end) {
            take_line(r, buf_slice(&r->line));
            buf_reset(&r->line);
        }
    }
    return r->fault == TELEMETRY_OK;
}

enum telemetry_fault telemetry_end(struct telemetry_reader *r, struct telemetry *out)
{
    if (!r->fault && r->line.len)
        take_line(r, buf_slice(&r->line));
    buf_deinit(&r->line);
    struct telemetry *t = &r->out;
    if (!r->fault && r->bad)
        r->fault = TELEMETRY_FORMAT;
    if (!r->fault && t->queue < 0 && t->running < 0 && t->kv_use < 0)
        r->fault = TELEMETRY_NOTHING;
    if (!r->fault && !adds_up(t))
        r->fault = TELEMETRY_VALUE;
    if (r->kv_count > 1)
        t->kv_use /= r->kv_count;
    if (t->prefix_queries > 0 && t->prefix_hits >= 0 && t->prefix_hits <= t->prefix_queries)
        t->prefix_share = t->prefix_hits / t->prefix_queries;
    *out = r->fault ? UNKNOWN : *t;
    return r->fault;
}

// --- ORCA

static bool take_orca(struct telemetry *t, struct slice name, double v)
{
    static const struct slice prefix = {"named_metrics.", 14};
    bool counts = isfinite(v) && v >= 0;
    if (slice_starts_with(name, prefix))
        name = slice_from(name, prefix.len);
    if (slice_eq(name, SLICE("num_requests_waiting")) && counts && v <= TELEMETRY_COUNT_MAX)
        t->queue = v;
    else if (slice_eq(name, SLICE("num_requests_running")) && counts && v <= TELEMETRY_COUNT_MAX)
        t->running = v;
    else if ((slice_eq(name, SLICE("kv_cache_usage_perc")) ||
              slice_eq(name, SLICE("kv_cache_utilization")) ||
              slice_eq(name, SLICE("kv_cache_usage"))) &&
             counts && v <= 1)
        t->kv_use = v;
    else
        return false;
    return true;
}

static bool orca_object(const struct json *j, uint32_t object, struct telemetry *t)
{
    bool told = false;
    uint32_t at = 0, key, value;
    double v;
    while (json_member(j, object, &at, &key, &value)) {
        if (json_type(j, value) == JSON_NUMBER && json_double(j, value, &v) == RESULT_OK)
            told |= take_orca(t, json_raw(j, key), v);
    }
    return told;
}

static bool orca_json(struct slice text, struct telemetry *t)
{
    struct arena arena;
    struct json j;
    bool told = false;
    arena_init(&arena, 0, 256 * 1024);
    if (json_parse(&j, text, &json_limits_default, &arena) == RESULT_OK &&
        json_type(&j, 0) == JSON_OBJECT) {
        uint32_t inner = json_get(&j, 0, SLICE("named_metrics"), NULL);
        told = orca_object(&j, 0, t);
        if (inner != JSON_NONE && json_type(&j, inner) == JSON_OBJECT)
            told |= orca_object(&j, inner, t);
    }
    arena_deinit(&arena);
    return told;
}

static bool orca_text(struct slice text, struct telemetry *t)
{
    struct slice piece;
    bool told = false;
    double v;
    while (slice_split(&text, ',', &piece)) {
        size_t n = 0;
        while (n < piece.len && piece.ptr[n] != '=' && piece.ptr[n] != ':')
            n++;
        if (n < piece.len && number_of(slice_trim(slice_from(piece, n + 1)), &v))
            told |= take_orca(t, slice_trim(slice_head(piece, n)), v);
    }
    return told;
}

bool telemetry_orca(struct slice header, struct telemetry *out)
{
    *out = UNKNOWN;
    header = slice_trim(header);
    if (header.len > TELEMETRY_HEADER_MAX)
        return false;
    if (slice_starts_with(header, SLICE("JSON")))
        return orca_json(slice_trim(slice_from(header, 4)), out);
    if (slice_starts_with(header, SLICE("TEXT")))
        return orca_text(slice_from(header, 4), out);
    return header.len && header.ptr[0] == '{' ? orca_json(header, out) : false;
}
