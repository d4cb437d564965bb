#include "cli/init.h"

#include <stdlib.h>

#include "cli/probe.h"
#include "policy/check.h"
#include "text/json.h"

const struct init_server init_servers[] = {
    {"Ollama", 11434}, {"vLLM", 8000}, {"llama.cpp", 8080}, {"LM Studio", 1234}, {NULL, 0}};

// A model of each to begin with; names and windows from the providers' own documents, 2026-11, grade: cited.
const struct init_provider init_providers[] = {
    {"openai", "OPENAI_API_KEY", "OpenAI", "gpt-5-mini", 400000, "tools, images, json, schema"},
    {"groq", "GROQ_API_KEY", "Groq", "llama-3.3-70b-versatile", 131072, "tools, json"},
    {"mistral", "MISTRAL_API_KEY", "Mistral", "mistral-small-latest", 128000,
     "tools, json, schema"},
    {"openrouter", "OPENROUTER_API_KEY", "OpenRouter", "openrouter/auto", 128000, "tools, json"},
    {"deepseek", "DEEPSEEK_API_KEY", "DeepSeek", "deepseek-chat", 128000, "tools, json"},
    {"together", "TOGETHER_API_KEY", "Together", "meta-llama/Llama-3.3-70B-Instruct-Turbo", 131072,
     "tools, json"},
    {"xai", "XAI_API_KEY", "xAI", "grok-4", 256000, "tools, images, json, schema"},
    {NULL, NULL, NULL, NULL, 0, NULL},
};

// The window as vLLM (max_model_len) or llama.cpp (meta.n_ctx_train) tells it.
static void read_context(const struct json *j, uint32_t model, struct init_model *m)
{
    static const char *const names[] = {"max_model_len", "context_window", "max_context_length"};
    uint64_t v = 0;
    uint32_t meta = json_get(j, model, SLICE("meta"), NULL), token = JSON_NONE;
    for (size_t i = 0; token == JSON_NONE && i < MERIT_COUNT(names); i++)
        token = json_get(j, model, slice_cstr(names[i]), NULL);
    if (token == JSON_NONE && meta != JSON_NONE && json_type(j, meta) == JSON_OBJECT)
        token = json_get(j, meta, SLICE("n_ctx_train"), NULL);
    m->context_known = token != JSON_NONE && json_type(j, token) == JSON_NUMBER &&
                       !json_u64(j, token, &v) && v >= 256 && v <= 10000000;
    m->context_tok = m->context_known ? (uint32_t)v : (uint32_t)INIT_CONTEXT_GUESS;
}

static bool is_plain(struct slice s)
{
    for (size_t i = 0; i < s.len; i++) {
        unsigned char c = (unsigned char)s.ptr[i];
        if (c <= ' ' || c >= 127 || c == '"' || c == '\\')
            return false;
    }
    return s.len > 0 && s.len <= 100;
}

enum result init_models(struct slice body, struct arena *arena, struct init_found_server *server)
{
    struct json j;
    enum result r = json_parse(&j, body, &json_limits_default, arena);
    if (r)
        return r == RESULT_NOMEM ? r : RESULT_SYNTAX;
    uint32_t data =
        json_type(&j, 0) == JSON_OBJECT ? json_get(&j, 0, SLICE("data"), NULL) : JSON_NONE;
    if (data == JSON_NONE || json_type(&j, data) != JSON_ARRAY)
        return RESULT_SYNTAX;
    uint32_t at = 0, model;
    while (json_element(&j, data, &at, &model)) {
        uint32_t token = json_type(&j, model) == JSON_OBJECT
                             ? json_get(&j, model, SLICE("id"), NULL)
                             : JSON_NONE;
        if (token == JSON_NONE || json_type(&j, token) != JSON_STRING)
            continue;
        struct slice id = json_string(&j, token, arena);
        // A model that only embeds cannot answer; an odd name could not be written into a policy.
        if (!is_plain(id) || slice_find(id, SLICE("embed")) >= 0 ||
            server->model_count == INIT_MODELS_MAX) {
            server->left_out++;
            continue;
        }
        struct init_model *m = server->models + server->model_count;
        m->id = arena_copy(arena, id);
        if (!m->id.ptr)
            return RESULT_NOMEM;
        read_context(&j, model, m);
        server->model_count++;
    }
    return RESULT_OK;
}

