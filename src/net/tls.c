#include "net/tls.h"

#include <arpa/inet.h>
#include <errno.h>
#include <limits.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <strings.h>
#include <sys/epoll.h>

#include "base/alloc.h"
#include "net/sys.h"

enum { SERVER_TICKET_SECONDS = 4 * 3600, NAME_BYTES_MAX = 253 };

// One reading of the files. Sessions hold it, so that a reload leaves them alone.
struct tls_set {
    atomic_uint refs;
    size_t count, fallback;
    struct tls_entry {
        const char *name; // of the context's certificates; NULL: none
        SSL_CTX *ctx;
    } entries[];
};

struct remembered {
    char *name;
    SSL_SESSION *session;
};

struct tls_context {
    atomic_uint refs;
    bool client, insecure;
    pthread_mutex_t lock; // of `set` and `names`
    struct tls_set *set;
    struct tls_certificate *certs; // of a server, with strings of its own
    size_t cert_count;
    struct remembered names[TLS_NAMES_MAX];
    size_t name_count, name_evict;
};

struct tls_session {
    SSL *ssl;
    struct tls_context *context;
    struct tls_set *set;
    char *name;
    const char *error;
    int fd;
    int sys_error; // errno of the last failed call
    bool client;
    bool dry, full;   // the kernel has nothing to read, takes nothing more
    bool hangup, eof; // the peer has shut its side; its end was read
    bool done, failed, ended;
};

static BIO_METHOD *bio_method;
static pthread_once_t bio_once = PTHREAD_ONCE_INIT;
static const unsigned char alpn[] = "\x08http/1.1";

// ---- the descriptor as a BIO ----

static int bio_read(BIO *b, char *to, int room)
{
    struct tls_session *s = BIO_get_data(b);
    BIO_clear_retry_flags(b);
    if (s->dry) {
        BIO_set_retry_read(b);
        return -1;
    }
    size_t asked = (size_t)room;
    ssize_t n;
    do
        n = sys_recv(s->fd, to, &asked);
    while (n < 0 && errno == EINTR);
    if (n > 0) {
        s->dry = (size_t)n < asked && !s->hangup;
        return (int)n;
    }
    if (n == 0) {
        s->eof = true;
    } else if (errno == EAGAIN) {
        s->dry = true;
        BIO_set_retry_read(b);
    } else {
        s->sys_error = errno;
    }
    return n == 0 ? 0 : -1;
}

static int bio_write(BIO *b, const char *from, int len)
{
    struct tls_session *s = BIO_get_data(b);
    BIO_clear_retry_flags(b);
    if (s->full) {
        BIO_set_retry_write(b);
        return -1;
    }
    ssize_t n;
    do
        n = sys_send(s->fd, from, (size_t)len);
    while (n < 0 && errno == EINTR);
    if (n >= 0)
        return (int)n;
    if (errno == EAGAIN) {
        s->full = true;
        BIO_set_retry_write(b);
    } else {
        s->sys_error = errno;
    }
    return -1;
}

static long bio_ctrl(BIO *b, int what, long n, void *p)
{
    (void)n;
    (void)p;
    struct tls_session *s = BIO_get_data(b);
    if (what == BIO_CTRL_FLUSH)
        return 1;
    return what == BIO_CTRL_EOF && s->eof;
}

static int bio_create(BIO *b)
{
    BIO_set_init(b, 1);
    return 1;
}

static void bio_make(void)
{
    BIO_METHOD *m = BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "merit socket");
    if (m && BIO_meth_set_read(m, bio_read) && BIO_meth_set_write(m, bio_write) &&
        BIO_meth_set_ctrl(m, bio_ctrl) && BIO_meth_set_create(m, bio_create))
        bio_method = m;
    else
        BIO_meth_free(m);
}

// ---- contexts ----

static const char *reason(void)
{
    unsigned long e = ERR_peek_last_error();
    const char *text = NULL;
    if (ERR_SYSTEM_ERROR(e))
        text = strerrordesc_np(ERR_GET_REASON(e));
    else if (e)
        text = ERR_reason_error_string(e);
    return text ? text : "no reason given";
}

// An encrypted key must fail, not ask at a terminal.
static int no_password(char *buf, int size, int rw, void *user)
{
    (void)buf;
    (void)size;
    (void)rw;
    (void)user;
    return -1;
}

