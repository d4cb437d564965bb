#include "ledger/flight.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/vec.h"
#include "ledger/journal_slot.h"

enum { READ_SLOTS = 64 };

struct reading {
    VEC(struct flight_draw) draws;
};

static enum result take_slot(struct reading *r, const struct journal_slot *s)
{
    struct journal_record record;
    if (!journal_decode(s, &record))
        return RESULT_OK; // free, or half written
    for (uint32_t i = 0; i < record.draw_count; i++) {
        const struct journal_draw *d = &record.draws[i];
        const struct flight_draw draw = {.ticket = record.id,
                                         .account = d->account,
                                         .number = d->number,
                                         .window = d->window,
                                         .unit = d->unit,
                                         .hard = d->hard,
                                         .settled = record.settled,
                                         .amount = journal_charge(&record, d)};
        if (r->draws.len == r->draws.cap)
            return RESULT_LIMIT;
        if (!VEC_PUSH(&r->draws, draw))
            return RESULT_NOMEM;
    }
    return RESULT_OK;
}

static enum result take_file(struct reading *r, int fd, struct journal_slot *room)
{
    struct journal_header h;
    ssize_t n = pread(fd, &h, sizeof h, 0);
    if (n < 0)
        return RESULT_IO;
    // What is damaged or in the making is looked at slot by slot.
    if (n == sizeof h && h.sum == journal_sum(0, &h, offsetof(struct journal_header, sum)) &&
        (h.version != JOURNAL_VERSION || h.slot_bytes != JOURNAL_SLOT_BYTES))
        return RESULT_VERSION;
    enum result result = RESULT_OK;
    off_t at = JOURNAL_HEADER_BYTES;
    while (!result && (n = pread(fd, room, READ_SLOTS * sizeof *room, at)) > 0) {
        for (size_t i = 0; i < (size_t)n / sizeof *room && !result; i++)
            result = take_slot(r, &room[i]);
        at += n;
    }
    return n < 0 ? RESULT_IO : result;
}

enum result flight_read(struct flight *out, const char *directory)
{
    struct reading r = {.draws = {.cap = FLIGHT_DRAWS_MAX}};
    struct journal_slot *room = alloc_zeroed(READ_SLOTS, sizeof *room);
    enum result result = room ? RESULT_OK : RESULT_NOMEM;
    char path[PATH_MAX];
    *out = (struct flight){0};
    for (int i = 0; i < JOURNAL_FILES_MAX && !result; i++) {
        if (snprintf(path, sizeof path, "%s/journal.%d", directory, i) >= (int)sizeof path)
            break;
        int fd = open(path, O_RDONLY | O_CLOEXEC);
        if (fd < 0 && errno == ENOENT)
            continue;
        result = fd < 0 ? RESULT_IO : take_file(&r, fd, room);
        if (fd >= 0)
            close(fd);
    }
    alloc_free(room);
    if (result)
        VEC_DEINIT(&r.draws);
    else
        *out = (struct flight){r.draws.at, r.draws.len};
    return result;
}

void flight_free(struct flight *f)
{
    alloc_free(f->draws);
    *f = (struct flight){0};
}
