// A byte stream over TCP, plain or TLS: the same from outside.
//
// A conn is embedded in its owner (an HTTP server or client connection). Output is corked: conn_send queues, and the
// queue goes out in one system call at the end of the turn, or when CONN_FLUSH_BYTES are waiting. CONN_COPY pieces
// are copied (a large one only as far as the kernel does not take it at once); CONN_PINNED pieces are not, so they
// must stay until the queue has drained or the conn is closed. An idle conn holds no buffers. TCP_NODELAY is set. One
// loop, one thread.
//
// Callbacks come only from the loop, never from inside a call of a function below. An owner may call any of these
// functions, conn_close included, from inside any callback. After conn_close no callback comes.
#ifndef MERIT_NET_CONN_H
#define MERIT_NET_CONN_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>

#include "base/result.h"
#include "base/slice.h"
#include "net/loop.h"

struct tls_context;
struct tls_session;
struct conn;
struct conn_queue;

enum {
    CONN_FLUSH_BYTES = 64 * 1024,
    CONN_READS_PER_TURN = 8,
    CONN_QUEUE_BYTES_MAX = 64 * 1024 * 1024, // more waiting output is RESULT_LIMIT
};

struct conn_ops {
    // Where the next read should go: *room (> 0) bytes at the returned place, or NULL for the loop's scratch. May be
    // NULL.
    char *(*on_space)(struct conn *c, size_t *room);
    // Bytes came; they lie in scratch (valid until it returns) or where on_space said.
    void (*on_data)(struct conn *c, char *data, size_t len);
    // The peer will send no more (after all its data; not while paused). Writing may still work.
    void (*on_eof)(struct conn *c);
    // Connected and, with TLS, shaken hands. Once, before any other callback but on_error; a plain server side gets it
    // in the turn after conn_init. What was sent before waits for it.
    void (*on_open)(struct conn *c);
    // The output queue is empty: the kernel has taken all that was sent. Once for each time the queue filled.
    void (*on_drain)(struct conn *c);
    // May be NULL. While paused: the peer has shut its side, or has gone; unread data may still wait in the kernel and
    // comes, with on_eof, after conn_resume. Once.
    void (*on_hangup)(struct conn *c);
    // It broke: RESULT_RESET, RESULT_REFUSED, RESULT_TIMEOUT (of the kernel's), RESULT_TLS, RESULT_IO, RESULT_NOMEM,
    // RESULT_LIMIT. Once, and the last callback; the owner then calls conn_close. While paused too.
    void (*on_error)(struct conn *c, enum result why);
};

// Private from here on, but for reading `tls`.
struct conn {
    struct loop_io io;
    struct loop *loop;
    const struct conn_ops *ops;
    struct tls_session *tls;
    struct conn_queue *queue; // NULL when nothing waits
    struct loop_task write_task, read_task;
    uint8_t error, write_error; // enum result
    bool client, connected, opened, open_told, closed, error_told;
    bool paused, readable, hangup, hangup_told, eof_seen;
    bool blocked; // the kernel takes no more until EPOLLOUT
    bool drain_due, shut_due, shut_done;
};

// Takes over `fd` (non-blocking); closes it when it fails. A server side has an accepted socket; a client side has been
// given to connect(). `tls` NULL is plain. `server_name` is for SNI and the name check of a client.
// RESULT_NOMEM, RESULT_IO, RESULT_TLS.
enum result conn_init(struct conn *c, struct loop *loop, int fd, const struct conn_ops *ops,
                      struct tls_context *tls, bool client, const char *server_name);
// Starts a non-blocking connect and conn_init. RESULT_REFUSED, RESULT_IO,
// RESULT_LIMIT (no descriptor is free), ... as conn_init.
enum result conn_connect(struct conn *c, struct loop *loop, const struct sockaddr *addr,
                         socklen_t len, const struct conn_ops *ops, struct tls_context *tls,
                         const char *server_name);
// Closes the descriptor at once, after one try to send what is queued (a TLS side sends close_notify when it can
// without waiting). The memory of `c` must stay until the end of the turn. `reset` drops the queue and makes the peer
// see a reset instead of an end. A second call changes nothing.
void conn_close(struct conn *c, bool reset);
// Sends an end when the queue has drained; reading goes on. For an answer that must survive unread input.
void conn_shutdown(struct conn *c);

enum conn_send_mode { CONN_COPY, CONN_PINNED };
// After an error or conn_close it does nothing.
void conn_send(struct conn *c, struct slice s, enum conn_send_mode mode);
// Sends now what is queued instead of at the end of the turn.
void conn_flush(struct conn *c);
// Bytes queued and not yet taken by the kernel.
size_t conn_queued(const struct conn *c);

// Stops reading (back-pressure); data waits in the kernel. A paused conn still notices that its peer is gone.
void conn_pause(struct conn *c);
void conn_resume(struct conn *c);

#endif
