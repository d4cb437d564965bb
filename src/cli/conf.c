#include "cli/conf.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include "api/keys.h"
#include "base/file.h"
#include "cli/conf_settings.h"
#include "text/json.h"
#include "text/utf8.h"

_Static_assert(sizeof((struct conf *)0)->level >= 40, "a level for each setting");

enum result conf_init(struct conf *c)
{
    memset(c, 0, sizeof *c);
    arena_init(&c->arena, 4096, 4 * CONF_BYTES_MAX);
    assert(conf_setting_count <= sizeof c->level);
    for (uint32_t i = 0; i < conf_setting_count; i++) {
        const struct conf_setting *s = conf_settings + i;
        if (!s->fallback)
            continue;
        struct conf_problem problem;
        struct conf_value value = {.text = slice_cstr(s->fallback)};
        enum result r = conf_apply(c, s, &value, 1, NULL, 0, &problem);
        if (r) {
            assert(r == RESULT_NOMEM);
            conf_deinit(c);
            return r;
        }
    }
    return RESULT_OK;
}

void conf_deinit(struct conf *c)
{
    arena_deinit(&c->arena);
}

static const struct conf_setting *setting_find(struct slice name)
{
    for (uint32_t i = 0; i < conf_setting_count; i++) {
        if (slice_eq_cstr(name, conf_settings[i].name))
            return conf_settings + i;
    }
    return NULL;
}

static const char *setting_nearest(struct slice name)
{
    struct slice names[64];
    for (uint32_t i = 0; i < conf_setting_count; i++)
        names[i] = slice_cstr(conf_settings[i].name);
    int near = diag_nearest(name, names, conf_setting_count);
    return near < 0 ? NULL : conf_settings[near].name;
}

struct line {
    struct slice name;
    struct span name_span;
    struct conf_value values[CONF_VALUES_MAX + 1]; // one too many is kept, to be told of
    uint32_t count;
};

struct parser {
    struct conf *conf;
    struct diag_list *diags;
    struct slice text;
    size_t at, end; // of the current line
    struct slice section;
    const char *directory;
    struct span first[64]; // where each setting that may stand once stood
    bool nomem;
};

static bool is_blank(char c)
{
    return c == ' ' || c == '\t' || c == '\r';
}

static struct span span_of(size_t begin, size_t end)
{
    return (struct span){(uint32_t)begin, (uint32_t)end};
}

// A quoted value; `at` stands behind the opening quote. False when the line is wrong.
static bool read_quoted(struct parser *p, struct conf_value *v)
{
    size_t begin = p->at - 1, n = 0;
    char *to = arena_alloc(&p->conf->arena, p->end - p->at + 1);
    if (!to) {
        p->nomem = true;
        return false;
    }
    for (; p->at < p->end && p->text.ptr[p->at] != '"'; p->at++) {
        if (p->text.ptr[p->at] == '\\') {
            char next = p->at + 1 < p->end ? p->text.ptr[p->at + 1] : 0;
            if (next != '"' && next != '\\') {
                struct diag *d =
                    diag_add(p->diags, DIAG_ERROR, "bad-escape", span_of(p->at, p->at + 1),
                             "only \\\" and \\\\ are known");
                diag_help(p->diags, d, "write \\\\ for a backslash");
                return false;
            }
            p->at++;
        }
        to[n++] = p->text.ptr[p->at];
    }
    if (p->at == p->end) {
        diag_add(p->diags, DIAG_ERROR, "open-quote", span_of(begin, p->end),
                 "the quote is not closed on its line");
        return false;
    }
    p->at++;
    to[n] = 0;
    v->text = slice_make(to, n);
    v->span = span_of(begin, p->at);
    return true;
}

