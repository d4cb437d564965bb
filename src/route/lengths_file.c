// What was learned of lengths as a file's bytes: a header, and a row per cell with its filled buckets, in this machine's byte
// order.
#include <math.h>
#include <string.h>

#include "base/alloc.h"
#include "base/hash.h"
#include "route/lengths_inner.h"

static const char MAGIC[8] = {'M', 'E', 'R', 'I', 'T', 'L', 'E', 'N'};

struct header {
    char magic[8];
    uint32_t version, bytes; // of everything
    uint64_t checksum;       // over everything with this field zero
    uint64_t answers;
    uint32_t cells, zero;
};

struct row {
    uint64_t key, parent;
    uint32_t level, buckets;
    double delta, owed, estimated, counted, sum;
};

struct bucket {
    uint32_t at;
    float weight;
};

_Static_assert(sizeof(struct header) == 40, "packed");
_Static_assert(sizeof(struct row) == 64, "packed");
_Static_assert(sizeof(struct bucket) == 8, "packed");

static uint64_t checksum(const struct header *h, struct slice rest)
{
    struct header copy = *h;
    copy.checksum = 0;
    return hash_fnv(hash_fnv(0, slice_make((const char *)&copy, sizeof copy)), rest);
}

static void write_cell(const struct lengths_cell *c, struct buf *out)
{
    struct row row = {.key = c->key,
                      .parent = c->parent,
                      .level = c->level,
                      .delta = c->delta,
                      .owed = c->owed,
                      .estimated = c->estimated,
                      .counted = c->counted,
                      .sum = c->sketch.sum};
    for (uint32_t i = 0; i < SKETCH_BUCKETS; i++)
        row.buckets += c->sketch.at[i] > 0;
    buf_append(out, &row, sizeof row);
    for (uint32_t i = 0; i < SKETCH_BUCKETS; i++)
        if (c->sketch.at[i] > 0)
            buf_append(out, &(struct bucket){i, c->sketch.at[i]}, sizeof(struct bucket));
}

void lengths_write(const struct lengths *l, struct buf *out)
{
    struct header h = {.version = LENGTHS_VERSION, .answers = l->answers, .cells = l->cell_count};
    size_t begin = out->len;
    memcpy(h.magic, MAGIC, sizeof MAGIC);
    buf_append(out, &h, sizeof h);
    for (uint32_t i = 0; i < l->cell_count; i++)
        write_cell(l->cells[i], out);
    if (buf_result(out))
        return;
    h.bytes = (uint32_t)(out->len - begin);
    h.checksum = checksum(&h, slice_from(slice_make(out->ptr + begin, h.bytes), sizeof h));
    memcpy(out->ptr + begin, &h, sizeof h);
}

// Numbers that were not written here would spoil all that is reckoned with them.
static bool sane(const struct row *r)
{
    return r->key && r->level <= LEVEL_INPUT && r->buckets <= SKETCH_BUCKETS &&
           fabs(r->delta) <= 1 && fabs(r->owed) < 1e15 && r->estimated >= 0 &&
           r->estimated < 1e18 && r->counted >= 0 && r->counted < 1e18;
}

static bool read_cell(struct slice *rest, struct lengths_cell *c)
{
    struct row row;
    double least = 0, most = 0;
    if (rest->len < sizeof row)
        return false;
    memcpy(&row, rest->ptr, sizeof row);
    *rest = slice_from(*rest, sizeof row);
    if (!sane(&row) || rest->len < row.buckets * sizeof(struct bucket))
        return false;
    *c = (struct lengths_cell){.key = row.key,
                               .parent = row.parent,
                               .level = row.level,
                               .delta = row.delta,
                               .owed = row.owed,
                               .estimated = row.estimated,
                               .counted = row.counted};
    for (uint32_t i = 0, next = 0; i < row.buckets; i++) {
        struct bucket b;
        memcpy(&b, rest->ptr + i * sizeof b, sizeof b);
        if (b.at < next || b.at >= SKETCH_BUCKETS || !(b.weight > 0 && b.weight < 1e9f))
            return false;
        next = b.at + 1;
        c->sketch.at[b.at] = b.weight;
        c->sketch.weight += (double)b.weight;
        least += (double)b.weight * (double)sketch_from(b.at);
        most += (double)b.weight * (double)sketch_from(b.at + 1);
    }
    c->sketch.sum = row.sum;
    *rest = slice_from(*rest, row.buckets * sizeof(struct bucket));
    return row.buckets && row.sum >= least * 0.99 && row.sum <= most * 1.01;
}

enum result lengths_read(struct lengths *l, struct slice bytes)
{
    struct header h;
    struct lengths_cell c;
    if (bytes.len < sizeof h || bytes.len > LENGTHS_FILE_MAX)
        return RESULT_SYNTAX;
    memcpy(&h, bytes.ptr, sizeof h);
    if (memcmp(h.magic, MAGIC, sizeof MAGIC) != 0)
        return RESULT_SYNTAX;
    if (h.version != LENGTHS_VERSION)
        return RESULT_VERSION;
    struct slice rest = slice_from(bytes, sizeof h);
    if (h.bytes != bytes.len || h.cells > LENGTHS_CELLS_MAX || h.checksum != checksum(&h, rest))
        return RESULT_SYNTAX;
    struct slice again = rest;
    for (uint32_t i = 0; i < h.cells; i++)
        if (!read_cell(&again, &c))
            return RESULT_SYNTAX;
    if (again.len)
        return RESULT_SYNTAX;
    for (uint32_t i = 0; i < h.cells; i++) {
        struct lengths_cell *to =
            read_cell(&rest, &c) ? lengths_cell(l, c.key, c.parent, c.level) : NULL;
        if (!to)
            goto out;
        *to = c;
    }
    l->answers = l->published = h.answers;
    return RESULT_OK;
out:
    while (l->cell_count)
        alloc_free(l->cells[--l->cell_count]);
    memset(l->index, 0, sizeof l->index);
    return RESULT_NOMEM;
}
