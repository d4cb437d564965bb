// Placements to compare Merit's with.
#include "sim/fleet_place.h"

#include <string.h>

#include "base/alloc.h"
#include "sim/fleet_merit.h"

enum { HOMES = 4096 };

struct place {
    struct fleet *f;
    struct home {
        uint64_t session;
        uint32_t replica;
    } homes[HOMES];
    uint32_t sessions[CONSTANTS_REPLICAS_MAX];
    uint64_t turn;
    uint64_t open; // bit per replica: up, not tried
    struct rng rng;
};

static enum result open_place(struct fleet *f, void **self)
{
    struct place *p = alloc_zeroed(1, sizeof *p);
    if (!p)
        return RESULT_NOMEM;
    p->f = f;
    rng_seed(&p->rng, rng_next(fleet_rng(f)));
    *self = p;
    return RESULT_OK;
}

static void close_place(void *self)
{
    alloc_free(self);
}

static uint32_t look(struct place *p, const struct fleet_job *job, uint64_t now_us)
{
    uint32_t n = 0;
    p->open = 0;
    for (uint32_t i = 0; i < fleet_replicas(p->f); i++) {
        if (!(job->tried >> i & 1) && engine_is_up(fleet_engine(p->f, i), now_us)) {
            p->open |= UINT64_C(1) << i;
            n++;
        }
    }
    return n;
}

static int32_t nth(uint64_t bits, uint64_t n)
{
    while (n--)
        bits &= bits - 1;
    return __builtin_ctzll(bits);
}

static int32_t choose_rr(void *self, struct fleet_job *job, uint64_t now_us)
{
    struct place *p = self;
    uint32_t n = fleet_replicas(p->f);
    if (!look(p, job, now_us))
        return -1;
    while (!(p->open >> (p->turn % n) & 1))
        p->turn++;
    return (int32_t)(p->turn++ % n);
}

static int32_t choose_lr(void *self, struct fleet_job *job, uint64_t now_us)
{
    struct place *p = self;
    uint32_t n = fleet_replicas(p->f), best = UINT32_MAX;
    if (!look(p, job, now_us))
        return -1;
    p->turn++;
    for (uint32_t k = 0; k < n; k++) {
        uint32_t i = (uint32_t)((p->turn + k) % n);
        if ((p->open >> i & 1) &&
            (best == UINT32_MAX || fleet_in_flight(p->f, i) < fleet_in_flight(p->f, best)))
            best = i;
    }
    return (int32_t)best;
}

static int32_t choose_p2c(void *self, struct fleet_job *job, uint64_t now_us)
{
    struct place *p = self;
    uint32_t n = look(p, job, now_us);
    if (!n)
        return -1;
    int32_t a = nth(p->open, rng_below(&p->rng, n)), b = a;
    uint64_t rest = p->open & ~(UINT64_C(1) << a);
    if (rest)
        b = nth(rest, rng_below(&p->rng, n - 1));
    return fleet_in_flight(p->f, (uint32_t)b) < fleet_in_flight(p->f, (uint32_t)a) ? b : a;
}

static struct engine_ask ask_of(const struct fleet_job *job)
{
    return (struct engine_ask){.prompt_tok = job->prompt_tok,
                               .output_tok = job->output_tok,
                               .hashes = job->hashes,
                               .hash_count = job->hash_count,
                               .hash_tok = job->hash_tok,
                               .adapter = -1};
}

