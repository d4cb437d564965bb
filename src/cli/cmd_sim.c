// `merit sim`: simulated parts to try Merit against.
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/arena.h"
#include "base/file.h"
#include "cli/args.h"
#include "cli/commands.h"
#include "sim/constants.h"
#include "sim/pool.h"

static const char usage_endpoint[] =
    "usage: merit sim endpoint [--port P] [--model A,B] [--pace F] [--seed N] [--host H] [--json]\n"
    "                          [--engine vllm [--constants FILE --profile NAME] ...]\n"
    "\n"
    "Runs simulated models behind an OpenAI endpoint on http://127.0.0.1:P/v1 until it is "
    "stopped.\n"
    "Answers say that they are simulated; they depend only on the request and the seed.\n"
    "\n"
    "  --port P      8790; 0 takes a free one and prints it\n"
    "  --model A,B   names to serve: swift, steady, deep, vast (all of them), or your own\n"
    "  --pace F      factor on the delays of answers; 0 for none (1)\n"
    "  --seed N      other answers (1)\n"
    "  --host H      an IP address to listen on (127.0.0.1)\n"
    "  --json        prints the address as JSON\n"
    "\n"
    "With an engine, requests queue, are batched and cached as on a real machine:\n"
    "\n"
    "  --engine KIND   vllm, sglang, llamacpp or tgi: whose names GET /metrics uses\n"
    "  --constants FILE --profile NAME   the machine (bench/constants/*.json); else an H100 with "
    "an 8B model\n"
    "  --time-factor F   the engine's time runs F times as fast (1)\n"
    "  --mode M        echo: answers are the last user message; random: made up (random)\n"
    "  --time-to-first-token MS, --inter-token-latency MS   fixed times instead of the machine's;\n"
    "                  both have ...-std-dev MS\n"
    "  --time-factor-under-load F   a step takes F times as long when all places run (1)\n"
    "  --max-num-seqs N, --max-num-batched-tokens N, --max-model-len N   places, tokens of a step, "
    "window\n"
    "  --max-waiting-queue-length N --full-status S   beyond it 429 (or 503) with Retry-After\n"
    "  --kv-blocks N, --block-size N, --enable-kvcache on|off   KV cache; off: prefixes are not "
    "kept\n"
    "  --lora-modules A,B --max-loras N --lora-load MS   adapters, those at once, time to load "
    "one\n"
    "  --failure-injection-rate PERCENT --failure-types A,B   rate_limit, invalid_api_key,\n"
    "                  context_length, server_error, invalid_request, model_not_found, overloaded, "
    "break\n"
    "  --fake-metrics JSON   {\"running-requests\": 3, \"waiting-requests\": 1, "
    "\"kv-cache-usage\": 0.5}\n"
    "  --lives FILE    appends who was alive when, a line of JSON every 20 ms\n"
    "\n"
    "  GET /sim/state tells what the engine knows of itself; POST /sim/restart {\"down_ms\": 500} "
    "loses it.\n"
    "\n"
    "A directive in the last user message, in metadata.sim or in the header x-sim makes it "
    "misbehave:\n"
    "  [[sim: status=429 retry-after=2]]   [[sim: cut after=3]]   [[sim: delay=500ms]]   [[sim: "
    "hang]]\n"
    "  [[sim: slow=50ms tokens=64]]   [[sim: error after=2]]   [[sim: garbage]]   [[sim: empty]]\n"
    "  [[sim: no-done]]   [[sim: no-usage]]   [[sim: headers=40000]]   [[sim: type=text/html]]\n"
    "  Add times=N (only the first N requests), model=NAME or port=P (only there).\n"
    "\n"
    "  merit sim endpoint --port 9001 --model gpt-4o,small --pace 0\n"
    "  merit sim endpoint --port 9002 --engine vllm --model qwen3-8b --max-num-seqs 16\n"
    "  curl -s http://127.0.0.1:8790/v1/models\n";

struct endpoint_options {
    const char *port, *models, *pace, *seed, *host;
    const char *engine, *constants, *profile, *factor, *mode, *lives, *fakes, *full;
    const char *failure_rate, *failure_types, *adapters, *kv_cache;
    const char *first, *first_dev, *each, *each_dev, *load_factor;
    const char *seqs, *queue, *blocks, *block, *chunk, *window, *max_lora, *lora_load;
    bool json;
};

