// Constraints: an unordered set, each with what it names and a guard.
#include <stdio.h>

#include "policy/check_path.h"
#include "policy/policy.h"

struct slice check_text(struct checker *c, const struct node *n, uint32_t end)
{
    enum { TEXT_MAX = 200 };
    struct buf b;
    buf_init(&b, POLICY_BYTES_MAX);
    for (uint32_t i = n->token; i < end && b.len < TEXT_MAX; i++) {
        uint8_t kind = c->tree->tokens.at[i].kind,
                before = i > n->token ? c->tree->tokens.at[i - 1].kind : TOKEN_OPEN;
        bool close = kind == TOKEN_COMMA || kind == TOKEN_CLOSE || kind == TOKEN_SLASH ||
                     before == TOKEN_OPEN || before == TOKEN_SLASH ||
                     (kind == TOKEN_OPEN && before == TOKEN_WORD);
        if (!close)
            buf_byte(&b, ' ');
        if (c->tree->tokens.at[i].secret)
            BUF_LIT(&b, "***");
        else
            buf_add(&b, tree_token_text(c->tree, i));
    }
    if (b.len >= TEXT_MAX) {
        // Not through the middle of a character.
        size_t whole = b.len;
        b.len = TEXT_MAX;
        while (b.len > 0 && b.len < whole && ((unsigned char)b.ptr[b.len] & 0xC0) == 0x80)
            b.len--;
        BUF_LIT(&b, "...");
    }
    struct slice s = buf_result(&b) ? SLICE_EMPTY : arena_copy(c->arena, buf_slice(&b));
    buf_deinit(&b);
    c->nomem |= !s.ptr;
    return s;
}

static struct image_list guard_of(struct checker *c, const struct node *n)
{
    const struct node *when = tree_clause(c->tree, n, "when");
    if (when)
        return check_condition(c, when->first);
    return (struct image_list){builder_count(&c->build, IMAGE_NODES), 0};
}

// What all constraints of a statement have.
static struct image_constraint start(struct checker *c, const struct node *n,
                                     enum image_constraint_kind kind)
{
    const struct node *as = tree_clause(c->tree, n, "as");
    struct image_constraint r;
    memset(&r, 0, sizeof r);
    check_clauses_once(c, n);
    r.kind = kind;
    r.index = r.sink = IMAGE_NONE;
    r.line = tree_line(c->tree, n);
    struct slice name = as ? check_string(c, as->first) : check_text(c, n, n->end);
    if (as && name.len == 0)
        check_error(c, as, "limit", "a name has between 1 and %d bytes", POLICY_NAME_MAX);
    r.name = builder_str(&c->build, name);
    return r;
}

static void add(struct checker *c, const struct image_constraint *r, const struct node *place)
{
    c->build.place = tree_span(c->tree, place);
    *BUILDER_ADD(&c->build, IMAGE_CONSTRAINTS, struct image_constraint) = *r;
}

// Several models may be served at one place.
static void forbid_endpoint(struct checker *c, const struct node *n, const struct node *string,
                            struct image_constraint *r)
{
    struct slice url = check_string(c, string);
    bool found = false;
    while (url.len && url.ptr[url.len - 1] == '/')
        url.len--;
    for (uint32_t i = 0; i < builder_count(&c->build, IMAGE_ENDPOINTS); i++) {
        const struct image_endpoint *e =
            BUILDER_AT(&c->build, IMAGE_ENDPOINTS, struct image_endpoint, i);
        if (!slice_eq(builder_text(&c->build, e->url), url))
            continue;
        found = true;
        r->index = (int32_t)i;
        add(c, r, n);
    }
    if (!found)
        diag_help(c->diags,
                  check_error(c, string, "unknown-name", "no model has the endpoint \"%.*s\"",
                              SLICE_FMT(url)),
                  "write it as the model does");
}

static int32_t target_index(struct checker *c, const struct node *word, enum image_target target)
{
    static const char *const efforts[] = {"default", "off", "low", "medium", "high", "on", NULL};
    switch (target) {
    case IMAGE_FORBID_ZONE:
        return check_find(c, &c->zones, word);
    case IMAGE_FORBID_MODEL:
        return check_find(c, &c->models, word);
    case IMAGE_FORBID_SINK:
        return check_find(c, &c->sinks, word);
    case IMAGE_FORBID_EFFORT:
        return check_word_of(c, word, efforts, "effort");
    case IMAGE_FORBID_STEP:
        return check_word_of(c, word, check_step_names(), "step");
    default:
        return IMAGE_NONE;
    }
}