enum result init_look(const struct init_server *servers, struct arena *arena,
                      struct init_found *found)
{
    *found = (struct init_found){0};
    for (const struct init_server *s = servers; s->name && found->server_count < INIT_SERVERS_MAX;
         s++) {
        struct slice url = arena_printf(arena, "http://127.0.0.1:%u/v1", s->port);
        struct probe_request request = {
            .url = url, .path = "/models", .timeout_ms = INIT_TIMEOUT_MS};
        struct probe_answer answer;
        struct init_found_server *to = found->servers + found->server_count;
        *to = (struct init_found_server){.server = *s};
        if (!url.ptr)
            return RESULT_NOMEM;
        enum result r = probe_get(&request, &answer);
        bool good = !r && answer.status == 200;
        r = good ? init_models(buf_slice(&answer.body), arena, to) : r;
        probe_done(&answer);
        if (r == RESULT_NOMEM)
            return r;
        found->server_count += good && !r && to->model_count;
    }
    for (const struct init_provider *p = init_providers; p->name; p++) {
        const char *key = getenv(p->variable);
        if (key && key[0] && found->provider_count < INIT_PROVIDERS_MAX)
            found->providers[found->provider_count++] = p;
    }
    return RESULT_OK;
}

static bool name_taken(const struct init_found *found, struct slice name,
                       const struct init_model *self)
{
    for (uint32_t s = 0; s < found->server_count; s++) {
        for (uint32_t i = 0; i < found->servers[s].model_count; i++) {
            const struct init_model *m = found->servers[s].models + i;
            if (m == self)
                return false;
            if (slice_eq(m->name, name))
                return true;
        }
    }
    return false;
}

// A word of the policy's language: what follows the last slash of the id, with other signs as dashes, in front of it a
// letter; a number behind it when it is taken. The prefix keeps it apart from the language's own words.
static struct slice word_of(const struct init_found *found, const struct init_model *m,
                            struct arena *arena)
{
    struct slice tail = m->id;
    for (size_t i = tail.len; i > 0; i--) {
        if (tail.ptr[i - 1] == '/' && i < tail.len) {
            tail = slice_from(tail, i);
            break;
        }
    }
    char word[64] = "m-";
    size_t n = tail.ptr[0] >= '0' && tail.ptr[0] <= '9' ? 2 : 0, begin = n;
    bool dash = true;
    for (size_t i = 0; i < tail.len && n < 48; i++) {
        char c = tail.ptr[i];
        bool fine = (c >= '0' && c <= '9') || ((c | 0x20) >= 'a' && (c | 0x20) <= 'z');
        if (!fine && dash)
            continue;
        word[n++] = fine ? (c >= 'A' && c <= 'Z' ? (char)(c | 0x20) : c) : '-';
        dash = !fine;
    }
    while (n > begin && word[n - 1] == '-')
        n--;
    if (n == begin)
        return arena_printf(arena, "model-%u", (unsigned)(m - found->servers[0].models));
    struct slice base = slice_make(word, n);
    // `auto` is the alias that every policy written here has.
    bool again = check_is_reserved(base) || slice_eq_cstr(base, "auto");
    if (!again && !name_taken(found, base, m))
        return arena_copy(arena, base);
    for (unsigned k = 2;; k++) {
        struct slice name = arena_printf(arena, "%.*s-%u", SLICE_FMT(base), k);
        if (!name.ptr || !name_taken(found, name, m))
            return name;
    }
}

