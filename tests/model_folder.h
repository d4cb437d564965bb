// Model folders for tests, made in a temporary place and taken away again.
#ifndef TESTS_MODEL_FOLDER_H
#define TESTS_MODEL_FOLDER_H

#include <ftw.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "base/slice.h"

static char tmp[PATH_MAX];

static int drop_one(const char *path, const struct stat *st, int kind, struct FTW *where)
{
    (void)st, (void)kind, (void)where;
    return remove(path);
}

static int make_tmp(void **state)
{
    (void)state;
    snprintf(tmp, sizeof tmp, "/tmp/merit-model-XXXXXX");
    return mkdtemp(tmp) ? 0 : -1;
}

static int drop_tmp(void **state)
{
    (void)state;
    return nftw(tmp, drop_one, 16, FTW_DEPTH | FTW_PHYS);
}

static inline const char *in_tmp(const char *name)
{
    static char paths[4][PATH_MAX + 256];
    static unsigned turn;
    char *path = paths[turn++ % 4];
    snprintf(path, sizeof paths[0], "%s/%s", tmp, name);
    return path;
}

// Writes tmp/NAME, with the folders above it.
static inline void put(const char *name, struct slice text)
{
    char folder[PATH_MAX + 256];
    snprintf(folder, sizeof folder, "%s", in_tmp(name));
    *strrchr(folder, '/') = '\0';
    assert_int_equal(file_make_folder(folder, 0700), RESULT_OK);
    assert_int_equal(file_replace(in_tmp(name), text, 0600), RESULT_OK);
}

static inline void put_text(const char *name, const char *text)
{
    put(name, slice_cstr(text));
}

// The folder of the golden data, or NULL.
static inline const char *golden(const char *name)
{
    static char path[PATH_MAX];
    const char *data = getenv("MERIT_DATA");
    snprintf(path, sizeof path, "%s/golden/%s", data ? data : MERIT_SOURCE_DIR "/../shared/data",
             name);
    return access(path, R_OK) ? NULL : path;
}

#endif
