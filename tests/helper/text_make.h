// Random texts out of the pieces that the text signals care about.
#ifndef MERIT_TESTS_TEXT_MAKE_H
#define MERIT_TESTS_TEXT_MAKE_H

#include <string.h>

#include "base/rng.h"
#include "base/slice.h"

static inline struct slice text_make(struct rng *r, char *room, size_t max)
{
    static const char *const pieces[] = {
        "a",
        "the",
        "word",
        "Running",
        "flies",
        "x",
        "B2",
        "9",
        "42",
        "3.14",
        "1,000",
        "12:30",
        " ",
        " ",
        " ",
        " ",
        "\n",
        "\n",
        "\t",
        "?",
        "!",
        "?!",
        ".",
        ",",
        ":",
        "_",
        "- ",
        "* ",
        "1. ",
        "2) ",
        "(3) ",
        "```",
        "~~~",
        "````",
        "`",
        "\n```\n",
        "\n~~~\n",
        "step 4",
        "Step ",
        "http://",
        "https://x.y/?q=1",
        "www.a",
        "www.",
        "/",
        "-",
        "+ ",
        "\r\n",
        "\xE2\x80\xA2 ",
        "\xC3\xA9",
        "\xC3\x89t\xC3\xA9",
        "\xE9\x93\xB6",
        "\xE8\xA1\x8C",
        "\xED\x95\x9C",
        "\xEF\xBC\x9F",
        "\xD8\x9F",
        "\xF0\x9F\x98\x80",
        "\xD0\x9F\xD1\x80",
        "kubernetes",
        "kubernetse",
        "machine learning",
        "e\xCC\x81",
        "\xEF\xBD\xB1",
    };
    size_t want = rng_below(r, max), len = 0;
    for (;;) {
        const char *p = pieces[rng_below(r, sizeof pieces / sizeof pieces[0])];
        size_t n = strlen(p);
        if (len + n > want)
            return slice_make(room, len);
        memcpy(room + len, p, n);
        len += n;
    }
}

#endif
