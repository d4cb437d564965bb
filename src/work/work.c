#include "work/work.h"

const char *work_role_name(enum work_role role)
{
    static const char *const names[WORK_ROLE_COUNT_] = {"system",    "developer", "user",
                                                        "assistant", "tool",      "other"};
    return (unsigned)role < WORK_ROLE_COUNT_ ? names[role] : "other";
}

const char *work_need_name(unsigned bit_index)
{
    static const char *const names[WORK_NEED_COUNT_] = {"tools", "images", "audio",   "files",
                                                        "json",  "schema", "logprobs"};
    return bit_index < WORK_NEED_COUNT_ ? names[bit_index] : "unknown";
}

const char *work_format_name(enum work_format format)
{
    static const char *const names[WORK_FORMAT_COUNT_] = {"text", "json", "schema"};
    return (unsigned)format < WORK_FORMAT_COUNT_ ? names[format] : "text";
}
