// What can stand at the cursor: words of the language by its grammar, names and words by the roles of their places.
#include "lsp/call.h"
#include "lsp/words.h"
#include "policy/energy_list.h"
#include "policy/provider.h"
#include "work/work.h"

enum { ITEMS_MAX = 2000, PLACES_MAX = 16 };

// CompletionItemKind of the protocol.
enum {
    ITEM_FUNCTION = 3,
    ITEM_VARIABLE = 6,
    ITEM_CLASS = 7,
    ITEM_MODULE = 9,
    ITEM_UNIT = 11,
    ITEM_KEYWORD = 14,
    ITEM_REFERENCE = 18,
    ITEM_MEMBER = 20,
};

struct completer {
    struct lsp_call *c;
    uint32_t begin; // first token of the statement
    uint32_t end;   // behind the last token before the cursor
    struct span partial;
    uint32_t items;
    bool cut; // there are more than are offered: what is typed next asks again
    struct lsp_place places[PLACES_MAX];
    uint32_t place_count;
    uint8_t *words; // per word of the language: it is offered already
};

// `before` sorts: names before words of the language.
static void item(struct completer *k, struct slice label, int kind, int before, struct slice detail,
                 struct slice help)
{
    struct lsp_call *c = k->c;
    struct slice typed =
        slice_make(c->tree->source.ptr + k->partial.begin, k->partial.end - k->partial.begin);
    // Where there are very many names those that begin otherwise are left out here; else the editor chooses, in its way.
    bool many = c->document->names.count > ITEMS_MAX;
    k->cut |= many;
    if (k->items >= ITEMS_MAX || (many && !slice_starts_with(label, typed)))
        return;
    buf_cstr(c->out, k->items++ ? ",{\"label\":" : "{\"label\":");
    json_write_string(c->out, label);
    buf_printf(c->out, ",\"kind\":%d,\"sortText\":", kind);
    struct slice key = arena_printf(&c->message->arena, "%d%.*s", before, SLICE_FMT(label));
    json_write_string(c->out, key);
    if (typed.len && typed.ptr[0] == '"') {
        BUF_LIT(c->out, ",\"filterText\":");
        json_write_string(c->out, label);
    }
    if (detail.len) {
        BUF_LIT(c->out, ",\"detail\":");
        json_write_string(c->out, detail);
    }
    if (help.len) {
        BUF_LIT(c->out, ",\"documentation\":");
        json_write_string(c->out, help);
    }
    BUF_LIT(c->out, ",\"textEdit\":");
    lsp_put_edit(c, k->partial, label);
    BUF_LIT(c->out, "}");
}

static void language_word(struct completer *k, uint16_t index)
{
    struct slice text = k->c->server->grammar.words[index];
    const struct lsp_word *w = lsp_word_find(text);
    if (k->words[index]++)
        return;
    item(k, text, ITEM_KEYWORD, 2, w ? slice_cstr(w->form) : SLICE_EMPTY,
         w ? slice_cstr(w->help) : SLICE_EMPTY);
}

static void plain(struct completer *k, const char *word, int kind, const char *detail)
{
    item(k, slice_cstr(word), kind, 1, slice_cstr(detail), SLICE_EMPTY);
}

static void list(struct completer *k, const char *const *words, const char *detail)
{
    for (; words && *words; words++)
        plain(k, *words, ITEM_MEMBER, detail);
}

static int item_kind(enum lsp_kind kind)
{
    return kind == LSP_ZONE                          ? ITEM_MODULE
           : kind == LSP_MODEL                       ? ITEM_CLASS
           : kind == LSP_SIGNAL || kind == LSP_PARAM ? ITEM_VARIABLE
           : kind == LSP_PATH || kind == LSP_ROUTE   ? ITEM_FUNCTION
                                                     : ITEM_REFERENCE;
}

