#include "api/metrics.h"

#include "api/account.h"
#include "api/metrics_ledger.h"

#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

const struct metrics_bounds METRICS_DECISION = {
    16, {1, 2, 3, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10000, 50000, 100000}};
const struct metrics_bounds METRICS_REQUEST = {18,
                                               {500, 1000, 2000, 5000, 10000, 20000, 50000, 100000,
                                                200000, 500000, 1000000, 2000000, 5000000, 10000000,
                                                30000000, 60000000, 120000000, 300000000}};

const char *const metrics_end_names[METRICS_ENDS] = {"answered", "passed",  "failed",    "broken",
                                                     "gone",     "refused", "infeasible"};

void metrics_names_init(struct metrics_names *n)
{
    memset(n, 0, sizeof *n);
    for (int f = 0; f < METRICS_FAMILIES; f++) {
        memcpy(n->family[f].names[0], "other", sizeof "other");
        atomic_store(&n->family[f].count, 1);
    }
}

// Backslash, quote and newline are escaped, control characters dropped, the whole cut at the cap.
static void escape(struct slice name, char out[METRICS_NAME_BYTES])
{
    size_t n = 0;
    for (size_t i = 0; i < name.len && n + 3 < METRICS_NAME_BYTES; i++) {
        char c = name.ptr[i];
        if (c == '\\' || c == '"')
            out[n++] = '\\';
        if ((unsigned char)c >= ' ')
            out[n++] = c;
    }
    out[n] = '\0';
}

uint16_t metrics_slot(struct metrics_names *n, enum metrics_family f, struct slice name)
{
    char escaped[METRICS_NAME_BYTES];
    escape(name, escaped);
    uint32_t count = atomic_load(&n->family[f].count);
    for (uint32_t i = 1; i < count; i++) {
        if (strcmp(n->family[f].names[i], escaped) == 0)
            return (uint16_t)i;
    }
    if (count == METRICS_NAMES_MAX)
        return 0;
    memcpy(n->family[f].names[count], escaped, sizeof escaped);
    atomic_store(&n->family[f].count, count + 1);
    return (uint16_t)count;
}

void metrics_observe_ns(struct metrics_histogram *h, const struct metrics_bounds *bounds,
                        uint64_t ns)
{
    uint32_t i = 0;
    while (i < bounds->count && ns > bounds->us[i] * 1000)
        i++;
    metric_add(&h->buckets[i], 1);
    metric_add(&h->sum_ns, ns);
}

// --- exposition

struct sum {
    struct metrics_shard *const *shards;
    uint32_t count;
};

static uint64_t sum_at(const struct sum *s, size_t offset)
{
    uint64_t total = 0;
    for (uint32_t i = 0; i < s->count; i++)
        total += atomic_load_explicit((metric *)(void *)((char *)s->shards[i] + offset),
                                      memory_order_relaxed);
    return total;
}

#define SUM(s, field) sum_at((s), offsetof(struct metrics_shard, field))

static void head(struct buf *out, const char *name, const char *type, const char *help)
{
    buf_printf(out, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, type);
}

static void histogram(struct buf *out, const struct sum *s, const char *name, const char *help,
                      const struct metrics_bounds *bounds, size_t at)
{
    head(out, name, "histogram", help);
    uint64_t total = 0;
    for (uint32_t i = 0; i <= bounds->count; i++) {
        total += sum_at(s, at + offsetof(struct metrics_histogram, buckets) + i * sizeof(metric));
        if (i < bounds->count) {
            buf_printf(out, "%s_bucket{le=\"", name);
            buf_micro(out, (int64_t)bounds->us[i]);
            buf_printf(out, "\"} %llu\n", (unsigned long long)total);
        } else {
            buf_printf(out, "%s_bucket{le=\"+Inf\"} %llu\n", name, (unsigned long long)total);
        }
    }
    double seconds = (double)sum_at(s, at + offsetof(struct metrics_histogram, sum_ns)) / 1e9;
    buf_printf(out, "%s_sum %.9f\n%s_count %llu\n", name, seconds, name, (unsigned long long)total);
}

static void routes(struct buf *out, const struct sum *s, const struct metrics_names *n)
{
    head(out, "merit_requests_total", "counter", "Decided requests by route and how they ended.");
    uint32_t count = atomic_load(&n->family[METRICS_ROUTES].count);
    for (uint32_t i = 0; i < count; i++) {
        for (int e = 0; e < METRICS_ENDS; e++) {
            uint64_t v = SUM(s, route_ends[i][e]);
            if (v)
                buf_printf(out, "merit_requests_total{route=\"%s\",end=\"%s\"} %llu\n",
                           n->family[METRICS_ROUTES].names[i], metrics_end_names[e],
                           (unsigned long long)v);
        }
    }
}

