#include "work/tokens.h"

enum { MESSAGE_TOK = 4, REQUEST_TOK = 3, IMAGE_TOK = 1000, AUDIO_TOK = 1000, FILE_TOK = 2000 };

uint32_t tokens_of_text(struct slice text)
{
    return (uint32_t)((text.len + 3) / 4);
}

uint32_t tokens_of_work(const struct work *w)
{
    uint64_t n = REQUEST_TOK + (uint64_t)MESSAGE_TOK * w->message_count + w->tool_bytes / 4;
    for (uint32_t i = 0; i < w->part_count; i++) {
        switch (w->parts[i].kind) {
        case WORK_TEXT:
            n += tokens_of_text(w->parts[i].text);
            break;
        case WORK_IMAGE:
            n += IMAGE_TOK;
            break;
        case WORK_AUDIO:
            n += AUDIO_TOK;
            break;
        case WORK_FILE:
            n += FILE_TOK;
            break;
        case WORK_PART_OTHER:
            break;
        }
    }
    return n < UINT32_MAX ? (uint32_t)n : UINT32_MAX;
}
