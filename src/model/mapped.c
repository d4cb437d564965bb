#include "model/mapped.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"

static enum result identity_of(const struct stat *st, struct mapped_identity *out)
{
    if (!S_ISREG(st->st_mode)) {
        errno = S_ISDIR(st->st_mode) ? EISDIR : EINVAL;
        return RESULT_IO;
    }
    *out = (struct mapped_identity){
        .device = st->st_dev,
        .inode = st->st_ino,
        .bytes = (uint64_t)st->st_size,
        .changed_ns = (int64_t)st->st_ctim.tv_sec * 1000000000 + st->st_ctim.tv_nsec,
        .modified_ns = (int64_t)st->st_mtim.tv_sec * 1000000000 + st->st_mtim.tv_nsec,
    };
    return RESULT_OK;
}

static enum result failed(void)
{
    return errno == ENOENT || errno == ENOTDIR ? RESULT_NOT_FOUND : RESULT_IO;
}

enum result mapped_identify(const char *path, struct mapped_identity *out)
{
    struct stat st;
    if (file_fails() || stat(path, &st))
        return failed();
    return identity_of(&st, out);
}

enum result mapped_open(const char *path, uint64_t max_bytes, struct mapped *out)
{
    struct stat st;
    *out = (struct mapped){0};
    // Without O_NONBLOCK a pipe of that name would wait for its writer.
    int fd = file_fails() ? -1 : open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0)
        return failed();
    enum result r = RESULT_IO;
    if (file_fails() || fstat(fd, &st))
        goto out;
    r = identity_of(&st, &out->identity);
    if (!r && out->identity.bytes > max_bytes)
        r = RESULT_LIMIT;
    if (r)
        goto out;
    out->owner = st.st_uid;
    out->mode = st.st_mode;
    size_t bytes = (size_t)out->identity.bytes;
    if (bytes) {
        void *at = file_fails() ? MAP_FAILED : mmap(NULL, bytes, PROT_READ, MAP_SHARED, fd, 0);
        if (at == MAP_FAILED)
            r = errno == ENOMEM ? RESULT_NOMEM : RESULT_IO;
        else
            out->bytes = slice_make(at, bytes);
    }
out:;
    int saved = errno;
    close(fd);
    errno = saved;
    if (r)
        *out = (struct mapped){0};
    return r;
}

void mapped_close(struct mapped *m)
{
    if (m->bytes.ptr)
        munmap((void *)(uintptr_t)m->bytes.ptr, m->bytes.len);
    *m = (struct mapped){0};
}
