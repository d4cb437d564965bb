// The language server for policies: LSP 3.17, without the pipes.
//
// Bytes of the editor go in, bytes for it come out, and checks of whole policies are handed to whoever drives it, to be
// run on another thread: so that no request waits for one. The server itself reads no clock and does no I/O.
//
//   lsp_server_feed(s, bytes)                       as they come
//   while (lsp_server_step(s, now)) ...             one message each; requests cancelled meanwhile are not worked on
//   c = lsp_server_check(s, lane, now); lsp_check_run(c); lsp_server_checked(s, c, now)
//   write lsp_server_output(s), then buf_reset it
//
// Diagnostics are published LSP_PAUSE_US after the last edit. One owner, one thread, but for lsp_check_run.
#ifndef MERIT_LSP_SERVER_H
#define MERIT_LSP_SERVER_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/result.h"
#include "lsp/check.h"

enum {
    LSP_PAUSE_US = 150 * 1000,
    LSP_QUEUE_MAX = 256,                    // messages that wait
    LSP_QUEUE_BYTES_MAX = 64 * 1024 * 1024, // and their bytes
    LSP_OUTPUT_MAX = 128 * 1024 * 1024,
};

struct lsp_server;

// `registry` must outlive it. RESULT_NOMEM.
enum result lsp_server_open(const struct signal_registry *registry,
                            struct lsp_server **out) MERIT_NODISCARD;
// A check that is still under way is closed by its runner.
void lsp_server_close(struct lsp_server *s);

// Takes all bytes. False when the stream has ended: after `exit`, or when nobody can say where the next message begins.
bool lsp_server_feed(struct lsp_server *s, struct slice bytes);
// Whether the queue is full (feed no more before steps have been made), and whether a message waits.
bool lsp_server_full(const struct lsp_server *s);
bool lsp_server_waiting(const struct lsp_server *s);
// Works on one message; false when there was none.
bool lsp_server_step(struct lsp_server *s, uint64_t now_us);
// After `exit` or a broken stream, once no message waits.
bool lsp_server_ended(const struct lsp_server *s);
// 0 when `shutdown` came before the end, else 1.
int lsp_server_exit_code(const struct lsp_server *s);

// Checks are of two kinds, each of which has at most one under way: a quick one for what is wrong with names, types and
// units, and one that proves the text when the quick one found nothing.
enum lsp_lane { LSP_LANE_QUICK, LSP_LANE_PROOF, LSP_LANES };
// A check that is due, to be given back; NULL when none is.
struct lsp_check *lsp_server_check(struct lsp_server *s, enum lsp_lane lane, uint64_t now_us);
// Publishes what it found. Takes the check.
void lsp_server_checked(struct lsp_server *s, struct lsp_check *c, uint64_t now_us);
// When the next quick check is due; UINT64_MAX: none is, or one is under way.
uint64_t lsp_server_wake_us(const struct lsp_server *s);

// For the editor, and lines for standard error. Both are the server's; whoever has written them away resets them.
struct buf *lsp_server_output(struct lsp_server *s);
struct buf *lsp_server_log(struct lsp_server *s);
// The editor's process as it told at `initialize`, 0 when it did not.
uint64_t lsp_server_client(const struct lsp_server *s);

#endif