static int choose_protocol(SSL *ssl, const unsigned char **out, unsigned char *out_len,
                           const unsigned char *in, unsigned in_len, void *user)
{
    (void)ssl;
    (void)user;
    for (unsigned at = 0; at < in_len && in[at] < in_len - at; at += 1u + in[at]) {
        if (in[at] == alpn[0] && memcmp(in + at + 1, alpn + 1, alpn[0]) == 0) {
            *out = in + at + 1;
            *out_len = alpn[0];
            return SSL_TLSEXT_ERR_OK;
        }
    }
    return SSL_TLSEXT_ERR_ALERT_FATAL;
}

// 2: equal; 1: by wildcard; 0: no.
static int name_covers(const char *pattern, const char *name)
{
    if (!pattern)
        return 0;
    if (strcasecmp(pattern, name) == 0)
        return 2;
    const char *dot = strchr(name, '.');
    return pattern[0] == '*' && pattern[1] == '.' && dot && dot != name &&
           strcasecmp(pattern + 1, dot) == 0;
}

static int choose_certificate(SSL *ssl, int *alert, void *user)
{
    (void)alert;
    const struct tls_set *set = user;
    const char *name = SSL_get_servername(ssl, TLSEXT_NAMETYPE_host_name);
    int best = 0;
    size_t chosen = set->fallback;
    for (size_t i = 0; name && i < set->count; i++) {
        int covers = name_covers(set->entries[i].name, name);
        if (covers > best) {
            best = covers;
            chosen = i;
        }
    }
    if (chosen != set->fallback)
        SSL_set_SSL_CTX(ssl, set->entries[chosen].ctx);
    return SSL_TLSEXT_ERR_OK;
}

