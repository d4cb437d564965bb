#include "model/pack.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "base/file.h"

enum { SUM_PIECE = 256 * 1024, SUM_LANES = 8, LOCK_POLL_MS = 20 };

static const char magic[8] = "MERITPK";

// At the beginning of the file, in the machine's order; all offsets count from there.
struct header {
    char magic[8];
    uint32_t version, header_bytes;
    uint8_t digest[SHA256_BYTES];
    uint32_t tier, plan, label_count, length_tok;
    uint64_t bytes; // of the whole file
    uint64_t tokenizer_at, tokenizer_bytes, labels_at, labels_bytes, encoder_at, encoder_bytes;
    uint64_t sum; // over the whole file, with this one as 0
};

// --- The sum

// Every word is mixed in by steps that lose nothing, so that a change of one word always shows.
struct sum {
    uint64_t lanes[SUM_LANES];
};

static void sum_init(struct sum *s)
{
    for (unsigned i = 0; i < SUM_LANES; i++)
        s->lanes[i] = i + 1;
}

static uint64_t mix(uint64_t h, uint64_t w)
{
    h = (h ^ w) * 0x9e3779b97f4a7c15u;
    return h << 31 | h >> 33;
}

// All pieces but the last are a multiple of 64 bytes long.
static void sum_add(struct sum *s, const void *data, size_t n)
{
    const char *p = data;
    uint64_t w[SUM_LANES];
    for (; n >= sizeof w; n -= sizeof w, p += sizeof w) {
        memcpy(w, p, sizeof w);
        for (unsigned i = 0; i < SUM_LANES; i++)
            s->lanes[i] = mix(s->lanes[i], w[i]);
    }
    memset(w, 0, sizeof w);
    memcpy(w, p, n);
    for (unsigned i = 0; n && i < SUM_LANES; i++)
        s->lanes[i] = mix(s->lanes[i], w[i]);
}

static uint64_t sum_final(const struct sum *s)
{
    uint64_t h = 0;
    for (unsigned i = 0; i < SUM_LANES; i++)
        h = mix(h, s->lanes[i]);
    return h;
}

// By reading: looking through the mapping would make all of it count as memory of this process.
static enum result sum_file(int fd, uint64_t bytes, uint64_t *out)
{
    struct sum s;
    char *piece = alloc_bytes(SUM_PIECE);
    if (!piece)
        return RESULT_NOMEM;
    enum result r = RESULT_OK;
    sum_init(&s);
    for (uint64_t at = 0; at < bytes && !r;) {
        size_t want = bytes - at < SUM_PIECE ? (size_t)(bytes - at) : SUM_PIECE, got = 0;
        while (got < want && !r) {
            ssize_t n = file_fails() ? -1 : pread(fd, piece + got, want - got, (off_t)(at + got));
            if (n < 0 && errno != EINTR)
                r = RESULT_IO;
            else if (n == 0)
                r = RESULT_EOF;
            else if (n > 0)
                got += (size_t)n;
        }
        if (!r && at == 0 && want >= sizeof(struct header))
            memset(piece + offsetof(struct header, sum), 0, sizeof(uint64_t));
        if (!r)
            sum_add(&s, piece, want);
        at += want;
    }
    alloc_free(piece);
    *out = sum_final(&s);
    return r;
}

// --- Reading

bool pack_path(const char *folder, const struct pack_key *key, char *path, size_t room)
{
    char hex[2 * SHA256_BYTES];
    static const char *const plans[] = {"auto", "int8", "half", "f32"};
    sha256_hex(key->digest, SHA256_BYTES, hex);
    int n = snprintf(path, room, "%s/%.32s-%s-%s-%s-%d.pack", folder, hex, nn_tier_name(key->tier),
                     plans[key->plan], MERIT_VERSION, PACK_VERSION);
    return n > 0 && (size_t)n < room;
}

