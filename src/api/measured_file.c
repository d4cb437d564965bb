// The form of measured totals: a file's bytes, and JSON.
//
// The file is a header, the sketches of passes, a row per signal and a row per atom, in this machine's byte order.
#include <assert.h>
#include <string.h>

#include "api/measured_counts.h"
#include "base/alloc.h"
#include "base/hash.h"
#include "base/map.h"
#include "text/json.h"

static const char MAGIC[8] = {'M', 'E', 'R', 'I', 'T', 'M', 'S', 'R'};

struct header {
    char magic[8];
    uint32_t version, bytes; // of everything
    uint64_t checksum;       // over everything with this field zero
    uint64_t trunk;
    uint64_t decisions;
    uint32_t signals, atoms;
    uint8_t digest[IMAGE_DIGEST_BYTES]; // of the policy that it was measured under
};

struct signal_row {
    struct measured_key key;
    struct measured_signal counts;
};

struct atom_row {
    struct measured_key key;
    struct measured_atom counts;
};

enum { PASSES = sizeof(struct measured_sketch[ROUTE_GROUPS][ROUTE_LENGTHS]) };
_Static_assert(sizeof(struct signal_row) == MEASURED_KEY_BYTES + 8 + 4 * MEASURED_BUCKETS,
               "packed");
_Static_assert(sizeof(struct atom_row) == MEASURED_KEY_BYTES + 8, "packed");
_Static_assert(sizeof(struct header) == 48 + IMAGE_DIGEST_BYTES, "packed");

static uint64_t checksum(const struct header *h, struct slice rest)
{
    struct header copy = *h;
    copy.checksum = 0;
    return hash_fnv(hash_fnv(0, slice_make((const char *)&copy, sizeof copy)), rest);
}

void measured_write(const struct measured *m, struct buf *out)
{
    const struct policy_image *p = m->image;
    struct header h = {.version = MEASURED_VERSION,
                       .trunk = m->trunk,
                       .decisions = m->decisions,
                       .signals = p->signals.count,
                       .atoms = p->atoms.count};
    size_t begin = out->len;
    memcpy(h.magic, MAGIC, sizeof MAGIC);
    memcpy(h.digest, p->digest, sizeof h.digest);
    buf_append(out, &h, sizeof h);
    buf_append(out, m->totals.passes, PASSES);
    for (uint32_t i = 0; i < h.signals; i++) {
        struct signal_row row = {m->signal_keys[i], m->totals.signals[i]};
        buf_append(out, &row, sizeof row);
    }
    for (uint32_t i = 0; i < h.atoms; i++) {
        struct atom_row row = {m->atom_keys[i], m->totals.atoms[i]};
        buf_append(out, &row, sizeof row);
    }
    if (buf_result(out))
        return;
    h.bytes = (uint32_t)(out->len - begin);
    h.checksum = checksum(&h, slice_from(slice_make(out->ptr + begin, h.bytes), sizeof h));
    memcpy(out->ptr + begin, &h, sizeof h);
}

// What a total can be: larger numbers were not written here, and would overflow what is made of them.
static bool sane_sketch(const struct measured_sketch *s)
{
    uint64_t n = 0;
    for (uint32_t i = 0; i < MEASURED_BUCKETS; i++)
        n += s->at[i];
    return n <= MEASURED_TOTAL_MAX;
}

static enum result check(struct slice bytes, struct header *h)
{
    if (bytes.len < sizeof *h)
        return RESULT_SYNTAX;
    memcpy(h, bytes.ptr, sizeof *h);
    if (memcmp(h->magic, MAGIC, sizeof MAGIC) != 0)
        return RESULT_SYNTAX;
    if (h->version != MEASURED_VERSION)
        return RESULT_VERSION;
    uint64_t size = sizeof *h + PASSES + (uint64_t)h->signals * sizeof(struct signal_row) +
                    (uint64_t)h->atoms * sizeof(struct atom_row);
    if (h->bytes != bytes.len || size != bytes.len ||
        h->checksum != checksum(h, slice_from(bytes, sizeof *h)))
        return RESULT_SYNTAX;
    const char *at = bytes.ptr + sizeof *h;
    for (uint32_t i = 0; i < ROUTE_GROUPS * ROUTE_LENGTHS;
         i++, at += sizeof(struct measured_sketch)) {
        struct measured_sketch s;
        memcpy(&s, at, sizeof s);
        if (!sane_sketch(&s))
            return RESULT_SYNTAX;
    }
    for (uint32_t i = 0; i < h->signals; i++, at += sizeof(struct signal_row)) {
        struct signal_row row;
        memcpy(&row, at, sizeof row);
        if (row.counts.bought > MEASURED_TOTAL_MAX || row.counts.used > row.counts.bought ||
            !sane_sketch(&row.counts.own))
            return RESULT_SYNTAX;
    }
    for (uint32_t i = 0; i < h->atoms; i++, at += sizeof(struct atom_row)) {
        struct atom_row row;
        memcpy(&row, at, sizeof row);
        if (row.counts.asked > MEASURED_TOTAL_MAX || row.counts.held > row.counts.asked)
            return RESULT_SYNTAX;
    }
    return RESULT_OK;
}

// Rows by their keys; a key that stands twice is found once.
static enum result index_rows(struct map *map, const char *rows, uint32_t count, size_t size)
{
    map_init(map, (struct hash_key){0, 0}, (size_t)count + 1);
    for (uint32_t i = 0; i < count; i++) {
        const char *row = rows + i * size;
        // The map wants something that is not NULL and never writes there.
        enum result r = map_put(map, slice_make(row, MEASURED_KEY_BYTES), (void *)(uintptr_t)row);
        if (r)
            return r;
    }
    return RESULT_OK;
}

