#include "api/effort.h"

#include <string.h>

enum { NAME_MAX_ = 48, DEPTH_MAX_ = 4 };

static const struct slice EFFORTS[IMAGE_EFFORT_COUNT_] = {
    [IMAGE_EFFORT_OFF] = {"\"none\"", 6},
    [IMAGE_EFFORT_LOW] = {"\"low\"", 5},
    [IMAGE_EFFORT_MEDIUM] = {"\"medium\"", 8},
    [IMAGE_EFFORT_HIGH] = {"\"high\"", 6},
};

// --- what the client says

// A member of the body that says how much to think.
struct knob {
    uint32_t object, key, value;
    bool null;
    enum image_effort says; // IMAGE_EFFORT_DEFAULT: no word of the policy
};
struct knobs {
    struct knob at[EFFORT_KNOBS_MAX];
    uint32_t count;
    enum result err; // RESULT_LIMIT, RESULT_NOMEM
};

struct walk {
    const struct json *j;
    const struct policy_image *p;
    struct arena *arena;
    struct knobs *out;
    bool own; // some model has a name of its own for it
};

enum role { ROLE_NONE, ROLE_KNOB, ROLE_HOLDS };

// Names without case, `_` and `-`. What stands in `reasoning` counts there only.
static const struct {
    struct slice name;
    enum role role;
    bool in_reasoning;
} NAMES[] = {
    {{"reasoningeffort", 15}, ROLE_KNOB, false},
    {{"reasoning", 9}, ROLE_HOLDS, false},
    {{"effort", 6}, ROLE_KNOB, true},
    {{"maxtokens", 9}, ROLE_KNOB, true},
    {{"budgettokens", 12}, ROLE_KNOB, true},
    {{"enabled", 7}, ROLE_KNOB, true},
    {{"reasoningbudget", 15}, ROLE_KNOB, false},
    {{"enablereasoning", 15}, ROLE_KNOB, false},
    {{"think", 5}, ROLE_KNOB, false},
    {{"thinking", 8}, ROLE_KNOB, false},
    {{"enablethinking", 14}, ROLE_KNOB, false},
    {{"thinkingbudget", 14}, ROLE_KNOB, false},
    {{"thinkingbudgettokens", 20}, ROLE_KNOB, false},
    {{"thinkingconfig", 14}, ROLE_KNOB, false},
    {{"thinkinglevel", 13}, ROLE_KNOB, false},
    {{"thinkingmode", 12}, ROLE_KNOB, false},
    {{"thinkingtokens", 14}, ROLE_KNOB, false},
    {{"maxthinkingtokens", 17}, ROLE_KNOB, false},
    {{"chattemplatekwargs", 18}, ROLE_HOLDS, false},
    {{"chattemplateargs", 16}, ROLE_HOLDS, false},
    {{"extrabody", 9}, ROLE_HOLDS, false},
    {{"google", 6}, ROLE_HOLDS, false},
    {{"generationconfig", 16}, ROLE_HOLDS, false},
    {{"outputconfig", 12}, ROLE_HOLDS, false},
    {{"provideroptions", 15}, ROLE_HOLDS, false},
    {{"vllmxargs", 9}, ROLE_HOLDS, false},
};

// Without case, `_` and `-`; 0: too long to be one of the names.
static size_t fold(struct slice name, char out[NAME_MAX_])
{
    size_t n = 0;
    for (size_t i = 0; i < name.len; i++) {
        char c = name.ptr[i];
        if (c == '_' || c == '-')
            continue;
        if (n == NAME_MAX_)
            return 0;
        out[n++] = c >= 'A' && c <= 'Z' ? (char)(c + 32) : c;
    }
    return n;
}

// Whether it may be one of NAMES: most keys of a request are told by their first letter.
static bool may_be(struct slice raw, bool escaped)
{
    static const uint32_t letters = 1u << ('r' - 'a') | 1u << ('t' - 'a') | 1u << ('e' - 'a') |
                                    1u << ('c' - 'a') | 1u << ('g' - 'a') | 1u << ('o' - 'a') |
                                    1u << ('p' - 'a') | 1u << ('v' - 'a') | 1u << ('m' - 'a');
    if (escaped || raw.len < 5)
        return escaped;
    unsigned first = ((unsigned char)raw.ptr[0] | 0x20u) - 'a';
    return first > 25 || letters >> first & 1;
}