static bool lies_in(const struct header *h, uint64_t at, uint64_t bytes)
{
    return at >= sizeof *h && at <= h->bytes && bytes <= h->bytes - at;
}

static enum result check_header(const struct header *h, const struct pack_key *key, uint64_t bytes)
{
    if (memcmp(h->magic, magic, sizeof magic) != 0 || h->version != PACK_VERSION ||
        h->header_bytes != sizeof *h || h->tier != key->tier || h->plan != key->plan ||
        memcmp(h->digest, key->digest, sizeof h->digest) != 0)
        return RESULT_VERSION;
    if (h->bytes != bytes)
        return RESULT_EOF;
    bool good = lies_in(h, h->tokenizer_at, h->tokenizer_bytes) &&
                lies_in(h, h->labels_at, h->labels_bytes) &&
                lies_in(h, h->encoder_at, h->encoder_bytes) && h->encoder_at % PACK_PAGE == 0;
    return good ? RESULT_OK : RESULT_SYNTAX;
}

static enum result take(struct pack *p, void *at, size_t bytes)
{
    const struct header *h = at;
    const char *base = at;
    uint32_t ends = 0;
    *p = (struct pack){
        .at = at,
        .bytes = bytes,
        .tokenizer = slice_make(base + h->tokenizer_at, (size_t)h->tokenizer_bytes),
        .labels = slice_make(base + h->labels_at, (size_t)h->labels_bytes),
        .encoder = slice_make(base + h->encoder_at, (size_t)h->encoder_bytes),
        .label_count = h->label_count,
        .length_tok = h->length_tok,
    };
    for (size_t i = 0; i < p->labels.len; i++)
        ends += p->labels.ptr[i] == '\0';
    bool whole =
        ends == p->label_count && (!p->labels.len || p->labels.ptr[p->labels.len - 1] == '\0');
    return whole ? RESULT_OK : RESULT_SYNTAX;
}

static enum result read_header(int fd, struct header *h)
{
    ssize_t n;
    do
        n = file_fails() ? -1 : pread(fd, h, sizeof *h, 0);
    while (n < 0 && errno == EINTR);
    if (n < 0)
        return RESULT_IO;
    return (size_t)n == sizeof *h ? RESULT_OK : RESULT_EOF;
}

static enum result map_whole(struct pack *p, int fd, uint64_t bytes)
{
    void *at = file_fails() ? MAP_FAILED : mmap(NULL, (size_t)bytes, PROT_READ, MAP_SHARED, fd, 0);
    if (at == MAP_FAILED)
        return errno == ENOMEM ? RESULT_NOMEM : RESULT_IO;
    enum result r = take(p, at, (size_t)bytes);
    p->in_cache = true;
    if (r)
        pack_close(p);
    return r;
}

enum result pack_open(struct pack *p, const char *folder, const struct pack_key *key)
{
    char path[PATH_MAX];
    struct stat st;
    struct header h;
    uint64_t sum = 0;
    *p = (struct pack){0};
    if (!pack_path(folder, key, path, sizeof path))
        return RESULT_LIMIT;
    int fd = file_fails() ? -1 : open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    if (fd < 0)
        return errno == ENOENT ? RESULT_NOT_FOUND : RESULT_IO;
    enum result r = RESULT_IO;
    if (file_fails() || fstat(fd, &st))
        goto out;
    // Whoever writes the cache decides what the model answers.
    r = S_ISREG(st.st_mode) && st.st_uid == geteuid() && !(st.st_mode & (S_IWGRP | S_IWOTH))
            ? RESULT_OK
            : RESULT_DENIED;
    if (!r)
        r = read_header(fd, &h);
    if (!r)
        r = check_header(&h, key, (uint64_t)st.st_size);
    if (!r)
        r = sum_file(fd, h.bytes, &sum);
    if (!r && sum != h.sum)
        r = RESULT_SYNTAX;
    if (!r)
        r = map_whole(p, fd, h.bytes);
out:;
    int saved = errno;
    close(fd);
    errno = saved;
    return r;
}