static void write_server(struct init_found *found, struct init_found_server *s, struct arena *arena,
                         struct buf *out)
{
    buf_printf(out, "# %s on 127.0.0.1:%u.", s->server.name, s->server.port);
    if (s->left_out)
        buf_printf(out, " %u more of its models are left out.", s->left_out);
    BUF_LIT(out, "\n# Take away from `can` what a model or its server cannot do, add `images` "
                 "where it sees.\n");
    for (uint32_t i = 0; i < s->model_count; i++) {
        struct init_model *m = s->models + i;
        m->name = word_of(found, m, arena);
        if (!m->name.ptr) {
            out->err = RESULT_NOMEM;
            return;
        }
        if (!m->context_known)
            BUF_LIT(out, "# It does not say how long its window is: set `context` to what it was "
                         "started with.\n");
        buf_printf(out,
                   "model %.*s  zone house  endpoint \"http://127.0.0.1:%u/v1\" as \"%.*s\"\n      "
                   "context %u tok  can tools, json, schema\n",
                   SLICE_FMT(m->name), s->server.port, SLICE_FMT(m->id), m->context_tok);
    }
    buf_byte(out, '\n');
}

static void write_provider(const struct init_provider *p, struct buf *out)
{
    buf_printf(out,
               "# %s: the key is read from $%s when Merit starts; it is not in this file. Put the "
               "model that you use\n"
               "# and its price (`price 1.25 in, 10 out usd/Mtok`).\n"
               "model cloud-%s  zone outside  provider %s \"%s\"  key env %s\n      context %u tok "
               " can %s\n\n",
               p->label, p->variable, p->name, p->name, p->model, p->variable, p->context_tok,
               p->can);
}

static void write_list(const struct init_found *found, bool house, bool outside, struct buf *out)
{
    const char *separator = "";
    for (uint32_t s = 0; house && s < found->server_count; s++) {
        for (uint32_t i = 0; i < found->servers[s].model_count; i++) {
            buf_printf(out, "%s%.*s", separator, SLICE_FMT(found->servers[s].models[i].name));
            separator = ", ";
        }
    }
    for (uint32_t i = 0; outside && i < found->provider_count; i++) {
        buf_printf(out, "%scloud-%s", separator, found->providers[i]->name);
        separator = ", ";
    }
}

void init_write(struct init_found *found, struct arena *arena, struct buf *out)
{
    bool house = found->server_count, outside = found->provider_count;
    if (!house && !outside)
        return;
    BUF_LIT(out,
            "# Written by `merit init` for what it found on this machine. It is yours to change.\n"
            "#\n"
            "#   merit policy check FILE     finds mistakes\n"
            "#   merit route --policy FILE \"prove it\"   decides and explains, calls nothing\n"
            "#   merit serve FILE            serves on http://127.0.0.1:8780/v1\n"
            "#\n"
            "# A statement begins in the first column and goes on in indented lines.\n"
            "policy \"home\" version 1\n\n"
            "# Where models run.\n");
    buf_cstr(out, house ? "zone house\n" : "");
    buf_cstr(out, outside ? "zone outside\n\n" : "\n");
    for (uint32_t i = 0; i < found->server_count; i++)
        write_server(found, found->servers + i, arena, out);
    for (uint32_t i = 0; i < found->provider_count; i++)
        write_provider(found->providers[i], out);
    BUF_LIT(out, "# Names that clients may ask for besides those of the models. `auto` lets the "
                 "routes decide.\n"
                 "alias auto -> routes\n\n");
    if (house && outside) {
        BUF_LIT(out, "# What needs care may leave the house; everything else stays, as long as a "
                     "model there can do it.\n"
                     "signal careful = keywords(\"step by step\", \"prove\", \"legal\", "
                     "\"contract\", \"diagnosis\")\n\n"
                     "route careful when careful -> answer(");
        write_list(found, false, true, out);
        BUF_LIT(out, ", ");
        write_list(found, true, false, out);
        BUF_LIT(out, ")\n");
    }
    BUF_LIT(out, "# The first one that can do the work (window, tools, images) and is up "
                 "answers.\notherwise -> answer(");
    write_list(found, true, true, out);
    BUF_LIT(out, ")\n");
}