// All names of a kind that the policy defines, each once.
static void names(struct completer *k, enum lsp_kind kind)
{
    const struct tree *t = k->c->tree;
    const struct lsp_names *all = &k->c->document->names;
    for (uint32_t i = 0; i < all->count; i++) {
        const struct lsp_name *n = &all->at[i];
        if (!n->defines || n->kind != kind || (kind == LSP_PARAM && n->statement != k->begin))
            continue;
        // The name that is being typed defines nothing yet, and one that is defined twice is offered once; where there are
        // very many, looking for the first would take too long.
        struct span own = lsp_name_span(t, n);
        bool typed = own.begin == k->partial.begin && own.end >= k->partial.end;
        if (typed || k->items >= ITEMS_MAX ||
            (all->count <= ITEMS_MAX && lsp_names_definition(t, all, n) != n))
            continue;
        const struct node *statement = lsp_statement_node(t, n->statement);
        struct slice whole = statement ? tree_source(t, statement) : SLICE_EMPTY, first = whole;
        slice_split(&whole, '\n', &first);
        item(k, lsp_name_text(t, n), item_kind(kind), 0, slice_cstr(lsp_kind_name(kind)), first);
    }
}

static struct slice before(const struct completer *k, uint32_t back)
{
    return k->end >= k->begin + back ? tree_token_text(k->c->tree, k->end - back) : SLICE_EMPTY;
}

// The statement that defines a signal and the call in it; NULL when there is none that parses.
static const struct node *signal_call(struct completer *k, struct slice signal,
                                      const struct node **statement)
{
    const struct tree *t = k->c->tree;
    const struct lsp_name *d = lsp_names_by_text(t, &k->c->document->names, LSP_SIGNAL, signal, 0);
    const struct node *n = d ? lsp_statement_node(t, d->token) : NULL;
    const struct node *c = n && n->kind == NODE_SIGNAL ? n->first : NULL;
    while (c && c->kind != NODE_CALL)
        c = c->next;
    *statement = n;
    return c;
}

// The family that a signal is of, also in a statement that does not parse yet: the word behind `=`.
static const struct signal_family *family_of_signal(struct completer *k, struct slice signal)
{
    const struct tree *t = k->c->tree;
    const struct lsp_name *d = lsp_names_by_text(t, &k->c->document->names, LSP_SIGNAL, signal, 0);
    for (uint32_t i = d ? d->token : t->tokens.count; i + 1 < t->tokens.count; i++) {
        if (t->tokens.at[i].margin && i > d->token)
            break;
        if (t->tokens.at[i].kind == TOKEN_ASSIGN)
            return signal_family_find(k->c->server->registry, tree_token_text(t, i + 1));
    }
    return NULL;
}

static void word_item(struct completer *k, const struct node *word, const char *detail)
{
    if (word && word->kind == NODE_WORD)
        item(k, tree_text(k->c->tree, word), ITEM_MEMBER, 0, slice_cstr(detail), SLICE_EMPTY);
}

// Levels of a label's lattice, bands of a score, members of a group. False when the signal is none of these.
static bool derived(struct completer *k, struct slice signal)
{
    const struct tree *t = k->c->tree;
    const struct node *n, *call = signal_call(k, signal, &n), *clause;
    if (!call)
        return false;
    if ((clause = tree_clause(t, n, "label"))) {
        const struct lsp_name *d = lsp_names_by_text(t, &k->c->document->names, LSP_LATTICE,
                                                     tree_text(t, clause->first), 0);
        const struct node *lattice = d ? lsp_statement_node(t, d->token) : NULL;
        for (const struct node *w = lattice ? lattice->first->next : NULL; w; w = w->next)
            word_item(k, w, "level");
        return true;
    }
    if ((clause = tree_clause(t, n, "bands"))) {
        for (const struct node *b = clause->first; b; b = b->next)
            word_item(k, b->first, "band");
        return true;
    }
    if (!tree_is(t, call->first, "exclusive"))
        return false;
    for (const struct node *arg = call->first->next; arg; arg = arg->next)
        if (arg->first->kind == NODE_ALTERNATIVE)
            word_item(k, arg->first->first, "member");
    if ((clause = tree_clause(t, n, "otherwise")))
        word_item(k, clause->first, "when no member leads");
    return true;
}

