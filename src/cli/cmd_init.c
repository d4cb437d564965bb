// `merit init`: finds what is there and writes a policy for it.
#include <errno.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "api/decider.h"
#include "base/file.h"
#include "cli/args.h"
#include "cli/commands.h"
#include "cli/init.h"
#include "cli/policy_file.h"
#include "policy/policy.h"
#include "text/json.h"

static const char usage[] =
    "usage: merit init [FILE] [--force] [--json]\n"
    "\n"
    "Looks for model servers on this machine (Ollama 11434, vLLM 8000, llama.cpp 8080, LM Studio "
    "1234, on\n"
    "127.0.0.1 only) and for keys of providers in the environment (OPENAI_API_KEY, GROQ_API_KEY,\n"
    "MISTRAL_API_KEY, OPENROUTER_API_KEY, DEEPSEEK_API_KEY, TOGETHER_API_KEY, XAI_API_KEY), and "
    "writes a\n"
    "commented policy for what it found to FILE (merit.merit, where the other commands look for "
    "it; - is\n"
    "standard output). With nothing found it writes the policy of the demo pool. Providers are not "
    "called\n"
    "and keys are not shown.\n"
    "\n"
    "  --force   replaces FILE\n"
    "  --json    {\"path\", \"servers\", \"providers\", \"demo\"}\n"
    "\n"
    "  merit init && merit policy check merit.merit && merit serve\n"
    "  merit init - | less\n";

// The policy must load: a name that a server gave could still break it.
static bool accepted(struct slice text, const char *path)
{
    struct arena arena;
    struct diag_list diags;
    struct decider decider;
    struct buf out;
    arena_init(&arena, 0, 1 << 24);
    buf_init(&out, 1 << 20);
    diag_init(&diags, &arena, POLICY_DIAGS_MAX);
    enum result r = decider_open(&decider, text, NULL, DECIDER_SERVED, &diags);
    if (!r) {
        decider_close(&decider);
    } else {
        diag_render(&diags, text, slice_cstr(path), isatty(STDERR_FILENO), &out);
        fprintf(
            stderr,
            "%.*smerit init: the policy for what was found does not load; nothing was written\n",
            SLICE_FMT(buf_slice(&out)));
    }
    buf_deinit(&out);
    arena_deinit(&arena);
    return !r;
}

static int write_policy(const char *path, struct slice text, bool force)
{
    char room[FILE_ERROR_BYTES];
    enum result r = force ? file_replace(path, text, 0644) : file_create(path, text, 0644);
    if (r == RESULT_EXISTS)
        fprintf(stderr, "merit init: %s exists; --force replaces it, or name another file\n", path);
    else if (r)
        fprintf(stderr, "merit init: %s cannot be written: %s\n", path, file_error(errno, room));
    return r ? EXIT_FOUND : EXIT_DONE;
}

static void report(const struct init_found *f, const char *path, struct buf *out)
{
    for (uint32_t i = 0; i < f->server_count; i++) {
        const struct init_found_server *s = f->servers + i;
        buf_printf(out, "found %s on 127.0.0.1:%u with %u model%s\n", s->server.name,
                   s->server.port, s->model_count, s->model_count == 1 ? "" : "s");
    }
    for (uint32_t i = 0; i < f->provider_count; i++)
        buf_printf(out, "found a key for %s in $%s\n", f->providers[i]->label,
                   f->providers[i]->variable);
    if (!f->server_count && !f->provider_count)
        BUF_LIT(out,
                "found no model server and no provider's key: the policy uses the demo pool\n");
    buf_printf(out, "wrote %s\n\n  merit policy check %s\n  merit serve %s\n", path, path, path);
}

static void report_json(const struct init_found *f, const char *path, struct buf *out)
{
    BUF_LIT(out, "{\"path\": ");
    json_write_string(out, slice_cstr(path));
    BUF_LIT(out, ", \"servers\": [");
    for (uint32_t i = 0; i < f->server_count; i++) {
        const struct init_found_server *s = f->servers + i;
        buf_printf(out, "%s{\"name\": \"%s\", \"url\": \"http://127.0.0.1:%u/v1\", \"models\": [",
                   i ? ", " : "", s->server.name, s->server.port);
        for (uint32_t m = 0; m < s->model_count; m++) {
            if (m)
                BUF_LIT(out, ", ");
            json_write_string(out, s->models[m].id);
        }
        BUF_LIT(out, "]}");
    }
    BUF_LIT(out, "], \"providers\": [");
    for (uint32_t i = 0; i < f->provider_count; i++)
        buf_printf(out, "%s{\"name\": \"%s\", \"key\": \"%s\"}", i ? ", " : "",
                   f->providers[i]->name, f->providers[i]->variable);
    buf_printf(out, "], \"demo\": %s}\n", f->server_count || f->provider_count ? "false" : "true");
}

static int init(const char *path, bool force, bool json, struct arena *arena, struct buf *text,
                struct buf *out)
{
    static struct init_found found;
    struct stat st;
    bool standard = slice_eq_cstr(SLICE("-"), path);
    if (!standard && !force && !stat(path, &st)) {
        fprintf(stderr, "merit init: %s exists; --force replaces it, or name another file\n", path);
        return EXIT_FOUND;
    }
    if (init_look(init_servers, arena, &found)) {
        fprintf(stderr, "merit init: no memory\n");
        return EXIT_FOUND;
    }
    init_write(&found, arena, text);
    struct slice policy = text->len ? buf_slice(text) : POLICY_DEMO;
    if (buf_result(text) || !accepted(policy, path))
        return EXIT_FOUND;
    if (standard) {
        buf_add(out, policy);
        return args_put(out);
    }
    int code = write_policy(path, policy, force);
    if (code)
        return code;
    if (json)
        report_json(&found, path, out);
    else
        report(&found, path, out);
    return args_put(out);
}

int cmd_init(int argc, char **argv)
{
    bool force = false, json = false;
    const struct args_option options[] = {{"--force", NULL, &force}, {"--json", NULL, &json}};
    struct args a = {.command = "merit init",
                     .usage = usage,
                     .options = options,
                     .option_count = MERIT_COUNT(options),
                     .word_max = 1};
    int code = args_read(&a, argc, argv);
    if (code != ARGS_GO_ON)
        return code;
    struct arena arena;
    struct buf text, out;
    arena_init(&arena, 0, 1 << 26);
    buf_init(&text, 1 << 20);
    buf_init(&out, 1 << 20);
    code = init(a.word_count ? a.words[0] : "merit.merit", force, json, &arena, &text, &out);
    buf_deinit(&text);
    buf_deinit(&out);
    arena_deinit(&arena);
    return code;
}
