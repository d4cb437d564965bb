// `merit route`: decides on one request without calling anything, and says why.
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

#include "api/decider.h"
#include "api/openai_request.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/rng.h"
#include "cli/commands.h"
#include "cli/encoders.h"
#include "cli/given.h"
#include "cli/policy_file.h"
#include "cli/price_file.h"
#include "cli/seen.h"
#include "policy/policy.h"
#include "route/explain.h"
#include "route/record.h"

enum {
    INPUT_MAX = OPENAI_BODY_MAX,
    OUTPUT_MAX = 64 * 1024 * 1024,
    // The first run of a process pays for cold caches that a server does not have: the times shown are of the last.
    RUNS = 5,
};

struct args {
    const char *text, *policy, *given, *model, *caller, *label, *pool;
    const char *headers[WORK_HEADERS_MAX], *groups[WORK_GROUPS_MAX], *down[WORK_GROUPS_MAX];
    uint32_t header_count, group_count, down_count;
    bool json, input, no_models;
};

struct session {
    struct args args;
    struct arena arena;
    struct buf policy_text, input, out;
    const char *policy_name;
    struct encoders encoders;
    struct decider decider;
    struct plan_scratch *scratch;
    struct work work;
    struct openai_request request;
    struct decision *decision;
};

static void usage(FILE *to)
{
    fputs(
        "usage: merit route [options] [TEXT | -]\n\n"
        "Decides on one request without calling any model, and says why. TEXT is what a user\n"
        "says; with - (or no text, when standard input is not a terminal) the request is read\n"
        "from standard input: the JSON body of a chat completion, or plain text.\n\n"
        "  --policy FILE   the policy; otherwise $MERIT_POLICY, ./merit.merit, the built-in demo\n"
        "  --model NAME    as if the request asked for this model or alias\n"
        "  --given JSON    values of signals instead of computing them: '{\"attack\": true}';\n"
        "                  {\"failed\": true} for one that could not be computed\n"
        "  --header K=V    a header of the request (several)\n"
        "  --group G       a group of the caller (several)\n"
        "  --caller ID     the caller's id\n"
        "  --label A,B     levels that the caller asserts\n"
        "  --down MODEL    as if no endpoint of this model were up (several)\n"
        "  --pool FILE     a state of the pool to choose a place in: {\"places\": [...]}, in the\n"
        "                  words of a decision record, which is such a file itself\n"
        "  --no-models     as if no encoder were installed\n"
        "  --json          the decision record (docs/decision.schema.json)\n\n"
        "Times are of a warm run. Exit codes: 0 decided, 1 no model can serve it or the policy\n"
        "has errors, 2 usage.\n\n"
        "  merit route \"prove that the square root of two is irrational\"\n"
        "  merit route --json - < request.json\n"
        "  merit route --given '{\"length\": 50000}' \"hello\"\n",
        to);
}

// Takes the value of an option, in either form; NULL when argv[*at] is another one.
static const char *value_of(int argc, char **argv, int *at, const char *name)
{
    size_t n = strlen(name);
    if (strncmp(argv[*at], name, n) != 0)
        return NULL;
    if (argv[*at][n] == '=')
        return argv[*at] + n + 1;
    if (argv[*at][n] != '\0')
        return NULL;
    if (*at + 1 >= argc) {
        fprintf(stderr, "merit route: %s needs a value\n", name);
        exit(EXIT_USAGE);
    }
    return argv[++*at];
}

static bool add(const char **list, uint32_t *count, uint32_t most, const char *value,
                const char *name)
{
    if (*count == most) {
        fprintf(stderr, "merit route: at most %u times %s\n", most, name);
        return false;
    }
    list[(*count)++] = value;
    return true;
}

