#include "work/work.h"

const char *work_need_name(unsigned bit_index)
{
    static const char *const names[WORK_NEED_COUNT_] = {"tools", "images", "audio",   "files",
                                                        "json",  "schema", "logprobs"};
    return bit_index < WORK_NEED_COUNT_ ? names[bit_index] : "unknown";
}
