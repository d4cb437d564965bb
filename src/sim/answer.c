// What a simulated model says.
#include "base/hash.h"
#include "base/rng.h"
#include "sim/script.h"

// Speeds, windows and manners are made up: four corners of what real pools have.
const struct sim_profile sim_profiles[SIM_PROFILES] = {
    {"swift", 20, 2, 8192, 1024, SIM_SHORT},
    {"steady", 60, 5, 32768, 4096, SIM_PLAIN},
    {"deep", 150, 10, 128000, 8192, SIM_STEPS},
    {"vast", 300, 15, 200000, 16384, SIM_LONG},
};

const struct sim_profile *sim_profile_for(struct slice model)
{
    for (size_t i = 0; i < SIM_PROFILES; i++) {
        if (slice_eq_cstr(model, sim_profiles[i].name))
            return sim_profiles + i;
    }
    return sim_profiles + hash_fnv(0, model) % SIM_PROFILES;
}

// %s is the topic.
static const char *const sentences[] = {
    "A real model would now say something useful about %s.",
    "What matters about %s is who asks and what they already know.",
    "There are several sides to %s, and none of them is simulated well.",
    "Most questions about %s have a short answer and a long one.",
    "If %s were easy, a smaller model would have been chosen.",
    "Nothing here was thought about: %s is only repeated.",
    "With %s it helps to write down what is given and what is wanted.",
    "The usual mistake with %s is to answer before reading to the end.",
    "An example would make %s clearer, and a real model would give one.",
    "To be sure about %s one would check it against a second source.",
};

struct writer {
    struct buf text;
    struct rng rng;
    struct slice topic;
};

static void sentence(struct writer *w)
{
    const char *s = sentences[rng_below(&w->rng, MERIT_COUNT(sentences))];
    const char *at = strstr(s, "%s");
    buf_append(&w->text, s, (size_t)(at - s));
    buf_byte(&w->text, '"');
    buf_add(&w->text, w->topic);
    buf_byte(&w->text, '"');
    buf_cstr(&w->text, at + 2);
}

static bool is_break(char c)
{
    return c == ' ' || c == '\n' || c == '\t' || c == '\r';
}

static struct slice without_directive(struct slice text)
{
    ptrdiff_t at = slice_find(text, SLICE("[[sim:"));
    return at < 0 ? text : slice_head(text, (size_t)at);
}

// The first words of what was asked, up to 60 bytes and never inside a character.
static struct slice topic_of(struct slice user)
{
    struct slice s = without_directive(user);
    while (s.len && is_break(*s.ptr))
        s = slice_from(s, 1);
    size_t n = 0;
    while (n < s.len && s.ptr[n] != '\n' && n < 60)
        n++;
    if (n < s.len) {
        while (n && (s.ptr[n] & 0xc0) == 0x80)
            n--;
    }
    s = slice_head(s, n);
    while (s.len && (is_break(s.ptr[s.len - 1]) || strchr(".!?,", s.ptr[s.len - 1])))
        s.len--;
    return s.len ? s : SLICE("nothing");
}

static void write_prose(struct writer *w, const struct sim_request *r, const struct sim_profile *p,
                        struct slice model)
{
    static const unsigned least[] = {1, 4, 4, 9}, spread[] = {1, 3, 3, 4};
    buf_printf(&w->text, "This is a simulated answer from %.*s.", SLICE_FMT(model));
    if (r->tool_text.ptr)
        buf_printf(&w->text, " The tool said: %.*s", SLICE_FMT(slice_head(r->tool_text, 200)));
    unsigned n = least[p->manner] + (unsigned)rng_below(&w->rng, spread[p->manner]);
    for (unsigned i = 0; i < n; i++) {
        if (p->manner == SIM_STEPS)
            buf_printf(&w->text, "\n%u. ", i + 1);
        else
            buf_cstr(&w->text, p->manner == SIM_LONG && i % 3 == 0 ? "\n\n" : " ");
        sentence(w);
    }
}

// In quotes or backquotes, else the last word: what a tool's text argument is likely to be.
static struct slice hint_of(struct slice user)
{
    struct slice s = without_directive(user);
    static const char quotes[] = "`\"'";
    for (const char *q = quotes; *q; q++) {
        const char *open = s.len ? memchr(s.ptr, *q, s.len) : NULL;
        if (!open)
            continue;
        struct slice rest = slice_make(open + 1, (size_t)(s.ptr + s.len - open - 1));
        const char *close = rest.len ? memchr(rest.ptr, *q, rest.len) : NULL;
        if (close && close > rest.ptr)
            return slice_make(rest.ptr, (size_t)(close - rest.ptr));
    }
    while (s.len && (is_break(s.ptr[s.len - 1]) || strchr(".!?,", s.ptr[s.len - 1])))
        s.len--;
    size_t begin = s.len;
    while (begin && !is_break(s.ptr[begin - 1]))
        begin--;
    s = slice_from(s, begin);
    return s.len ? s : SLICE("simulated");
}

