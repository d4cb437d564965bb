// TLS over OpenSSL 3: contexts are shared and reference-counted, sessions belong to a conn.
//
// Server: certificate chain and key from PEM files, TLS 1.2 and up, ALPN "http/1.1" (a client that offers only other
// protocols is refused), stateless tickets, several certificates chosen by SNI ("*.example.com" covers one label).
// `tls_server_reload` reads the files anew and swaps them in; sessions in flight keep the old ones; on an error the
// old ones stay; tickets given out before stay good. Client: verification on and name (DNS or IP address) checked,
// roots from the system or a file, sessions reused per context and server name (TLS_NAMES_MAX names are remembered).
// Errors come with a sentence in `diag`. OpenSSL is not touched before the first context is opened.
#ifndef MERIT_NET_TLS_H
#define MERIT_NET_TLS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/result.h"
#include "base/slice.h"

struct tls_context;
struct tls_session;

enum {
    TLS_DIAG_BYTES = 256,
    TLS_CERTIFICATES_MAX = 256, // of one server context
    TLS_NAMES_MAX = 64,         // server names whose sessions a client context remembers
    TLS_RECORD_BYTES = 16384,   // the most plaintext in one record
};

struct tls_certificate {
    const char *server_name; // NULL: the default one
    const char *chain_path, *key_path;
};

// The strings are copied. At least one certificate; the one without a name, or else the first, serves names that no
// other covers. RESULT_NOT_FOUND, RESULT_TLS (unusable or mismatched files), RESULT_NOMEM, RESULT_LIMIT.
enum result tls_server_open(struct tls_context **out, const struct tls_certificate *certs,
                            size_t count, char diag[TLS_DIAG_BYTES]);
// Any thread; swaps atomically.
enum result tls_server_reload(struct tls_context *c, char diag[TLS_DIAG_BYTES]);
// `roots_path` NULL: the system's (or SSL_CERT_FILE, SSL_CERT_DIR). `insecure` turns verification
// off, for tests and doctors only.
enum result tls_client_open(struct tls_context **out, const char *roots_path, bool insecure,
                            char diag[TLS_DIAG_BYTES]);
struct tls_context *tls_context_ref(struct tls_context *c);
void tls_context_unref(struct tls_context *c); // NULL is a no-op

// Used by net/conn.c only. `fd` stays the caller's. A client needs a `server_name` unless the context is insecure:
// else RESULT_TLS.
enum result tls_session_open(struct tls_session **out, struct tls_context *c, int fd, bool client,
                             const char *server_name);
// `notify` sends close_notify when that goes without waiting.
void tls_session_close(struct tls_session *s, bool notify);
// The descriptor's epoll events: what a session may ask of the kernel again. It makes no read or write that is known
// to find nothing.
void tls_session_ready(struct tls_session *s, uint32_t events);
// RESULT_OK, RESULT_AGAIN, RESULT_TLS, RESULT_RESET.
enum result tls_session_handshake(struct tls_session *s);
// RESULT_OK with *got, RESULT_AGAIN, RESULT_EOF (clean), RESULT_TLS or RESULT_RESET (an end without close_notify
// too). Each may wait for either readiness.
enum result tls_session_read(struct tls_session *s, void *to, size_t room, size_t *got);
// At most TLS_RECORD_BYTES. After RESULT_AGAIN the next call must begin with the same bytes and offer no fewer.
enum result tls_session_write(struct tls_session *s, const void *from, size_t len, size_t *sent);
// Sends close_notify; reading goes on. RESULT_OK, RESULT_AGAIN, RESULT_TLS, RESULT_RESET.
enum result tls_session_end(struct tls_session *s);
bool tls_session_reused(const struct tls_session *s);
// Why the last call failed, for a log: static or the session's own.
const char *tls_session_error(const struct tls_session *s);

#endif