static void model_counter(struct buf *out, const struct sum *s, const struct metrics_names *n,
                          const char *name, const char *help, size_t at)
{
    head(out, name, "counter", help);
    uint32_t count = atomic_load(&n->family[METRICS_MODELS].count);
    for (uint32_t i = 0; i < count; i++) {
        uint64_t v = sum_at(s, offsetof(struct metrics_shard, models) +
                                   i * sizeof(struct metrics_model) + at);
        if (v || i)
            buf_printf(out, "%s{model=\"%s\"} %llu\n", name, n->family[METRICS_MODELS].names[i],
                       (unsigned long long)v);
    }
}

static void models(struct buf *out, const struct sum *s, const struct metrics_names *n)
{
    head(out, "merit_model_requests_total", "counter",
         "Requests by the model that was chosen and how they ended.");
    uint32_t count = atomic_load(&n->family[METRICS_MODELS].count);
    for (uint32_t i = 0; i < count; i++) {
        for (int e = 0; e < METRICS_ENDS; e++) {
            uint64_t v = SUM(s, models[i].ends[e]);
            if (v)
                buf_printf(out, "merit_model_requests_total{model=\"%s\",end=\"%s\"} %llu\n",
                           n->family[METRICS_MODELS].names[i], metrics_end_names[e],
                           (unsigned long long)v);
        }
    }
    model_counter(out, s, n, "merit_upstream_attempts_total",
                  "Calls to endpoints, repeated ones included.",
                  offsetof(struct metrics_model, attempts));
    model_counter(out, s, n, "merit_input_tokens_total", "Input tokens, cached ones included.",
                  offsetof(struct metrics_model, input_tok));
    model_counter(out, s, n, "merit_output_tokens_total", "Output tokens.",
                  offsetof(struct metrics_model, output_tok));
    model_counter(out, s, n, "merit_cached_tokens_total",
                  "Input tokens that the upstream had cached.",
                  offsetof(struct metrics_model, cached_tok));
    model_counter(out, s, n, "merit_usage_estimated_total",
                  "Answers whose tokens Merit had to estimate.",
                  offsetof(struct metrics_model, estimated));
    model_counter(out, s, n, "merit_unpriced_total",
                  "Answers of models without a price, whose cost is unknown.",
                  offsetof(struct metrics_model, unpriced));
    const struct {
        const char *name, *help;
        size_t at;
        double unit;
    } sums[] = {{"merit_cost_usd_total", "Settled cost by the policy's prices.",
                 offsetof(struct metrics_model, cost_nusd), 1e9},
                {"merit_baseline_usd_total", "What frontier-by-default would have cost.",
                 offsetof(struct metrics_model, baseline_nusd), 1e9},
                {"merit_energy_joules_total", "Settled energy, PUE included.",
                 offsetof(struct metrics_model, energy_uj), 1e6},
                {"merit_carbon_grams_total", "Settled grams of CO2e.",
                 offsetof(struct metrics_model, carbon_ug), 1e6}};
    for (size_t k = 0; k < MERIT_COUNT(sums); k++) {
        head(out, sums[k].name, "counter", sums[k].help);
        for (uint32_t i = 1; i < count; i++)
            buf_printf(out, "%s{model=\"%s\"} %.9f\n", sums[k].name,
                       n->family[METRICS_MODELS].names[i],
                       (double)sum_at(s, offsetof(struct metrics_shard, models) +
                                             i * sizeof(struct metrics_model) + sums[k].at) /
                           sums[k].unit);
    }
    head(out, "merit_usage_wrong_total", "counter",
         "Reports of usage that were missing, impossible or of another model.");
    for (uint32_t i = 1; i < count; i++)
        for (int k = 1; k < ACCOUNT_LIES; k++) {
            uint64_t v = SUM(s, models[i].lies[k]);
            if (v)
                buf_printf(out, "merit_usage_wrong_total{model=\"%s\",how=\"%s\"} %llu\n",
                           n->family[METRICS_MODELS].names[i], account_lie_names[k],
                           (unsigned long long)v);
        }
}

static void budgets(struct buf *out, const struct sum *s, const struct metrics_names *n,
                    const struct metrics_process *p)
{
    uint32_t count = atomic_load(&n->family[METRICS_BUDGETS].count);
    head(out, "merit_budget_refusals_total", "counter",
         "Requests that a budget over time did not bear.");
    for (uint32_t i = 1; i < count; i++)
        buf_printf(out, "merit_budget_refusals_total{budget=\"%s\"} %llu\n",
                   n->family[METRICS_BUDGETS].names[i],
                   (unsigned long long)SUM(s, budget_refusals[i]));
    head(out, "merit_budget_left", "gauge",
         "What is left of budgets that all share, in their units.");
    for (uint32_t i = 0; i < p->budget_count; i++)
        buf_printf(out, "merit_budget_left{budget=\"%s\",unit=\"%s\",window=\"%s\"} %.15g\n",
                   n->family[METRICS_BUDGETS].names[p->budgets[i].slot], p->budgets[i].unit,
                   p->budgets[i].window, p->budgets[i].left);
    head(out, "merit_budget_limit", "gauge", "Their limits.");
    for (uint32_t i = 0; i < p->budget_count; i++)
        buf_printf(out, "merit_budget_limit{budget=\"%s\",unit=\"%s\",window=\"%s\"} %.15g\n",
                   n->family[METRICS_BUDGETS].names[p->budgets[i].slot], p->budgets[i].unit,
                   p->budgets[i].window, p->budgets[i].limit);
}