void pack_close(struct pack *p)
{
    if (p->at)
        munmap(p->at, p->bytes);
    *p = (struct pack){0};
}

// --- Writing

static uint64_t page_up(uint64_t n)
{
    return (n + PACK_PAGE - 1) / PACK_PAGE * PACK_PAGE;
}

static enum result plan_layout(struct header *h, const struct pack_key *key,
                               const struct pack_parts *parts)
{
    memset(h, 0, sizeof *h);
    memcpy(h->magic, magic, sizeof magic);
    memcpy(h->digest, key->digest, sizeof h->digest);
    h->version = PACK_VERSION;
    h->header_bytes = sizeof *h;
    h->tier = key->tier;
    h->plan = key->plan;
    h->label_count = parts->label_count;
    h->length_tok = parts->length_tok;
    h->tokenizer_at = sizeof *h;
    h->tokenizer_bytes = parts->tokenizer.len;
    h->labels_at = h->tokenizer_at + h->tokenizer_bytes;
    for (uint32_t i = 0; i < parts->label_count; i++)
        h->labels_bytes += parts->labels[i].len + 1;
    h->encoder_at = page_up(h->labels_at + h->labels_bytes);
    if (parts->block_max > PACK_BYTES_MAX || h->encoder_at > PACK_BYTES_MAX)
        return RESULT_LIMIT;
    h->bytes = page_up(h->encoder_at + parts->block_max);
    return RESULT_OK;
}

static enum result fill(char *at, struct header *h, const struct pack_parts *parts)
{
    struct sum s;
    size_t used = 0;
    char *label = at + h->labels_at;
    enum result r = parts->fill(parts->ctx, at + h->encoder_at, parts->block_max, &used);
    if (r)
        return r;
    assert(used <= parts->block_max);
    h->encoder_bytes = used;
    h->bytes = h->encoder_at + used;
    if (parts->tokenizer.len)
        memcpy(at + h->tokenizer_at, parts->tokenizer.ptr, parts->tokenizer.len);
    for (uint32_t i = 0; i < parts->label_count; i++) {
        if (parts->labels[i].len)
            memcpy(label, parts->labels[i].ptr, parts->labels[i].len);
        label += parts->labels[i].len;
        *label++ = '\0';
    }
    memcpy(at, h, sizeof *h);
    sum_init(&s);
    sum_add(&s, at, (size_t)h->bytes);
    h->sum = sum_final(&s);
    memcpy(at, h, sizeof *h);
    return RESULT_OK;
}

static enum result write_memory(struct pack *p, struct header *h, const struct pack_parts *parts)
{
    size_t bytes = (size_t)h->bytes;
    void *at = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (at == MAP_FAILED)
        return RESULT_NOMEM;
    enum result r = fill(at, h, parts);
    // What was planned and not used goes back.
    size_t kept = r ? bytes : (size_t)page_up(h->bytes);
    if (kept < bytes)
        munmap((char *)at + kept, bytes - kept);
    if (!r && mprotect(at, kept, PROT_READ))
        r = RESULT_NOMEM;
    if (r) {
        munmap(at, kept);
        return r;
    }
    r = take(p, at, kept);
    assert(r == RESULT_OK); // it was made here
    return r;
}

static enum result write_mapped(int fd, struct header *h, const struct pack_parts *parts)
{
    size_t bytes = (size_t)h->bytes;
    // A page that the disk has no room for would end the process when it is written through the mapping.
    int err = file_fails() ? EIO : posix_fallocate(fd, 0, (off_t)bytes);
    if (err) {
        errno = err;
        return RESULT_IO;
    }
    char *at =
        file_fails() ? MAP_FAILED : mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (at == MAP_FAILED)
        return errno == ENOMEM ? RESULT_NOMEM : RESULT_IO;
    enum result r = fill(at, h, parts);
    if (!r && (file_fails() || msync(at, bytes, MS_SYNC)))
        r = RESULT_IO;
    int saved = errno;
    munmap(at, bytes);
    errno = saved;
    if (!r && (file_fails() || ftruncate(fd, (off_t)h->bytes) || fsync(fd)))
        r = RESULT_IO;
    return r;
}

