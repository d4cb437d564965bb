// The text of an open document: bytes, where its lines begin, and places in the editor's way of counting.
//
// An editor names a place by line and character, both from 0. A character is a UTF-8 byte, a UTF-16 unit or a code
// point, as was agreed when the session began. Lines end with \n, \r\n or \r. The bytes are UTF-8 as long as every text
// put in is. One owner, one thread.
#ifndef MERIT_LSP_TEXT_H
#define MERIT_LSP_TEXT_H

#include <stdint.h>

#include "base/buf.h"
#include "base/diag.h"
#include "base/result.h"
#include "base/slice.h"

enum lsp_encoding { LSP_UTF8, LSP_UTF16, LSP_UTF32 };

struct lsp_position {
    uint32_t line, character;
};

struct lsp_range {
    struct lsp_position start, end;
};

struct lsp_text {
    struct buf bytes;
    uint32_t *lines; // where line i begins; lines[0] is 0
    uint32_t line_count, line_room;
};

// Empty, one line. `cap` is the most bytes.
void lsp_text_init(struct lsp_text *t, size_t cap);
void lsp_text_deinit(struct lsp_text *t);

static inline struct slice lsp_text_slice(const struct lsp_text *t)
{
    return slice_make(t->bytes.ptr ? t->bytes.ptr : "", t->bytes.len);
}

// Replaces bytes [begin, end). RESULT_LIMIT (the cap), RESULT_NOMEM: the text is empty then, because half an edit would
// be a text that nobody wrote.
enum result lsp_text_replace(struct lsp_text *t, struct span span,
                             struct slice with) MERIT_NODISCARD;

// The byte at a position. Behind the last line it is the end, behind the end of a line the end of that line, inside of a
// character its begin.
uint32_t lsp_text_offset(const struct lsp_text *t, enum lsp_encoding e, struct lsp_position p);
// The position of a byte; of the end when it lies behind.
struct lsp_position lsp_text_position(const struct lsp_text *t, enum lsp_encoding e,
                                      uint32_t offset);
struct lsp_range lsp_text_range(const struct lsp_text *t, enum lsp_encoding e, struct span span);
// Line i without its end.
struct slice lsp_text_line(const struct lsp_text *t, uint32_t line);
// The length of a piece of text in the encoding's characters.
uint32_t lsp_text_width(struct slice text, enum lsp_encoding e);

#endif