// What both sides share; NULL without memory.
static SSL_CTX *new_ctx(bool client)
{
    SSL_CTX *x = SSL_CTX_new(client ? TLS_client_method() : TLS_server_method());
    if (!x)
        return NULL;
    SSL_CTX_set_min_proto_version(x, TLS1_2_VERSION);
    SSL_CTX_set_options(x, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION);
    SSL_CTX_set_mode(x, SSL_MODE_RELEASE_BUFFERS | SSL_MODE_ENABLE_PARTIAL_WRITE |
                            SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
    // Header and body of a record in one system call.
    SSL_CTX_set_read_ahead(x, 1);
    SSL_CTX_set_default_passwd_cb(x, no_password);
    return x;
}

static void set_unref(struct tls_set *set)
{
    if (!set || atomic_fetch_sub(&set->refs, 1) != 1)
        return;
    for (size_t i = 0; i < set->count; i++)
        SSL_CTX_free(set->entries[i].ctx);
    alloc_free(set);
}

static struct tls_set *set_new(size_t count)
{
    struct tls_set *set = alloc_zeroed(1, sizeof *set + count * sizeof set->entries[0]);
    if (set) {
        atomic_init(&set->refs, 1);
        set->count = count;
    }
    return set;
}

// What went wrong with a file: absent, or not what it should be.
static enum result file_failed(const char *what, const char *path, char diag[TLS_DIAG_BYTES])
{
    unsigned long e = ERR_peek_error();
    bool absent = ERR_SYSTEM_ERROR(e) && ERR_GET_REASON(e) == ENOENT;
    const char *why = absent ? "no such file" : reason();
    snprintf(diag, TLS_DIAG_BYTES, "The %s %.120s cannot be used: %.90s.", what, path, why);
    ERR_clear_error();
    return absent ? RESULT_NOT_FOUND : RESULT_TLS;
}

static enum result load_certificate(SSL_CTX **out, const struct tls_certificate *cert,
                                    char diag[TLS_DIAG_BYTES])
{
    SSL_CTX *x = *out = new_ctx(false);
    if (!x)
        return RESULT_NOMEM;
    ERR_clear_error();
    if (SSL_CTX_use_certificate_chain_file(x, cert->chain_path) != 1)
        return file_failed("certificate chain", cert->chain_path, diag);
    if (SSL_CTX_use_PrivateKey_file(x, cert->key_path, SSL_FILETYPE_PEM) != 1 ||
        SSL_CTX_check_private_key(x) != 1)
        return file_failed("private key", cert->key_path, diag);
    SSL_CTX_set_session_cache_mode(x, SSL_SESS_CACHE_OFF);
    SSL_CTX_set_timeout(x, SERVER_TICKET_SECONDS);
    SSL_CTX_set_session_id_context(x, (const unsigned char *)"merit", 5);
    SSL_CTX_set_alpn_select_cb(x, choose_protocol, NULL);
    return RESULT_OK;
}

// Tickets are sealed by the keys of the context that a session begins with: the fallback.
static void carry_ticket_keys(const struct tls_set *from, struct tls_set *to)
{
    unsigned char keys[256];
    SSL_CTX *a = from->entries[from->fallback].ctx, *b = to->entries[to->fallback].ctx;
    long n = SSL_CTX_get_tlsext_ticket_keys(a, NULL, 0);
    if (n > 0 && n <= (long)sizeof keys && SSL_CTX_get_tlsext_ticket_keys(a, keys, n) == 1)
        SSL_CTX_set_tlsext_ticket_keys(b, keys, n);
    OPENSSL_cleanse(keys, sizeof keys);
}

static enum result load_server_set(struct tls_set **out, const struct tls_context *c,
                                   char diag[TLS_DIAG_BYTES])
{
    enum result r = RESULT_OK;
    struct tls_set *set = set_new(c->cert_count);
    if (!set)
        return RESULT_NOMEM;
    bool named = true;
    for (size_t i = 0; !r && i < set->count; i++) {
        const struct tls_certificate *cert = &c->certs[i];
        set->entries[i].name = cert->server_name;
        if (!cert->server_name && named) {
            set->fallback = i;
            named = false;
        }
        r = load_certificate(&set->entries[i].ctx, cert, diag);
    }
    if (r) {
        set_unref(set);
        return r;
    }
    SSL_CTX *front = set->entries[set->fallback].ctx;
    SSL_CTX_set_tlsext_servername_callback(front, choose_certificate);
    SSL_CTX_set_tlsext_servername_arg(front, set);
    *out = set;
    return RESULT_OK;
}

static char *copy_text(const char *s)
{
    size_t n = strlen(s) + 1;
    char *p = alloc_bytes(n);
    return p ? memcpy(p, s, n) : NULL;
}

static struct tls_context *context_new(bool client)
{
    struct tls_context *c = alloc_zeroed(1, sizeof *c);
    if (!c)
        return NULL;
    atomic_init(&c->refs, 1);
    c->client = client;
    pthread_mutex_init(&c->lock, NULL);
    return c;
}

static enum result copy_certificates(struct tls_context *c, const struct tls_certificate *certs,
                                     size_t count)
{
    c->certs = alloc_zeroed(count, sizeof *c->certs);
    if (!c->certs)
        return RESULT_NOMEM;
    for (c->cert_count = 0; c->cert_count < count; c->cert_count++) {
        const struct tls_certificate *from = &certs[c->cert_count];
        struct tls_certificate *to = &c->certs[c->cert_count];
        to->chain_path = copy_text(from->chain_path);
        to->key_path = copy_text(from->key_path);
        to->server_name = from->server_name ? copy_text(from->server_name) : NULL;
        if (!to->chain_path || !to->key_path || (from->server_name && !to->server_name)) {
            c->cert_count++;
            return RESULT_NOMEM;
        }
    }
    return RESULT_OK;
}

enum result tls_server_open(struct tls_context **out, const struct tls_certificate *certs,
                            size_t count, char diag[TLS_DIAG_BYTES])
{
    *out = NULL;
    diag[0] = 0;
    if (count == 0 || count > TLS_CERTIFICATES_MAX) {
        snprintf(diag, TLS_DIAG_BYTES, "A TLS server needs 1 to %d certificates, not %zu.",
                 TLS_CERTIFICATES_MAX, count);
        return RESULT_LIMIT;
    }
    struct tls_context *c = context_new(false);
    if (!c)
        return RESULT_NOMEM;
    pthread_once(&bio_once, bio_make);
    enum result r = copy_certificates(c, certs, count);
    if (!r)
        r = load_server_set(&c->set, c, diag);
    if (!r && !bio_method)
        r = RESULT_NOMEM;
    if (r) {
        tls_context_unref(c);
        return r;
    }
    *out = c;
    return RESULT_OK;
}

static struct tls_set *current_set(struct tls_context *c)
{
    pthread_mutex_lock(&c->lock);
    struct tls_set *set = c->set;
    atomic_fetch_add(&set->refs, 1);
    pthread_mutex_unlock(&c->lock);
    return set;
}

enum result tls_server_reload(struct tls_context *c, char diag[TLS_DIAG_BYTES])
{
    diag[0] = 0;
    struct tls_set *set = NULL;
    enum result r = load_server_set(&set, c, diag);
    if (r)
        return r;
    pthread_mutex_lock(&c->lock);
    struct tls_set *old = c->set;
    carry_ticket_keys(old, set);
    c->set = set;
    pthread_mutex_unlock(&c->lock);
    set_unref(old);
    return RESULT_OK;
}

struct tls_context *tls_context_ref(struct tls_context *c)
{
    atomic_fetch_add(&c->refs, 1);
    return c;
}

void tls_context_unref(struct tls_context *c)
{
    if (!c || atomic_fetch_sub(&c->refs, 1) != 1)
        return;
    for (size_t i = 0; i < c->name_count; i++) {
        SSL_SESSION_free(c->names[i].session);
        alloc_free(c->names[i].name);
    }
    set_unref(c->set);
    for (size_t i = 0; i < c->cert_count; i++) {
        alloc_free((char *)c->certs[i].server_name);
        alloc_free((char *)c->certs[i].chain_path);
        alloc_free((char *)c->certs[i].key_path);
    }
    alloc_free(c->certs);
    pthread_mutex_destroy(&c->lock);
    alloc_free(c);
}

// ---- a client's sessions ----

// The place of a name, or NULL. Under the lock.
static struct remembered *recall(struct tls_context *c, const char *name)
{
    for (size_t i = 0; i < c->name_count; i++)
        if (strcasecmp(c->names[i].name, name) == 0)
            return &c->names[i];
    return NULL;
}

// OpenSSL hands over a new session; 1 keeps the reference.
static int remember(SSL *ssl, SSL_SESSION *session)
{
    struct tls_session *s = SSL_get_app_data(ssl);
    if (!s || !s->name)
        return 0;
    struct tls_context *c = s->context;
    pthread_mutex_lock(&c->lock);
    struct remembered *at = recall(c, s->name);
    if (!at) {
        char *name = copy_text(s->name);
        if (!name) {
            pthread_mutex_unlock(&c->lock);
            return 0;
        }
        if (c->name_count < TLS_NAMES_MAX) {
            at = &c->names[c->name_count++];
            at->session = NULL;
        } else {
            at = &c->names[c->name_evict++ % TLS_NAMES_MAX];
            alloc_free(at->name);
        }
        at->name = name;
    }
    SSL_SESSION *old = at->session;
    at->session = session;
    pthread_mutex_unlock(&c->lock);
    SSL_SESSION_free(old);
    return 1;
}

static void resume(struct tls_session *s)
{
    struct tls_context *c = s->context;
    pthread_mutex_lock(&c->lock);
    struct remembered *at = recall(c, s->name);
    if (at && SSL_SESSION_is_resumable(at->session))
        SSL_set_session(s->ssl, at->session);
    pthread_mutex_unlock(&c->lock);
}

enum result tls_client_open(struct tls_context **out, const char *roots_path, bool insecure,
                            char diag[TLS_DIAG_BYTES])
{
    *out = NULL;
    diag[0] = 0;
    struct tls_context *c = context_new(true);
    if (!c)
        return RESULT_NOMEM;
    pthread_once(&bio_once, bio_make);
    c->insecure = insecure;
    enum result r = RESULT_NOMEM;
    c->set = set_new(1);
    if (!c->set || !bio_method)
        goto out;
    SSL_CTX *x = c->set->entries[0].ctx = new_ctx(true);
    if (!x || SSL_CTX_set_alpn_protos(x, alpn, sizeof alpn - 1) != 0)
        goto out;
    SSL_CTX_set_session_cache_mode(x, SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL);
    SSL_CTX_sess_set_new_cb(x, remember);
    SSL_CTX_set_verify(x, insecure ? SSL_VERIFY_NONE : SSL_VERIFY_PEER, NULL);
    ERR_clear_error();
    r = RESULT_OK;
    if (roots_path && SSL_CTX_load_verify_file(x, roots_path) != 1) {
        r = file_failed("file of root certificates", roots_path, diag);
    } else if (!roots_path && !insecure && SSL_CTX_set_default_verify_paths(x) != 1) {
        snprintf(diag, TLS_DIAG_BYTES, "The system's root certificates cannot be used: %.90s.",
                 reason());
        r = RESULT_TLS;
    }
out:
    if (r) {
        tls_context_unref(c);
        return r;
    }
    *out = c;
    return RESULT_OK;
}

// ---- sessions ----

static bool is_address(const char *name)
{
    unsigned char addr[sizeof(struct in6_addr)];
    return inet_pton(AF_INET, name, addr) == 1 || inet_pton(AF_INET6, name, addr) == 1;
}

// Whom to expect at the other end.
static enum result expect_server(struct tls_session *s, const char *name)
{
    size_t len = strlen(name);
    if (len == 0 || len > NAME_BYTES_MAX)
        return RESULT_TLS;
    s->name = copy_text(name);
    if (!s->name)
        return RESULT_NOMEM;
    if (is_address(name)) {
        if (X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(s->ssl), name) != 1)
            return RESULT_NOMEM;
    } else {
        // A name with the root's dot means the same; certificates and SNI have it without.
        if (s->name[len - 1] == '.')
            s->name[len - 1] = 0;
        SSL_set_hostflags(s->ssl, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);
        if (SSL_set1_host(s->ssl, s->name) != 1 || SSL_set_tlsext_host_name(s->ssl, s->name) != 1)
            return RESULT_NOMEM;
    }
    resume(s);
    return RESULT_OK;
}