static MERIT_PRINTF(3, 4) enum result wrong(char *problem, enum result r, const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    vsnprintf(problem, PACK_PROBLEM_BYTES, fmt, args);
    va_end(args);
    return r;
}

static enum result write_file(const char *path, struct header *h, const struct pack_parts *parts,
                              char *problem)
{
    static atomic_uint counter;
    char temp[PATH_MAX], room[FILE_ERROR_BYTES];
    uint64_t needed = h->bytes;
    int n = snprintf(temp, sizeof temp, "%s.%ld.%u.new", path, (long)getpid(),
                     atomic_fetch_add(&counter, 1));
    if (n < 0 || (size_t)n >= sizeof temp)
        return wrong(problem, RESULT_LIMIT, "the cache's path is too long");
    unlink(temp); // of a process of the same number that died here
    int fd =
        file_fails() ? -1 : open(temp, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    enum result r = fd < 0 ? RESULT_IO : write_mapped(fd, h, parts);
    int saved = errno;
    if (fd >= 0)
        close(fd);
    errno = saved;
    if (!r && (file_fails() || rename(temp, path)))
        r = RESULT_IO;
    saved = errno;
    if (r && fd >= 0)
        unlink(temp);
    errno = saved;
    if (r == RESULT_IO && !problem[0])
        wrong(
            problem, r,
            "cannot write the packed model, %llu MB, to %s: %s; make room there, or choose another "
            "place with XDG_CACHE_HOME",
            (unsigned long long)(needed + 999999) / 1000000, path, file_problem(r, room));
    return r;
}

enum result pack_write(struct pack *p, const char *folder, const struct pack_key *key,
                       const struct pack_parts *parts, char problem[PACK_PROBLEM_BYTES])
{
    char path[PATH_MAX], room[FILE_ERROR_BYTES];
    struct header h;
    *p = (struct pack){0};
    problem[0] = '\0';

    enum result r = plan_layout(&h, key, parts);
    if (r)
        return wrong(problem, r, "the model is too large");
    if (!folder)
        return write_memory(p, &h, parts);
    if (!pack_path(folder, key, path, sizeof path))
        return wrong(problem, RESULT_LIMIT, "the cache's path is too long");
    r = file_fails() ? RESULT_IO : file_make_folder(folder, 0700);
    if (r)
        return wrong(problem, r, "cannot make %s: %s; choose another place with XDG_CACHE_HOME",
                     folder, file_problem(r, room));
    r = write_file(path, &h, parts, problem);
    if (r)
        return r;
    r = pack_open(p, folder, key);
    if (r)
        wrong(problem, r, "%s cannot be read back: %s", path, file_problem(r, room));
    return r;
}

// --- The lock

void pack_lock(const char *folder, uint32_t wait_ms, int *lock)
{
    char path[PATH_MAX];
    *lock = -1;
    int n = snprintf(path, sizeof path, "%s/lock", folder);
    if (n < 0 || (size_t)n >= sizeof path || file_make_folder(folder, 0700))
        return;
    int fd = open(path, O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (fd < 0)
        return;
    uint64_t end_us = clock_mono_us(&clock_system) + (uint64_t)wait_ms * 1000;
    // Polled, because a process that is stopped while it packs would keep all others waiting for good.
    while (flock(fd, LOCK_EX | LOCK_NB)) {
        if ((errno != EWOULDBLOCK && errno != EINTR) || clock_mono_us(&clock_system) >= end_us) {
            close(fd);
            return;
        }
        usleep(LOCK_POLL_MS * 1000);
    }
    *lock = fd;
}

void pack_unlock(int lock)
{
    if (lock >= 0)
        close(lock);
}
