#include "cli/policy_file.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/file.h"

enum result policy_file_read(const char *path, struct buf *text, const char **name,
                             const char **file)
{
    if (!path)
        path = getenv("MERIT_POLICY");
    if (!path)
        path = access("merit.merit", R_OK) == 0 ? "merit.merit" : "demo";
    *name = path;
    if (file)
        *file = path;
    if (strcmp(path, "demo") != 0)
        return file_read(path, text);
    *name = "demo (built in)";
    if (file)
        *file = NULL;
    buf_add(text, POLICY_DEMO);
    return buf_result(text);
}