static void signals(struct buf *out, const struct sum *s, const struct metrics_names *n)
{
    static const struct {
        const char *name, *help;
        size_t at;
    } counters[] = {
        {"merit_signal_evaluations_total", "Signals that were computed.",
         offsetof(struct metrics_shard, signals)},
        {"merit_signals_avoided_total", "Signals that the decision did not need.",
         offsetof(struct metrics_shard, avoided)},
        {"merit_signal_errors_total", "Signals that could not be computed; on_error held.",
         offsetof(struct metrics_shard, signal_errors)},
    };
    uint32_t count = atomic_load(&n->family[METRICS_SIGNALS].count);
    for (size_t c = 0; c < MERIT_COUNT(counters); c++) {
        head(out, counters[c].name, "counter", counters[c].help);
        for (uint32_t i = 1; i < count; i++)
            buf_printf(out, "%s{signal=\"%s\"} %llu\n", counters[c].name,
                       n->family[METRICS_SIGNALS].names[i],
                       (unsigned long long)sum_at(s, counters[c].at + i * sizeof(metric)));
    }
}

static void rejects(struct buf *out, const struct sum *s)
{
    static const char *const names[METRICS_REJECTS] = {"bad_request", "too_large", "timeout",
                                                       "key",         "rate",      "not_found",
                                                       "model",       "overload",  "repeated"};
    head(out, "merit_rejected_total", "counter",
         "Requests that were answered with an error before a decision.");
    for (int i = 0; i < METRICS_REJECTS; i++)
        buf_printf(out, "merit_rejected_total{reason=\"%s\"} %llu\n", names[i],
                   (unsigned long long)SUM(s, rejects[i]));
}

static void simple(struct buf *out, const char *name, const char *type, const char *help,
                   uint64_t v)
{
    head(out, name, type, help);
    buf_printf(out, "%s %llu\n", name, (unsigned long long)v);
}

static void process_values(struct buf *out, const struct metrics_process *p)
{
    unsigned long pages = 0, total = 0;
    FILE *f = fopen("/proc/self/statm", "re");
    if (f) {
        if (fscanf(f, "%lu %lu", &total, &pages) != 2)
            pages = 0;
        fclose(f);
    }
    simple(out, "process_resident_memory_bytes", "gauge", "Resident memory.",
           (uint64_t)pages * (uint64_t)sysconf(_SC_PAGESIZE));
    head(out, "process_start_time_seconds", "gauge",
         "When the process began, in seconds since 1970.");
    buf_printf(out, "process_start_time_seconds %.3f\n", (double)p->start_wall_us / 1e6);
    head(out, "merit_build_info", "gauge", "The build.");
    buf_printf(out, "merit_build_info{version=\"%s\"} 1\n", MERIT_VERSION);
    char name[METRICS_NAME_BYTES];
    escape(p->policy_name, name);
    head(out, "merit_policy_info", "gauge", "The policy that is served.");
    buf_printf(out, "merit_policy_info{name=\"%s\",version=\"%u\",digest=\"%.*s\"} 1\n", name,
               p->policy_version, SLICE_FMT(p->policy_digest));
    head(out, "merit_policy_reloads_total", "counter", "Reloads of the policy.");
    buf_printf(out,
               "merit_policy_reloads_total{result=\"ok\"} "
               "%llu\nmerit_policy_reloads_total{result=\"failed\"} %llu\n",
               (unsigned long long)p->reloads_ok, (unsigned long long)p->reloads_failed);
    simple(out, "merit_log_lines_dropped_total", "counter", "Log lines that found their ring full.",
           p->log_dropped);
    simple(out, "merit_lengths_learned_total", "counter",
           "Answers that expectations of output lengths rest on.", p->lengths_answers);
    simple(out, "merit_lengths_dropped_total", "counter",
           "Answers not learned from because too many came at once.", p->lengths_dropped);
    simple(out, "merit_lengths_cells", "gauge",
           "Cells of model, effort and task that are told apart.", p->lengths_cells);
    simple(out, "merit_ready", "gauge", "1 when requests are served.", p->ready);
}