static bool read_word(struct parser *p, struct conf_value *v)
{
    size_t begin = p->at;
    if (p->text.ptr[p->at] == '"') {
        p->at++;
        if (!read_quoted(p, v))
            return false;
        if (p->at < p->end && !is_blank(p->text.ptr[p->at]) && p->text.ptr[p->at] != '#') {
            diag_add(p->diags, DIAG_ERROR, "stuck-value", span_of(p->at, p->at + 1),
                     "a space is missing behind the quote");
            return false;
        }
        return true;
    }
    while (p->at < p->end && !is_blank(p->text.ptr[p->at]) && p->text.ptr[p->at] != '#') {
        if (p->text.ptr[p->at] == '"') {
            struct diag *d = diag_add(p->diags, DIAG_ERROR, "stray-quote",
                                      span_of(p->at, p->at + 1), "a quote inside a value");
            diag_help(p->diags, d, "put the whole value in quotes");
            return false;
        }
        p->at++;
    }
    v->text = arena_copy(&p->conf->arena, slice_make(p->text.ptr + begin, p->at - begin));
    v->span = span_of(begin, p->at);
    p->nomem |= !v->text.ptr;
    return v->text.ptr;
}

static bool read_line(struct parser *p, struct line *line)
{
    line->count = 0;
    struct conf_value name = {.text = SLICE_EMPTY};
    for (bool first = true;; first = false) {
        while (p->at < p->end && is_blank(p->text.ptr[p->at]))
            p->at++;
        if (p->at == p->end || p->text.ptr[p->at] == '#')
            break;
        struct conf_value *v = first ? &name : &line->values[line->count];
        if (!read_word(p, v))
            return false;
        if (!first && line->count < CONF_VALUES_MAX)
            line->count++;
    }
    line->name = name.text;
    line->name_span = name.span;
    return name.text.len > 0;
}

static void read_section(struct parser *p)
{
    const char *begin = p->text.ptr + p->at;
    const char *close = memchr(begin, ']', p->end - p->at);
    struct slice rest =
        close ? slice_trim(slice_make(close + 1, (size_t)(p->text.ptr + p->end - close - 1)))
              : SLICE_EMPTY;
    if (rest.len && rest.ptr[rest.len - 1] == '\r')
        rest.len--;
    if (!close || (rest.len && rest.ptr[0] != '#')) {
        struct diag *d = diag_add(p->diags, DIAG_ERROR, "bad-section", span_of(p->at, p->end),
                                  "a section line is [NAME] and nothing more");
        diag_help(p->diags, d, "write [limits]");
        return;
    }
    p->section = slice_trim(slice_make(begin + 1, (size_t)(close - begin) - 1));
    for (uint32_t i = 0; p->section.len && i < conf_setting_count; i++) {
        struct slice name = slice_cstr(conf_settings[i].name);
        if (slice_starts_with(name, p->section) && name.ptr[p->section.len] == '.')
            return;
    }
    if (p->section.len) {
        struct diag *d = diag_add(
            p->diags, DIAG_ERROR, "unknown-section", span_of(p->at, p->at + p->section.len + 2),
            "no setting begins with \"%.*s.\"", SLICE_FMT(slice_head(p->section, 60)));
        diag_help(
            p->diags, d,
            "sections are admin, compute, demo, limits, log, models, timeouts, tls, upstream");
    }
}

static void unknown(struct parser *p, const struct line *line, struct slice full)
{
    struct diag *d = diag_add(p->diags, DIAG_ERROR, "unknown-setting", line->name_span,
                              "there is no setting \"%.*s\"", SLICE_FMT(slice_head(full, 60)));
    // A top-level name under a section is the likeliest mistake.
    if (p->section.len && setting_find(line->name)) {
        diag_help(p->diags, d, "`%.*s` belongs to no section: end the section before it with []",
                  SLICE_FMT(line->name));
        return;
    }
    const char *near = setting_nearest(full);
    if (near)
        diag_help(p->diags, d, "did you mean %s?", near);
    else
        diag_help(p->diags, d, "`merit serve --print-conf` lists all settings");
}

