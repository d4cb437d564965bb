// The journal's files: made, locked, mapped, and looked through at the start.
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/file.h"
#include "ledger/journal_slot.h"

static const char MAGIC[8] = {'M', 'E', 'R', 'I', 'T', 'J', 'N', 'L'};
enum { MODE = 0600, TOLD_MAX = 4 };
// More than a run draws: at 20,000 a second 159 days. A clock that goes on is ahead of it after 65 s.
#define RUN_TICKETS (UINT64_C(1) << 38)

void journal_tell(struct journal *j, const char *code, bool trouble, const char *fmt, ...)
{
    char text[512];
    va_list args;
    if (!j->event)
        return;
    va_start(args, fmt);
    int n = vsnprintf(text, sizeof text, fmt, args);
    va_end(args);
    size_t len = n < 0 ? 0 : (size_t)n < sizeof text ? (size_t)n : sizeof text - 1;
    struct ledger_event e = {code, trouble, slice_make(text, len)};
    j->event(j->context, &e);
}

static bool path_of(const struct journal *j, const char *name, uint32_t number, char out[PATH_MAX])
{
    int n = number == UINT32_MAX ? snprintf(out, PATH_MAX, "%s/%s", j->directory, name)
                                 : snprintf(out, PATH_MAX, "%s/%s.%u", j->directory, name, number);
    if (n > 0 && n < PATH_MAX)
        return true;
    errno = ENAMETOOLONG;
    return false;
}

static size_t bytes_of(uint32_t slots)
{
    return JOURNAL_HEADER_BYTES + (size_t)slots * JOURNAL_SLOT_BYTES;
}

static struct journal_header header_of(uint32_t slots, uint32_t number, uint64_t now_us)
{
    struct journal_header h = {.version = JOURNAL_VERSION,
                               .slot_bytes = JOURNAL_SLOT_BYTES,
                               .slots = slots,
                               .number = number,
                               .created_us = now_us};
    memcpy(h.magic, MAGIC, sizeof h.magic);
    h.sum = journal_sum(0, &h, offsetof(struct journal_header, sum));
    return h;
}

static void file_free(struct journal_file *f)
{
    if (!f)
        return;
    journal_guard_remove(f);
    if (f->map)
        munmap(f->map, f->bytes);
    if (f->fd >= 0)
        close(f->fd);
    alloc_free((void *)f->free);
    alloc_free((void *)f->done);
    alloc_free(f);
}

// All blocks are taken now: a write to a mapped page that the disk has no room for would kill the process.
static enum result preallocate(int fd, size_t bytes)
{
    int error = file_fails() ? errno : posix_fallocate(fd, 0, (off_t)bytes);
    if (!error)
        return RESULT_OK;
    errno = error;
    return RESULT_IO;
}

static enum result write_header(int fd, const struct journal_header *h)
{
    ssize_t n = file_fails() ? -1 : pwrite(fd, h, sizeof *h, 0);
    if (n == sizeof *h)
        return RESULT_OK;
    if (n >= 0)
        errno = EIO;
    return RESULT_IO;
}

static enum result map(struct journal_file *f, uint32_t slots)
{
    f->slots = slots;
    f->bytes = bytes_of(slots);
    void *at = file_fails() ? MAP_FAILED
                            : mmap(NULL, f->bytes, PROT_READ | PROT_WRITE, MAP_SHARED, f->fd, 0);
    if (at == MAP_FAILED)
        return RESULT_IO;
    f->map = at;
    journal_guard_add(f);
    f->free = alloc_zeroed(slots / 64, sizeof *f->free);
    f->done = alloc_zeroed(slots / 64, sizeof *f->done);
    return f->free && f->done ? RESULT_OK : RESULT_NOMEM;
}

static struct journal_file *file_new(void)
{
    struct journal_file *f = alloc_zeroed(1, sizeof *f);
    if (f)
        f->fd = -1;
    return f;
}

static void show(struct journal *j, struct journal_file *f, uint32_t number, uint64_t free)
{
    atomic_store_explicit(&j->files[number], f, memory_order_release);
    if (number >= atomic_load_explicit(&j->file_count, memory_order_relaxed))
        atomic_store_explicit(&j->file_count, number + 1, memory_order_release);
    atomic_fetch_add_explicit(&j->total, f->slots, memory_order_relaxed);
    atomic_fetch_add_explicit(&j->free, (int64_t)free, memory_order_release);
}