static void compute_values(struct buf *out, const struct compute_counts *c)
{
    static const struct {
        const char *name, *type, *help;
        size_t at;
    } values[] = {
        {"merit_encoder_texts_total", "counter", "Texts that encoders were asked about.",
         offsetof(struct compute_counts, asks)},
        {"merit_encoder_remembered_total", "counter", "Of these, answered from memory.",
         offsetof(struct compute_counts, remembered)},
        {"merit_encoder_failed_total", "counter", "Of these, not answered.",
         offsetof(struct compute_counts, failed)},
        {"merit_encoder_tokens_total", "counter", "Tokens that encoders read.",
         offsetof(struct compute_counts, tokens)},
        {"merit_encoder_refused_total", "counter", "Jobs refused because too many tokens waited.",
         offsetof(struct compute_counts, refused)},
        {"merit_encoder_cancelled_total", "counter",
         "Jobs given up: the client left or the deadline passed.",
         offsetof(struct compute_counts, cancelled)},
        {"merit_encoder_queue_jobs", "gauge", "Jobs that have not begun.",
         offsetof(struct compute_counts, queued_jobs)},
        {"merit_encoder_queue_tokens", "gauge", "Their estimated tokens.",
         offsetof(struct compute_counts, queued_tok)},
        {"merit_encoder_running", "gauge", "Jobs that run.",
         offsetof(struct compute_counts, running)},
        {"merit_encoder_remembered_bytes", "gauge", "Memory of remembered answers.",
         offsetof(struct compute_counts, cached_bytes)},
    };
    for (size_t i = 0; i < MERIT_COUNT(values); i++) {
        uint64_t v;
        memcpy(&v, (const char *)c + values[i].at, sizeof v);
        simple(out, values[i].name, values[i].type, values[i].help, v);
    }
    head(out, "merit_encoder_cpu_seconds_total", "counter", "CPU time of encoders.");
    buf_printf(out, "merit_encoder_cpu_seconds_total %.6f\n", (double)c->cpu_us / 1e6);
    head(out, "merit_encoder_job_seconds", "histogram", "From asking to the answer, per job.");
    uint64_t total = 0;
    for (uint32_t i = 0; i < COMPUTE_BUCKETS; i++) {
        total += c->buckets[i];
        BUF_LIT(out, "merit_encoder_job_seconds_bucket{le=\"");
        buf_micro(out, (int64_t)compute_bounds_us[i]);
        buf_printf(out, "\"} %llu\n", (unsigned long long)total);
    }
    total += c->buckets[COMPUTE_BUCKETS];
    buf_printf(out,
               "merit_encoder_job_seconds_bucket{le=\"+Inf\"} %llu\n"
               "merit_encoder_job_seconds_sum %.6f\nmerit_encoder_job_seconds_count %llu\n",
               (unsigned long long)total, (double)c->wait_us / 1e6, (unsigned long long)total);
}

void metrics_write(const struct metrics_names *names, struct metrics_shard *const *shards,
                   uint32_t count, const struct metrics_process *process, struct buf *out)
{
    struct sum s = {shards, count};
    routes(out, &s, names);
    models(out, &s, names);
    signals(out, &s, names);
    budgets(out, &s, names, process);
    rejects(out, &s);
    simple(out, "merit_decisions_total", "counter", "Decisions taken.", SUM(&s, decisions));
    simple(out, "merit_observed_total", "counter",
           "Decisions taken and not obeyed (observe-only mode).", SUM(&s, observed));
    simple(out, "merit_passed_through_total", "counter",
           "Requests of other paths passed to an endpoint.", SUM(&s, passed_through));
    simple(out, "merit_embedding_requests_total", "counter",
           "Requests of POST /v1/embeddings that were worked on.", SUM(&s, embeddings));
    simple(out, "merit_embedded_texts_total", "counter", "Texts embedded for clients.",
           SUM(&s, embedded_texts));
    simple(out, "merit_embedded_tokens_total", "counter", "Tokens embedded for clients.",
           SUM(&s, embedded_tok));
    simple(out, "merit_connections", "gauge", "Open client connections.", SUM(&s, connections));
    simple(out, "merit_in_flight", "gauge", "Requests being worked on.", SUM(&s, in_flight));
    histogram(out, &s, "merit_decision_seconds", "Time to decide, signals included.",
              &METRICS_DECISION, offsetof(struct metrics_shard, decision));
    histogram(out, &s, "merit_request_seconds",
              "From the first byte of a request to the last of its answer.", &METRICS_REQUEST,
              offsetof(struct metrics_shard, request));
    histogram(out, &s, "merit_first_byte_seconds",
              "From the first byte of a request to the first of its answer.", &METRICS_REQUEST,
              offsetof(struct metrics_shard, first_byte));
    compute_values(out, &process->compute);
    metrics_ledger_write(&process->ledger, out);
    process_values(out, process);
}