// The words that a signal can give: those of its definition, else of its family, else those that it came to when the
// policy last loaded.
static void answers(struct completer *k, struct slice signal, bool quoted)
{
    const struct signal_family *f = family_of_signal(k, signal);
    const struct policy_image *p = lsp_call_image(k->c);
    if (quoted) {
        for (size_t i = 0; f && f->members && f->members[i]; i++) {
            struct slice text = arena_printf(&k->c->message->arena, "\"%s\"", f->members[i]);
            item(k, text, ITEM_MEMBER, 1, slice_cstr(f->name), SLICE_EMPTY);
        }
        return;
    }
    if (derived(k, signal))
        return;
    if (f && f->words) {
        list(k, f->words, f->name);
        return;
    }
    int32_t i = p ? image_find_signal(p, signal) : IMAGE_NONE;
    const struct image_signal *s = i >= 0 ? image_signal(p, i) : NULL;
    const struct image_str *w = s ? IMAGE_AT(p, s->words, struct image_str) : NULL;
    for (uint32_t n = 0; s && n < s->words.count; n++)
        item(k, image_text(p, w[n]), ITEM_MEMBER, 1, signal, SLICE_EMPTY);
}

static void families(struct completer *k)
{
    const struct signal_registry *registry = k->c->server->registry;
    for (uint32_t i = 0; i < registry->count; i++)
        item(k, slice_cstr(registry->families[i]->name), ITEM_FUNCTION, 1, SLICE("family"),
             slice_cstr(registry->families[i]->summary));
}

static void arguments(struct completer *k, struct slice family)
{
    const struct signal_family *f = signal_family_find(k->c->server->registry, family);
    struct slice previous = before(k, 1);
    if (slice_eq(family, SLICE("max"))) {
        plain(k, "caller", ITEM_MEMBER, "what the caller says");
        names(k, LSP_LEVEL);
        names(k, LSP_SIGNAL);
        families(k);
    } else if (slice_eq(family, SLICE("exclusive")) || slice_eq(family, SLICE("score"))) {
        names(k, LSP_SIGNAL);
    }
    for (uint32_t i = 0; f && i < f->arg_count; i++)
        if (f->args[i].name && slice_eq_cstr(previous, f->args[i].name)) {
            list(k, f->args[i].words, f->args[i].help);
            return;
        }
    for (uint32_t i = 0; f && i < f->arg_count; i++) {
        const struct signal_arg_spec *a = &f->args[i];
        const char *help = a->help ? a->help : "";
        if (a->name)
            plain(k, a->name, ITEM_MEMBER, help);
        else
            list(k, a->words, help);
        list(k, a->tags, help);
    }
}

// `deep high`: the efforts that the model states, else all.
static void efforts(struct completer *k)
{
    const struct tree *t = k->c->tree;
    const struct lsp_name *d =
        lsp_names_by_text(t, &k->c->document->names, LSP_MODEL, before(k, 1), 0);
    const struct node *model = d ? lsp_statement_node(t, d->token) : NULL;
    const struct node *clause =
        model && model->kind == NODE_MODEL ? tree_clause(t, model, "effort") : NULL;
    for (const struct node *w = clause ? clause->first : NULL; w; w = w->next)
        item(k, tree_text(t, w), ITEM_MEMBER, 1, SLICE("effort"), SLICE_EMPTY);
    for (int i = IMAGE_EFFORT_OFF; !clause && i < IMAGE_EFFORT_COUNT_; i++)
        plain(k, image_effort_name((enum image_effort)i), ITEM_MEMBER, "effort");
}

// Units that a word leads to, in a statement (NULL: any). Of `usd/Mtok` both parts are completed apart, too.
static const struct {
    const char *statement, *word, *units[12], *per[6];
} unit_rows[] = {
    {"sink", "price", {"usd"}, {"call"}},
    {"sink", "energy", {"J", "kJ"}, {"call"}},
    {"dispatch", "second", {"usd"}, {NULL}},
    {"dispatch", "kWh", {"usd"}, {NULL}},
    {"dispatch", "kg", {"usd"}, {NULL}},
    {NULL, "gpu", {"usd"}, {"h"}},
    {NULL, "price", {"usd"}, {"Mtok", "request"}},
    {NULL, "carbon", {"g"}, {"kWh"}},
    {NULL, "rate", {"requests", "tok"}, {"minute"}},
    {NULL, "serves", {"tok"}, {NULL}},
    {NULL, "thinking", {"tok"}, {NULL}},
    {NULL, "energy", {"kJ", "J"}, {"Mtok"}},
    {NULL, "context", {"tok"}, {NULL}},
    {NULL, "output", {"tok"}, {NULL}},
    {NULL, "cap", {"tok"}, {NULL}},
    {NULL, "adds", {"tok"}, {NULL}},
    {NULL, "timeout", {"s", "ms"}, {NULL}},
    {NULL, "within", {"usd"}, {NULL}},
    {NULL, "most", {"usd", "J", "kJ", "kWh", "g", "kg", "tok", "ms", "s", "calls"}, {NULL}},
    {NULL,
     "budget",
     {"usd", "J", "kJ", "kWh", "g", "kg", "tok", "ms", "s", "calls", "requests"},
     {"request", "minute", "hour", "day", "month"}},
};

