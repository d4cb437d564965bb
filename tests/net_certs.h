// Certificates for tests of TLS, made on the spot with OpenSSL: a root and what it signs, as PEM files in a fresh
// directory that certs_remove deletes.
#ifndef MERIT_TESTS_NET_CERTS_H
#define MERIT_TESTS_NET_CERTS_H

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>

struct certs {
    char dir[64];
    X509 *root;
    EVP_PKEY *root_key;
    int serial;
};

static inline void certs_extend(X509 *x, X509 *issuer, int nid, const char *value)
{
    X509V3_CTX ctx;
    X509V3_set_ctx(&ctx, issuer, x, NULL, NULL, 0);
    X509_EXTENSION *e = X509V3_EXT_conf_nid(NULL, &ctx, nid, value);
    assert_non_null(e);
    assert_int_equal(X509_add_ext(x, e, -1), 1);
    X509_EXTENSION_free(e);
}

// `path` NAME.pem / NAME.key below the directory.
static inline const char *certs_path(const struct certs *c, const char *name, const char *ending)
{
    static char paths[8][128];
    static int next;
    char *p = paths[next++ % 8];
    snprintf(p, sizeof paths[0], "%s/%s.%s", c->dir, name, ending);
    return p;
}

static inline void certs_write(const struct certs *c, const char *name, X509 *x, EVP_PKEY *key)
{
    FILE *f = fopen(certs_path(c, name, "pem"), "w");
    assert_non_null(f);
    assert_int_equal(PEM_write_X509(f, x), 1);
    fclose(f);
    f = fopen(certs_path(c, name, "key"), "w");
    assert_non_null(f);
    assert_int_equal(PEM_write_PrivateKey(f, key, NULL, NULL, 0, NULL, NULL), 1);
    fclose(f);
}

static inline X509 *certs_make(struct certs *c, const char *subject, EVP_PKEY *key, long valid_from,
                               long valid_to)
{
    X509 *x = X509_new();
    assert_non_null(x);
    X509_set_version(x, 2);
    ASN1_INTEGER_set(X509_get_serialNumber(x), ++c->serial);
    X509_gmtime_adj(X509_getm_notBefore(x), valid_from);
    X509_gmtime_adj(X509_getm_notAfter(x), valid_to);
    X509_set_pubkey(x, key);
    X509_NAME_add_entry_by_txt(X509_get_subject_name(x), "CN", MBSTRING_ASC,
                               (const unsigned char *)subject, -1, -1, 0);
    return x;
}

static inline void certs_init(struct certs *c)
{
    memset(c, 0, sizeof *c);
    snprintf(c->dir, sizeof c->dir, "%s/merit-certs-XXXXXX", getenv("TMPDIR") ? "." : "/tmp");
    assert_non_null(mkdtemp(c->dir));
    c->root_key = EVP_EC_gen("P-256");
    c->root = certs_make(c, "Merit test root", c->root_key, -3600, 86400);
    X509_set_issuer_name(c->root, X509_get_subject_name(c->root));
    certs_extend(c->root, c->root, NID_basic_constraints, "critical,CA:TRUE");
    certs_extend(c->root, c->root, NID_key_usage, "critical,keyCertSign");
    certs_extend(c->root, c->root, NID_subject_key_identifier, "hash");
    assert_true(X509_sign(c->root, c->root_key, EVP_sha256()) > 0);
    certs_write(c, "root", c->root, c->root_key);
}

// Writes NAME.pem and NAME.key; `san` as in "DNS:a.example,IP:127.0.0.1". `valid_to` in seconds from now.
static inline void certs_issue(struct certs *c, const char *name, const char *san, long valid_to)
{
    EVP_PKEY *key = EVP_EC_gen("P-256");
    X509 *x = certs_make(c, name, key, -3600, valid_to);
    X509_set_issuer_name(x, X509_get_subject_name(c->root));
    certs_extend(x, c->root, NID_subject_alt_name, san);
    assert_true(X509_sign(x, c->root_key, EVP_sha256()) > 0);
    certs_write(c, name, x, key);
    X509_free(x);
    EVP_PKEY_free(key);
}

static inline void certs_remove(struct certs *c)
{
    DIR *d = opendir(c->dir);
    assert_non_null(d);
    struct dirent *e;
    while ((e = readdir(d)))
        if (e->d_name[0] != '.')
            unlinkat(dirfd(d), e->d_name, 0);
    closedir(d);
    rmdir(c->dir);
    X509_free(c->root);
    EVP_PKEY_free(c->root_key);
}

#endif