static bool number_of(const char *text, double most, double *out)
{
    char *end;
    if (!text)
        return true;
    *out = strtod(text, &end);
    return end != text && !*end && *out >= 0 && *out <= most;
}

static bool count_of(const char *text, uint32_t most, uint32_t *out)
{
    double v = *out;
    if (!number_of(text, most, &v) || v != (double)(uint32_t)v)
        return false;
    *out = (uint32_t)v;
    return true;
}

// A comma between names; false beyond `most` of them or without memory.
static bool names_of(const char *text, struct arena *arena, const char **to, uint32_t most,
                     uint32_t *count)
{
    struct slice rest = slice_cstr(text), word;
    *count = 0;
    while (text && slice_split(&rest, ',', &word)) {
        const char *name = word.len ? arena_cstr(arena, word) : NULL;
        if (!name || *count == most)
            return false;
        to[(*count)++] = name;
    }
    return true;
}

// ---- The engine's options

static int wrong(const char *what)
{
    fprintf(stderr, "merit sim endpoint: %s; --help shows the options\n", what);
    return EXIT_USAGE;
}

static int load_profile(const struct endpoint_options *o, struct engine_profile *p)
{
    char room[FILE_ERROR_BYTES], diag[CONSTANTS_DIAG_BYTES];
    struct constants c;
    struct buf text;
    *p = engine_profile_default;
    if (!o->constants)
        return o->profile ? wrong("--profile needs --constants FILE") : ARGS_GO_ON;
    buf_init(&text, CONSTANTS_FILE_BYTES_MAX);
    enum result r = file_read(o->constants, &text);
    if (r) {
        fprintf(stderr, "merit sim endpoint: %s: %s\n", o->constants, file_problem(r, room));
        buf_deinit(&text);
        return EXIT_USAGE;
    }
    r = constants_read(buf_slice(&text), &c, diag);
    buf_deinit(&text);
    if (r) {
        fprintf(stderr, "merit sim endpoint: %s: %s\n", o->constants, diag);
        return EXIT_USAGE;
    }
    const struct engine_profile *found =
        o->profile ? constants_profile(&c, slice_cstr(o->profile)) : c.profiles;
    if (!found || !c.profile_count)
        return wrong("the file of constants has no such --profile");
    *p = *found;
    return ARGS_GO_ON;
}

// Fixed times instead of those of a machine: each step gives a token after so long, the first one waits.
static int fixed_times(const struct endpoint_options *o, struct engine_profile *p)
{
    double first = 0, first_dev = 0, each = 0, each_dev = 0;
    if (!number_of(o->first, 1e7, &first) || !number_of(o->first_dev, 1e7, &first_dev) ||
        !number_of(o->each, 1e7, &each) || !number_of(o->each_dev, 1e7, &each_dev) ||
        !number_of(o->load_factor, 1e5, &p->load_factor) || p->load_factor < 1)
        return wrong("times are milliseconds, --time-factor-under-load is at least 1");
    if (o->first || o->each) {
        p->overhead_us = each * 1000 > 1 ? each * 1000 : 1000;
        p->weights_us = p->token_us = p->context_ns = p->pair_ns = 0;
        p->first_us = first * 1000;
        p->chunk_tok = p->max_len_tok;
    }
    if (o->first_dev)
        p->first_jitter = first > 0 ? first_dev / first : 0;
    if (o->each_dev)
        p->jitter = each > 0 ? each_dev / each : 0;
    return ARGS_GO_ON;
}

static int engine_room(const struct endpoint_options *o, struct engine_profile *p)
{
    if (!count_of(o->seqs, ENGINE_SEQS_MAX, &p->max_seqs) ||
        !count_of(o->queue, ENGINE_QUEUE_MAX, &p->queue_max) ||
        !count_of(o->blocks, BLOCKS_MAX, &p->blocks) || !count_of(o->block, 4096, &p->block_tok) ||
        !count_of(o->chunk, 1u << 24, &p->chunk_tok) ||
        !count_of(o->window, 100000000, &p->max_len_tok) ||
        !count_of(o->max_lora, ENGINE_ADAPTERS_MAX, &p->max_lora))
        return wrong("numbers of sequences, blocks and tokens are whole and not so large");
    double load_ms = p->lora_load_us / 1000;
    if (!number_of(o->lora_load, 1e7, &load_ms))
        return wrong("--lora-load takes milliseconds");
    p->lora_load_us = load_ms * 1000;
    if (p->block_tok != 1 && p->block_tok % SIM_PREFIX_TOK && SIM_PREFIX_TOK % p->block_tok)
        return wrong("--block-size takes a divisor or a multiple of 16");
    if (o->kv_cache && strcmp(o->kv_cache, "on") != 0 && strcmp(o->kv_cache, "off") != 0)
        return wrong("--enable-kvcache takes on or off");
    if (o->kv_cache)
        p->prefix_cache = !strcmp(o->kv_cache, "on");
    return ARGS_GO_ON;
}

