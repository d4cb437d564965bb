#include "cli/policy_session.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/file.h"
#include "cli/commands.h"
#include "cli/policy_file.h"
#include "cli/price_file.h"
#include "signal/registry.h"

static int failed(const struct policy_session *s, const char *what, enum result r)
{
    char room[FILE_ERROR_BYTES];
    fprintf(stderr, "%s: %s %s: %s\n", s->command, what, s->name, file_problem(r, room));
    return EXIT_FOUND;
}

// Findings about the file and about what was added to it have sources of their own.
static void report(struct policy_session *s, bool added)
{
    struct diag_list part = s->diags;
    struct buf text;
    uint32_t from = (uint32_t)s->own_len;
    part.items = ARENA_ARRAY(&s->arena, struct diag, s->diags.count + 1);
    part.count = 0;
    if (!part.items)
        return;
    if (added)
        part.dropped = 0;
    for (uint32_t i = 0; i < s->diags.count; i++) {
        struct diag d = s->diags.items[i];
        if ((d.span.begin >= from && from < s->text.len) != added)
            continue;
        if (added) {
            d.span.begin -= from;
            d.span.end -= from;
            d.also = (struct span){0, 0};
        } else if (d.also.begin >= from) {
            d.also = (struct span){0, 0};
        }
        part.items[part.count++] = d;
    }
    if (!part.count && !part.dropped)
        return;
    buf_init(&text, 16 * 1024 * 1024);
    struct slice all = buf_slice(&s->text);
    diag_render(&part, added ? slice_from(all, from) : slice_head(all, from),
                added ? SLICE("--claim") : slice_cstr(s->name), isatty(STDERR_FILENO), &text);
    fwrite(text.ptr ? text.ptr : "", 1, text.len, stderr);
    buf_deinit(&text);
}

static enum result compile(struct policy_session *s)
{
    enum result r = policy_parse(buf_slice(&s->text), &s->arena, &s->diags, &s->tree);
    if (!s->tree)
        return r ? r : RESULT_SYNTAX;
    const struct price_list *prices;
    enum result listed = price_file_open(NULL, &s->arena, &prices);
    return listed ? listed
                  : policy_compile_priced(s->tree, &signal_registry, prices, &s->arena, &s->diags,
                                          &s->image, &s->places);
}

void policy_session_report(struct policy_session *s)
{
    report(s, false);
    report(s, true);
}

int policy_session_open(struct policy_session *s, const char *command, const char *path,
                        struct slice added)
{
    memset(s, 0, sizeof *s);
    s->command = command;
    s->name = path;
    // One byte more than the limit, so that a longer file is told as a finding with the limit's name.
    buf_init(&s->text, POLICY_BYTES_MAX + 1);
    arena_init(&s->arena, 0, POLICY_ARENA_MAX);
    diag_init(&s->diags, &s->arena, POLICY_DIAGS_MAX);
    const char *name = NULL;
    enum result r = policy_file_read(path, &s->text, &name, &s->file);
    if (name)
        s->name = name;
    if (r)
        return failed(s, "cannot read", r);
    if (s->text.len && s->text.ptr[s->text.len - 1] != '\n')
        buf_byte(&s->text, '\n');
    s->own_len = s->text.len;
    buf_add(&s->text, added);
    if ((r = buf_result(&s->text)))
        return failed(s, "cannot read", r);
    r = compile(s);
    if (!r)
        return EXIT_DONE;
    policy_session_report(s);
    return failed(s, "does not load:", r);
}

void policy_session_close(struct policy_session *s)
{
    buf_deinit(&s->text);
    arena_deinit(&s->arena);
}

void policy_session_quote(const struct policy_session *s, uint32_t begin, uint32_t end,
                          struct buf *out)
{
    bool space = false, string = false;
    for (uint32_t i = begin; i < end && i < s->text.len; i++) {
        char c = s->text.ptr[i];
        if (c == '"')
            string = !string;
        if (c == '#' && !string) {
            while (i + 1 < end && s->text.ptr[i + 1] != '\n')
                i++;
            continue;
        }
        if (!string && (c == ' ' || c == '\t' || c == '\n' || c == '\r')) {
            space = true;
            continue;
        }
        if (space && out->len)
            buf_byte(out, ' ');
        space = false;
        buf_byte(out, c);
    }
}
