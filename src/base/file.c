#include "base/file.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

// Counts only once armed, so that the usual case is one predictable branch.
static atomic_uint_fast64_t fail_in;

void file_fail_at(uint64_t n)
{
    atomic_store(&fail_in, n);
}

bool file_fails(void)
{
    if (MERIT_LIKELY(!atomic_load_explicit(&fail_in, memory_order_relaxed)))
        return false;
    if (atomic_fetch_sub(&fail_in, 1) != 1)
        return false;
    errno = EIO;
    return true;
}

static int open_at(const char *path, int flags, mode_t mode)
{
    return file_fails() ? -1 : open(path, flags | O_CLOEXEC, mode);
}

enum result file_read(const char *path, struct buf *out)
{
    enum { PIECE = 64 * 1024 };
    bool standard = strcmp(path, "-") == 0;
    int fd = standard ? STDIN_FILENO : open_at(path, O_RDONLY, 0);
    if (fd < 0)
        return errno == ENOENT ? RESULT_NOT_FOUND : RESULT_IO;
    enum result r = RESULT_OK;
    for (;;) {
        size_t want = PIECE;
        // At the cap one more byte decides between a whole file and one that is too long.
        char spare;
        char *to = &spare;
        if (out->len == out->cap) {
            want = 1;
        } else {
            if (want > out->cap - out->len)
                want = out->cap - out->len;
            to = buf_reserve(out, want);
            if (!to) {
                r = buf_result(out);
                break;
            }
        }
        ssize_t n = file_fails() ? -1 : read(fd, to, want);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            r = RESULT_IO;
        if (n > 0 && to == &spare)
            r = RESULT_LIMIT;
        if (n <= 0 || r)
            break;
        out->len += (size_t)n;
    }
    int saved = errno;
    if (!standard)
        close(fd);
    errno = saved;
    return r;
}

static enum result write_all(int fd, struct slice text)
{
    while (text.len) {
        ssize_t n = file_fails() ? -1 : write(fd, text.ptr, text.len);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return RESULT_IO;
        text = slice_from(text, (size_t)n);
    }
    return file_fails() || fsync(fd) ? RESULT_IO : RESULT_OK;
}

// The rename itself is only safe once its directory is on the disk. A file system that cannot sync directories is not
// an error: the new text is already visible.
static void sync_directory(const char *path)
{
    char dir[PATH_MAX];
    const char *slash = strrchr(path, '/');
    int n = slash ? snprintf(dir, sizeof dir, "%.*s", (int)(slash - path) + 1, path)
                  : snprintf(dir, sizeof dir, ".");
    if (n < 0 || (size_t)n >= sizeof dir)
        return;
    int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return;
    (void)fsync(fd);
    close(fd);
}

static enum result write_new(const char *path, struct slice text, unsigned mode)
{
    int fd = open_at(path, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW, (mode_t)mode);
    if (fd < 0)
        return errno == EEXIST ? RESULT_EXISTS : RESULT_IO;
    enum result r = write_all(fd, text);
    int saved = errno;
    if (close(fd) && !r) {
        saved = errno;
        r = RESULT_IO;
    }
    if (r)
        unlink(path);
    errno = saved;
    return r;
}

enum result file_replace(const char *path, struct slice text, unsigned mode)
{
    static atomic_uint counter;
    char temp[PATH_MAX];
    int n = snprintf(temp, sizeof temp, "%s.%ld.%u.new", path, (long)getpid(),
                     atomic_fetch_add(&counter, 1));
    if (n < 0 || (size_t)n >= sizeof temp) {
        errno = ENAMETOOLONG;
        return RESULT_IO;
    }
    enum result r = write_new(temp, text, mode);
    if (r == RESULT_EXISTS) {
        // Left by a process of the same number that died here.
        unlink(temp);
        r = write_new(temp, text, mode);
    }
    if (r)
        return RESULT_IO;
    if (file_fails() || rename(temp, path)) {
        int saved = errno;
        unlink(temp);
        errno = saved;
        return RESULT_IO;
    }
    sync_directory(path);
    return RESULT_OK;
}

enum result file_create(const char *path, struct slice text, unsigned mode)
{
    enum result r = write_new(path, text, mode);
    if (!r)
        sync_directory(path);
    return r;
}

enum result file_make_folder(const char *path, unsigned mode)
{
    char part[PATH_MAX];
    struct stat st;
    size_t len = strlen(path);
    if (len == 0 || len >= sizeof part)
        return RESULT_LIMIT;
    memcpy(part, path, len + 1);
    for (size_t i = 1; i <= len; i++) {
        if (part[i] != '/' && part[i] != '\0')
            continue;
        part[i] = '\0';
        // What is there cannot be made, and somewhere above it may not be allowed; only the end counts.
        if (mkdir(part, mode) != 0 && i == len && (stat(part, &st) != 0 || !S_ISDIR(st.st_mode)))
            return RESULT_IO;
        part[i] = i == len ? '\0' : '/';
    }
    return RESULT_OK;
}

const char *file_error(int err, char room[FILE_ERROR_BYTES])
{
    return strerror_r(err, room, FILE_ERROR_BYTES);
}

const char *file_problem(enum result r, char room[FILE_ERROR_BYTES])
{
    if (r == RESULT_LIMIT)
        return "it is too large";
    if (r == RESULT_NOMEM)
        return "no memory";
    return (r == RESULT_IO || r == RESULT_NOT_FOUND || r == RESULT_EXISTS) && errno
               ? file_error(errno, room)
               : result_name(r);
}