static int failures_of(const struct endpoint_options *o, struct live_options *live)
{
    double percent = 0;
    struct slice rest = slice_cstr(o->failure_types), word;
    if (!number_of(o->failure_rate, 100, &percent))
        return wrong("--failure-injection-rate takes percent");
    live->failure_rate = percent / 100;
    if (!o->failure_types)
        live->failure_types = percent > 0 ? (1u << LIVE_BREAK) - 1 : 0;
    while (o->failure_types && slice_split(&rest, ',', &word)) {
        uint32_t i = 0;
        while (i < LIVE_FAILURES && !slice_eq_cstr(word, live_failure_names[i]))
            i++;
        if (i == LIVE_FAILURES)
            return wrong("--failure-types has a word that is not known");
        live->failure_types |= 1u << i;
    }
    return ARGS_GO_ON;
}

static int engine_of(const struct endpoint_options *o, struct live_options *live,
                     struct arena *arena, const char **adapters)
{
    double factor = 1;
    uint32_t kind = 0, full = 429;
    while (kind < LIVE_KINDS && strcmp(o->engine, live_kind_names[kind]) != 0)
        kind++;
    if (kind == LIVE_KINDS)
        return wrong("--engine takes vllm, sglang, llamacpp or tgi");
    if (!number_of(o->factor, 1e6, &factor) || factor <= 0)
        return wrong("--time-factor takes a number above 0");
    if (o->mode && strcmp(o->mode, "echo") != 0 && strcmp(o->mode, "random") != 0)
        return wrong("--mode takes echo or random");
    if (!count_of(o->full, 599, &full) || (full != 429 && full != 503))
        return wrong("--full-status takes 429 or 503");
    *live = (struct live_options){.kind = (enum live_kind)kind,
                                  .time_factor = factor,
                                  .full_status = (int)full,
                                  .echo = o->mode && !strcmp(o->mode, "echo"),
                                  .fake_metrics = slice_cstr(o->fakes ? o->fakes : ""),
                                  .adapters = adapters,
                                  .lives = o->lives};
    int code = load_profile(o, &live->profile);
    if (code == ARGS_GO_ON)
        code = engine_room(o, &live->profile);
    if (code == ARGS_GO_ON)
        code = fixed_times(o, &live->profile);
    if (code == ARGS_GO_ON)
        code = failures_of(o, live);
    if (code == ARGS_GO_ON &&
        !names_of(o->adapters, arena, adapters, LIVE_ADAPTERS_MAX, &live->adapter_count))
        code = wrong("--lora-modules takes up to 32 names with commas between");
    return code;
}

// Waits for a signal that ends the program; it was blocked before the pool's thread was made.
static void wait_for_end(const sigset_t *set)
{
    int sig;
    while (sigwait(set, &sig) == EINTR)
        continue;
}

static int run_endpoint(const struct endpoint_options *o, struct sim_options *options,
                        const char **names)
{
    struct sim *sim;
    sigset_t set;
    char room[FILE_ERROR_BYTES];
    sigemptyset(&set);
    sigaddset(&set, SIGINT);
    sigaddset(&set, SIGTERM);
    pthread_sigmask(SIG_BLOCK, &set, NULL);
    options->models = options->model_count ? names : NULL;
    enum result r = sim_open(&sim, options);
    if (r == RESULT_RANGE)
        return wrong("these options make no engine that could run");
    if (r) {
        fprintf(stderr,
                "merit sim endpoint: cannot listen on %s:%u: %s; try another --host or --port\n",
                options->host, options->port, file_problem(r, room));
        return EXIT_FOUND;
    }
    printf("%shttp://%s:%u/v1%s\n", o->json ? "{\"url\": \"" : "Simulated models on ",
           options->host, sim_port(sim), o->json ? "\"}" : "");
    fflush(stdout);
    wait_for_end(&set);
    sim_close(sim);
    return EXIT_DONE;
}