static void unit_words(struct completer *k, const char *const *units, const char *const *per)
{
    if (slice_eq(before(k, 1), SLICE("/"))) {
        for (; *per; per++)
            plain(k, *per, ITEM_UNIT, "unit");
        return;
    }
    for (; *units; units++) {
        for (const char *const *p = per; *p; p++) {
            struct slice whole = arena_printf(&k->c->message->arena, "%s/%s", *units, *p);
            item(k, whole, ITEM_UNIT, 1, SLICE("unit"), SLICE_EMPTY);
        }
        if (!*per)
            plain(k, *units, ITEM_UNIT, "unit");
    }
}

// The unit that a number wants is known by the word, signal or family that leads to it.
static void units(struct completer *k)
{
    struct slice statement = tree_token_text(k->c->tree, k->begin);
    for (uint32_t i = k->end; i-- > k->begin;) {
        struct slice text = tree_token_text(k->c->tree, i);
        for (size_t n = 0; n < MERIT_COUNT(unit_rows); n++)
            if (slice_eq_cstr(text, unit_rows[n].word) &&
                (!unit_rows[n].statement || slice_eq_cstr(statement, unit_rows[n].statement))) {
                unit_words(k, unit_rows[n].units, unit_rows[n].per);
                return;
            }
        const struct signal_family *f = family_of_signal(k, text);
        if (!f)
            f = signal_family_find(k->c->server->registry, text);
        if (f && f->unit) {
            plain(k, f->unit, ITEM_UNIT, "unit");
            return;
        }
    }
}

static const char *const all_steps[] = {"answer", "refuse", "retrieve", "verify", "clarify",
                                        "redact", "fuse",   "cache",    NULL};
static const char *const passable_steps[] = {"retrieve", "verify", "clarify", "redact",
                                             "fuse",     "cache",  NULL};

static void step_names(struct completer *k, const char *const *words)
{
    for (; *words; words++) {
        const struct lsp_word *w = lsp_step_find(slice_cstr(*words));
        item(k, slice_cstr(*words), ITEM_FUNCTION, 1, w ? slice_cstr(w->form) : SLICE_EMPTY,
             w ? slice_cstr(w->help) : SLICE_EMPTY);
    }
}

// What a step takes.
static void taken(struct completer *k, struct slice step)
{
    bool sinks = slice_eq(step, SLICE("verify")) || slice_eq(step, SLICE("retrieve")) ||
                 slice_eq(step, SLICE("cache"));
    names(k, LSP_PARAM);
    if (slice_eq(step, SLICE("redact"))) {
        names(k, LSP_LEVEL);
        return;
    }
    if (sinks)
        names(k, LSP_SINK);
    if (slice_eq(step, SLICE("retrieve")) || slice_eq(step, SLICE("cache")))
        return;
    names(k, LSP_MODEL);
    plain(k, "any", ITEM_KEYWORD, "all models");
}

// Roles whose words are always the same.
static const struct {
    enum lsp_role role;
    const char *detail;
    const char *words[10];
} word_rows[] = {
    {LSP_ROLE_SINK_KIND,
     "kind of sink",
     {"verifier", "judge", "retriever", "cache", "embedding", "memory", "log", "trace"}},
    {LSP_ROLE_CARRIES, "texts of requests, not their signal values alone", {"text"}},
    {LSP_ROLE_EXTRA, "what can be allowed", {"escalate", "fuse", "hedge"}},
    {LSP_ROLE_SCOPE, "whose budget it is", {"session", "loop", "key", "caller", "team", "tenant"}},
    {LSP_ROLE_ENGINE, "what runs there", {"vllm", "sglang", "llamacpp", "tgi"}},
    {LSP_ROLE_METER, "meter of its machine", {"nvml", "rapl"}},
    {LSP_ROLE_SCORER,
     "scorer",
     {"queue", "running", "kv", "prefix", "lora", "session", "latency", "context"}},
    {LSP_ROLE_CODE,
     "finding that can be assumed",
     {"not-proved", "shadowed", "unenforced", "infeasible"}},
    {LSP_ROLE_QUALITY, "declared quality", {"quality"}},
};

