#include "net/sys.h"

#include <errno.h>
#include <limits.h>

#include "base/rng.h"

bool sys_armed;
int (*sys_getaddrinfo)(const char *name, const char *service, const struct addrinfo *hints,
                       struct addrinfo **list) = getaddrinfo;
void (*sys_freeaddrinfo)(struct addrinfo *list) = freeaddrinfo;

static struct {
    struct sys_fault fault;
    bool armed;
    uint64_t count, base;
} ops[SYS_OP_COUNT];
static struct rng shorten_rng;
static size_t shorten_most;

static void update(void)
{
    sys_armed = shorten_most != 0;
    for (int i = 0; i < SYS_OP_COUNT; i++)
        sys_armed = sys_armed || ops[i].armed;
}

void sys_fault_set(enum sys_op op, const struct sys_fault *fault)
{
    ops[op].armed = fault != NULL;
    ops[op].base = ops[op].count;
    if (fault)
        ops[op].fault = *fault;
    update();
}

void sys_shorten_random(uint64_t seed, size_t most)
{
    rng_seed(&shorten_rng, seed);
    shorten_most = most;
    update();
}

uint64_t sys_count(enum sys_op op)
{
    return ops[op].count;
}

static void lower(size_t *room, size_t most)
{
    if (most == 0)
        most = 1;
    if (*room > most)
        *room = most;
}

bool sys_fault_now(enum sys_op op, size_t *room)
{
    uint64_t n = ++ops[op].count - ops[op].base;
    if (shorten_most && room)
        lower(room, 1 + rng_below(&shorten_rng, shorten_most));
    const struct sys_fault *f = &ops[op].fault;
    if (!ops[op].armed || (f->at && f->at != n))
        return true;
    if (!f->error) {
        if (room)
            lower(room, f->shorten);
        return true;
    }
    errno = f->error;
    return false;
}

ssize_t sys_sendv_short(int fd, const struct iovec *v, int count)
{
    size_t room = SSIZE_MAX;
    if (!sys_fault_now(SYS_SEND, &room))
        return -1;
    struct iovec cut[64];
    int n = 0;
    for (; n < count && n < 64 && room; n++) {
        cut[n] = v[n];
        if (cut[n].iov_len > room)
            cut[n].iov_len = room;
        room -= cut[n].iov_len;
    }
    struct msghdr m = {.msg_iov = cut, .msg_iovlen = (size_t)n};
    return sendmsg(fd, &m, MSG_NOSIGNAL);
}
