// The socket calls of this layer, with a switch in front through which tests fail or shorten the n-th one.
//
// Without a fault armed each is the system call and one predictable branch. Sends never raise SIGPIPE.
#ifndef MERIT_NET_SYS_H
#define MERIT_NET_SYS_H

#include <netdb.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>
#include <sys/types.h>
#include <sys/uio.h>

#include "base/compiler.h"

enum sys_op { SYS_RECV, SYS_SEND, SYS_CONNECT, SYS_ACCEPT, SYS_OP_COUNT };

struct sys_fault {
    uint64_t at;    // the n-th call from now on (1 is the next one); 0: every one
    int error;      // errno of its failure; 0: it is shortened
    size_t shorten; // at most so many bytes (at least 1)
};

extern bool sys_armed;

// Tests only, process-wide, not while other threads use the network. NULL disarms. A second call for the same
// operation replaces the first.
void sys_fault_set(enum sys_op op, const struct sys_fault *fault);
// Shortens every receive and send to 1 to `most` bytes, by a generator with this seed; `most` 0 disarms.
void sys_shorten_random(uint64_t seed, size_t most);
// Calls of that operation while anything was armed.
uint64_t sys_count(enum sys_op op);

// getaddrinfo and freeaddrinfo; tests put their own in before the first dns_open.
extern int (*sys_getaddrinfo)(const char *name, const char *service, const struct addrinfo *hints,
                              struct addrinfo **list);
extern void (*sys_freeaddrinfo)(struct addrinfo *list);

// Used by the functions below. False: fail with errno set.
bool sys_fault_now(enum sys_op op, size_t *room);
ssize_t sys_sendv_short(int fd, const struct iovec *v, int count);

// `*room` is what the read may take: a fault lowers it, so that a read of fewer bytes still tells that the kernel has
// no more.
static inline ssize_t sys_recv(int fd, void *to, size_t *room)
{
    if (MERIT_UNLIKELY(sys_armed) && !sys_fault_now(SYS_RECV, room))
        return -1;
    return recv(fd, to, *room, 0);
}

static inline ssize_t sys_send(int fd, const void *from, size_t len)
{
    if (MERIT_UNLIKELY(sys_armed) && !sys_fault_now(SYS_SEND, &len))
        return -1;
    return send(fd, from, len, MSG_NOSIGNAL);
}

static inline ssize_t sys_sendv(int fd, struct iovec *v, int count)
{
    if (count == 1)
        return sys_send(fd, v[0].iov_base, v[0].iov_len);
    if (MERIT_UNLIKELY(sys_armed))
        return sys_sendv_short(fd, v, count);
    struct msghdr m = {.msg_iov = v, .msg_iovlen = (size_t)count};
    return sendmsg(fd, &m, MSG_NOSIGNAL);
}

static inline int sys_connect(int fd, const struct sockaddr *addr, socklen_t len)
{
    if (MERIT_UNLIKELY(sys_armed) && !sys_fault_now(SYS_CONNECT, NULL))
        return -1;
    return connect(fd, addr, len);
}

// Non-blocking and closed on exec.
static inline int sys_accept(int fd, struct sockaddr *addr, socklen_t *len)
{
    if (MERIT_UNLIKELY(sys_armed) && !sys_fault_now(SYS_ACCEPT, NULL))
        return -1;
    return accept4(fd, addr, len, SOCK_NONBLOCK | SOCK_CLOEXEC);
}

#endif
