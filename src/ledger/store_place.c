// Where the store's file is: somebody may delete or replace it while it is open, and what is written then goes into a file
// without a name.
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "ledger/store_file.h"

// SQLite's files beside the store's, which belong to it by name only.
static const char *const BESIDE[STORE_BESIDE] = {"-wal", "-shm"};

static bool path_of(const struct store *s, const char *suffix, char out[PATH_MAX])
{
    const char *path = sqlite3_db_filename(s->db, "main");
    int n = path ? snprintf(out, PATH_MAX, "%s%s", path, suffix) : -1;
    return n > 0 && n < PATH_MAX;
}

void store_note_place(struct store *s)
{
    char path[PATH_MAX];
    struct stat st;
    for (int i = 0; i < STORE_BESIDE; i++)
        s->beside[i] = path_of(s, BESIDE[i], path) && stat(path, &st) == 0 ? st.st_ino : 0;
}

enum store_place store_place(struct store *s)
{
    char path[PATH_MAX];
    struct stat st;
    int moved = 0;
    if (sqlite3_file_control(s->db, "main", SQLITE_FCNTL_HAS_MOVED, &moved) || !moved ||
        !path_of(s, "", path))
        return STORE_IN_PLACE;
    if (stat(path, &st) == 0)
        return STORE_REPLACED;
    return errno == ENOENT ? STORE_DELETED : STORE_IN_PLACE; // else nobody knows
}

static enum result sync_path(const char *path, int flags)
{
    int fd = open(path, flags | O_CLOEXEC);
    if (fd < 0)
        return RESULT_IO;
    enum result r = fsync(fd) ? RESULT_IO : RESULT_OK;
    close(fd);
    return r;
}

enum result store_save(struct store *s, const char *path)
{
    sqlite3_stmt *st = NULL;
    int code = sqlite3_prepare_v2(s->db, "VACUUM INTO ?", -1, &st, NULL);
    if (!code)
        code = sqlite3_bind_text(st, 1, path, -1, SQLITE_STATIC);
    if (!code)
        code = sqlite3_step(st);
    enum result r = code == SQLITE_DONE ? RESULT_OK : store_failed(s, code);
    sqlite3_finalize(st);
    if (!r && sync_path(path, O_RDWR))
        r = store_failed(s, SQLITE_IOERR_FSYNC);
    if (r)
        unlink(path);
    return r;
}

// One who opens a file of this name would take the old log for its own.
static bool remove_beside(struct store *s)
{
    char path[PATH_MAX];
    struct stat st;
    bool free = true;
    for (int i = 0; i < STORE_BESIDE; i++) {
        if (!path_of(s, BESIDE[i], path) || stat(path, &st))
            continue;
        bool ours = s->beside[i] && st.st_ino == s->beside[i];
        free &= ours && unlink(path) == 0;
    }
    return free;
}

enum result store_put_back(struct store *s, const char *saved)
{
    char path[PATH_MAX], folder[PATH_MAX];
    if (!path_of(s, "", path) || !path_of(s, "", folder))
        return RESULT_LIMIT;
    if (!remove_beside(s))
        return RESULT_EXISTS;
    if (renameat2(AT_FDCWD, saved, AT_FDCWD, path, RENAME_NOREPLACE))
        return errno == EEXIST ? RESULT_EXISTS : RESULT_IO;
    char *slash = strrchr(folder, '/');
    if (slash && slash != folder) {
        *slash = 0;
        (void)sync_path(folder, O_RDONLY | O_DIRECTORY);
    }
    return RESULT_OK;
}