// What Merit itself writes or reads is no knob.
static bool is_merits(struct slice name)
{
    static const char *const names[] = {"model",      "messages",
                                        "stream",     "stream_options",
                                        "max_tokens", "max_completion_tokens",
                                        "n",          "reasoning_effort",
                                        "n_predict"};
    for (size_t i = 0; i < MERIT_COUNT(names); i++)
        if (slice_eq_cstr(name, names[i]))
            return true;
    return false;
}

// Whether some model of the policy is told how much to think under this name.
static bool is_policys(const struct policy_image *p, struct slice name)
{
    char a[NAME_MAX_], b[NAME_MAX_];
    for (uint32_t i = 0; i < p->models.count; i++) {
        struct slice own = image_text(p, image_model(p, (int32_t)i)->knob_name);
        if (!own.len || is_merits(own))
            continue;
        size_t n = fold(own, a);
        if (slice_eq(own, name) || (n && fold(name, b) == n && memcmp(a, b, n) == 0))
            return true;
    }
    return false;
}

static bool has_own_names(const struct policy_image *p)
{
    for (uint32_t i = 0; i < p->models.count; i++)
        if (image_model(p, (int32_t)i)->knob_name.len)
            return true;
    return false;
}

static enum role role_of(const struct walk *w, uint32_t key, bool in_reasoning)
{
    char folded[NAME_MAX_];
    if (!w->own && !in_reasoning && !may_be(json_raw(w->j, key), w->j->tokens[key].escaped))
        return ROLE_NONE;
    struct slice name = json_string(w->j, key, w->arena);
    if (!name.ptr) {
        w->out->err = RESULT_NOMEM;
        return ROLE_NONE;
    }
    const struct slice plain = {folded, fold(name, folded)};
    for (size_t i = 0; plain.len && i < MERIT_COUNT(NAMES); i++)
        if (slice_eq(NAMES[i].name, plain) && (in_reasoning || !NAMES[i].in_reasoning))
            return NAMES[i].role;
    return w->own && is_policys(w->p, name) ? ROLE_KNOB : ROLE_NONE;
}

static enum image_effort by_name(const struct json *j, uint32_t value)
{
    static const struct {
        const char *name;
        enum image_effort effort;
    } words[] = {
        {"none", IMAGE_EFFORT_OFF},     {"off", IMAGE_EFFORT_OFF},
        {"disabled", IMAGE_EFFORT_OFF}, {"minimal", IMAGE_EFFORT_LOW},
        {"low", IMAGE_EFFORT_LOW},      {"medium", IMAGE_EFFORT_MEDIUM},
        {"high", IMAGE_EFFORT_HIGH},    {"xhigh", IMAGE_EFFORT_HIGH},
        {"max", IMAGE_EFFORT_HIGH},     {"on", IMAGE_EFFORT_ON},
        {"enabled", IMAGE_EFFORT_ON},   {"adaptive", IMAGE_EFFORT_ON},
    };
    for (size_t i = 0; i < MERIT_COUNT(words); i++)
        if (json_string_is(j, value, slice_cstr(words[i].name)))
            return words[i].effort;
    return IMAGE_EFFORT_DEFAULT;
}

// The order in which efforts count where several are said; a switch or a budget of tokens may be anything below `high`.
static int rank(enum image_effort e)
{
    static const int ranks[IMAGE_EFFORT_COUNT_] = {
        [IMAGE_EFFORT_OFF] = 1, [IMAGE_EFFORT_LOW] = 2,  [IMAGE_EFFORT_MEDIUM] = 3,
        [IMAGE_EFFORT_ON] = 4,  [IMAGE_EFFORT_HIGH] = 5,
    };
    return ranks[e];
}

