#include "sim/live_metrics.h"

#include <math.h>

static const double seconds_first[] = {0.001, 0.005, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1,
                                       0.25,  0.5,   0.75, 1,    2.5,  5,    7.5,  10,
                                       20,    40,    80,   160,  640,  2560};
static const double seconds_each[] = {0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.4,
                                      0.5,  0.75,  1,    2.5,   5,   7.5,  10,  20,  40};
static const double seconds_whole[] = {0.3, 0.5, 0.8, 1,  1.5, 2,   2.5, 5,   10,  15,
                                       20,  30,  40,  50, 60,  120, 240, 480, 960, 1920};
static const double tokens[] = {1,   2,    5,    10,   20,    50,    100,   200,
                                500, 1000, 2000, 5000, 10000, 20000, 50000, 100000};

static const struct {
    const double *at;
    uint32_t count;
} bounds[LIVE_SERIES] = {
    [LIVE_FIRST] = {seconds_first, MERIT_COUNT(seconds_first)},
    [LIVE_EACH] = {seconds_each, MERIT_COUNT(seconds_each)},
    [LIVE_WHOLE] = {seconds_whole, MERIT_COUNT(seconds_whole)},
    [LIVE_QUEUE] = {seconds_whole, MERIT_COUNT(seconds_whole)},
    [LIVE_PROMPT] = {tokens, MERIT_COUNT(tokens)},
    [LIVE_OUTPUT] = {tokens, MERIT_COUNT(tokens)},
};

void live_observe(struct live_counts *c, enum live_series series, double value)
{
    uint32_t i = 0;
    while (i < bounds[series].count && value > bounds[series].at[i])
        i++;
    c->series[series].buckets[i]++;
    c->series[series].count++;
    c->series[series].sum += value;
}

struct page {
    struct buf *out;
    const char *labels; // without braces
};

static void family(const struct page *p, const char *name, const char *type, const char *help)
{
    buf_printf(p->out, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, type);
}

static void sample(const struct page *p, const char *name, double value)
{
    if (*p->labels)
        buf_printf(p->out, "%s{%s} %.17g\n", name, p->labels, value);
    else
        buf_printf(p->out, "%s %.17g\n", name, value);
}

static void gauge(const struct page *p, const char *name, const char *help, double value)
{
    family(p, name, "gauge", help);
    sample(p, name, value);
}

static void counter(const struct page *p, const char *name, const char *help, uint64_t value)
{
    family(p, name, "counter", help);
    sample(p, name, (double)value);
}

static void histogram(const struct page *p, const struct live_seen *s, const char *name,
                      const char *help, enum live_series series)
{
    uint64_t sum = 0;
    const char *comma = *p->labels ? "," : "";
    family(p, name, "histogram", help);
    for (uint32_t i = 0; i <= bounds[series].count; i++) {
        sum += s->counts->series[series].buckets[i];
        if (i < bounds[series].count)
            buf_printf(p->out, "%s_bucket{%s%sle=\"%.9g\"} %llu\n", name, p->labels, comma,
                       bounds[series].at[i], (unsigned long long)sum);
        else
            buf_printf(p->out, "%s_bucket{%s%sle=\"+Inf\"} %llu\n", name, p->labels, comma,
                       (unsigned long long)sum);
    }
    const char *open = *p->labels ? "{" : "", *close = *p->labels ? "}" : "";
    buf_printf(p->out, "%s_sum%s%s%s %.17g\n%s_count%s%s%s %llu\n", name, open, p->labels, close,
               s->counts->series[series].sum, name, open, p->labels, close,
               (unsigned long long)sum);
}

