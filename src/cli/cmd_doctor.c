// `merit doctor`: checks a set-up and says what to do.
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "api/decider.h"
#include "base/file.h"
#include "cli/args.h"
#include "cli/commands.h"
#include "cli/doctor.h"
#include "cli/encoders.h"
#include "cli/policy_file.h"
#include "model/model.h"
#include "policy/policy.h"
#include "text/json.h"

static const char usage[] =
    "usage: merit doctor [POLICY] [--conf FILE] [--offline] [--json]\n"
    "\n"
    "Checks what `merit serve` needs: the settings, the policy, its models' keys and endpoints "
    "(each is asked\n"
    "for its list of models), ports, keys of callers, certificates, open files, the clock, the "
    "CPU, places to\n"
    "write. Each line says ok, warn or FAIL, and what to do.\n"
    "\n"
    "  --conf FILE   the settings, when they are not in ./merit.conf\n"
    "  --offline     asks no endpoint\n"
    "  --json        {\"ok\", \"findings\": [{\"check\", \"status\", \"message\", \"fix\"}]}\n"
    "\n"
    "Exit codes: 0 nothing failed, 1 something did, 2 usage.\n"
    "\n"
    "  merit doctor\n"
    "  merit doctor home.merit --json | jq '.findings[] | select(.status != \"ok\")'\n";

static const char *const status_names[] = {"ok", "warn", "fail"};

// The encoders as the settings name them; what is missing is told, and no failure.
static void check_encoders(struct doctor *d, const struct conf *c, struct encoders *e)
{
    struct buf notes;
    struct encoders_options o = encoders_for_commands;
    o.names[TRUNK_EMBED] = c->model_embed;
    o.names[TRUNK_ENTITY] = c->model_entity;
    buf_init(&notes, 64 * 1024);
    if (encoders_open(e, &o, &notes)) {
        d->nomem = true;
        buf_deinit(&notes);
        return;
    }
    for (int i = 0; i < TRUNK_MODELS; i++) {
        const struct model *m = e->models[i];
        if (m)
            doctor_add(
                d, DOCTOR_OK, "encoder", "", "%.*s %.8s, %llu MB, opened in %llu ms%s",
                SLICE_FMT(m->name), m->weights_hex.ptr, (unsigned long long)(m->bytes / 1000000),
                (unsigned long long)(m->open_us / 1000), m->from_cache ? " from the cache" : "");
        if (m && m->note.len)
            doctor_add(d, DOCTOR_WARN, "encoder", "", "%.*s", SLICE_FMT(m->note));
    }
    struct slice rest = buf_slice(&notes), line;
    while (slice_split(&rest, '\n', &line)) {
        if (line.len)
            doctor_add(d, DOCTOR_WARN, "encoder",
                       "or set models.embed and models.entity to none: signals make do without",
                       "%.*s", SLICE_FMT(line));
    }
    buf_deinit(&notes);
}

static void check_policy(struct doctor *d, const struct conf *c, const char *path, bool offline,
                         const struct trunk_service *trunk, struct buf *rendered)
{
    struct buf text;
    struct diag_list diags;
    struct decider decider;
    const char *name;
    char room[FILE_ERROR_BYTES];
    buf_init(&text, POLICY_BYTES_MAX);
    diag_init(&diags, d->arena, POLICY_DIAGS_MAX);
    enum result r = policy_file_read(path, &text, &name, NULL);
    if (r) {
        doctor_add(d, DOCTOR_FAIL, "policy", "name a policy, or write one with merit init",
                   "%s cannot be read: %s", name, file_problem(r, room));
        buf_deinit(&text);
        return;
    }
    r = decider_open(&decider, buf_slice(&text), trunk, DECIDER_SERVED, &diags);
    if (r) {
        diag_render(&diags, buf_slice(&text), slice_cstr(name), isatty(STDERR_FILENO), rendered);
        doctor_add(d, DOCTOR_FAIL, "policy", "mend it; `merit policy check` shows where",
                   "%s does not load: %u error%s", name, diags.errors,
                   diags.errors == 1 ? "" : "s");
    } else {
        const struct policy_image *p = decider.image;
        doctor_add(d, DOCTOR_OK, "policy", "", "%s loads: %u model%s, %u route%s", name,
                   p->models.count, p->models.count == 1 ? "" : "s", p->routes.count,
                   p->routes.count == 1 ? "" : "s");
        if (c->observe && image_find_model(p, slice_cstr(c->observe)) == IMAGE_NONE)
            doctor_add(d, DOCTOR_FAIL, "policy", "set observe to a model of the policy, or to off",
                       "observe names %s, which the policy does not have", c->observe);
        if (!offline)
            doctor_upstreams(d, c, p);
        decider_close(&decider);
    }
    buf_deinit(&text);
}

