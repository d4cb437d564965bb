// `merit pool`: the live pool of a running server, and edits of it by hand.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli/args.h"
#include "cli/commands.h"
#include "cli/conf.h"
#include "cli/probe.h"
#include "text/json.h"

static const char usage_all[] =
    "usage: merit pool ls [--json] [options]\n"
    "       merit pool add MODEL URL [--endpoint URL] [--weight N] [--slots N]\n"
    "       merit pool drain URL [--model MODEL]\n"
    "       merit pool resume URL [--model MODEL]\n"
    "       merit pool rm URL [--model MODEL]\n"
    "\n"
    "The places of a running server: state, calls, queue, cache, speeds, and why one is out.\n"
    "Edits last until the next policy load. A place that is added belongs to an endpoint of its "
    "model in the policy\n"
    "(--endpoint; the model's first when not given), so what constraints say of that one holds for "
    "it. drain: no new\n"
    "call, what runs there ends. rm: the same, and then it is gone.\n"
    "\n"
    "  --admin HOST:PORT   the server's admin side, when it is not the one of merit.conf\n"
    "  --key NAME          variable with a key of the admin scope: MERIT_ADMIN_KEY\n"
    "  --conf FILE         the settings, when they are not in ./merit.conf\n"
    "  --json              one JSON document\n"
    "\n"
    "  merit pool ls\n"
    "  merit pool add qwen3-8b http://10.0.0.9:8000/v1 --weight 2\n"
    "  merit pool drain http://10.0.0.7:8000/v1\n";

enum { TIMEOUT_MS = 10000, OUT_MAX = 16 * 1024 * 1024, PATH_MAX_BYTES = 1900 };

struct pool_command {
    const char *admin, *key, *conf_path, *model, *endpoint, *weight, *slots;
    bool json;
    struct conf conf;
    struct buf why, out, body;
    char url[512], authorization[1024];
};

// Where the admin side is: said, or as the settings have it.
static int find_admin(struct pool_command *c)
{
    const char *key = getenv(c->key ? c->key : "MERIT_ADMIN_KEY");
    if (key && *key)
        snprintf(c->authorization, sizeof c->authorization, "Bearer %s", key);
    if (c->admin) {
        snprintf(c->url, sizeof c->url, "%s%s", strstr(c->admin, "://") ? "" : "http://", c->admin);
        return ARGS_GO_ON;
    }
    if (conf_load(&c->conf, c->conf_path, isatty(STDERR_FILENO), &c->why)) {
        fprintf(stderr, "%.*s", SLICE_FMT(buf_slice(&c->why)));
        return EXIT_FOUND;
    }
    if (!c->conf.admin_count) {
        fprintf(stderr, "merit pool: the admin side is off (admin.listen)\n");
        return EXIT_FOUND;
    }
    const struct conf_listen *l = &c->conf.admin[0];
    bool six = strchr(l->host, ':') != NULL;
    bool any = strcmp(l->host, "0.0.0.0") == 0 || strcmp(l->host, "::") == 0;
    snprintf(c->url, sizeof c->url, "http%s://%s%s%s:%u", l->tls ? "s" : "", six && !any ? "[" : "",
             any ? "127.0.0.1" : l->host, six && !any ? "]" : "", l->port);
    return ARGS_GO_ON;
}

// Prints what the server said of an error.
static void print_refusal(const struct pool_command *c, const struct probe_answer *a)
{
    struct arena arena;
    struct json j;
    struct slice message = SLICE_EMPTY;
    arena_init(&arena, 0, 4 * 1024 * 1024);
    if (json_parse(&j, buf_slice(&a->body), &json_limits_default, &arena) == RESULT_OK &&
        json_type(&j, 0) == JSON_OBJECT) {
        uint32_t error = json_get(&j, 0, SLICE("error"), NULL);
        if (error != JSON_NONE && json_type(&j, error) == JSON_OBJECT) {
            uint32_t text = json_get(&j, error, SLICE("message"), NULL);
            if (text != JSON_NONE && json_type(&j, text) == JSON_STRING)
                message = json_string(&j, text, &arena);
        }
    }
    if (message.len)
        fprintf(stderr, "merit pool: %.*s\n", SLICE_FMT(message));
    else
        fprintf(stderr, "merit pool: %s answers with status %d\n", c->url, a->status);
    arena_deinit(&arena);
}

// EXIT_DONE with the answer's body in `answer`.
static int ask(struct pool_command *c, enum http_method method, const char *path, struct slice body,
               struct probe_answer *answer)
{
    struct probe_request request = {.url = slice_cstr(c->url),
                                    .path = path,
                                    .authorization = slice_cstr(c->authorization),
                                    .timeout_ms = TIMEOUT_MS,
                                    .method = method,
                                    .body = body,
                                    .roots = c->conf.upstream_roots};
    enum result r = probe_get(&request, answer);
    if (r) {
        fprintf(stderr, "merit pool: %s: %s; is `merit serve` running there?\n", c->url,
                answer->why);
        return EXIT_FOUND;
    }
    if (answer->status == 200)
        return EXIT_DONE;
    print_refusal(c, answer);
    return EXIT_FOUND;
}

