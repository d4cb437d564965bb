// `merit sim fleet`: a trace played to simulated engines, request by request placed by Merit or by something simpler.
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/arena.h"
#include "base/file.h"
#include "cli/args.h"
#include "cli/commands.h"
#include "sim/fleet_trace.h"

static const char usage[] =
    "usage: merit sim fleet --constants FILE --trace FILE [--load F] [--place A,B] [--seconds S]\n"
    "                       [--seeds N] [--seed N] [--scrape MS] [--json]\n"
    "\n"
    "Plays a trace of requests to a fleet of simulated engines in virtual time and prints how "
    "long\n"
    "first tokens took. Ten minutes of a fleet take a second or two.\n"
    "\n"
    "  --constants FILE   what the replicas are made of: bench/constants/fleet-a.json\n"
    "  --trace FILE       Azure's CSV or Mooncake's JSON lines, also gzip\n"
    "  --load F           share of what the fleet can do without any prefix cache (0.7)\n"
    "  --place A,B        merit, rr, lr, p2c, oracle, warm (merit,rr,lr)\n"
    "  --seconds S        virtual time in which requests come (600)\n"
    "  --seeds N          so many runs, each beginning elsewhere in the trace (1)\n"
    "  --seed N           the first one's (1)\n"
    "  --scrape MS        how often metrics are read (as merit serve does)\n"
    "  --json             a line of JSON for each run\n"
    "\n"
    "  merit sim fleet --constants bench/constants/fleet-a.json --load 0.9 \\\n"
    "      --trace ../shared/data/traces/azure_llm_code.csv.gz\n";

struct fleet_args {
    const char *constants, *trace, *load, *place, *seconds, *seeds, *seed, *scrape;
    bool json;
};

struct shown {
    bool terminal;
    const char *place;
    unsigned seed;
};

static int fail(const char *file, const char *what)
{
    fprintf(stderr, "merit sim fleet: %s: %s\n", file, what);
    return EXIT_USAGE;
}

static bool number_of(const char *text, double least, double most, double *out)
{
    char *end;
    if (!text)
        return true;
    *out = strtod(text, &end);
    return end != text && !*end && *out >= least && *out <= most;
}

static int read_constants(const char *path, struct constants *c)
{
    char room[FILE_ERROR_BYTES], diag[CONSTANTS_DIAG_BYTES];
    struct buf text;
    buf_init(&text, CONSTANTS_FILE_BYTES_MAX);
    enum result r = file_read(path, &text);
    int code = r ? fail(path, file_problem(r, room)) : ARGS_GO_ON;
    if (!r && constants_read(buf_slice(&text), c, diag))
        code = fail(path, diag);
    else if (!r && !c->replicas)
        code = fail(path, "it has no fleet");
    buf_deinit(&text);
    return code;
}

static void show_progress(void *user, double now_s, double share)
{
    struct shown *s = user;
    if (s->terminal && fmod(now_s, 10) == 0)
        fprintf(stderr, "\r%-8s seed %u: %3.0f %%  ", s->place, s->seed, 100 * fmin(share, 1));
}

static void print_json(const struct fleet_args *a, const struct fleet_play *play, double load,
                       double capacity, const struct fleet_result *r)
{
    printf("{\"place\": \"%s\", \"seed\": %llu, \"load\": %g, \"capacity_per_s\": %.4f, "
           "\"requests\": %llu, \"failed\": %llu, \"retried\": %llu, ",
           play->placement->name, (unsigned long long)play->seed, load, capacity,
           (unsigned long long)r->requests, (unsigned long long)r->failed,
           (unsigned long long)r->retried);
    printf("\"first_p50_s\": %.6f, \"first_p90_s\": %.6f, \"first_p99_s\": %.6f, "
           "\"first_mean_s\": %.6f, \"whole_p50_s\": %.6f, \"whole_p99_s\": %.6f, "
           "\"each_p50_ms\": %.4f, ",
           r->first_p50_s, r->first_p90_s, r->first_p99_s, r->first_mean_s, r->whole_p50_s,
           r->whole_p99_s, r->each_p50_ms);
    printf(
        "\"prompt_tokens\": %.0f, \"cached_tokens\": %.0f, \"prefill_tokens\": %.0f, "
        "\"generated_tokens\": %.0f, \"preemptions\": %llu, \"joules\": %.0f, \"seconds\": %.3f, "
        "\"placed\": [",
        r->prompt_tok, r->cached_tok, r->prefill_tok, r->generated_tok,
        (unsigned long long)r->preemptions, r->joules, r->seconds);
    for (uint32_t i = 0; i < r->replicas; i++)
        printf("%s%.0f", i ? ", " : "", r->placed[i]);
    printf("], \"busy\": [");
    for (uint32_t i = 0; i < r->replicas; i++)
        printf("%s%.4f", i ? ", " : "", r->busy[i]);
    printf("]}\n");
    fflush(stdout);
    (void)a;
}