static void write_text(struct writer *w, const struct sim_request *r, const struct sim_profile *p,
                       struct slice model)
{
    if (r->tool.ptr) {
        if (r->tool_schema == JSON_NONE)
            BUF_LIT(&w->text, "{}");
        else
            sim_schema_write(&r->json, r->tool_schema, hint_of(r->user), &w->text);
    } else if (r->schema != JSON_NONE) {
        sim_schema_write(&r->json, r->schema, SLICE("simulated"), &w->text);
    } else if (r->wants_json) {
        BUF_LIT(&w->text, "{\"simulated\": true, \"model\": ");
        json_write_string(&w->text, model);
        BUF_LIT(&w->text, ", \"answer\": ");
        json_write_string(&w->text, w->topic);
        BUF_LIT(&w->text, "}");
    } else if (r->echo) {
        buf_add(&w->text,
                without_directive(r->user).len ? without_directive(r->user) : SLICE("nothing"));
    } else {
        write_prose(w, r, p, model);
    }
}

// Blanks and what follows them: a run of letters and digits, or one sign. Bytes above ASCII count as letters.
static size_t token_len(struct slice s)
{
    size_t n = 0;
    while (n < s.len && is_break(s.ptr[n]))
        n++;
    size_t begin = n;
    for (; n < s.len; n++) {
        unsigned char c = (unsigned char)s.ptr[n];
        bool letter =
            (c >= '0' && c <= '9') || ((c | 0x20) >= 'a' && (c | 0x20) <= 'z') || c >= 0x80;
        if (!letter)
            break;
    }
    return n == begin && n < s.len ? n + 1 : n;
}

static uint32_t split(struct slice text, struct slice *to, uint32_t room)
{
    uint32_t n = 0;
    while (text.len && n < room) {
        size_t len = token_len(text);
        if (to)
            to[n] = slice_head(text, len);
        text = slice_from(text, len);
        n++;
    }
    return n;
}

static void cut_at_stop(const struct sim_request *r, struct slice *text)
{
    size_t end = text->len;
    for (uint32_t i = 0; i < r->stop_count; i++) {
        ptrdiff_t at = r->stops[i].len ? slice_find(*text, r->stops[i]) : -1;
        if (at >= 0 && (size_t)at < end)
            end = (size_t)at;
    }
    text->len = end;
}

enum result sim_answer(const struct sim_request *r, const struct sim_profile *p, struct slice model,
                       uint32_t choice, uint64_t seed, uint32_t tokens_wanted, struct arena *arena,
                       struct sim_answer *out)
{
    struct writer w = {.topic = topic_of(r->user)};
    rng_seed(&w.rng, hash_fnv(seed ^ r->seed ^ choice, r->user) ^ hash_fnv(choice, model));
    buf_init(&w.text, 16 * 1024 * 1024);
    write_text(&w, r, p, model);
    while (tokens_wanted != UINT32_MAX && !buf_result(&w.text) &&
           split(buf_slice(&w.text), NULL, tokens_wanted) < tokens_wanted) {
        // Each round doubles, so that many tokens cost no square time.
        size_t before = w.text.len;
        do {
            buf_byte(&w.text, ' ');
            sentence(&w);
        } while (w.text.len < 2 * before && !buf_result(&w.text));
    }
    struct slice text = buf_result(&w.text) ? SLICE_EMPTY : arena_copy(arena, buf_slice(&w.text));
    buf_deinit(&w.text);
    if (!text.ptr)
        return RESULT_NOMEM;
    bool tool = r->tool.ptr;
    if (!tool)
        cut_at_stop(r, &text);
    uint32_t most = r->max_tok < p->output_tok ? r->max_tok : p->output_tok;
    uint32_t count = split(text, NULL, UINT32_MAX);
    *out = (struct sim_answer){.tool_call = tool, .finish = tool ? "tool_calls" : "stop"};
    if (tokens_wanted != UINT32_MAX) {
        most = tokens_wanted;
    } else if (count > most) {
        out->finish = "length";
    }
    if (count > most)
        count = most;
    out->tokens = ARENA_ARRAY(arena, struct slice, count ? count : 1);
    if (!out->tokens)
        return RESULT_NOMEM;
    out->count = split(text, out->tokens, count);
    return RESULT_OK;
}
