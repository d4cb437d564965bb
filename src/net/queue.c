#include "net/queue.h"

#include <assert.h>
#include <string.h>

#include "base/alloc.h"

// Blocks of the page size come from the loop, larger ones from the heap; the header lies in front of the data.
enum { PAGE_ROOM = LOOP_PAGE_BYTES - sizeof(struct queue_block) };

struct conn_queue *queue_take(struct loop *l)
{
    struct conn_queue *q = loop_page_take(l);
    if (!q)
        return NULL;
    q->bytes = 0;
    q->pieces = q->inside;
    q->first = q->count = 0;
    q->room = QUEUE_PIECES_INSIDE;
    q->open = &q->block;
    q->block = (struct queue_block){(char *)(q + 1), 0, LOOP_PAGE_BYTES - sizeof *q, 0};
    return q;
}

static void block_give(struct loop *l, struct queue_block *b)
{
    if (b->room == PAGE_ROOM)
        loop_page_give(l, b);
    else
        alloc_free(b);
}

static void piece_done(struct loop *l, struct conn_queue *q, struct queue_block *b)
{
    if (!b || --b->pieces)
        return;
    if (b == &q->block) {
        b->used = 0;
        return;
    }
    if (q->open == b)
        q->open = &q->block;
    block_give(l, b);
}

void queue_give(struct loop *l, struct conn_queue *q)
{
    if (!q)
        return;
    for (; q->count; q->count--)
        piece_done(l, q, q->pieces[q->first++].block);
    if (q->open != &q->block)
        block_give(l, q->open);
    if (q->pieces != q->inside)
        alloc_free(q->pieces);
    loop_page_give(l, q);
}

static enum result push(struct conn_queue *q, struct slice s, struct queue_block *block)
{
    if (q->first + q->count == q->room) {
        if (q->first >= q->room / 2) {
            memmove(q->pieces, q->pieces + q->first, q->count * sizeof *q->pieces);
        } else {
            struct queue_piece *more = alloc_bytes(2 * (size_t)q->room * sizeof *more);
            if (!more)
                return RESULT_NOMEM;
            memcpy(more, q->pieces + q->first, q->count * sizeof *more);
            if (q->pieces != q->inside)
                alloc_free(q->pieces);
            q->pieces = more;
            q->room *= 2;
        }
        q->first = 0;
    }
    q->pieces[q->first + q->count++] = (struct queue_piece){s.ptr, s.len, block};
    if (block)
        block->pieces++;
    q->bytes += s.len;
    return RESULT_OK;
}

enum result queue_pin(struct conn_queue *q, struct slice s)
{
    return s.len ? push(q, s, NULL) : RESULT_OK;
}

// A block with room for some of the next `want` bytes.
static enum result open_block(struct loop *l, struct conn_queue *q, size_t want)
{
    struct queue_block *b;
    if (want <= PAGE_ROOM) {
        b = loop_page_take(l);
        want = PAGE_ROOM;
    } else {
        b = alloc_bytes(sizeof *b + want);
    }
    if (!b)
        return RESULT_NOMEM;
    *b = (struct queue_block){(char *)(b + 1), 0, want, 0};
    q->open = b;
    return RESULT_OK;
}

enum result queue_copy(struct loop *l, struct conn_queue *q, struct slice s)
{
    while (s.len) {
        struct queue_block *b = q->open;
        if (b->used == b->room && !q->block.pieces) {
            b = q->open = &q->block;
        } else if (b->used == b->room) {
            enum result r = open_block(l, q, s.len);
            if (r)
                return r;
            b = q->open;
        }
        size_t n = s.len < b->room - b->used ? s.len : b->room - b->used;
        char *to = b->data + b->used;
        struct queue_piece *last = q->count ? &q->pieces[q->first + q->count - 1] : NULL;
        // The last piece of the open block ends where the block is filled to.
        if (last && last->block == b) {
            last->len += n;
            q->bytes += n;
        } else {
            enum result r = push(q, slice_make(to, n), b);
            if (r)
                return r;
        }
        memcpy(to, s.ptr, n);
        b->used += n;
        s = slice_from(s, n);
    }
    return RESULT_OK;
}

enum result queue_own_last(struct loop *l, struct conn_queue *q)
{
    struct queue_piece *last = &q->pieces[q->first + q->count - 1];
    assert(q->count && !last->block);
    q->count--;
    q->bytes -= last->len;
    return queue_copy(l, q, slice_make(last->ptr, last->len));
}

void queue_consume(struct loop *l, struct conn_queue *q, size_t n)
{
    assert(n <= q->bytes);
    q->bytes -= n;
    while (n) {
        struct queue_piece *p = &q->pieces[q->first];
        if (n < p->len) {
            p->ptr += n;
            p->len -= n;
            return;
        }
        n -= p->len;
        q->first++;
        q->count--;
        piece_done(l, q, p->block);
    }
}

int queue_iov(const struct conn_queue *q, struct iovec *v, int max)
{
    int n = 0;
    for (; n < max && (uint32_t)n < q->count; n++) {
        const struct queue_piece *p = &q->pieces[q->first + (uint32_t)n];
        v[n] = (struct iovec){(void *)p->ptr, p->len};
    }
    return n;
}