static bool read_option(struct args *a, int argc, char **argv, int *i)
{
    const char *v;
    if (strcmp(argv[*i], "--json") == 0)
        a->json = true;
    else if (strcmp(argv[*i], "--no-models") == 0)
        a->no_models = true;
    else if ((v = value_of(argc, argv, i, "--policy")))
        a->policy = v;
    else if ((v = value_of(argc, argv, i, "--pool")))
        a->pool = v;
    else if ((v = value_of(argc, argv, i, "--given")))
        a->given = v;
    else if ((v = value_of(argc, argv, i, "--model")))
        a->model = v;
    else if ((v = value_of(argc, argv, i, "--caller")))
        a->caller = v;
    else if ((v = value_of(argc, argv, i, "--label")))
        a->label = v;
    else if ((v = value_of(argc, argv, i, "--header")))
        return add(a->headers, &a->header_count, WORK_HEADERS_MAX, v, "--header");
    else if ((v = value_of(argc, argv, i, "--group")))
        return add(a->groups, &a->group_count, WORK_GROUPS_MAX, v, "--group");
    else if ((v = value_of(argc, argv, i, "--down")))
        return add(a->down, &a->down_count, WORK_GROUPS_MAX, v, "--down");
    else {
        fprintf(stderr, "merit route: no option %s; see merit route --help\n", argv[*i]);
        return false;
    }
    return true;
}

// False: usage. `*help` is set when that is all that was asked for.
static bool read_args(struct args *a, int argc, char **argv, bool *help)
{
    bool options = true;
    for (int i = 1; i < argc; i++) {
        if (options && (strcmp(argv[i], "--help") == 0 || strcmp(argv[i], "-h") == 0)) {
            *help = true;
            return true;
        }
        if (options && strcmp(argv[i], "--") == 0) {
            options = false;
        } else if (options && argv[i][0] == '-' && argv[i][1]) {
            if (!read_option(a, argc, argv, &i))
                return false;
        } else if (a->text || a->input) {
            fputs("merit route: more than one text; put it in quotes\n", stderr);
            return false;
        } else if (options && strcmp(argv[i], "-") == 0) {
            a->input = true;
        } else {
            a->text = argv[i];
        }
    }
    if (!a->text && !a->input) {
        if (isatty(STDIN_FILENO)) {
            usage(stderr);
            return false;
        }
        a->input = true;
    }
    return true;
}

static int open_policy(struct session *s)
{
    enum result r = policy_file_read(s->args.policy, &s->policy_text, &s->policy_name, NULL);
    if (r) {
        char room[FILE_ERROR_BYTES];
        fprintf(stderr, "merit route: cannot read the policy %s: %s\n", s->policy_name,
                file_problem(r, room));
        return r == RESULT_NOT_FOUND ? EXIT_USAGE : EXIT_FOUND;
    }
    struct diag_list diags;
    struct encoders_options options = encoders_for_commands;
    diag_init(&diags, &s->arena, POLICY_DIAGS_MAX);
    if (s->args.no_models)
        memset(options.names, 0, sizeof options.names);
    // What is missing shows in the explanation where a signal would have used it.
    if (encoders_open(&s->encoders, &options, &s->out)) {
        fputs("merit route: no memory\n", stderr);
        return EXIT_FOUND;
    }
    buf_reset(&s->out);
    const struct price_list *prices;
    r = price_file_open(NULL, &s->arena, &prices);
    if (!r)
        r = decider_open_priced(&s->decider, buf_slice(&s->policy_text), s->encoders.service,
                                DECIDER_ANY, prices, &diags);
    if (diags.errors || r) {
        diag_render(&diags, buf_slice(&s->policy_text), slice_cstr(s->policy_name),
                    isatty(STDERR_FILENO) && !getenv("NO_COLOR"), &s->out);
        fwrite(s->out.ptr, 1, s->out.len, stderr);
        fprintf(stderr, "merit route: the policy %s does not load: %s\n", s->policy_name,
                diags.errors ? "see above" : result_name(r));
        if (!r)
            decider_close(&s->decider);
        s->decider.plan = NULL;
        return EXIT_FOUND;
    }
    if (plan_scratch_open(s->decider.plan, &s->scratch)) {
        fputs("merit route: no memory\n", stderr);
        return EXIT_FOUND;
    }
    return EXIT_DONE;
}

// The body to decide on: as it came, or made of plain text.
static int read_input(struct session *s, struct buf *body)
{
    struct slice text = slice_cstr(s->args.text);
    if (s->args.input) {
        enum result r = file_read("-", &s->input);
        if (r) {
            char room[FILE_ERROR_BYTES];
            fprintf(stderr, "merit route: cannot read standard input: %s\n", file_problem(r, room));
            return EXIT_USAGE;
        }
        text = buf_slice(&s->input);
        size_t at = 0;
        while (at < text.len && memchr(" \t\r\n", text.ptr[at], 4))
            at++;
        if (at < text.len && text.ptr[at] == '{') {
            buf_add(body, text);
            return EXIT_DONE;
        }
        if (text.len && text.ptr[text.len - 1] == '\n')
            text.len--;
    }
    BUF_LIT(body, "{\"messages\":[{\"role\":\"user\",\"content\":");
    json_write_string(body, text);
    BUF_LIT(body, "}]}");
    return EXIT_DONE;
}