enum result journal_file_add(struct journal *j, uint32_t number)
{
    char path[PATH_MAX];
    struct journal_file *f = file_new();
    if (!f)
        return RESULT_NOMEM;
    enum result r = RESULT_IO;
    bool made = false;
    if (!path_of(j, "journal", number, path))
        goto out;
    f->fd = file_fails() ? -1 : open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, MODE);
    if (f->fd < 0)
        goto out;
    made = true;
    r = preallocate(f->fd, bytes_of(j->file_slots));
    if (r)
        goto out;
    struct journal_header h = header_of(j->file_slots, number, j->now_us);
    r = write_header(f->fd, &h);
    if (!r)
        r = map(f, j->file_slots);
    if (r)
        goto out;
    for (uint32_t w = 0; w < f->slots / 64; w++)
        atomic_store_explicit(&f->free[w], ~UINT64_C(0), memory_order_relaxed);
    show(j, f, number, f->slots);
    return RESULT_OK;
out:;
    int saved = errno;
    if (made)
        unlink(path);
    file_free(f);
    errno = saved;
    return r;
}

// --- what an earlier process left

// How many slots the file is to have. Where the header cannot be read the file's size tells; the slots have checksums
// of their own.
static enum result look_at_header(struct journal *j, int fd, uint32_t number, uint32_t *slots,
                                  struct buf *why)
{
    struct journal_header h = {0};
    struct stat st;
    if (file_fails() || fstat(fd, &st) || pread(fd, &h, sizeof h, 0) < 0) {
        char room[FILE_ERROR_BYTES];
        buf_printf(why, "the ledger's journal.%u cannot be read: %s", number,
                   file_error(errno, room));
        return RESULT_IO;
    }
    static const struct journal_header zero;
    uint64_t whole = st.st_size > JOURNAL_HEADER_BYTES
                         ? ((uint64_t)st.st_size - JOURNAL_HEADER_BYTES) / JOURNAL_SLOT_BYTES
                         : 0;
    bool good = memcmp(h.magic, MAGIC, sizeof MAGIC) == 0 &&
                h.sum == journal_sum(0, &h, offsetof(struct journal_header, sum));
    if (good && (h.version != JOURNAL_VERSION || h.slot_bytes != JOURNAL_SLOT_BYTES)) {
        buf_printf(why,
                   "the ledger's journal.%u is of version %u, this program writes %d; start the "
                   "program that wrote it once more, so that it carries it into the store, or move "
                   "%s/journal.%u away",
                   number, h.version, JOURNAL_VERSION, j->directory, number);
        return RESULT_VERSION;
    }
    if (good && h.slots && h.slots <= 1u << SLOT_BITS && h.slots % 64 == 0) {
        *slots = h.slots;
        if (whole < h.slots) {
            j->damaged += h.slots - whole;
            journal_tell(j, "ledger-journal-cut", true,
                         "journal.%u was cut: the last %" PRIu64
                         " of %u records are gone, those before them are kept",
                         number, h.slots - whole, h.slots);
        }
        return RESULT_OK;
    }
    // A process that died while it made the file left zeros.
    if (memcmp(&h, &zero, sizeof h) != 0) {
        j->damaged++;
        journal_tell(j, "ledger-journal-damaged", true,
                     "the head of journal.%u is damaged; its records are looked at one by one",
                     number);
    }
    uint64_t n = whole < 1u << SLOT_BITS ? whole / 64 * 64 : 1u << SLOT_BITS;
    *slots = n ? (uint32_t)n : j->file_slots;
    return RESULT_OK;
}

// Sorts the slots of a mapped file into free, open and settled ones; what is neither is lost, and said to be.
static uint64_t sort_slots(struct journal *j, struct journal_file *f, uint32_t number)
{
    uint64_t free = 0, lost = 0;
    char told[160] = "";
    size_t at = 0;
    for (uint32_t i = 0; i < f->slots; i++) {
        struct journal_slot *s = (struct journal_slot *)(void *)(f->map + JOURNAL_HEADER_BYTES +
                                                                 (size_t)i * JOURNAL_SLOT_BYTES);
        struct journal_record r;
        uint64_t bit = UINT64_C(1) << i % 64;
        uint32_t state = atomic_load_explicit(&s->state, memory_order_relaxed);
        bool whole = state != SLOT_FREE && journal_decode(s, &r);
        if (whole) {
            if (r.id > j->last_id)
                j->last_id = r.id;
            if (r.settled) {
                f->done[i / 64] |= bit;
                atomic_fetch_add_explicit(&j->settled, 1, memory_order_relaxed);
            }
            continue;
        }
        if (state != SLOT_FREE) {
            if (lost++ < TOLD_MAX)
                at += (size_t)snprintf(told + at, sizeof told - at, "%s%" PRIu64, at ? ", " : "",
                                       s->reserve.id);
            atomic_store_explicit(&s->state, SLOT_FREE, memory_order_relaxed);
        }
        f->free[i / 64] |= bit;
        free++;
    }
    if (lost) {
        j->damaged += lost;
        journal_tell(j, "ledger-journal-damaged", true,
                     "%" PRIu64 " records of journal.%u cannot be read and are lost: tickets %s%s",
                     lost, number, told, lost > TOLD_MAX ? ", ..." : "");
    }
    return free;
}