// --- ls

static struct slice text_of(const struct json *j, uint32_t object, const char *key,
                            struct arena *arena)
{
    uint32_t v = json_get(j, object, slice_cstr(key), NULL);
    return v != JSON_NONE && json_type(j, v) == JSON_STRING ? json_string(j, v, arena)
                                                            : SLICE_EMPTY;
}

// A number as a column of text; "-" where it is not known.
static void cell(struct buf *out, const struct json *j, uint32_t object, const char *key, int width,
                 int digits, double scale)
{
    double v;
    char text[32] = "-";
    uint32_t at = json_get(j, object, slice_cstr(key), NULL);
    if (at != JSON_NONE && json_double(j, at, &v) == RESULT_OK)
        snprintf(text, sizeof text, "%.*f", digits, v * scale);
    buf_printf(out, " %*s", width, text);
}

static void row(struct buf *out, const struct json *j, uint32_t place, struct arena *arena)
{
    struct slice url = text_of(j, place, "url", arena), why = text_of(j, place, "why", arena);
    struct slice metrics = text_of(j, place, "metrics", arena);
    struct slice source = text_of(j, place, "source", arena);
    buf_printf(out, "  %-36.*s %-9.*s", SLICE_FMT(url),
               SLICE_FMT(text_of(j, place, "state", arena)));
    cell(out, j, place, "in_flight", 5, 0, 1);
    cell(out, j, place, "queue", 6, 0, 1);
    cell(out, j, place, "running", 5, 0, 1);
    cell(out, j, place, "kv_use", 5, 0, 100);
    cell(out, j, place, "prefill_tok_s", 8, 0, 1);
    cell(out, j, place, "first_ms", 8, 1, 1);
    cell(out, j, place, "each_ms", 7, 2, 1);
    cell(out, j, place, "calls", 9, 0, 1);
    cell(out, j, place, "errors", 7, 0, 1);
    cell(out, j, place, "ejections", 4, 0, 1);
    if (!slice_eq(source, SLICE("policy")))
        buf_printf(out, "  from %.*s", SLICE_FMT(source));
    if (why.len)
        buf_printf(out, "  %.*s", SLICE_FMT(why));
    if (metrics.len)
        buf_printf(out, "  (metrics: %.*s)", SLICE_FMT(metrics));
    buf_byte(out, '\n');
}

static enum result table(struct slice body, struct buf *out)
{
    struct arena arena;
    struct json j;
    uint32_t models, at = 0, model;
    arena_init(&arena, 0, OUT_MAX);
    enum result r = json_parse(&j, body, &json_limits_default, &arena);
    if (!r && (json_type(&j, 0) != JSON_OBJECT ||
               (models = json_get(&j, 0, SLICE("models"), NULL)) == JSON_NONE ||
               json_type(&j, models) != JSON_ARRAY))
        r = RESULT_TYPE;
    if (!r)
        buf_printf(out, "  %-36s %-9s %5s %6s %5s %5s %8s %8s %7s %9s %7s %4s\n", "PLACE", "STATE",
                   "CALLS", "QUEUE", "RUNS", "KV %", "IN tok/s", "FIRST ms", "EACH ms", "ALL CALLS",
                   "ERRORS", "OUTS");
    while (!r && json_element(&j, models, &at, &model)) {
        uint32_t places = json_get(&j, model, SLICE("places"), NULL), k = 0, place;
        struct slice state = text_of(&j, model, "state", &arena);
        buf_add(out, text_of(&j, model, "name", &arena));
        if (!slice_eq(state, SLICE("up")))
            buf_printf(out, "  (%.*s)", SLICE_FMT(state));
        buf_byte(out, '\n');
        while (places != JSON_NONE && json_element(&j, places, &k, &place))
            row(out, &j, place, &arena);
    }
    arena_deinit(&arena);
    return r ? r : buf_result(out);
}

static int list(struct pool_command *c)
{
    struct probe_answer answer;
    int code = ask(c, HTTP_GET, "/merit/v1/pool", SLICE_EMPTY, &answer);
    if (code == EXIT_DONE && c->json) {
        buf_add(&c->out, buf_slice(&answer.body));
        buf_byte(&c->out, '\n');
    } else if (code == EXIT_DONE && table(buf_slice(&answer.body), &c->out)) {
        fprintf(stderr, "merit pool: %s gives no list of places\n", c->url);
        code = EXIT_FOUND;
    }
    probe_done(&answer);
    return code == EXIT_DONE ? args_put(&c->out) : code;
}

// --- edits

static void member(struct buf *out, const char *key, const char *value, bool number)
{
    if (!value)
        return;
    buf_printf(out, "%s\"%s\":", out->len > 1 ? "," : "", key);
    if (number)
        buf_cstr(out, value);
    else
        json_write_string(out, slice_cstr(value));
}

static bool is_number(const char *option, const char *value)
{
    char *end;
    if (!value || (strtod(value, &end) > 0 && *end == '\0'))
        return true;
    fprintf(stderr, "merit pool: %s takes a number above 0\n", option);
    return false;
}