enum result measured_read(struct measured *m, struct slice bytes, uint32_t *kept)
{
    struct header h;
    struct map signals = {.entries = NULL}, atoms = {.entries = NULL};
    *kept = 0;
    enum result r = check(bytes, &h);
    if (r)
        return r;
    const char *passes = bytes.ptr + sizeof h, *rows = passes + PASSES;
    r = index_rows(&signals, rows, h.signals, sizeof(struct signal_row));
    rows += h.signals * sizeof(struct signal_row);
    if (!r)
        r = index_rows(&atoms, rows, h.atoms, sizeof(struct atom_row));
    if (r)
        goto out;
    for (uint32_t i = 0; i < m->image->signals.count; i++) {
        struct slice key = slice_make((const char *)&m->signal_keys[i], MEASURED_KEY_BYTES);
        const char *row = map_get(&signals, key);
        if (row)
            memcpy(&m->totals.signals[i], row + MEASURED_KEY_BYTES, sizeof m->totals.signals[i]);
        *kept += row != NULL;
    }
    for (uint32_t i = 0; i < m->image->atoms.count; i++) {
        struct slice key = slice_make((const char *)&m->atom_keys[i], MEASURED_KEY_BYTES);
        const char *row = map_get(&atoms, key);
        if (row)
            memcpy(&m->totals.atoms[i], row + MEASURED_KEY_BYTES, sizeof m->totals.atoms[i]);
        *kept += row != NULL;
    }
    uint32_t groups = h.trunk == m->trunk ? ROUTE_GROUPS : ROUTE_GROUP_PASS;
    memcpy(m->totals.passes, passes, groups * sizeof m->totals.passes[0]);
    m->decisions = m->published = h.decisions;
out:
    map_deinit(&signals);
    map_deinit(&atoms);
    return r;
}

// --- JSON

static void add_share(struct buf *out, uint32_t of_one)
{
    buf_printf(out, "%.4f", (double)of_one / ROUTE_HOLDS_ONE);
}

static void write_atoms(const struct measured *m, uint32_t signal, struct buf *out)
{
    const struct policy_image *p = m->image;
    bool first = true;
    BUF_LIT(out, ",\"atoms\":[");
    for (uint32_t i = 0; i < p->atoms.count; i++) {
        const struct image_atom *a = IMAGE_AT(p, p->atoms, struct image_atom) + i;
        if (a->signal != (int32_t)signal)
            continue;
        buf_cstr(out, first ? "{\"atom\":" : ",{\"atom\":");
        first = false;
        json_write_string(out, image_text(p, a->shown));
        buf_printf(out, ",\"asked\":%u,\"held\":%u,\"holds\":", m->totals.atoms[i].asked,
                   m->totals.atoms[i].held);
        add_share(out, measured_holds(&m->totals.atoms[i]));
        buf_byte(out, '}');
    }
    buf_byte(out, ']');
}

static void write_passes(const struct measured *m, struct buf *out)
{
    static const char *const names[ROUTE_GROUPS] = {
        NULL, "pattern scan", "static embedding", "anchor", "entities", "pieces", "turns", NULL};
    bool first = true;
    for (uint32_t g = 1; g < ROUTE_GROUPS; g++) {
        uint32_t ns[ROUTE_LENGTHS], all = 0;
        for (uint32_t k = 0; k < ROUTE_LENGTHS; k++)
            all += measured_sum(&m->totals.passes[g][k]);
        if (!all || !names[g])
            continue;
        measured_pass_ns(m, g, ns);
        buf_printf(out, "%s{\"artifact\":\"%s\",\"lengths\":[", first ? "" : ",", names[g]);
        first = false;
        uint64_t bytes = ROUTE_LENGTH_FIRST;
        for (uint32_t k = 0; k < ROUTE_LENGTHS; k++, bytes *= 4) {
            const struct measured_sketch *s = &m->totals.passes[g][k];
            buf_cstr(out, k ? ",{" : "{");
            if (k + 1 < ROUTE_LENGTHS)
                buf_printf(out, "\"to_bytes\":%llu,", (unsigned long long)bytes);
            buf_printf(out, "\"count\":%u,\"cost_ns\":%u,\"p50_ns\":%u,\"p99_ns\":%u}",
                       measured_sum(s), ns[k], measured_quantile_ns(s, 50),
                       measured_quantile_ns(s, 99));
        }
        BUF_LIT(out, "]}");
    }
}

void measured_json(const struct measured *m, struct buf *out)
{
    const struct policy_image *p = m->image;
    buf_printf(out, "{\"decisions\":%llu,\"signals\":[", (unsigned long long)m->decisions);
    for (uint32_t i = 0; i < p->signals.count; i++) {
        const struct measured_signal *s = &m->totals.signals[i];
        buf_cstr(out, i ? ",{\"signal\":" : "{\"signal\":");
        json_write_string(out, image_text(p, image_signal(p, (int32_t)i)->name));
        buf_printf(out, ",\"bought\":%u,\"cost_ns\":%u,\"p50_ns\":%u,\"p99_ns\":%u", s->bought,
                   measured_own_ns(m, i), measured_quantile_ns(&s->own, 50),
                   measured_quantile_ns(&s->own, 99));
        if (m->guess->group[i]) {
            BUF_LIT(out, ",\"needs_artifact\":");
            add_share(out, measured_needs(s));
        }
        write_atoms(m, i, out);
        buf_byte(out, '}');
    }
    BUF_LIT(out, "],\"artifacts\":[");
    write_passes(m, out);
    BUF_LIT(out, "]}");
}