static int take_headers(struct session *s)
{
    struct work_pair *pairs = ARENA_ARRAY(&s->arena, struct work_pair, s->args.header_count + 1);
    if (!pairs)
        return EXIT_FOUND;
    for (uint32_t i = 0; i < s->args.header_count; i++) {
        struct slice rest = slice_cstr(s->args.headers[i]), name;
        if (!slice_split(&rest, '=', &name) || !rest.ptr || !name.len) {
            fprintf(stderr, "merit route: --header wants NAME=VALUE, not \"%s\"\n",
                    s->args.headers[i]);
            return EXIT_USAGE;
        }
        char *lower = arena_cstr(&s->arena, name);
        if (!lower)
            return EXIT_FOUND;
        for (char *c = lower; *c; c++)
            if (*c >= 'A' && *c <= 'Z')
                *c = (char)(*c + 'a' - 'A');
        pairs[i] = (struct work_pair){slice_make(lower, name.len), rest};
    }
    s->work.headers = pairs;
    s->work.header_count = s->args.header_count;
    struct work_caller *c = &s->work.caller;
    c->known = s->args.caller || s->args.group_count || s->args.label;
    work_caller_label(c, slice_cstr(s->args.label));
    c->id = slice_cstr(s->args.caller);
    for (uint32_t i = 0; i < s->args.group_count; i++)
        c->groups[c->group_count++] = slice_cstr(s->args.groups[i]);
    return EXIT_DONE;
}

static int take_down(struct session *s, struct pool_view *pool)
{
    const struct policy_image *p = s->decider.image;
    uint8_t *states = ARENA_ARRAY(&s->arena, uint8_t, p->models.count + 1);
    if (!states)
        return EXIT_FOUND;
    for (uint32_t i = 0; i < s->args.down_count; i++) {
        int32_t m = image_find_model(p, slice_cstr(s->args.down[i]));
        if (m == IMAGE_NONE) {
            fprintf(stderr, "merit route: --down names no model of the policy: %s\n",
                    s->args.down[i]);
            return EXIT_USAGE;
        }
        states[m] = POOL_MODEL_DOWN;
    }
    *pool = (struct pool_view){.epoch = 0,
                               .states = states,
                               .count = p->models.count,
                               .session_place = IMAGE_NONE,
                               .session_model = IMAGE_NONE};
    return EXIT_DONE;
}

static int see_pool(struct session *s, struct pool_view *pool)
{
    struct buf text, why;
    enum { POOL_FILE_MAX = 4 * 1024 * 1024 };
    if (!s->args.pool)
        return EXIT_DONE;
    buf_init(&text, POOL_FILE_MAX);
    buf_init(&why, 4096);
    enum result r = file_read(s->args.pool, &text);
    struct slice json = r ? SLICE_EMPTY : arena_copy(&s->arena, buf_slice(&text));
    if (!r)
        r = json.ptr ? seen_parse(s->decider.image, json, &s->arena, pool, &why) : RESULT_NOMEM;
    if (r) {
        buf_byte(&why, '\0');
        fprintf(stderr, "merit route: --pool %s: %s\n", s->args.pool,
                why.len > 1 ? why.ptr : result_name(r));
    }
    buf_deinit(&text);
    buf_deinit(&why);
    return r ? EXIT_USAGE : EXIT_DONE;
}