static void apply_line(struct parser *p, const struct line *line)
{
    struct slice full = line->name;
    if (p->section.len)
        full = arena_printf(&p->conf->arena, "%.*s.%.*s", SLICE_FMT(p->section),
                            SLICE_FMT(line->name));
    if (!full.ptr) {
        p->nomem = true;
        return;
    }
    const struct conf_setting *s = setting_find(full);
    if (!s) {
        unknown(p, line, full);
        return;
    }
    struct span *first = p->first + (s - conf_settings);
    if (!s->counted && first->end) {
        struct diag *d = diag_add(p->diags, DIAG_ERROR, "duplicate-setting", line->name_span,
                                  "%s stands twice", s->name);
        d->also = *first;
        d->also_text = SLICE("first here");
        diag_help(p->diags, d, "take one of them away");
        return;
    }
    *first = line->name_span;
    struct conf_problem problem;
    enum result r = conf_apply(p->conf, s, line->values, line->count, p->directory, 1, &problem);
    if (r == RESULT_SYNTAX) {
        struct span at =
            problem.value < line->count ? line->values[problem.value].span : line->name_span;
        struct diag *d = diag_add(p->diags, DIAG_ERROR, "bad-value", at, "%s", problem.message);
        diag_help(p->diags, d, "%s", problem.help);
    } else if (r) {
        p->nomem = true;
    }
}

enum result conf_parse(struct conf *c, struct slice text, const char *directory,
                       struct diag_list *diags)
{
    if (text.len > CONF_BYTES_MAX) {
        diag_add(diags, DIAG_ERROR, "too-long", (struct span){0, 0},
                 "a settings file has at most %d bytes", CONF_BYTES_MAX);
        return RESULT_LIMIT;
    }
    if (!utf8_valid(text) || (text.len && memchr(text.ptr, 0, text.len))) {
        diag_add(diags, DIAG_ERROR, "not-utf8", (struct span){0, 0},
                 "the file is not UTF-8 text, or it holds a NUL");
        return RESULT_SYNTAX;
    }
    struct parser p = {.conf = c, .diags = diags, .text = text, .directory = directory};
    uint32_t errors = diags->errors;
    for (size_t next = 0; next < text.len && !p.nomem;) {
        const char *newline = memchr(text.ptr + next, '\n', text.len - next);
        p.at = next;
        p.end = newline ? (size_t)(newline - text.ptr) : text.len;
        next = p.end + 1;
        while (p.at < p.end && is_blank(text.ptr[p.at]))
            p.at++;
        struct line line;
        if (p.at < p.end && text.ptr[p.at] == '[')
            read_section(&p);
        else if (read_line(&p, &line))
            apply_line(&p, &line);
    }
    return p.nomem ? RESULT_NOMEM : diags->errors > errors ? RESULT_SYNTAX : RESULT_OK;
}

static enum result load(struct conf *c, const char *path, bool colour, struct buf *text,
                        struct buf *why)
{
    char room[FILE_ERROR_BYTES];
    enum result r = file_read(path, text);
    if (r == RESULT_LIMIT)
        buf_printf(why, "%s: a settings file has at most %d bytes\n", path, CONF_BYTES_MAX);
    else if (r)
        buf_printf(why, "%s: cannot be read: %s\n", path,
                   r == RESULT_NOMEM ? "no memory" : file_error(errno, room));
    if (r)
        return r;
    const char *slash = strrchr(path, '/');
    const char *directory = NULL;
    if (slash) {
        directory =
            arena_printf(&c->arena, "%.*s", (int)(slash == path ? 1 : slash - path), path).ptr;
        if (!directory)
            return RESULT_NOMEM;
    }
    struct arena arena;
    struct diag_list diags;
    arena_init(&arena, 0, 1024 * 1024);
    diag_init(&diags, &arena, CONF_DIAGS_MAX);
    r = conf_parse(c, buf_slice(text), directory, &diags);
    diag_render(&diags, buf_slice(text), slice_cstr(path), colour, why);
    arena_deinit(&arena);
    return r;
}