static enum image_effort said_by(const struct json *j, uint32_t value)
{
    enum image_effort most = IMAGE_EFFORT_DEFAULT;
    uint32_t at = 0, key, inner;
    uint64_t n;
    switch (json_type(j, value)) {
    case JSON_STRING:
        return by_name(j, value);
    case JSON_TRUE:
        return IMAGE_EFFORT_ON;
    case JSON_FALSE:
        return IMAGE_EFFORT_OFF;
    case JSON_NUMBER:
        return !json_u64(j, value, &n) && n == 0 ? IMAGE_EFFORT_OFF : IMAGE_EFFORT_ON;
    case JSON_OBJECT: // {"type": "enabled", "budget_tokens": 1024}
        while (json_member(j, value, &at, &key, &inner)) {
            // Whether it is shown is no matter of how much it is.
            bool shows = json_string_is(j, key, SLICE("include_thoughts")) ||
                         json_string_is(j, key, SLICE("includeThoughts"));
            enum image_effort e = shows || json_type(j, inner) == JSON_OBJECT ? IMAGE_EFFORT_DEFAULT
                                                                              : said_by(j, inner);
            most = rank(e) > rank(most) ? e : most;
        }
        return most;
    default:
        return IMAGE_EFFORT_DEFAULT;
    }
}

static void collect(struct walk *w, uint32_t object, bool in_reasoning, int depth)
{
    const struct json *j = w->j;
    struct knobs *k = w->out;
    uint32_t at = 0, key, value;
    while (!k->err && json_member(j, object, &at, &key, &value)) {
        enum role role = role_of(w, key, in_reasoning);
        if (role == ROLE_NONE)
            continue;
        bool null = json_type(j, value) == JSON_NULL;
        if (role == ROLE_HOLDS && json_type(j, value) == JSON_OBJECT && depth < DEPTH_MAX_) {
            char folded[NAME_MAX_];
            struct slice name = json_string(j, key, w->arena);
            size_t n = name.ptr ? fold(name, folded) : 0;
            collect(w, value,
                    (n == 9 && memcmp(folded, "reasoning", 9) == 0) ||
                        (n == 12 && memcmp(folded, "outputconfig", 12) == 0),
                    depth + 1);
            continue;
        }
        if (k->count == EFFORT_KNOBS_MAX)
            k->err = RESULT_LIMIT;
        else
            k->at[k->count++] = (struct knob){object, key, value, null, said_by(j, value)};
    }
}

static enum result find(const struct openai_request *o, const struct policy_image *p,
                        struct arena *arena, struct knobs *out)
{
    struct walk w = {&o->json, p, arena, out, has_own_names(p)};
    out->count = 0;
    out->err = RESULT_OK;
    collect(&w, 0, false, 0);
    return out->err;
}

static enum image_effort asked_by(const struct knobs *k)
{
    enum image_effort most = IMAGE_EFFORT_DEFAULT;
    for (uint32_t i = 0; i < k->count; i++)
        most = rank(k->at[i].says) > rank(most) ? k->at[i].says : most;
    return most;
}

static bool says_some(const struct knobs *k)
{
    for (uint32_t i = 0; i < k->count; i++)
        if (!k->at[i].null)
            return true;
    return false;
}

enum result effort_asked(const struct openai_request *o, const struct policy_image *p,
                         struct arena *arena, enum image_effort *asked)
{
    struct knobs k;
    enum result r = find(o, p, arena, &k);
    *asked = asked_by(&k);
    return r;
}

// --- what is sent

// Takes out what the client says of it, but for the member `kept` (JSON_NONE: none) and what stands in it.
static enum result take_out(const struct openai_request *o, const struct knobs *k, uint32_t kept,
                            struct json_edits *e)
{
    enum result r = RESULT_OK;
    uint32_t end = kept == JSON_NONE ? JSON_NONE : o->json.tokens[kept + 1].next;
    for (uint32_t i = 0; !r && i < k->count; i++)
        if (kept == JSON_NONE || k->at[i].key < kept || k->at[i].key >= end)
            r = json_edit_remove(e, &o->json, k->at[i].object, k->at[i].key);
    return r;
}

static struct slice member_of(struct slice name, struct slice value, struct arena *arena)
{
    struct buf b;
    buf_init(&b, 64 * 1024);
    json_write_string(&b, name);
    buf_byte(&b, ':');
    buf_add(&b, value);
    struct slice member = buf_result(&b) ? SLICE_EMPTY : arena_copy(arena, buf_slice(&b));
    buf_deinit(&b);
    return member;
}