static int32_t choose_oracle(void *self, struct fleet_job *job, uint64_t now_us)
{
    struct place *p = self;
    struct engine_ask ask = ask_of(job);
    int32_t best = -1;
    double least = 0;
    if (!look(p, job, now_us))
        return -1;
    p->turn++;
    for (uint32_t k = 0; k < fleet_replicas(p->f); k++) {
        uint32_t i = (uint32_t)((p->turn + k) % fleet_replicas(p->f));
        if (!(p->open >> i & 1))
            continue;
        const struct engine *e = fleet_engine(p->f, i);
        const struct engine_profile *c = engine_profile(e);
        double tokens =
            (double)engine_backlog_tok(e) + job->prompt_tok - engine_cached_tok(e, &ask);
        double steps = tokens / c->chunk_tok + 1;
        double s = tokens * c->token_us + steps * (c->overhead_us + c->weights_us / 2) +
                   (double)fleet_in_flight(p->f, i) * c->context_ns;
        if (best < 0 || s < least) {
            best = (int32_t)i;
            least = s;
        }
    }
    return best;
}

static int32_t choose_warm(void *self, struct fleet_job *job, uint64_t now_us)
{
    struct place *p = self;
    struct engine_ask ask = ask_of(job);
    uint32_t open = look(p, job, now_us), most = 0, flights = 0;
    int32_t best = -1;
    for (uint64_t bits = p->open; bits; bits &= bits - 1)
        flights += fleet_in_flight(p->f, (uint32_t)__builtin_ctzll(bits));
    p->turn++;
    for (uint32_t k = 0; open && k < fleet_replicas(p->f); k++) {
        uint32_t i = (uint32_t)((p->turn + k) % fleet_replicas(p->f));
        uint32_t own = fleet_in_flight(p->f, i);
        if (!(p->open >> i & 1) || (own + 1) * 10 > (flights + 1) * 13 / open + 10)
            continue;
        uint32_t cached = engine_cached_tok(fleet_engine(p->f, i), &ask);
        if (best < 0 || cached > most ||
            (cached == most && own < fleet_in_flight(p->f, (uint32_t)best))) {
            best = (int32_t)i;
            most = cached;
        }
    }
    return best;
}

// Sessions are numbered from 1; the replica with the fewest sessions is home to one that has none, or whose home is down.
static int32_t choose_home(void *self, struct fleet_job *job, uint64_t now_us)
{
    struct place *p = self;
    struct engine_ask ask = ask_of(job);
    struct home *h = p->homes + job->session % HOMES;
    if (!look(p, job, now_us))
        return -1;
    if (job->session && h->session == job->session && (p->open >> h->replica & 1))
        return (int32_t)h->replica;
    if (h->session)
        p->sessions[h->replica]--;
    int32_t best = -1;
    uint32_t most = 0;
    for (uint64_t bits = p->open; bits; bits &= bits - 1) {
        uint32_t i = (uint32_t)__builtin_ctzll(bits);
        uint32_t cached = engine_cached_tok(fleet_engine(p->f, i), &ask);
        if (best < 0 || p->sessions[i] < p->sessions[best] ||
            (p->sessions[i] == p->sessions[best] && cached > most)) {
            best = (int32_t)i;
            most = cached;
        }
    }
    *h = (struct home){job->session, (uint32_t)best};
    p->sessions[best]++;
    return best;
}

#define PLACEMENT(id, label)                                                                       \
    const struct fleet_placement fleet_##id = {                                                    \
        .name = label, .open = open_place, .close = close_place, .choose = choose_##id}
PLACEMENT(rr, "rr");
PLACEMENT(lr, "lr");
PLACEMENT(p2c, "p2c");
PLACEMENT(oracle, "oracle");
PLACEMENT(warm, "warm");
PLACEMENT(home, "home");

const char fleet_placement_names[] = "merit, blind, rr, lr, p2c, oracle, warm, home";

const struct fleet_placement *fleet_placement(const char *name)
{
    static const struct fleet_placement *const all[] = {
        &fleet_merit, &fleet_merit_blind, &fleet_rr,   &fleet_lr,
        &fleet_p2c,   &fleet_oracle,      &fleet_warm, &fleet_home};
    for (size_t i = 0; i < MERIT_COUNT(all); i++) {
        if (!strcmp(all[i]->name, name))
            return all[i];
    }
    return NULL;
}