// `forbid zone below data`: for each level above the lowest, what does not clear it where the label is at least that.
static void forbid_below(struct checker *c, const struct node *n, const struct node *label,
                         struct image_constraint *r)
{
    int32_t signal = check_find(c, &c->signals, label);
    if (signal < 0 || !c->signal_ok[signal])
        return;
    const struct image_signal *s =
        BUILDER_AT(&c->build, IMAGE_SIGNALS, struct image_signal, (uint32_t)signal);
    if (s->derive != IMAGE_DERIVE_LABEL) {
        struct diag *d = check_error(c, label, "type", "`%.*s` is no label",
                                     SLICE_FMT(tree_text(c->tree, label)));
        diag_help(c->diags, d,
                  "zones are below a signal that is defined by `signal NAME label "
                  "LATTICE = ...`");
        return;
    }
    int32_t lattice = s->lattice;
    const struct node *when = tree_clause(c->tree, n, "when");
    r->target = IMAGE_FORBID_BELOW;
    r->index = lattice;
    for (uint32_t i = 1; i < check_level_count(c, (uint32_t)lattice); i++) {
        r->level = i;
        r->guard = check_guard_level(c, label, (uint32_t)signal, i, when ? when->first : NULL);
        if (r->guard.count)
            add(c, r, n);
    }
}

static void forbid(struct checker *c, const struct node *n)
{
    static const char *const words[] = {"zone", "", "model", "endpoint", "effort", "step", "sink"};
    const struct node *target = n->first, *first = target->first;
    struct image_constraint r = start(c, n, IMAGE_FORBID);
    if (first->kind == NODE_CLAUSE) {
        forbid_below(c, n, first->first, &r);
        return;
    }
    for (uint32_t i = 0; i < MERIT_COUNT(words); i++)
        if (tree_is(c->tree, target, words[i]))
            r.target = (enum image_target)i;
    r.guard = guard_of(c, n);
    for (const struct node *at = first; at; at = at->next) {
        if (r.target == IMAGE_FORBID_ENDPOINT) {
            forbid_endpoint(c, n, at, &r);
            continue;
        }
        r.index = target_index(c, at, r.target);
        if (r.target == IMAGE_FORBID_STEP &&
            (r.index == IMAGE_STEP_ANSWER || r.index == IMAGE_STEP_REFUSE))
            check_error(c, at, "constraint", "without `%.*s` nothing could be said to anybody",
                        SLICE_FMT(tree_text(c->tree, at)));
        add(c, &r, n);
    }
}

bool check_passing(struct checker *c, const struct node *call, enum image_step_kind *step,
                   int32_t *sink)
{
    static const char *const passable[] = {"retrieve", "verify", "clarify", "redact",
                                           "fuse",     "cache",  NULL};
    static const uint32_t kinds[IMAGE_STEP_KIND_COUNT_] = {
        [IMAGE_STEP_RETRIEVE] = 1u << IMAGE_SINK_RETRIEVER,
        [IMAGE_STEP_VERIFY] = 1u << IMAGE_SINK_VERIFIER | 1u << IMAGE_SINK_JUDGE,
        [IMAGE_STEP_CACHE] = 1u << IMAGE_SINK_CACHE,
    };
    *sink = IMAGE_NONE;
    if (check_word_of(c, call->first, passable, "step that can be required") < 0)
        return false;
    check_step_kind(tree_text(c->tree, call->first), step);
    if (call->count == 1)
        return true;
    const struct node *word = call->last->first->first;
    if (call->count > 2 || call->last->count > 1 || call->last->first->count > 1 ||
        word->kind != NODE_WORD || !kinds[*step]) {
        struct slice name = tree_text(c->tree, call->first);
        struct diag *d = check_error(c, call, "argument", "`%.*s` takes %s here", SLICE_FMT(name),
                                     kinds[*step] ? "one sink" : "no argument");
        diag_help(c->diags, d, kinds[*step] ? "write `%.*s(SINK)` or `%.*s`" : "write `%.*s`",
                  SLICE_FMT(name), SLICE_FMT(name));
        return false;
    }
    return check_sink_of(c, word, kinds[*step],
                         tree_is(c->tree, call->first, "verify") ? "verifier or judge"
                         : *step == IMAGE_STEP_CACHE             ? "cache"
                                                                 : "retriever",
                         sink);
}

static void require(struct checker *c, const struct node *n)
{
    struct image_constraint r = start(c, n, IMAGE_REQUIRE);
    check_passing(c, n->first, &r.step, &r.sink);
    r.guard = guard_of(c, n);
    add(c, &r, n);
}

static const char *const extra_words[] = {"escalate", "fuse", "hedge", NULL};

static void allow(struct checker *c, const struct node *n)
{
    struct image_constraint r = start(c, n, IMAGE_ALLOW);
    int32_t extra = check_word_of(c, n->first, extra_words, "thing that needs to be allowed");
    const struct node *number = n->first->next;
    r.count = 1;
    r.extra = extra < 0 ? IMAGE_EXTRA_ESCALATE : (enum image_extra)extra;
    if (number && number->kind == NODE_NUMBER)
        check_whole(c, number, NULL, "how often it is allowed", 1, IMAGE_RETRIES_MAX, &r.count);
    r.guard = guard_of(c, n);
    add(c, &r, n);
}

static const char *const windows[] = {"request", "minute", "hour", "day", "month", NULL};
static const char *const scopes[] = {"all",  "session", "key",  "caller",
                                     "team", "tenant",  "loop", NULL};