// Any name that a finding can be about.
static void names_about(struct completer *k)
{
    static const enum lsp_kind about[] = {LSP_ROUTE, LSP_PATH, LSP_MODEL, LSP_SINK, LSP_ZONE};
    for (size_t i = 0; i < MERIT_COUNT(about); i++)
        names(k, about[i]);
}

static void needs(struct completer *k)
{
    for (unsigned i = 0; i < WORK_NEED_COUNT_; i++)
        plain(k, work_need_name(i), ITEM_MEMBER, "what the model can do");
}

// The machines that an energy is known for, each once.
static void hardware(struct completer *k)
{
    size_t count;
    const struct energy_row *rows = energy_list_rows(&count);
    for (size_t i = 0; i < count; i++) {
        bool before = false;
        for (size_t n = 0; n < i; n++)
            before |= !strcmp(rows[n].hardware, rows[i].hardware);
        if (!before)
            plain(k, rows[i].hardware, ITEM_MEMBER, "energy is known for");
    }
}

static void all_families(struct completer *k)
{
    families(k);
    plain(k, "max", ITEM_FUNCTION, "max(caller, LEVEL when GUARD, ...): a label");
    plain(k, "score", ITEM_FUNCTION, "score(0.5 SIGNAL, 0.3 when GUARD): a weighted sum");
    plain(k, "exclusive", ITEM_FUNCTION, "exclusive(A, B) otherwise OTHER: the one that leads");
}

static void place(struct completer *k, struct lsp_place p, bool string)
{
    static const char *const least[] = {"cost", "energy", NULL}, *const most[] = {"quality", NULL};
    struct slice subject = k->begin + p.subject < k->end
                               ? tree_token_text(k->c->tree, k->begin + p.subject)
                               : SLICE_EMPTY,
                 last = before(k, 1);
    if (string && p.role != LSP_ROLE_ANSWER && p.role != LSP_ROLE_OWN)
        return;
    for (size_t i = 0; i < MERIT_COUNT(word_rows); i++)
        if (word_rows[i].role == p.role)
            list(k, word_rows[i].words, word_rows[i].detail);
    switch (p.role) {
    case LSP_ROLE_REFERS:
        names(k, p.kind);
        if (p.kind == LSP_ROUTE && !slice_eq(tree_token_text(k->c->tree, k->begin), SLICE("alias")))
            plain(k, "otherwise", ITEM_KEYWORD, "the last route");
        break;
    case LSP_ROLE_STEP:
        step_names(k, all_steps);
        names(k, LSP_PATH);
        break;
    case LSP_ROLE_STEPS:
    case LSP_ROLE_PASSABLE:
        step_names(k, passable_steps);
        break;
    case LSP_ROLE_TAKEN:
        taken(k, subject);
        break;
    case LSP_ROLE_PASSED:
        names(k, LSP_SINK);
        break;
    case LSP_ROLE_REACHED:
        names(k, slice_eq(last, SLICE("zone"))    ? LSP_ZONE
                 : slice_eq(last, SLICE("model")) ? LSP_MODEL
                                                  : LSP_SINK);
        break;
    case LSP_ROLE_ABOUT:
        names_about(k);
        break;
    case LSP_ROLE_WEIGHED:
        slice_eq(subject, SLICE("score")) ? names(k, LSP_SIGNAL) : units(k);
        break;
    case LSP_ROLE_EFFORT:
        efforts(k);
        break;
    case LSP_ROLE_HARDWARE:
        hardware(k);
        break;
    case LSP_ROLE_NEED:
        needs(k);
        break;
    case LSP_ROLE_PROVIDER:
        list(k, provider_names, "provider");
        break;
    case LSP_ROLE_FAMILY:
        all_families(k);
        break;
    case LSP_ROLE_ARGUMENT:
        arguments(k, subject);
        break;
    case LSP_ROLE_ANSWER:
        answers(k, subject, string);
        break;
    case LSP_ROLE_OWN:
        answers(k, before(k, k->end - k->begin - 1), string);
        break;
    case LSP_ROLE_OBJECTIVE:
        list(k, slice_eq(last, SLICE("minimise")) ? least : most, "objective");
        break;
    case LSP_ROLE_UNIT:
        units(k);
        break;
    default:
        break;
    }
}

