#include "lsp/document.h"

#include "base/alloc.h"

void lsp_documents_deinit(struct lsp_documents *ds)
{
    while (ds->count)
        lsp_documents_close(ds, ds->at[ds->count - 1]);
}

struct lsp_document *lsp_documents_find(const struct lsp_documents *ds, struct slice uri)
{
    for (uint32_t i = 0; i < ds->count; i++)
        if (slice_eq(ds->at[i]->uri, uri))
            return ds->at[i];
    return NULL;
}

struct lsp_document *lsp_documents_by_number(const struct lsp_documents *ds, uint64_t number)
{
    for (uint32_t i = 0; i < ds->count; i++)
        if (ds->at[i]->number == number)
            return ds->at[i];
    return NULL;
}

enum result lsp_documents_open(struct lsp_documents *ds, struct slice uri,
                               struct lsp_document **out)
{
    *out = NULL;
    if (ds->count == LSP_DOCUMENTS_MAX || uri.len > LSP_URI_MAX)
        return RESULT_LIMIT;
    struct lsp_document *d = alloc_zeroed(1, sizeof *d);
    char *copy = alloc_bytes(uri.len + 1);
    if (!d || !copy) {
        alloc_free(d);
        alloc_free(copy);
        return RESULT_NOMEM;
    }
    if (uri.len)
        memcpy(copy, uri.ptr, uri.len);
    d->uri = slice_make(copy, uri.len);
    d->number = ++ds->next_number;
    d->check_at_us = UINT64_MAX;
    lsp_text_init(&d->text, POLICY_BYTES_MAX);
    arena_init(&d->arena, 0, LSP_SYNTAX_BYTES_MAX);
    ds->at[ds->count++] = d;
    *out = d;
    return RESULT_OK;
}

static void drop_checks(struct lsp_document *d)
{
    lsp_check_close(d->good);
    lsp_check_close(d->check);
    d->good = d->check = NULL;
}

static void drop_syntax(struct lsp_document *d)
{
    arena_deinit(&d->arena);
    arena_init(&d->arena, 0, LSP_SYNTAX_BYTES_MAX);
    d->parsed = false;
    d->tree = NULL;
    d->names = (struct lsp_names){.count = 0};
}

void lsp_documents_close(struct lsp_documents *ds, struct lsp_document *d)
{
    uint32_t i = 0;
    while (ds->at[i] != d)
        i++;
    ds->at[i] = ds->at[--ds->count];
    drop_checks(d);
    arena_deinit(&d->arena);
    lsp_text_deinit(&d->text);
    alloc_free((char *)(uintptr_t)d->uri.ptr);
    alloc_free(d);
}

static void settle(struct lsp_document *d, enum result r)
{
    drop_syntax(d);
    d->edit++;
    d->lost = !r                  ? NULL
              : r == RESULT_LIMIT ? "the policy is longer than 4 MiB"
                                  : "there is no memory for this policy";
}

void lsp_document_set(struct lsp_document *d, struct slice text)
{
    struct span all = {0, (uint32_t)d->text.bytes.len};
    settle(d, lsp_text_replace(&d->text, all, text));
}

void lsp_document_lose(struct lsp_document *d, const char *why)
{
    lsp_document_set(d, SLICE_EMPTY);
    d->lost = why;
}

void lsp_document_edit(struct lsp_document *d, enum lsp_encoding e, struct lsp_range range,
                       struct slice text)
{
    struct span span = {lsp_text_offset(&d->text, e, range.start),
                        lsp_text_offset(&d->text, e, range.end)};
    if (d->lost)
        return;
    if (span.begin > span.end)
        lsp_document_lose(d, "an edit of this policy could not be understood: open it anew");
    else
        settle(d, lsp_text_replace(&d->text, span, text));
}

bool lsp_document_parse(struct lsp_documents *ds, struct lsp_document *d,
                        const struct lsp_grammar *grammar)
{
    if (d->lost)
        return false;
    if (d->parsed)
        return true;
    struct diag_list diags;
    size_t used = 0;
    diag_init(&diags, &d->arena, 0);
    policy_parse(lsp_text_slice(&d->text), &d->arena, &diags, &d->tree);
    if (d->tree && lsp_names_find(d->tree, grammar, &d->arena, &d->names)) {
        drop_syntax(d);
        return false;
    }
    d->parsed = true;
    for (uint32_t i = 0; i < ds->count; i++)
        used += ds->at[i]->arena.used;
    for (uint32_t i = 0; i < ds->count && used > LSP_SYNTAX_BYTES_MAX; i++)
        if (ds->at[i] != d)
            drop_syntax(ds->at[i]);
    return true;
}

void lsp_document_checked(struct lsp_document *d, struct lsp_check *c)
{
    if (c->image && (c->proves || !d->good)) {
        lsp_check_close(d->good);
        d->good = c;
        c->refs++;
    }
    // A proof may end behind a look at a newer text.
    if (d->check && c->edit < d->check->edit) {
        lsp_check_close(c);
        return;
    }
    lsp_check_close(d->check);
    d->check = c;
}

const struct lsp_check *lsp_document_fresh(const struct lsp_document *d)
{
    return d->check && d->check->edit == d->edit && !d->lost ? d->check : NULL;
}