// Leaves one member that says it: an upstream may read the first or the last of several, here or there.
static enum result put(const struct openai_request *o, const struct knobs *k, uint32_t object,
                       struct slice name, struct slice value, struct json_edits *e,
                       struct arena *arena)
{
    const struct json *j = &o->json;
    uint32_t at = 0, key, old;
    while (json_member(j, object, &at, &key, &old))
        if (json_string_is(j, key, name)) {
            enum result r = json_edit_value(e, j, old, value);
            return r ? r : take_out(o, k, key, e);
        }
    struct slice member = member_of(name, value, arena);
    enum result r = member.ptr ? json_edit_member(e, j, object, member) : RESULT_NOMEM;
    return r ? r : take_out(o, k, JSON_NONE, e);
}

static enum result by_word(const struct openai_request *o, const struct knobs *k,
                           enum image_effort effort, struct json_edits *e, struct arena *arena)
{
    if (!EFFORTS[effort].len) // `on`: as the model is by itself
        return take_out(o, k, JSON_NONE, e);
    return put(o, k, 0, SLICE("reasoning_effort"), EFFORTS[effort], e, arena);
}

static enum result by_template(const struct openai_request *o, const struct knobs *k,
                               struct slice name, bool on, struct json_edits *e,
                               struct arena *arena)
{
    struct slice value = on ? SLICE("true") : SLICE("false");
    uint32_t kwargs = o->template_kwargs;
    if (kwargs != JSON_NONE && json_type(&o->json, kwargs) == JSON_OBJECT)
        return put(o, k, kwargs, name, value, e, arena);
    struct slice member = member_of(name, value, arena);
    struct slice whole = arena_printf(arena, "{%.*s}", SLICE_FMT(member));
    if (!member.ptr || !whole.ptr)
        return RESULT_NOMEM;
    return put(o, k, 0, SLICE("chat_template_kwargs"), whole, e, arena);
}

static enum result by_budget(const struct openai_request *o, const struct knobs *k,
                             struct slice name, uint32_t tok, struct json_edits *e,
                             struct arena *arena)
{
    struct slice value = arena_printf(arena, "%u", tok);
    if (!value.ptr)
        return RESULT_NOMEM;
    return put(o, k, 0, name.len ? name : SLICE("thinking_budget"), value, e, arena);
}

enum result effort_edit(const struct openai_request *o, const struct policy_image *p,
                        const struct image_model *m, enum image_effort chosen, bool dropped,
                        struct json_edits *e, struct arena *arena)
{
    struct knobs k;
    enum image_effort effort = chosen;
    bool stated = m->efforts & ~(1u << IMAGE_EFFORT_DEFAULT);
    if (effort == IMAGE_EFFORT_DEFAULT && !dropped && !stated)
        return RESULT_OK; // nothing is known of it
    enum result r = find(o, p, arena, &k);
    if (r)
        return r;
    if (effort == IMAGE_EFFORT_DEFAULT) {
        if (!says_some(&k))
            return RESULT_OK;
        effort = asked_by(&k);
        if (dropped || effort == IMAGE_EFFORT_DEFAULT || !(m->efforts >> effort & 1))
            return take_out(o, &k, JSON_NONE, e);
    }
    if (m->knob == IMAGE_KNOB_REASONING_EFFORT)
        return by_word(o, &k, effort, e, arena);
    struct slice name = image_text(p, m->knob_name);
    if (m->knob == IMAGE_KNOB_TEMPLATE)
        return by_template(o, &k, name.len ? name : SLICE("enable_thinking"),
                           effort != IMAGE_EFFORT_OFF, e, arena);
    // A model that thinks as much as it wants when nothing is said.
    if (is_merits(name) || (effort != IMAGE_EFFORT_OFF && !m->thinking_tok[effort]))
        return take_out(o, &k, JSON_NONE, e);
    return by_budget(o, &k, name, effort == IMAGE_EFFORT_OFF ? 0 : m->thinking_tok[effort], e,
                     arena);
}
