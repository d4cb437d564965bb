// `merit sim`: simulated parts to try Merit against.
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/arena.h"
#include "base/file.h"
#include "cli/args.h"
#include "cli/commands.h"
#include "sim/pool.h"

static const char usage_endpoint[] =
    "usage: merit sim endpoint [--port P] [--model A,B] [--pace F] [--seed N] [--host H] [--json]\n"
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
    "A directive in the last user message, in metadata.sim or in the header x-sim makes it "
    "misbehave:\n"
    "  [[sim: status=429 retry-after=2]]   [[sim: cut after=3]]   [[sim: delay=500ms]]   [[sim: "
    "hang]]\n"
    "  [[sim: slow=50ms tokens=64]]   [[sim: error after=2]]   [[sim: garbage]]   [[sim: empty]]\n"
    "  [[sim: no-done]]   [[sim: no-usage]]   [[sim: headers=40000]]   [[sim: type=text/html]]\n"
    "  Add times=N (only the first N requests), model=NAME or port=P (only there).\n"
    "\n"
    "  merit sim endpoint --port 9001 --model gpt-4o,small --pace 0\n"
    "  curl -s http://127.0.0.1:8790/v1/models\n";

struct endpoint_options {
    const char *port, *models, *pace, *seed, *host;
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

static int sim_endpoint(int argc, char **argv)
{
    struct endpoint_options o = {0};
    const struct args_option options[] = {
        {"--port", &o.port, NULL}, {"--model", &o.models, NULL}, {"--pace", &o.pace, NULL},
        {"--seed", &o.seed, NULL}, {"--host", &o.host, NULL},    {"--json", NULL, &o.json},
    };
    struct args a = {.command = "merit sim endpoint",
                     .usage = usage_endpoint,
                     .options = options,
                     .option_count = MERIT_COUNT(options)};
    double port = 8790, pace = 1, seed = 1;
    int code = args_read(&a, argc, argv);
    if (code != ARGS_GO_ON)
        return code;
    if (!number_of(o.port, 65535, &port) || !number_of(o.pace, 1000, &pace) ||
        !number_of(o.seed, 1e15, &seed)) {
        fprintf(stderr,
                "merit sim endpoint: --port, --pace and --seed take numbers; --help shows them\n");
        return EXIT_USAGE;
    }
    struct sim_options s = {.host = o.host ? o.host : "127.0.0.1",
                            .port = (uint16_t)port,
                            .pace = pace,
                            .seed = (uint64_t)seed};
    const char *names[SIM_MODELS_MAX];
    struct arena arena;
    struct slice rest = slice_cstr(o.models), word;
    arena_init(&arena, 0, 1 << 20);
    while (o.models && slice_split(&rest, ',', &word)) {
        const char *name = word.len ? arena_cstr(&arena, word) : NULL;
        if (!name || s.model_count == SIM_MODELS_MAX) {
            fprintf(stderr,
                    "merit sim endpoint: --model takes up to %d names with commas between\n",
                    SIM_MODELS_MAX);
            arena_deinit(&arena);
            return EXIT_USAGE;
        }
        names[s.model_count++] = name;
    }
    code = run_endpoint(&o, &s, names);
    arena_deinit(&arena);
    return code;
}

int cmd_sim(int argc, char **argv)
{
    static const char usage[] =
        "usage: merit sim endpoint [options]\n"
        "\n"
        "  merit sim endpoint --port 8790     simulated models behind an OpenAI endpoint\n"
        "\n"
        "merit sim endpoint --help tells more.\n";
    if (argc > 1 && slice_eq_cstr(SLICE("endpoint"), argv[1]))
        return sim_endpoint(argc - 1, argv + 1);
    if (argc > 1 &&
        (slice_eq_cstr(SLICE("--help"), argv[1]) || slice_eq_cstr(SLICE("-h"), argv[1]))) {
        fputs(usage, stdout);
        return EXIT_DONE;
    }
    if (argc > 1)
        fprintf(stderr, "merit sim: there is no \"%s\"; there is endpoint\n\n", argv[1]);
    fputs(usage, stderr);
    return EXIT_USAGE;
}
