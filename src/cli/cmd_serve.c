// `merit serve`: settings and flags in, what is open out. cli/serve.c does the work.

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "cli/commands.h"
#include "cli/serve.h"
#include "proof/check.h"

static void print_address(FILE *to, const struct conf_listen *l)
{
    bool six = strchr(l->host, ':') != NULL;
    fprintf(to, "http%s://%s%s%s:%u", l->tls ? "s" : "", six ? "[" : "", l->host, six ? "]" : "",
            l->port);
}

static void print_encoders(const struct serve *s)
{
    const struct trunk_service *t = s->encoders.service;
    for (int i = 0; i < TRUNK_MODELS; i++) {
        if (t->dim[i])
            fprintf(stderr, "  encoder  %.*s %.*s\n", SLICE_FMT(t->name[i]),
                    SLICE_FMT(t->version[i]));
    }
    struct slice rest = buf_slice(&s->encoder_notes), line;
    while (slice_split(&rest, '\n', &line)) {
        if (line.len)
            fprintf(stderr, "  encoder  %.*s\n", SLICE_FMT(line));
    }
}

void serve_say_ready(const struct serve *s)
{
    const struct policy_image *p = s->serving->image;
    const struct conf_listen *l = &s->conf.listen[0];
    fprintf(stderr,
            "merit %s ready: policy \"%.*s\" version %u (%s), %u models, %u routes, %u loop%s%s\n",
            MERIT_VERSION, SLICE_FMT(image_text(p, p->name)), p->policy_version, s->policy_name,
            p->models.count, p->routes.count, s->count, s->count == 1 ? "" : "s",
            s->serving->from_cache ? ", from the cache" : "");
    struct buf guarantee;
    buf_init(&guarantee, 4096);
    proof_write_guarantee(p, &guarantee);
    fprintf(stderr, "  proved   %.*s\n", SLICE_FMT(buf_slice(&guarantee)));
    buf_deinit(&guarantee);
    for (uint32_t i = 0; i < s->conf.listen_count; i++) {
        fprintf(stderr, "  traffic  ");
        print_address(stderr, &s->conf.listen[i]);
        fprintf(stderr, "/v1\n");
    }
    for (uint32_t i = 0; i < s->conf.admin_count; i++) {
        fprintf(stderr, "  admin    ");
        print_address(stderr, &s->conf.admin[i]);
        fprintf(stderr, "\n");
    }
    print_encoders(s);
    if (s->sim)
        fprintf(stderr, "  the demo pool answers: its models are simulated, and say so\n");
    if (s->conf.observe)
        fprintf(stderr, "  observe-only: decisions are recorded, everything goes to %s\n",
                s->conf.observe);
    fprintf(stderr, "\n  curl ");
    print_address(stderr, l);
    fprintf(stderr,
            "/v1/chat/completions -d "
            "'{\"model\":\"auto\",\"messages\":[{\"role\":\"user\",\"content\":\"Hello\"}]}'\n");
    fprintf(stderr, "  python3 -c 'import openai; print(openai.OpenAI(base_url=\"");
    print_address(stderr, l);
    fprintf(stderr,
            "/v1\", api_key=\"none\").chat.completions.create(model=\"auto\", "
            "messages=[{\"role\":\"user\",\"content\":\"Hello\"}]).choices[0].message.content)'\n");
    fflush(stderr);
}

static void usage(FILE *to)
{
    struct buf settings;
    fputs("usage: merit serve [POLICY] [--conf FILE] [--SETTING VALUE ...]\n\n"
          "Serves an OpenAI-compatible endpoint and routes under a policy. Without POLICY: "
          "$MERIT_POLICY, ./merit.merit, or\n"
          "the built-in demo policy over simulated models.\n\n"
          "  merit serve                                    the demo\n"
          "  merit serve home.merit --listen 0.0.0.0:8780   needs a key: merit key create\n"
          "  merit serve --observe small home.merit         decides and records; all goes to the "
          "model \"small\"\n"
          "  merit serve --print-conf > merit.conf          all settings with their values\n\n"
          "SIGHUP reloads policy, keys and certificates; a change of the policy or of the key file "
          "is "
          "seen without it.\nSIGTERM drains; SIGUSR1 reopens logs.\n\n",
          to);
    buf_init(&settings, SERVE_WHY_MAX);
    conf_help(&settings);
    fwrite(settings.ptr, 1, settings.len, to);
    buf_deinit(&settings);
}

static int print_conf(const struct conf *c, bool json)
{
    struct buf out;
    buf_init(&out, SERVE_WHY_MAX);
    if (json)
        conf_print_json(c, &out);
    else
        conf_print(c, &out);
    fwrite(out.ptr, 1, out.len, stdout);
    if (json)
        putchar('\n');
    buf_deinit(&out);
    return EXIT_DONE;
}

static int fail(struct buf *why)
{
    fprintf(stderr, "merit serve: %.*s%s", SLICE_FMT(buf_slice(why)),
            why->len && why->ptr[why->len - 1] == '\n' ? "" : "\n");
    buf_deinit(why);
    return EXIT_USAGE;
}

// The file first, then the flags over it, whatever their order on the line.
static int read_settings(struct serve *s, int argc, char **argv, bool *print, bool *json)
{
    struct buf why;
    const char *file = NULL;
    buf_init(&why, SERVE_WHY_MAX);
    for (int i = 1; i + 1 < argc; i++) {
        if (strcmp(argv[i], "--conf") == 0)
            file = argv[i + 1];
    }
    if (conf_load(&s->conf, file, isatty(STDERR_FILENO), &why))
        return fail(&why);
    for (int i = 1; i < argc;) {
        if (strcmp(argv[i], "--conf") == 0 && i + 1 < argc) {
            i += 2;
        } else if (strcmp(argv[i], "--print-conf") == 0) {
            *print = true;
            i++;
        } else if (strcmp(argv[i], "--json") == 0) {
            *json = true;
            i++;
        } else if (argv[i][0] != '-' && !s->policy_arg) {
            s->policy_arg = argv[i++];
        } else {
            static char admin[] = "--admin-listen";
            if (strcmp(argv[i], "--admin") == 0) // what everybody writes
                argv[i] = admin;
            enum result r = conf_flag(&s->conf, argc, argv, &i, &why);
            if (r == RESULT_NOT_FOUND)
                buf_printf(&why, "unknown argument \"%s\"; see merit serve --help", argv[i]);
            if (r)
                return fail(&why);
        }
    }
    if (conf_check(&s->conf, &why))
        return fail(&why);
    if (!s->policy_arg)
        s->policy_arg = s->conf.policy;
    buf_deinit(&why);
    return EXIT_DONE;
}

int cmd_serve(int argc, char **argv)
{
    struct serve s = {.signals.fd = -1, .watch.fd = -1};
    bool print = false, json = false;
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--help") == 0) {
            usage(stdout);
            return EXIT_DONE;
        }
    }
    if (conf_init(&s.conf))
        return EXIT_FOUND;
    int code = read_settings(&s, argc, argv, &print, &json);
    if (!code)
        code = print ? print_conf(&s.conf, json) : serve_run(&s);
    serve_close(&s);
    return code;
}