static void check_conf(struct doctor *d, struct conf *c, const char *path, struct buf *rendered)
{
    struct buf why;
    buf_init(&why, 64 * 1024);
    const char *name = path ? path : "merit.conf";
    if (conf_load(c, path, isatty(STDERR_FILENO), rendered))
        doctor_add(d, DOCTOR_FAIL, "settings",
                   "mend the lines above; `merit serve --print-conf` lists all settings",
                   "%s has errors", name);
    else if (conf_check(c, &why))
        doctor_add(d, DOCTOR_FAIL, "settings", "change it in merit.conf", "%.*s",
                   SLICE_FMT(slice_head(buf_slice(&why), why.len - 1)));
    else
        doctor_add(d, DOCTOR_OK, "settings", "", "%s",
                   !path && access(name, F_OK) ? "all defaults (no merit.conf here)" : name);
    buf_deinit(&why);
}

static int put(const struct doctor *d, bool json, struct buf *out)
{
    uint32_t n[3] = {0};
    for (uint32_t i = 0; i < d->count; i++)
        n[d->findings[i].status]++;
    if (json)
        buf_printf(out, "{\"ok\": %s, \"findings\": [", n[DOCTOR_FAIL] ? "false" : "true");
    for (uint32_t i = 0; i < d->count; i++) {
        const struct doctor_finding *f = d->findings + i;
        if (!json) {
            static const char *const marks[] = {"ok  ", "warn", "FAIL"};
            buf_printf(out, "%s  %-11s  %.*s\n", marks[f->status], f->check, SLICE_FMT(f->message));
            if (f->fix.len)
                buf_printf(out, "                   -> %.*s\n", SLICE_FMT(f->fix));
            continue;
        }
        buf_printf(out, "%s\n {\"check\": \"%s\", \"status\": \"%s\", \"message\": ", i ? "," : "",
                   f->check, status_names[f->status]);
        json_write_string(out, f->message);
        BUF_LIT(out, ", \"fix\": ");
        if (f->fix.len)
            json_write_string(out, f->fix);
        else
            BUF_LIT(out, "null");
        BUF_LIT(out, "}");
    }
    if (json)
        BUF_LIT(out, "]}\n");
    else
        buf_printf(out, "\n%u ok, %u to look at, %u failed%s\n", n[DOCTOR_OK], n[DOCTOR_WARN],
                   n[DOCTOR_FAIL], d->dropped ? "; more were found than are shown" : "");
    int code = args_put(out);
    return code ? code : n[DOCTOR_FAIL] || d->nomem ? EXIT_FOUND : EXIT_DONE;
}

int cmd_doctor(int argc, char **argv)
{
    const char *conf_path = NULL;
    bool json = false, offline = false;
    const struct args_option options[] = {
        {"--conf", &conf_path, NULL}, {"--offline", NULL, &offline}, {"--json", NULL, &json}};
    struct args a = {.command = "merit doctor",
                     .usage = usage,
                     .options = options,
                     .option_count = MERIT_COUNT(options),
                     .word_max = 1};
    int code = args_read(&a, argc, argv);
    if (code != ARGS_GO_ON)
        return code;
    static struct doctor d;
    struct conf conf;
    struct arena arena;
    struct buf out, rendered;
    arena_init(&arena, 0, POLICY_ARENA_MAX);
    buf_init(&out, 1 << 22);
    buf_init(&rendered, 1 << 20);
    d = (struct doctor){.arena = &arena};
    if (conf_init(&conf)) {
        fprintf(stderr, "merit doctor: no memory\n");
        arena_deinit(&arena);
        return EXIT_FOUND;
    }
    check_conf(&d, &conf, conf_path, &rendered);
    struct encoders encoders;
    check_encoders(&d, &conf, &encoders);
    check_policy(&d, &conf, a.word_count ? a.words[0] : conf.policy, offline, encoders.service,
                 &rendered);
    encoders_close(&encoders);
    doctor_process(&d, &conf);
    doctor_machine(&d, &conf);
    fprintf(stderr, "%.*s", SLICE_FMT(buf_slice(&rendered)));
    code = put(&d, json, &out);
    conf_deinit(&conf);
    buf_deinit(&out);
    buf_deinit(&rendered);
    arena_deinit(&arena);
    return code;
}
