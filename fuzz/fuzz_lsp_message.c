// Whatever an editor sends: raw bytes of the base protocol, or, when the first byte is a newline, one message per line in a
// session with an open policy. No crash, and every answer is a whole message of JSON.
#include <stdlib.h>

#include "../tests/helper/lsp_session.h"
#include "lsp/frame.h"
#include "text/json.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void must(bool ok)
{
    if (!ok)
        abort();
}

static void read_back(struct buf *out)
{
    struct lsp_frames f;
    struct slice bytes = buf_slice(out), body;
    lsp_frames_init(&f);
    while (bytes.len) {
        struct arena arena;
        struct json j;
        arena_init(&arena, 0, 1 << 26);
        must(lsp_frames_next(&f, &bytes, &body) == RESULT_OK);
        must(json_parse(&j, body, &json_limits_default, &arena) == RESULT_OK);
        arena_deinit(&arena);
    }
    lsp_frames_deinit(&f);
    buf_reset(out);
}

static void begin(struct lsp_server *s)
{
    lsp_send(s,
             "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"initialize\",\"params\":{\"capabilities\":"
             "{\"general\":{\"positionEncodings\":[\"utf-8\"]},\"textDocument\":{\"codeAction\":"
             "{\"codeActionLiteralSupport\":{}}}}}}");
    lsp_send(
        s, "{\"jsonrpc\":\"2.0\",\"method\":\"textDocument/didOpen\",\"params\":{\"textDocument\":"
           "{\"uri\":\"a\",\"version\":1,\"text\":\"" LSP_POLICY "\"}}}");
    lsp_work(s, 0, false);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct lsp_server *s;
    struct slice rest = slice_make(data, size), line;
    uint64_t now = 0;
    must(lsp_server_open(&signal_registry, &s) == RESULT_OK);
    if (size == 0 || data[0] != '\n') {
        while (rest.len && lsp_server_feed(s, slice_head(rest, 100)) && !lsp_server_ended(s)) {
            rest = slice_from(rest, 100);
            lsp_work(s, now += 50000, false);
        }
        lsp_work(s, now += 1000000, false);
    } else {
        begin(s);
        while (slice_split(&rest, '\n', &line) && !lsp_server_ended(s)) {
            char head[64];
            int n = snprintf(head, sizeof head, "Content-Length: %zu\r\n\r\n", line.len);
            lsp_server_feed(s, slice_make(head, (size_t)n));
            lsp_server_feed(s, line);
            lsp_work(s, now += 200000, false);
            read_back(lsp_server_output(s));
        }
    }
    read_back(lsp_server_output(s));
    lsp_server_close(s);
    return 0;
}
