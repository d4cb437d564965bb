#include "cli/price_file.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/file.h"

static enum result read_list(const char *path, struct slice text, struct arena *arena,
                             const struct price_list **out)
{
    struct price_list *list = ARENA_NEW(arena, struct price_list);
    struct diag_list diags;
    struct buf message;
    if (!list)
        return RESULT_NOMEM;
    diag_init(&diags, arena, PRICE_LIST_DIAGS_MAX);
    enum result r = price_list_read(text, arena, &diags, list);
    buf_init(&message, 1 << 20);
    diag_render(&diags, text, slice_cstr(path), isatty(STDERR_FILENO), &message);
    if (message.len)
        fwrite(message.ptr, 1, message.len, stderr);
    buf_deinit(&message);
    *out = r ? NULL : list;
    return r;
}

enum result price_file_open(const char *path, struct arena *arena, const struct price_list **out)
{
    char room[FILE_ERROR_BYTES];
    struct buf text;
    *out = NULL;
    if (!path)
        path = getenv("MERIT_PRICES");
    if (!path)
        return RESULT_OK;
    buf_init(&text, PRICE_LIST_BYTES_MAX);
    enum result r = file_read(path, &text);
    if (r) {
        fprintf(stderr, "merit: cannot read the prices %s: %s\n", path,
                r == RESULT_LIMIT ? "more than 4 MiB" : file_problem(r, room));
        r = RESULT_SYNTAX;
    } else {
        r = read_list(path, buf_slice(&text), arena, out);
    }
    buf_deinit(&text);
    return r;
}