static uint64_t now_ns(void *ctx)
{
    struct timespec t;
    (void)ctx;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static int decide(struct session *s)
{
    static const struct plan_clock clock = {now_ns, NULL};
    struct pool_view pool;
    // What the policy says, also where this build cannot do it.
    struct route_options options = {
        .model = slice_cstr(s->args.model), .all_steps = true, .estimates = true};
    int code = take_down(s, &pool);
    if (!code)
        code = see_pool(s, &pool);
    if (code)
        return code;
    if (s->args.given) {
        struct buf why;
        buf_init(&why, 4096);
        enum result r = given_parse(s->decider.image, slice_cstr(s->args.given), &s->arena,
                                    &options.given, &why);
        if (r) {
            buf_byte(&why, '\0');
            fprintf(stderr, "merit route: --given: %s\n", why.ptr ? why.ptr : result_name(r));
        }
        buf_deinit(&why);
        if (r)
            return EXIT_USAGE;
    }
    for (int i = 0; i < RUNS; i++) {
        if (decider_run(&s->decider, s->scratch, &s->work, &pool, &options, &clock, &s->arena,
                        &s->decision)) {
            fputs("merit route: no memory\n", stderr);
            return EXIT_FOUND;
        }
    }
    uint64_t random = 0;
    if (rng_secret(&random, sizeof random))
        random = now_ns(NULL);
    s->decision->wall_us = clock_wall_us(&clock_system);
    record_id(s->decision->wall_us, random, s->decision->id);
    return EXIT_DONE;
}

static uint32_t terminal_width(void)
{
    struct winsize w;
    if (isatty(STDOUT_FILENO) && ioctl(STDOUT_FILENO, TIOCGWINSZ, &w) == 0 && w.ws_col >= 60)
        return w.ws_col < 140 ? w.ws_col : 140;
    return 100;
}

// Whoever tries a policy may not have the keys: say so rather than decide otherwise.
static void note_key(const struct session *s)
{
    const struct decision *d = s->decision;
    if (d->model < 0)
        return;
    const struct image_model *m = image_model(d->image, d->model);
    char name[256];
    struct slice key = image_text(d->image, m->key_name);
    if (m->key_source != IMAGE_KEY_ENV || key.len >= sizeof name)
        return;
    memcpy(name, key.ptr, key.len);
    name[key.len] = '\0';
    if (!getenv(name))
        fprintf(stderr, "note: %s is not set; `merit serve` would not choose this model\n", name);
}

static void print(struct session *s)
{
    buf_reset(&s->out);
    if (s->args.json) {
        struct record_options o = {.work = &s->work, .with_text = true};
        record_json(s->decision, &o, &s->out);
        buf_byte(&s->out, '\n');
    } else {
        struct explain_options o = {.work = &s->work, .width = terminal_width()};
        const char *no_color = getenv("NO_COLOR");
        o.colour = isatty(STDOUT_FILENO) && !(no_color && no_color[0]);
        explain_text(s->decision, &o, &s->out);
    }
    fwrite(s->out.ptr, 1, s->out.len, stdout);
    fflush(stdout);
    if (!s->args.json)
        note_key(s);
}

static int run(struct session *s)
{
    struct buf body;
    struct openai_fault fault;
    buf_init(&body, INPUT_MAX);
    int code = open_policy(s);
    if (!code)
        code = take_headers(s);
    if (!code)
        code = read_input(s, &body);
    if (!code && buf_result(&body)) {
        fprintf(stderr, "merit route: the request is too large: %s\n", result_name(body.err));
        code = EXIT_USAGE;
    }
    if (!code && openai_request_parse(buf_slice(&body), &s->arena, &s->work, &s->request, &fault)) {
        fprintf(stderr, "merit route: the request is refused (%s): %.*s\n", fault.code,
                SLICE_FMT(fault.message));
        code = EXIT_USAGE;
    }
    if (!code)
        code = decide(s);
    if (!code) {
        print(s);
        if (s->decision->end == DECISION_INFEASIBLE || s->decision->end == DECISION_NO_MODEL)
            code = EXIT_FOUND;
    }
    buf_deinit(&body);
    return code;
}

int cmd_route(int argc, char **argv)
{
    static struct session s;
    bool help = false;
    memset(&s, 0, sizeof s);
    if (!read_args(&s.args, argc, argv, &help))
        return EXIT_USAGE;
    if (help) {
        usage(stdout);
        return EXIT_DONE;
    }
    arena_init(&s.arena, 1 << 16, 1u << 30);
    buf_init(&s.policy_text, POLICY_BYTES_MAX + 1);
    buf_init(&s.input, INPUT_MAX);
    buf_init(&s.out, OUTPUT_MAX);
    int code = run(&s);
    plan_scratch_close(s.scratch);
    if (s.decider.plan)
        decider_close(&s.decider);
    encoders_close(&s.encoders);
    buf_deinit(&s.policy_text);
    buf_deinit(&s.input);
    buf_deinit(&s.out);
    arena_deinit(&s.arena);
    return code;
}