enum result tls_session_open(struct tls_session **out, struct tls_context *c, int fd, bool client,
                             const char *server_name)
{
    *out = NULL;
    if (client != c->client || (client && !server_name && !c->insecure))
        return RESULT_TLS;
    struct tls_session *s = alloc_zeroed(1, sizeof *s);
    if (!s)
        return RESULT_NOMEM;
    s->fd = fd;
    s->client = client;
    s->error = "no error";
    s->context = tls_context_ref(c);
    s->set = current_set(c);
    s->ssl = SSL_new(s->set->entries[s->set->fallback].ctx);
    BIO *b = BIO_new(bio_method);
    enum result r = RESULT_NOMEM;
    if (!s->ssl || !b) {
        BIO_free(b);
        goto out;
    }
    BIO_set_data(b, s);
    SSL_set_bio(s->ssl, b, b);
    SSL_set_app_data(s->ssl, s);
    r = RESULT_OK;
    if (client) {
        SSL_set_connect_state(s->ssl);
        if (server_name)
            r = expect_server(s, server_name);
    } else {
        SSL_set_accept_state(s->ssl);
    }
out:
    if (r) {
        ERR_clear_error();
        tls_session_close(s, false);
        return r;
    }
    *out = s;
    return RESULT_OK;
}

void tls_session_close(struct tls_session *s, bool notify)
{
    if (!s)
        return;
    if (notify && s->done && !s->failed && !s->ended)
        SSL_shutdown(s->ssl);
    ERR_clear_error();
    SSL_free(s->ssl);
    set_unref(s->set);
    tls_context_unref(s->context);
    alloc_free(s->name);
    alloc_free(s);
}

