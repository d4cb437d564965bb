// A byte stream over TCP, plain or TLS: the same from outside.
//
// A conn is embedded in its owner (an HTTP server or client connection). Output is corked: conn_send queues, and the
// queue goes out in one system call at the end of the turn, or when CONN_FLUSH_BYTES are waiting. Small pieces are
// copied; CONN_PINNED pieces are not, so they must stay until the queue has drained or the conn is closed. An idle
// conn holds no buffers. TCP_NODELAY is set. One loop, one thread.
#ifndef MERIT_NET_CONN_H
#define MERIT_NET_CONN_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>
#include <sys/uio.h>

#include "base/buf.h"
#include "base/result.h"
#include "base/slice.h"
#include "net/loop.h"

struct tls_context;
struct tls_session;
struct conn;

enum { CONN_PINNED_MAX = 16, CONN_FLUSH_BYTES = 64 * 1024, CONN_READS_PER_TURN = 8 };

struct conn_ops {
    // Where the next read should go: *room bytes at the returned place, or NULL for the loop's scratch. May be NULL.
    char *(*on_space)(struct conn *c, size_t *room);
    // Bytes came; they lie in scratch (valid until it returns) or where on_space said.
    void (*on_data)(struct conn *c, char *data, size_t len);
    // The peer will send no more (after all its data). Writing may still work.
    void (*on_eof)(struct conn *c);
    // Connected and, with TLS, shaken hands.
    void (*on_open)(struct conn *c);
    // The output queue is empty again after a time when it was not.
    void (*on_drain)(struct conn *c);
    // It broke: RESULT_RESET, RESULT_REFUSED, RESULT_TLS, RESULT_IO, RESULT_NOMEM, RESULT_LIMIT. Called once; the owner
    // then calls conn_close.
    void (*on_error)(struct conn *c, enum result why);
};

struct conn {
    struct loop_io io;      // private from here on
    struct loop *loop;
    const struct conn_ops *ops;
    struct tls_session *tls;
    struct buf out;         // copied pieces, in order
    struct slice *pinned;   // pieces that are sent from where they are; allocated on first use
    uint32_t pinned_count, pinned_at;
    struct loop_task flush;
    bool opened, closed, read_paused, readable, eof_seen, error_told;
};

// Takes over `fd` (non-blocking). A server side has an accepted socket and is open at once without TLS; a client side
// has been given to connect(). `tls` NULL is plain. `server_name` is for SNI and the name check of a client.
enum result conn_init(struct conn *c, struct loop *loop, int fd, const struct conn_ops *ops,
                      struct tls_context *tls, bool client, const char *server_name);
// Starts a non-blocking connect and conn_init. RESULT_REFUSED, RESULT_IO, ...
enum result conn_connect(struct conn *c, struct loop *loop, const struct sockaddr *addr, socklen_t len,
                         const struct conn_ops *ops, struct tls_context *tls, const char *server_name);
// Closes the descriptor at once (a TLS side sends close_notify when it can without waiting). The owner's memory must
// stay until the end of the turn. `reset` makes the peer see a reset instead of an end.
void conn_close(struct conn *c, bool reset);

enum conn_send_mode { CONN_COPY, CONN_PINNED };
void conn_send(struct conn *c, struct slice s, enum conn_send_mode mode);
// Sends now what is queued instead of at the end of the turn.
void conn_flush(struct conn *c);
// Bytes queued and not yet taken by the kernel.
size_t conn_queued(const struct conn *c);

// Stops reading (back-pressure); data waits in the kernel. A paused conn still notices that its peer is gone.
void conn_pause(struct conn *c);
void conn_resume(struct conn *c);

#endif