// What a budget cannot mean.
static void nonsense(struct checker *c, const struct node *at, const struct image_constraint *r)
{
    struct diag *d;
    bool request = r->window == IMAGE_PER_REQUEST, life = r->window == IMAGE_PER_LIFE;
    if (request && r->unit == IMAGE_UNIT_REQUESTS) {
        d = check_error(c, at, "budget", "every request is one request");
        diag_help(c->diags, d, "bound `calls/request`, or `requests/minute`");
        return;
    }
    if (request && !r->hard) {
        d = check_error(c, at, "budget", "a budget of one request cannot be paced");
        diag_help(c->diags, d, "write `hard`, or a budget per minute, hour, day or month");
    }
    if (life && !r->hard) {
        d = check_error(c, at, "budget", "what has no end in time cannot be paced");
        diag_help(c->diags, d, "write `hard`, or a budget per minute, hour, day or month");
    }
    if (!request && r->unit == IMAGE_UNIT_REQUESTS &&
        (!r->hard || r->exhausted == IMAGE_EXHAUSTED_CHEAPER)) {
        d = check_error(c, at, "budget", "every choice takes one request");
        diag_help(c->diags, d, "write `hard`, or count something that a choice can save");
    }
    if (request && r->exhausted == IMAGE_EXHAUSTED_CHEAPER) {
        d = check_error(c, at, "budget", "a budget of one request leaves what it bears anyway");
        diag_help(c->diags, d, "leave `cheaper` out");
    }
    bool counts = r->unit == IMAGE_UNIT_NUSD || r->unit == IMAGE_UNIT_UJ ||
                  r->unit == IMAGE_UNIT_UG || r->unit == IMAGE_UNIT_TOK;
    if (r->strict && (!request || !counts)) {
        d = check_error(c, at, "budget",
                        request ? "nothing of this is estimated by the input"
                                : "a budget over time reserves the most that the input can be");
        diag_help(c->diags, d, "leave `strict` out");
    }
    if (request && r->scope != IMAGE_SCOPE_ALL) {
        d = check_error(c, at, "budget", "a budget of one request is everybody's");
        diag_help(c->diags, d, "leave `per %s` out; `when` says for whom it holds",
                  scopes[r->scope]);
    }
}

static void limit(struct checker *c, const struct node *n, const struct node *at,
                  struct image_constraint *r)
{
    struct slice under;
    const struct node *quantity = at->first;
    int32_t window = 0;
    if (!check_any_amount(c, quantity, "a budget", &r->unit, &under, &r->limit))
        return;
    bool life = under.len == 0 && (r->scope == IMAGE_SCOPE_SESSION || r->scope == IMAGE_SCOPE_LOOP);
    while (windows[window] && !slice_eq_cstr(under, windows[window]))
        window++;
    if (!windows[window] && !life) {
        struct diag *d = check_error(c, quantity, "unit", "a budget is for a span");
        diag_help(c->diags, d,
                  "write `%.*s %.*s/request`, or `/minute`, `/hour`, `/day`, `/month`%s",
                  SLICE_FMT(tree_text(c->tree, quantity->first)),
                  SLICE_FMT(tree_text(c->tree, quantity->last->first)),
                  under.len ? "" : "; without a span it is `per session` or `per loop`");
        return;
    }
    r->window = life ? IMAGE_PER_LIFE : (enum image_window)window;
    r->hard = at->count == 1 || tree_is(c->tree, at->first->next, "hard");
    r->strict = at->count == 3 && tree_is(c->tree, at->last, "strict");
    r->exhausted = at->count == 3 && !r->strict ? IMAGE_EXHAUSTED_CHEAPER : IMAGE_EXHAUSTED_REFUSE;
    if (r->limit == 0) {
        struct diag *d = check_error(c, quantity, "budget", "a budget of nothing leaves nothing");
        diag_help(c->diags, d, "refuse by a route, or forbid what is not to be used");
    }
    nonsense(c, at, r);
    add(c, r, n);
}

static void budget(struct checker *c, const struct node *n)
{
    struct image_constraint r = start(c, n, IMAGE_BUDGET);
    const struct node *per = tree_clause(c->tree, n, "per");
    if (per) {
        int32_t scope = check_word_of(c, per->first, scopes + 1, "scope of a budget");
        r.scope = scope < 0 ? IMAGE_SCOPE_SESSION : (enum image_scope)(scope + 1);
    }
    r.guard = guard_of(c, n);
    for (const struct node *at = n->first; at; at = at->next)
        if (at->kind == NODE_LIMIT)
            limit(c, n, at, &r);
}

void check_allows(struct checker *c)
{
    for (const struct node *n = c->tree->root->first; n; n = n->next)
        for (int i = 0; n->kind == NODE_ALLOW && extra_words[i]; i++)
            c->allows[i] |= tree_is(c->tree, n->first, extra_words[i]);
}

void check_rules(struct checker *c)
{
    for (const struct node *n = c->tree->root->first; n && !c->nomem; n = n->next) {
        switch (n->kind) {
        case NODE_FORBID:
            forbid(c, n);
            break;
        case NODE_REQUIRE:
            require(c, n);
            break;
        case NODE_ALLOW:
            allow(c, n);
            break;
        case NODE_BUDGET:
            budget(c, n);
            break;
        default:
            break;
        }
    }
}
