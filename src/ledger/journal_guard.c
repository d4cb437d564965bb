// A mapped file that somebody cuts while it is open: the next touch behind its end raises SIGBUS, which would end the
// process. The handler makes the file as long as it was, so that the touch sees zeros, and leaves word for the store thread.
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "ledger/journal_slot.h"

enum { GUARDED_MAX = 1024, GUARD_FREE = 0, GUARD_TAKEN = 1, FAULTS_MAX = 4096 };

struct guarded {
    _Atomic uintptr_t base; // or GUARD_FREE, GUARD_TAKEN while it is filled in
    size_t bytes;
    int fd;
    _Atomic uint32_t faults; // of the whole file
    _Atomic int64_t cut_at;  // the length that was left; -1: whole
};

static struct guarded guarded[GUARDED_MAX];
static struct sigaction before;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

static void note(struct guarded *g, int64_t length)
{
    int64_t whole = -1;
    atomic_compare_exchange_strong(&g->cut_at, &whole, length);
}

// Only calls that are safe in a handler. False when the touch would fail again.
static bool mend(struct guarded *g, uintptr_t at)
{
    struct stat st;
    if (fstat(g->fd, &st) == 0 && (uint64_t)st.st_size < g->bytes) {
        note(g, st.st_size);
        if (ftruncate(g->fd, (off_t)g->bytes) == 0)
            return true;
    }
    uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE), from = at & ~(page - 1);
    off_t offset = (off_t)(from - atomic_load(&g->base));
    // Another thread was here first, or the disk has no room, or it fails. Where the page cannot be had, memory stands in
    // for it, which is lost with the process.
    if (atomic_fetch_add(&g->faults, 1) < FAULTS_MAX &&
        fallocate(g->fd, 0, offset, (off_t)page) == 0)
        return true;
    note(g, offset);
    return mmap((void *)from, page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED,
                -1, 0) != MAP_FAILED;
}

static void on_bus(int signal, siginfo_t *info, void *context)
{
    (void)context;
    int saved = errno;
    uintptr_t at = (uintptr_t)info->si_addr;
    for (int i = 0; info->si_code > 0 && i < GUARDED_MAX; i++) {
        uintptr_t base = atomic_load(&guarded[i].base);
        if (base > GUARD_TAKEN && at >= base && at - base < guarded[i].bytes &&
            mend(&guarded[i], at)) {
            errno = saved;
            return;
        }
    }
    // Not ours: the same touch, or the signal again, goes to whoever had it before.
    sigaction(SIGBUS, &before, NULL);
    if (info->si_code <= 0)
        raise(signal);
    errno = saved;
}

// Somebody may have put a handler over it since the last file.
static void install(void)
{
    struct sigaction act = {.sa_sigaction = on_bus, .sa_flags = SA_SIGINFO | SA_ONSTACK}, now;
    sigemptyset(&act.sa_mask);
    pthread_mutex_lock(&lock);
    if (sigaction(SIGBUS, NULL, &now) == 0 &&
        !((now.sa_flags & SA_SIGINFO) && now.sa_sigaction == on_bus)) {
        before = now;
        sigaction(SIGBUS, &act, NULL);
    }
    pthread_mutex_unlock(&lock);
}

void journal_guard_add(struct journal_file *f)
{
    install();
    for (int i = 0; i < GUARDED_MAX; i++) {
        uintptr_t free = GUARD_FREE;
        if (!atomic_compare_exchange_strong(&guarded[i].base, &free, GUARD_TAKEN))
            continue;
        guarded[i].bytes = f->bytes;
        guarded[i].fd = f->fd;
        atomic_store(&guarded[i].cut_at, -1);
        atomic_store(&guarded[i].faults, 0);
        atomic_store(&guarded[i].base, (uintptr_t)f->map);
        f->guard = i + 1;
        return;
    }
}

void journal_guard_remove(struct journal_file *f)
{
    if (f->guard)
        atomic_store(&guarded[f->guard - 1].base, GUARD_FREE);
    f->guard = 0;
}

int64_t journal_guard_cut(struct journal_file *f)
{
    struct stat st;
    int64_t at = f->guard ? atomic_exchange(&guarded[f->guard - 1].cut_at, -1) : -1;
    if (at < 0 && fstat(f->fd, &st) == 0 && (uint64_t)st.st_size < f->bytes)
        at = st.st_size;
    return at;
}