enum result conf_load(struct conf *c, const char *path, bool colour, struct buf *why)
{
    if (!path && access("merit.conf", F_OK) && errno == ENOENT)
        return RESULT_OK;
    struct buf text;
    buf_init(&text, CONF_BYTES_MAX);
    enum result r = load(c, path ? path : "merit.conf", colour, &text, why);
    buf_deinit(&text);
    return r;
}

// "--limits-head" and "limits.head" are the same name.
static bool flag_is(struct slice flag, const char *name)
{
    if (flag.len != strlen(name))
        return false;
    for (size_t i = 0; i < flag.len; i++) {
        char want = name[i] == '.' || name[i] == '_' ? '-' : name[i];
        if (flag.ptr[i] != want)
            return false;
    }
    return true;
}

enum result conf_flag(struct conf *c, int argc, char **argv, int *at, struct buf *why)
{
    struct slice arg = slice_cstr(argv[*at]);
    if (!slice_starts_with(arg, SLICE("--")))
        return RESULT_NOT_FOUND;
    struct slice rest = slice_from(arg, 2), flag;
    slice_split(&rest, '=', &flag);
    const struct conf_setting *s = NULL;
    for (uint32_t i = 0; i < conf_setting_count && !s; i++) {
        if (flag_is(flag, conf_settings[i].name))
            s = conf_settings + i;
    }
    if (!s)
        return RESULT_NOT_FOUND;
    ++*at;
    if (!rest.ptr) {
        if (*at == argc) {
            buf_printf(why, "--%.*s needs a value: %s\n", SLICE_FMT(flag), s->form);
            return RESULT_SYNTAX;
        }
        rest = slice_cstr(argv[(*at)++]);
    }
    struct conf_value values[CONF_VALUES_MAX];
    uint32_t count = 0;
    // A path may hold spaces; only settings of several values are split.
    bool several = s->kind == CONF_LISTEN || s->kind == CONF_CERTIFICATE;
    for (struct slice piece; rest.ptr && count < CONF_VALUES_MAX;) {
        if (several)
            slice_split(&rest, ' ', &piece);
        else
            piece = rest, rest.ptr = NULL;
        if (several && !piece.len)
            continue;
        values[count].text = arena_copy(&c->arena, piece);
        if (!values[count++].text.ptr)
            return RESULT_NOMEM;
    }
    struct conf_problem problem;
    enum result r = conf_apply(c, s, values, count, NULL, 2, &problem);
    if (r == RESULT_SYNTAX)
        buf_printf(why, "--%.*s: %s (%s)\n", SLICE_FMT(flag), problem.message, problem.help);
    return r;
}

enum result conf_check(struct conf *c, struct buf *why)
{
    size_t before = why->len;
    bool tls = false;
    for (uint32_t i = 0; i < c->listen_count; i++)
        tls |= c->listen[i].tls;
    for (uint32_t i = 0; i < c->admin_count; i++)
        tls |= c->admin[i].tls;
    if (tls && !c->certificate_count)
        BUF_LIT(why,
                "a listener has tls but there is no certificate: add tls.certificate CHAIN KEY\n");
    for (uint32_t i = 0; i < c->listen_count; i++) {
        for (uint32_t j = 0; j < c->admin_count; j++) {
            if (c->listen[i].port && c->listen[i].port == c->admin[j].port &&
                !strcmp(c->listen[i].host, c->admin[j].host))
                buf_printf(why, "listen and admin.listen are both %s:%u: give one another port\n",
                           c->listen[i].host, c->listen[i].port);
        }
    }
    if (c->total_timeout_ms && c->first_byte_timeout_ms > c->total_timeout_ms)
        BUF_LIT(why,
                "upstream.first_byte is longer than upstream.total: lower it or raise the total\n");
    if (c->region && !key_name_ok(slice_cstr(c->region)))
        BUF_LIT(why, "region is one name: letters, digits and . _ - @ : / +\n");
    if (c->budget_status != 402 && c->budget_status != 429)
        BUF_LIT(why, "budgets.status is 402 or 429\n");
    return why->len > before ? RESULT_SYNTAX : RESULT_OK;
}

