// Extended grapheme clusters (UAX 29), as the reference's library cuts them. Private to text/.
#ifndef MERIT_TEXT_GRAPHEME_H
#define MERIT_TEXT_GRAPHEME_H

#include <stddef.h>

// The end of the cluster that begins at `at` < `len`, in well-formed UTF-8.
size_t grapheme_end(const unsigned char *text, size_t len, size_t at);

#endif