static void print_row(const struct fleet_play *play, const struct fleet_result *r)
{
    printf("%-8s %6llu %9llu %9.3f %9.3f %9.3f %9.2f %8.1f %7.1f %8.0f  ", play->placement->name,
           (unsigned long long)play->seed, (unsigned long long)r->requests, r->first_p50_s,
           r->first_p90_s, r->first_p99_s, r->whole_p99_s, r->each_p50_ms,
           r->prompt_tok > 0 ? 100 * r->cached_tok / r->prompt_tok : 0, r->joules / 1000);
    for (uint32_t i = 0; i < r->replicas; i++)
        printf(" %.0f", 100 * r->placed[i] / (double)r->requests);
    printf("\n");
    fflush(stdout);
}

static int play_all(const struct fleet_args *a, const struct constants *c, const struct trace *t,
                    double load, double seconds, double seed, double seeds, double scrape)
{
    double capacity;
    struct fleet_result result;
    struct slice word;
    enum result r = fleet_capacity(c, t, &capacity);
    if (r)
        return fail(a->constants, "no engine of it can serve this trace");
    if (!a->json)
        printf("%u replicas, %zu rows; load 1 is %.2f requests/s, load %g is %.2f\n\n"
               "place      seed  requests  first p50       p90       p99 whole p99  each ms  cached"
               "%%       kJ   share of requests %%\n",
               c->replicas, t->rows.len, capacity, load, load * capacity);
    for (uint32_t n = 0; n < (uint32_t)seeds; n++) {
        struct slice rest = slice_cstr(a->place ? a->place : "merit,rr,lr");
        while (slice_split(&rest, ',', &word)) {
            char name[16] = "";
            snprintf(name, sizeof name, "%.*s",
                     SLICE_FMT(slice_head(word, word.len < 15 ? word.len : 15)));
            struct fleet_play play = {.constants = c,
                                      .trace = t,
                                      .placement = fleet_placement(name),
                                      .per_s = load * capacity,
                                      .seconds = seconds,
                                      .seed = (uint64_t)seed + n,
                                      .scrape_ms = (uint32_t)scrape,
                                      .on_progress = show_progress};
            struct shown shown = {isatty(2) && !a->json, name, (unsigned)(seed + n)};
            if (!play.placement) {
                fprintf(stderr, "merit sim fleet: --place takes %s\n", fleet_placement_names);
                return EXIT_USAGE;
            }
            play.user = &shown;
            if (fleet_play(&play, &result))
                return fail(a->constants, "the fleet could not be run");
            if (shown.terminal)
                fputs("\r                              \r", stderr);
            if (a->json)
                print_json(a, &play, load, capacity, &result);
            else
                print_row(&play, &result);
        }
    }
    return EXIT_DONE;
}

int cmd_sim_fleet(int argc, char **argv)
{
    struct fleet_args f = {0};
    const struct args_option options[] = {
        {"--constants", &f.constants, NULL}, {"--trace", &f.trace, NULL},
        {"--load", &f.load, NULL},           {"--place", &f.place, NULL},
        {"--seconds", &f.seconds, NULL},     {"--seeds", &f.seeds, NULL},
        {"--seed", &f.seed, NULL},           {"--scrape", &f.scrape, NULL},
        {"--json", NULL, &f.json},
    };
    struct args a = {.command = "merit sim fleet",
                     .usage = usage,
                     .options = options,
                     .option_count = MERIT_COUNT(options)};
    double load = 0.7, seconds = 600, seeds = 1, seed = 1, scrape = 0;
    char room[FILE_ERROR_BYTES], diag[TRACE_DIAG_BYTES];
    static struct constants constants;
    struct trace trace;
    int code = args_read(&a, argc, argv);
    if (code != ARGS_GO_ON)
        return code;
    if (!f.constants || !f.trace || !number_of(f.load, 0.001, 100, &load) ||
        !number_of(f.seconds, 1, 1e5, &seconds) || !number_of(f.seeds, 1, 1000, &seeds) ||
        !number_of(f.seed, 0, 1e15, &seed) || !number_of(f.scrape, 1, 1e6, &scrape)) {
        fprintf(stderr,
                "merit sim fleet: it needs --constants FILE and --trace FILE; --load, "
                "--seconds, --seeds, --seed and --scrape take numbers; --help tells more\n");
        return EXIT_USAGE;
    }
    code = read_constants(f.constants, &constants);
    if (code != ARGS_GO_ON)
        return code;
    enum result r = trace_read(f.trace, &trace, diag);
    if (r)
        code = fail(f.trace, *diag ? diag : file_problem(r, room));
    else
        code = play_all(&f, &constants, &trace, load, seconds, seed, seeds, scrape);
    trace_deinit(&trace);
    return code;
}