// The text of a setting's value with its default, to tell whether they are the same.
static bool is_default(const struct conf *c, const struct conf *fallback,
                       const struct conf_setting *s)
{
    uint32_t count = conf_value_count(c, s);
    if (count != conf_value_count(fallback, s))
        return false;
    struct buf a, b;
    buf_init(&a, CONF_BYTES_MAX);
    buf_init(&b, CONF_BYTES_MAX);
    for (uint32_t i = 0; i < count; i++) {
        conf_value_print(c, s, i, &a);
        conf_value_print(fallback, s, i, &b);
    }
    bool same = !buf_result(&a) && !buf_result(&b) && slice_eq(buf_slice(&a), buf_slice(&b));
    buf_deinit(&a);
    buf_deinit(&b);
    return same;
}

void conf_print(const struct conf *c, struct buf *out)
{
    struct conf fallback;
    if (conf_init(&fallback)) {
        out->err = RESULT_NOMEM;
        return;
    }
    BUF_LIT(
        out,
        "# Settings of merit. A line that begins with # is a comment: those settings have their\n"
        "# default. Units: us ms s m h, B KiB MiB GiB.\n");
    for (uint32_t i = 0; i < conf_setting_count; i++) {
        const struct conf_setting *s = conf_settings + i;
        buf_printf(out, "\n# %s\n", s->help);
        uint32_t count = conf_value_count(c, s);
        bool usual = is_default(c, &fallback, s);
        for (uint32_t v = 0; v < count; v++) {
            buf_printf(out, "%s%s ", usual ? "# " : "", s->name);
            if (usual && s->fallback)
                buf_cstr(out, s->fallback);
            else
                conf_value_print(c, s, v, out);
            buf_byte(out, '\n');
        }
        if (!count)
            buf_printf(out, "%s%s %s\n", usual ? "# " : "", s->name, usual ? s->form : s->absent);
    }
    conf_deinit(&fallback);
}

void conf_print_json(const struct conf *c, struct buf *out)
{
    struct buf text;
    buf_init(&text, CONF_BYTES_MAX);
    BUF_LIT(out, "{");
    for (uint32_t i = 0; i < conf_setting_count; i++) {
        const struct conf_setting *s = conf_settings + i;
        buf_printf(out, "%s\"%s\": %s", i ? ", " : "", s->name, s->counted ? "[" : "");
        uint32_t count = conf_value_count(c, s);
        for (uint32_t v = 0; v < count; v++) {
            buf_reset(&text);
            conf_value_print(c, s, v, &text);
            if (v)
                BUF_LIT(out, ", ");
            json_write_string(out, buf_slice(&text));
        }
        if (s->counted)
            BUF_LIT(out, "]");
    }
    BUF_LIT(out, "}\n");
    buf_deinit(&text);
}

void conf_help(struct buf *out)
{
    for (uint32_t i = 0; i < conf_setting_count; i++) {
        const struct conf_setting *s = conf_settings + i;
        char flag[64];
        size_t n = 0;
        for (; s->name[n] && n < sizeof flag - 1; n++)
            flag[n] = s->name[n] == '.' || s->name[n] == '_' ? '-' : s->name[n];
        flag[n] = 0;
        buf_printf(out, "  --%s %s\n        %s", flag, s->form, s->help);
        if (s->fallback)
            buf_printf(out, " (default %s)", s->fallback);
        buf_byte(out, '\n');
    }
}