static bool is_new(struct completer *k, struct lsp_place p)
{
    for (uint32_t i = 0; i < k->place_count; i++)
        if (k->places[i].role == p.role && k->places[i].kind == p.kind &&
            k->places[i].subject == p.subject)
            return false;
    if (k->place_count < PLACES_MAX)
        k->places[k->place_count++] = p;
    return true;
}

static void offer(struct completer *k, const struct lsp_reading *r)
{
    struct lsp_expect x = {.edge = NULL};
    while (lsp_reading_next(r, r->newest, &x)) {
        if (x.edge->kind == LSP_EDGE_WORD)
            language_word(k, x.edge->what);
        if (x.edge->kind != LSP_EDGE_NAME && x.edge->kind != LSP_EDGE_STRING)
            continue;
        struct lsp_place p = lsp_place_of(r, r->newest, &x);
        bool string = x.edge->kind == LSP_EDGE_STRING;
        // A role is offered for names and for strings apart.
        struct lsp_place seen = p;
        seen.subject = p.subject * 2 + string;
        if (p.role != LSP_ROLE_NONE && is_new(k, seen))
            place(k, p, string);
    }
}

// Finds the tokens before the cursor that belong to its statement. False where nothing is to be completed: in a comment, a
// string, a number.
static bool locate(struct completer *k, uint32_t offset)
{
    const struct tree *t = k->c->tree;
    const struct token *at = t->tokens.at;
    uint32_t last = 0;
    bool any = lsp_token_at(t, offset, &last);
    // The token that ends at or holds the cursor is being typed.
    if (any && at[last].begin == offset && (last > 0 && at[last - 1].end == offset))
        last--;
    else if (any && at[last].begin == offset)
        any = last-- > 0;
    k->partial = (struct span){offset, offset};
    k->end = any ? last + 1 : 0;
    uint32_t gap = any ? at[last].end : 0;
    if (any && at[last].end >= offset) {
        if (at[last].kind == TOKEN_WORD)
            k->partial.begin = at[last].begin;
        else if (at[last].end > offset || at[last].kind == TOKEN_NUMBER ||
                 at[last].kind == TOKEN_DATE || at[last].kind == TOKEN_STRING ||
                 at[last].kind == TOKEN_BAD)
            return false;
        k->end = last + (at[last].kind != TOKEN_WORD);
        gap = at[last].kind == TOKEN_WORD ? offset : at[last].end;
    }
    for (uint32_t i = gap; i < offset; i++)
        if (t->source.ptr[i] == '#') {
            const char *end = memchr(t->source.ptr + i, '\n', offset - i);
            if (!end)
                return false;
            i = (uint32_t)(end - t->source.ptr);
        }
    bool margin = k->partial.begin == 0 || t->source.ptr[k->partial.begin - 1] == '\n' ||
                  t->source.ptr[k->partial.begin - 1] == '\r';
    k->begin = margin || k->end == 0 ? k->end : lsp_statement_begin(t, k->end - 1);
    return true;
}

void lsp_complete(struct lsp_call *c)
{
    struct completer k = {.c = c};
    struct lsp_reading r;
    uint32_t offset;
    if (!lsp_call_offset(c, &offset))
        return;
    if (!c->tree || !locate(&k, offset)) {
        BUF_LIT(c->out, "[]");
        return;
    }
    k.words = arena_zeroed(&c->message->arena, c->server->grammar.word_count, 1);
    if (!k.words || lsp_reading_open(&r, &c->server->grammar)) {
        lsp_fail(c, LSP_INTERNAL_ERROR, "there is no memory for the answer");
        return;
    }
    enum result result = RESULT_OK;
    for (uint32_t i = k.begin; i < k.end && result != RESULT_LIMIT && result != RESULT_NOMEM; i++) {
        uint32_t set;
        result = lsp_reading_take(&r, (enum token_kind)c->tree->tokens.at[i].kind,
                                  tree_token_text(c->tree, i), &set);
    }
    BUF_LIT(c->out, "{\"items\":[");
    if (result != RESULT_LIMIT && result != RESULT_NOMEM)
        offer(&k, &r);
    buf_printf(c->out, "],\"isIncomplete\":%s}", k.cut ? "true" : "false");
    lsp_reading_close(&r);
}