static enum result take_file(struct journal *j, uint32_t number, struct buf *why)
{
    char path[PATH_MAX], room[FILE_ERROR_BYTES];
    struct journal_file *f = file_new();
    if (!f) {
        buf_cstr(why, "no memory for the ledger's journal");
        return RESULT_NOMEM;
    }
    enum result r = RESULT_IO;
    if (path_of(j, "journal", number, path))
        f->fd = file_fails() ? -1 : open(path, O_RDWR | O_CLOEXEC);
    if (f->fd < 0) {
        buf_printf(why, "the ledger's journal %s cannot be opened: %s", path,
                   file_error(errno, room));
        goto out;
    }
    uint32_t slots = 0;
    r = look_at_header(j, f->fd, number, &slots, why);
    if (r)
        goto out;
    r = preallocate(f->fd, bytes_of(slots));
    struct journal_header h = header_of(slots, number, j->now_us);
    if (!r)
        r = write_header(f->fd, &h);
    if (!r)
        r = map(f, slots);
    if (r) {
        buf_printf(why, "the ledger's journal %s cannot be used: %s", path,
                   r == RESULT_NOMEM ? "no memory" : file_error(errno, room));
        goto out;
    }
    uint64_t free = sort_slots(j, f, number);
    // Grown in a busy hour and wholly carried since.
    if (number && free == f->slots) {
        unlink(path);
        file_free(f);
        return RESULT_OK;
    }
    show(j, f, number, free);
    return RESULT_OK;
out:
    file_free(f);
    return r;
}

// Records that attempts under way, or settled ones, should have and do not. Others write meanwhile, so that only the state is
// looked at; one that is being reserved may be among them.
static uint64_t count_lost(const struct journal_file *f)
{
    uint64_t lost = 0;
    for (uint32_t i = 0; i < f->slots; i++) {
        uint64_t free = atomic_load_explicit(&f->free[i / 64], memory_order_acquire);
        struct journal_slot *s = (struct journal_slot *)(void *)(f->map + JOURNAL_HEADER_BYTES +
                                                                 (size_t)i * JOURNAL_SLOT_BYTES);
        lost += !(free >> i % 64 & 1) &&
                atomic_load_explicit(&s->state, memory_order_relaxed) == SLOT_FREE;
    }
    return lost;
}

void journal_mend(struct journal *j)
{
    char room[FILE_ERROR_BYTES];
    uint32_t count = atomic_load_explicit(&j->file_count, memory_order_acquire);
    for (uint32_t i = 0; i < count; i++) {
        struct journal_file *f = atomic_load_explicit(&j->files[i], memory_order_acquire);
        int64_t left = f && !f->hopeless ? journal_guard_cut(f) : -1;
        if (left < 0)
            continue;
        struct journal_header h = header_of(f->slots, i, j->now_us);
        enum result r = preallocate(f->fd, f->bytes);
        if (!r)
            r = write_header(f->fd, &h);
        int error = errno;
        f->hopeless = r && ftruncate(f->fd, (off_t)f->bytes);
        uint64_t lost = count_lost(f);
        journal_tell(j, "ledger-journal-cut", true,
                     "journal.%u was cut to %" PRId64 " bytes, or its disk failed, while it was in "
                     "use: %" PRIu64 " attempts have lost their records and will have no rows; "
                     "budgets count them until the process ends%s%s",
                     i, left, lost, r ? "; it cannot be made whole: " : "",
                     r ? file_error(error, room) : "");
    }
}