static int endpoint_with(struct endpoint_options *o, struct arena *arena)
{
    double port = 8790, pace = 1, seed = 1;
    const char *names[SIM_MODELS_MAX], *adapters[LIVE_ADAPTERS_MAX];
    struct live_options live;
    if (!number_of(o->port, 65535, &port) || !number_of(o->pace, 1000, &pace) ||
        !number_of(o->seed, 1e15, &seed))
        return wrong("--port, --pace and --seed take numbers");
    struct sim_options s = {.host = o->host ? o->host : "127.0.0.1",
                            .port = (uint16_t)port,
                            .pace = pace,
                            .seed = (uint64_t)seed};
    if (!names_of(o->models, arena, names, SIM_MODELS_MAX, &s.model_count))
        return wrong("--model takes up to 32 names with commas between");
    if (o->engine) {
        int code = engine_of(o, &live, arena, adapters);
        if (code != ARGS_GO_ON)
            return code;
        s.live = &live;
    }
    return run_endpoint(o, &s, names);
}

static int sim_endpoint(int argc, char **argv)
{
    struct endpoint_options o = {0};
    const struct args_option options[] = {
        {"--port", &o.port, NULL},
        {"--model", &o.models, NULL},
        {"--pace", &o.pace, NULL},
        {"--seed", &o.seed, NULL},
        {"--host", &o.host, NULL},
        {"--json", NULL, &o.json},
        {"--engine", &o.engine, NULL},
        {"--constants", &o.constants, NULL},
        {"--profile", &o.profile, NULL},
        {"--time-factor", &o.factor, NULL},
        {"--mode", &o.mode, NULL},
        {"--time-to-first-token", &o.first, NULL},
        {"--time-to-first-token-std-dev", &o.first_dev, NULL},
        {"--inter-token-latency", &o.each, NULL},
        {"--inter-token-latency-std-dev", &o.each_dev, NULL},
        {"--time-factor-under-load", &o.load_factor, NULL},
        {"--max-num-seqs", &o.seqs, NULL},
        {"--max-waiting-queue-length", &o.queue, NULL},
        {"--full-status", &o.full, NULL},
        {"--max-num-batched-tokens", &o.chunk, NULL},
        {"--max-model-len", &o.window, NULL},
        {"--kv-blocks", &o.blocks, NULL},
        {"--block-size", &o.block, NULL},
        {"--enable-kvcache", &o.kv_cache, NULL},
        {"--lora-modules", &o.adapters, NULL},
        {"--max-loras", &o.max_lora, NULL},
        {"--lora-load", &o.lora_load, NULL},
        {"--failure-injection-rate", &o.failure_rate, NULL},
        {"--failure-types", &o.failure_types, NULL},
        {"--fake-metrics", &o.fakes, NULL},
        {"--lives", &o.lives, NULL},
    };
    struct args a = {.command = "merit sim endpoint",
                     .usage = usage_endpoint,
                     .options = options,
                     .option_count = MERIT_COUNT(options)};
    struct arena arena;
    int code = args_read(&a, argc, argv);
    if (code != ARGS_GO_ON)
        return code;
    arena_init(&arena, 0, 1 << 20);
    code = endpoint_with(&o, &arena);
    arena_deinit(&arena);
    return code;
}

int cmd_sim(int argc, char **argv)
{
    static const char usage[] =
        "usage: merit sim endpoint|fleet [options]\n"
        "\n"
        "  merit sim endpoint --port 8790     simulated models behind an OpenAI endpoint\n"
        "  merit sim fleet --constants FILE --trace FILE   a trace on a simulated fleet\n"
        "\n"
        "merit sim endpoint --help and merit sim fleet --help tell more.\n";
    if (argc > 1 && slice_eq_cstr(SLICE("endpoint"), argv[1]))
        return sim_endpoint(argc - 1, argv + 1);
    if (argc > 1 && slice_eq_cstr(SLICE("fleet"), argv[1]))
        return cmd_sim_fleet(argc - 1, argv + 1);
    if (argc > 1 &&
        (slice_eq_cstr(SLICE("--help"), argv[1]) || slice_eq_cstr(SLICE("-h"), argv[1]))) {
        fputs(usage, stdout);
        return EXIT_DONE;
    }
    if (argc > 1)
        fprintf(stderr, "merit sim: there is no \"%s\"; there are endpoint and fleet\n\n", argv[1]);
    fputs(usage, stderr);
    return EXIT_USAGE;
}
