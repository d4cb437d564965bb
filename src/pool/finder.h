// Looks for the places of endpoints that the policy does not write out: files, names and services. On the control side's loop;
// pool/keeper.h drives it.
//
// A file is looked at every file_ms and read when it has stopped to change. A name is looked up every dns_ms, services also when
// their time to live is over, though not more than once a second. Whatever brings no list (a file that does not read, a name that is not there, a
// server that does not answer) leaves the places as they are, and is told once.
#ifndef MERIT_POOL_FINDER_H
#define MERIT_POOL_FINDER_H

#include "base/rng.h"
#include "net/dns_ask.h"
#include "net/loop.h"
#include "pool/discovery.h"
#include "pool/pool.h"
#include "pool/resolve.h"

enum { FINDER_TTL_MS = 1000 }; // shorter times to live are taken for this

struct finders_options {
    struct loop *loop;
    struct pool *pool;
    const char *folder;                // that files are relative to; NULL: the process's own
    const struct dns_servers *servers; // for services; NULL: the system's
    uint32_t file_ms, dns_ms;
    void (*say)(void *ctx, struct slice line); // may be NULL
    void *ctx;
    struct rng *rng;
};

struct finders;
enum result finders_open(struct finders **out,
                         const struct finders_options *options) MERIT_NODISCARD;
void finders_close(struct finders *f); // NULL: no-op
// Reads the files; names are looked up with the next finders_look.
void finders_begin(struct finders *f, uint64_t now_ms);
// What is due.
void finders_look(struct finders *f, uint64_t now_ms);

// What a name was looked up to under the policy before is served on until the next look-up, and what a list named as long as
// there is none that can be read. Before any loop has seen `p`.
void finders_carry_over(struct pool *p, const struct pool *old, uint64_t now_ms);

// The places of what was looked up: URLs into `urls`. The weights of services are shares of the endpoint's, whose mean they have,
// and ranks are counted from the most wanted. For tests.
void finder_list(const struct pool_endpoint *e, const struct resolve_answer *a,
                 char (*urls)[POOL_URL_MAX], struct discovery_list *out);

#endif