static enum result lock(struct journal *j, struct buf *why)
{
    char path[PATH_MAX], room[FILE_ERROR_BYTES], owner[64] = "";
    if (path_of(j, "lock", UINT32_MAX, path))
        j->lock_fd = file_fails() ? -1 : open(path, O_RDWR | O_CREAT | O_CLOEXEC, MODE);
    if (j->lock_fd < 0) {
        buf_printf(why, "the ledger in %s cannot be written: %s", j->directory,
                   file_error(errno, room));
        return RESULT_IO;
    }
    ssize_t n = pread(j->lock_fd, owner, sizeof owner - 1, 0);
    owner[n > 0 ? n : 0] = 0;
    struct slice rest = slice_trim(slice_cstr(owner)), first, second;
    uint64_t pid = 0;
    bool whole = slice_split(&rest, ' ', &first) && slice_u64(first, &pid);
    second = slice_trim(rest);
    if (!whole || !slice_u64(second, &j->run_id) || j->run_id > INT64_MAX)
        j->run_id = 0;
    if (flock(j->lock_fd, LOCK_EX | LOCK_NB) == 0)
        return RESULT_OK;
    if (errno != EWOULDBLOCK) {
        buf_printf(why, "the ledger in %s cannot be locked: %s", j->directory,
                   file_error(errno, room));
        return RESULT_IO;
    }
    buf_printf(why,
               "the ledger in %s is in use by process %" PRIu64
               "; give this one a `ledger` directory of "
               "its own, or stop the other",
               j->directory, pid);
    return RESULT_EXISTS;
}

uint64_t journal_begin_ids(struct journal *j, uint64_t first)
{
    if (j->run_id && first < j->run_id + RUN_TICKETS)
        first = j->run_id + RUN_TICKETS;
    char text[64];
    int n = snprintf(text, sizeof text, "%ld %" PRIu64 " ", (long)getpid(), first);
    // One who cannot write it has no second run to fear for either.
    if (ftruncate(j->lock_fd, 0) || pwrite(j->lock_fd, text, (size_t)n, 0) != n)
        j->run_id = 0;
    return first;
}

static enum result take_files(struct journal *j, struct buf *why)
{
    char path[PATH_MAX], room[FILE_ERROR_BYTES];
    for (uint32_t i = 0; i < JOURNAL_FILES_MAX; i++) {
        if (!path_of(j, "journal", i, path) || access(path, F_OK))
            continue;
        enum result r = take_file(j, i, why);
        if (r)
            return r;
    }
    if (atomic_load(&j->files[0]))
        return RESULT_OK;
    enum result r = journal_file_add(j, 0);
    if (r)
        buf_printf(why, "the ledger's journal in %s cannot be made (%zu KiB): %s", j->directory,
                   bytes_of(j->file_slots) / 1024,
                   r == RESULT_NOMEM ? "no memory" : file_error(errno, room));
    return r;
}

enum result journal_open(struct journal **out, const struct journal_options *o, struct buf *why)
{
    char room[FILE_ERROR_BYTES];
    struct journal *j = alloc_zeroed(1, sizeof *j);
    size_t len = strlen(o->directory) + 1;
    enum result r = RESULT_NOMEM;
    if (j) {
        j->lock_fd = -1;
        j->directory = alloc_bytes(len);
    }
    if (!j || !j->directory) {
        buf_cstr(why, "no memory for the ledger's journal");
        goto out;
    }
    memcpy(j->directory, o->directory, len);
    j->now_us = o->now_us;
    j->event = o->event;
    j->context = o->context;
    j->file_slots = o->file_slots ? o->file_slots / 64 * 64 : JOURNAL_FILE_SLOTS;
    uint64_t files = o->limit_bytes / bytes_of(j->file_slots);
    j->file_max = files < 1 ? 1 : files > JOURNAL_FILES_MAX ? JOURNAL_FILES_MAX : (uint32_t)files;
    r = file_make_folder(j->directory, 0700);
    if (r) {
        buf_printf(why, "the ledger's directory %s cannot be made: %s", j->directory,
                   file_problem(r, room));
        goto out;
    }
    r = lock(j, why);
    if (!r)
        r = take_files(j, why);
    if (r)
        goto out;
    *out = j;
    return RESULT_OK;
out:
    journal_close(j);
    return r;
}

void journal_close(struct journal *j)
{
    if (!j)
        return;
    for (uint32_t i = 0; i < JOURNAL_FILES_MAX; i++)
        file_free(atomic_load(&j->files[i]));
    if (j->lock_fd >= 0)
        close(j->lock_fd);
    alloc_free(j->directory);
    alloc_free(j);
}
