// TLS over OpenSSL 3: contexts are shared and reference-counted, sessions belong to a conn.
//
// Server: certificate chain and key from PEM files, TLS 1.2 and up, ALPN "http/1.1", tickets on, several certificates
// chosen by SNI. `tls_server_reload` reads the files anew and swaps them in; sessions in flight keep the old ones; on
// an error the old ones stay. Client: verification on and name checked, roots from the system or a file, sessions
// reused per context and server name. Errors come with a sentence in `diag`.
#ifndef MERIT_NET_TLS_H
#define MERIT_NET_TLS_H

#include <stdbool.h>
#include <stddef.h>

#include "base/result.h"
#include "base/slice.h"

struct tls_context;
struct tls_session;

enum { TLS_DIAG_BYTES = 256 };

struct tls_certificate {
    const char *server_name;  // NULL: the default one
    const char *chain_path, *key_path;
};

enum result tls_server_open(struct tls_context **out, const struct tls_certificate *certs, size_t count,
                            char diag[TLS_DIAG_BYTES]);
// Any thread; swaps atomically.
enum result tls_server_reload(struct tls_context *c, char diag[TLS_DIAG_BYTES]);
// `roots_path` NULL: the system's. `insecure` turns verification off, for tests and doctors only.
enum result tls_client_open(struct tls_context **out, const char *roots_path, bool insecure,
                            char diag[TLS_DIAG_BYTES]);
struct tls_context *tls_context_ref(struct tls_context *c);
void tls_context_unref(struct tls_context *c);

// Used by net/conn.c only.
enum result tls_session_open(struct tls_session **out, struct tls_context *c, int fd, bool client,
                             const char *server_name);
void tls_session_close(struct tls_session *s);
// RESULT_OK, RESULT_AGAIN, RESULT_TLS.
enum result tls_session_handshake(struct tls_session *s);
// RESULT_OK with *got, RESULT_AGAIN, RESULT_EOF (clean), RESULT_TLS or RESULT_RESET.
enum result tls_session_read(struct tls_session *s, void *to, size_t room, size_t *got);
enum result tls_session_write(struct tls_session *s, const void *from, size_t len, size_t *sent);
bool tls_session_reused(const struct tls_session *s);
// Why the last call failed, for a log: static or the session's own.
const char *tls_session_error(const struct tls_session *s);

#endif
