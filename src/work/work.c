#include "work/work.h"

const char *work_need_name(unsigned bit_index)
{
    static const char *const names[WORK_NEED_COUNT_] = {"tools", "images", "audio",   "files",
                                                        "json",  "schema", "logprobs"};
    return bit_index < WORK_NEED_COUNT_ ? names[bit_index] : "unknown";
}

void work_caller_label(struct work_caller *c, struct slice list)
{
    struct slice word;
    while (slice_split(&list, ',', &word)) {
        word = slice_trim(word);
        if (!word.len)
            continue;
        if (c->label_count == WORK_LABELS_MAX) {
            c->labels[WORK_LABELS_MAX - 1] = SLICE("?");
            return;
        }
        c->labels[c->label_count++] = word;
    }
}