static int change(struct pool_command *c, const char *path, const char *model, const char *url)
{
    struct probe_answer answer;
    if (!is_number("--weight", c->weight) || !is_number("--slots", c->slots))
        return EXIT_USAGE;
    buf_byte(&c->body, '{');
    member(&c->body, "model", model, false);
    member(&c->body, "url", url, false);
    member(&c->body, "endpoint", c->endpoint, false);
    member(&c->body, "weight", c->weight, true);
    member(&c->body, "slots", c->slots, true);
    buf_byte(&c->body, '}');
    int code = ask(c, HTTP_POST, path, buf_slice(&c->body), &answer);
    if (code == EXIT_DONE && c->json)
        printf("%.*s\n", SLICE_FMT(buf_slice(&answer.body)));
    else if (code == EXIT_DONE)
        printf("done, until the next policy load\n");
    probe_done(&answer);
    return code;
}

static void escaped(struct buf *out, const char *text)
{
    for (; *text; text++) {
        unsigned char ch = (unsigned char)*text;
        bool plain = (ch >= '0' && ch <= '9') || ((ch | 0x20) >= 'a' && (ch | 0x20) <= 'z') ||
                     strchr("-._~:/", ch);
        if (plain)
            buf_byte(out, (char)ch);
        else
            buf_printf(out, "%%%02X", ch);
    }
}

static int drop(struct pool_command *c, const char *url)
{
    struct probe_answer answer;
    BUF_LIT(&c->body, "/merit/v1/pool?url=");
    escaped(&c->body, url);
    if (c->model) {
        BUF_LIT(&c->body, "&model=");
        escaped(&c->body, c->model);
    }
    buf_byte(&c->body, '\0');
    if (buf_result(&c->body) || c->body.len > PATH_MAX_BYTES) {
        fprintf(stderr, "merit pool: that is too long for a URL\n");
        return EXIT_USAGE;
    }
    int code = ask(c, HTTP_DELETE, c->body.ptr, SLICE_EMPTY, &answer);
    if (code == EXIT_DONE && c->json)
        printf("%.*s\n", SLICE_FMT(buf_slice(&answer.body)));
    else if (code == EXIT_DONE)
        printf("done, until the next policy load\n");
    probe_done(&answer);
    return code;
}

static int dispatch(struct pool_command *c, const char *verb, const struct args *a)
{
    int code = find_admin(c);
    if (code != ARGS_GO_ON)
        return code;
    if (strcmp(verb, "ls") == 0)
        return list(c);
    if (strcmp(verb, "add") == 0)
        return change(c, "/merit/v1/pool", a->words[0], a->words[1]);
    if (strcmp(verb, "drain") == 0)
        return change(c, "/merit/v1/pool/drain", c->model, a->words[0]);
    if (strcmp(verb, "resume") == 0)
        return change(c, "/merit/v1/pool/resume", c->model, a->words[0]);
    return drop(c, a->words[0]);
}

int cmd_pool(int argc, char **argv)
{
    static const struct {
        const char *verb;
        size_t words;
    } verbs[] = {{"ls", 0}, {"add", 2}, {"drain", 1}, {"resume", 1}, {"rm", 1}};
    struct pool_command c = {.json = false};
    const struct args_option options[] = {
        {"--admin", &c.admin, NULL},       {"--key", &c.key, NULL},
        {"--conf", &c.conf_path, NULL},    {"--model", &c.model, NULL},
        {"--endpoint", &c.endpoint, NULL}, {"--weight", &c.weight, NULL},
        {"--slots", &c.slots, NULL},       {"--json", NULL, &c.json},
    };
    const char *verb = argc > 1 ? argv[1] : "--help";
    size_t v = 0;
    while (v < MERIT_COUNT(verbs) && strcmp(verbs[v].verb, verb) != 0)
        v++;
    if (v == MERIT_COUNT(verbs)) {
        bool help = strcmp(verb, "--help") == 0 || strcmp(verb, "help") == 0;
        if (!help)
            fprintf(stderr, "merit pool: there is no \"%s\"\n\n", verb);
        fputs(usage_all, help && argc > 1 ? stdout : stderr);
        return help && argc > 1 ? EXIT_DONE : EXIT_USAGE;
    }
    struct args a = {.command = "merit pool",
                     .usage = usage_all,
                     .options = options,
                     .option_count = MERIT_COUNT(options),
                     .word_min = verbs[v].words,
                     .word_max = verbs[v].words};
    int code = args_read(&a, argc - 1, argv + 1);
    if (code != ARGS_GO_ON)
        return code;
    buf_init(&c.why, 64 * 1024);
    buf_init(&c.out, OUT_MAX);
    buf_init(&c.body, 64 * 1024);
    if (conf_init(&c.conf)) {
        fprintf(stderr, "merit pool: no memory\n");
        return EXIT_FOUND;
    }
    code = dispatch(&c, verb, &a);
    explicit_bzero(c.authorization, sizeof c.authorization);
    conf_deinit(&c.conf);
    buf_deinit(&c.why);
    buf_deinit(&c.out);
    buf_deinit(&c.body);
    return code;
}