static void vllm(const struct page *p, const struct live_seen *s)
{
    const struct engine_stats *e = &s->stats;
    gauge(p, "vllm:num_requests_running", "Number of requests in model execution batches.",
          s->running);
    gauge(p, "vllm:num_requests_waiting", "Number of requests waiting to be processed.",
          s->waiting);
    gauge(p, "vllm:kv_cache_usage_perc", "KV-cache usage. 1 means 100 percent usage.", s->kv_use);
    counter(p, "vllm:prefix_cache_queries_total",
            "Prefix cache queries, in terms of number of queried tokens.", e->prefix_asked_tok);
    counter(p, "vllm:prefix_cache_hits_total",
            "Prefix cache hits, in terms of number of cached tokens.", e->prefix_found_tok);
    counter(p, "vllm:num_preemptions_total", "Cumulative number of preemption from the engine.",
            e->preemptions);
    counter(p, "vllm:prompt_tokens_total", "Number of prefill tokens processed.",
            e->prefix_asked_tok);
    counter(p, "vllm:generation_tokens_total", "Number of generation tokens processed.",
            e->generated_tok);
    family(p, "vllm:request_success_total", "counter", "Count of successfully processed requests.");
    buf_printf(p->out, "vllm:request_success_total{%s,finished_reason=\"stop\"} %llu\n", p->labels,
               (unsigned long long)e->finished);
    family(p, "vllm:lora_requests_info", "gauge", "Running stats on lora requests.");
    buf_printf(p->out,
               "vllm:lora_requests_info{max_lora=\"%u\",running_lora_adapters=\"%s\","
               "waiting_lora_adapters=\"%s\"} %.6f\n",
               s->profile->max_lora, s->running_adapters, s->waiting_adapters, s->wall_s);
    family(p, "vllm:cache_config_info", "gauge", "Information of the LLMEngine CacheConfig");
    buf_printf(p->out,
               "vllm:cache_config_info{block_size=\"%u\",cache_dtype=\"auto\",enable_prefix_"
               "caching=\"%s\","
               "engine=\"0\",gpu_memory_utilization=\"0.9\",num_gpu_blocks=\"%u\"} 1\n",
               s->profile->block_tok, s->profile->prefix_cache ? "True" : "False",
               s->profile->blocks);
    histogram(p, s, "vllm:time_to_first_token_seconds",
              "Histogram of time to first token in seconds.", LIVE_FIRST);
    histogram(p, s, "vllm:inter_token_latency_seconds",
              "Histogram of inter-token latency in seconds.", LIVE_EACH);
    histogram(p, s, "vllm:time_per_output_token_seconds",
              "Histogram of time per output token in seconds.", LIVE_EACH);
    histogram(p, s, "vllm:e2e_request_latency_seconds",
              "Histogram of e2e request latency in seconds.", LIVE_WHOLE);
    histogram(p, s, "vllm:request_queue_time_seconds",
              "Histogram of time spent in WAITING phase for request.", LIVE_QUEUE);
    histogram(p, s, "vllm:request_prompt_tokens", "Number of prefill tokens processed.",
              LIVE_PROMPT);
    histogram(p, s, "vllm:request_generation_tokens", "Number of generation tokens processed.",
              LIVE_OUTPUT);
}

static void sglang(const struct page *p, const struct live_seen *s)
{
    const struct engine_stats *e = &s->stats;
    double asked = (double)e->prefix_asked_tok,
           room = (double)s->profile->blocks * s->profile->block_tok;
    gauge(p, "sglang:num_running_reqs", "The number of running requests.", s->running);
    gauge(p, "sglang:num_queue_reqs", "The number of requests in the waiting queue.", s->waiting);
    gauge(p, "sglang:token_usage", "The token usage.", s->kv_use);
    gauge(p, "sglang:num_used_tokens", "The number of used tokens.", s->kv_use * room);
    gauge(p, "sglang:max_total_num_tokens", "Maximum total number of tokens in the KV cache pool.",
          room);
    gauge(p, "sglang:cache_hit_rate", "The prefix cache hit rate.",
          asked > 0 ? (double)e->prefix_found_tok / asked : 0);
    gauge(p, "sglang:gen_throughput", "The generation throughput (token/s).",
          s->real_s > 0 ? (double)e->generated_tok / s->real_s : 0);
    counter(p, "sglang:prompt_tokens_total", "Number of prefill tokens processed.",
            e->prefix_asked_tok);
    counter(p, "sglang:generation_tokens_total", "Number of generation tokens processed.",
            e->generated_tok);
    counter(p, "sglang:num_requests_total", "Number of requests processed.", e->finished);
    histogram(p, s, "sglang:time_to_first_token_seconds",
              "Histogram of time to first token in seconds.", LIVE_FIRST);
    histogram(p, s, "sglang:inter_token_latency_seconds",
              "Histogram of inter-token latency in seconds.", LIVE_EACH);
    histogram(p, s, "sglang:e2e_request_latency_seconds",
              "Histogram of End-to-end request latency in seconds", LIVE_WHOLE);
}