void tls_session_ready(struct tls_session *s, uint32_t events)
{
    if (events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR))
        s->hangup = true;
    if (events & (EPOLLIN | EPOLLRDHUP | EPOLLHUP | EPOLLERR))
        s->dry = false;
    if (events & (EPOLLOUT | EPOLLHUP | EPOLLERR))
        s->full = false;
}

static enum result outcome(struct tls_session *s, int returned)
{
    switch (SSL_get_error(s->ssl, returned)) {
    case SSL_ERROR_WANT_READ:
    case SSL_ERROR_WANT_WRITE:
        return RESULT_AGAIN;
    case SSL_ERROR_ZERO_RETURN:
        return RESULT_EOF;
    default:
        break;
    }
    s->failed = true;
    long verified = SSL_get_verify_result(s->ssl);
    enum result r = RESULT_TLS;
    if (s->sys_error) {
        s->error = "the connection broke";
        r = RESULT_RESET;
    } else if (s->eof) {
        s->error = s->done ? "the peer ended the connection without close_notify"
                           : "the peer ended the connection during the handshake";
        r = RESULT_RESET;
    } else if (s->client && !s->done && verified != X509_V_OK) {
        s->error = X509_verify_cert_error_string(verified);
    } else {
        s->error = reason();
    }
    ERR_clear_error();
    return r;
}

enum result tls_session_handshake(struct tls_session *s)
{
    ERR_clear_error();
    int r = SSL_do_handshake(s->ssl);
    if (r != 1)
        return outcome(s, r);
    s->done = true;
    return RESULT_OK;
}

enum result tls_session_read(struct tls_session *s, void *to, size_t room, size_t *got)
{
    ERR_clear_error();
    int r = SSL_read_ex(s->ssl, to, room, got);
    return r == 1 ? RESULT_OK : outcome(s, r);
}

enum result tls_session_write(struct tls_session *s, const void *from, size_t len, size_t *sent)
{
    ERR_clear_error();
    int r = SSL_write_ex(s->ssl, from, len, sent);
    if (r == 1)
        return RESULT_OK;
    enum result why = outcome(s, r);
    return why == RESULT_EOF ? RESULT_RESET : why;
}

enum result tls_session_end(struct tls_session *s)
{
    if (s->ended)
        return RESULT_OK;
    ERR_clear_error();
    int r = SSL_shutdown(s->ssl);
    if (r < 0) {
        enum result why = outcome(s, r);
        if (why != RESULT_EOF)
            return why;
    }
    s->ended = true;
    return RESULT_OK;
}

bool tls_session_reused(const struct tls_session *s)
{
    return SSL_session_reused(s->ssl) == 1;
}

const char *tls_session_error(const struct tls_session *s)
{
    return s->error;
}
