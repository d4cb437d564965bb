// What a conn has still to send: pieces in order, copied ones in pages of the loop, pinned ones where they are.
//
// The queue itself lives in one page together with its first pieces and bytes, so that the usual answer takes one
// page from the free list and gives it back, and touches no heap. Used by net/conn.c only.
#ifndef MERIT_NET_QUEUE_H
#define MERIT_NET_QUEUE_H

#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

#include "base/result.h"
#include "base/slice.h"
#include "net/loop.h"

enum { QUEUE_PIECES_INSIDE = 32, QUEUE_IOV_MAX = 64 };

struct queue_block {
    char *data;
    size_t used, room;
    uint32_t pieces; // that lie in it
};

struct queue_piece {
    const char *ptr;
    size_t len;
    struct queue_block *block; // NULL: pinned
};

struct conn_queue {
    size_t bytes;
    struct queue_piece *pieces; // `inside`, or on the heap
    uint32_t first, count, room;
    struct queue_block *open; // where the next copied bytes go
    struct queue_block block; // the rest of the page
    struct queue_piece inside[QUEUE_PIECES_INSIDE];
};

// NULL without memory.
struct conn_queue *queue_take(struct loop *l);
void queue_give(struct loop *l, struct conn_queue *q);
// RESULT_OK, RESULT_NOMEM; after a failure part of a copy may be queued.
enum result queue_pin(struct conn_queue *q, struct slice s);
enum result queue_copy(struct loop *l, struct conn_queue *q, struct slice s);
// Turns the pinned piece that was queued last, or what is left of it, into a copied one.
enum result queue_own_last(struct loop *l, struct conn_queue *q);
void queue_consume(struct loop *l, struct conn_queue *q, size_t n);
// The first pieces; returns how many (at most `max`).
int queue_iov(const struct conn_queue *q, struct iovec *v, int max);

#endif