static void llamacpp(const struct page *p, const struct live_seen *s)
{
    const struct engine_stats *e = &s->stats;
    double each = s->counts->series[LIVE_EACH].sum, first = s->counts->series[LIVE_FIRST].sum;
    counter(p, "llamacpp:prompt_tokens_total", "Number of prompt tokens processed.",
            e->prefill_tok);
    gauge(p, "llamacpp:prompt_seconds_total", "Prompt process time", first);
    counter(p, "llamacpp:tokens_predicted_total", "Number of generation tokens processed.",
            e->generated_tok);
    gauge(p, "llamacpp:tokens_predicted_seconds_total", "Predict process time", each);
    counter(p, "llamacpp:n_decode_total", "Total number of llama_decode() calls", e->steps);
    gauge(p, "llamacpp:prompt_tokens_seconds", "Average prompt throughput in tokens/s.",
          first > 0 ? (double)e->prefill_tok / first : 0);
    gauge(p, "llamacpp:predicted_tokens_seconds", "Average generation throughput in tokens/s.",
          each > 0 ? (double)e->generated_tok / each : 0);
    gauge(p, "llamacpp:requests_processing", "Number of requests processing.", s->running);
    gauge(p, "llamacpp:requests_deferred", "Number of requests deferred.", s->waiting);
    gauge(p, "llamacpp:n_busy_slots_per_decode",
          "Average number of busy slots per llama_decode() call",
          e->steps ? (double)(e->prefill_tok + e->decode_tok) / (double)e->steps : 0);
}

static void tgi(const struct page *p, const struct live_seen *s)
{
    const struct engine_stats *e = &s->stats;
    gauge(p, "tgi_queue_size", "Current number of requests in the queue", s->waiting);
    gauge(p, "tgi_batch_current_size", "Current batch size", s->running);
    gauge(p, "tgi_batch_current_max_tokens", "Maximum tokens for the current batch",
          s->kv_use * s->profile->blocks * s->profile->block_tok);
    counter(p, "tgi_request_count", "Total number of requests", e->submitted);
    counter(p, "tgi_request_success", "Total number of successful requests", e->finished);
    histogram(p, s, "tgi_request_queue_duration", "Time spent in the queue in seconds", LIVE_QUEUE);
    histogram(p, s, "tgi_request_duration", "End-to-end duration in seconds", LIVE_WHOLE);
    histogram(p, s, "tgi_request_mean_time_per_token_duration", "Mean time per token in seconds",
              LIVE_EACH);
    histogram(p, s, "tgi_request_input_length", "Input tokens of a request", LIVE_PROMPT);
    histogram(p, s, "tgi_request_generated_tokens", "Generated tokens of a request", LIVE_OUTPUT);
}

void live_metrics_write(const struct live_seen *s, enum live_kind kind, struct buf *out)
{
    struct buf labels;
    struct page p = {out, ""};
    buf_init(&labels, 4096);
    if (kind == LIVE_VLLM || kind == LIVE_SGLANG) {
        // A label's value escapes quotes, backslashes and line ends; a name that has them is cut there.
        size_t n = 0;
        while (n < s->model.len && !strchr("\"\\\n", s->model.ptr[n]))
            n++;
        buf_printf(&labels, "%smodel_name=\"%.*s\"", kind == LIVE_VLLM ? "engine=\"0\"," : "",
                   SLICE_FMT(slice_head(s->model, n)));
        buf_byte(&labels, 0);
        if (!buf_result(&labels))
            p.labels = labels.ptr;
    }
    if (kind == LIVE_VLLM)
        vllm(&p, s);
    else if (kind == LIVE_SGLANG)
        sglang(&p, s);
    else if (kind == LIVE_LLAMACPP)
        llamacpp(&p, s);
    else
        tgi(&p, s);
    buf_deinit(&labels);
}
