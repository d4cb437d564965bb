#include <string.h>

#include "signal/pieces.h"
#include "signal/similar.h"
#include "text/utf8.h"

enum { CHARS = SIMILAR_PHRASE_CHARS_MAX };

struct fuzzy {
    uint32_t words, chars, limit, letters;
    uint32_t code[CHARS];
};

static uint32_t least(uint32_t a, uint32_t b)
{
    return a < b ? a : b;
}

uint32_t fuzzy_distance(const uint32_t *a, uint32_t a_len, const uint32_t *b, uint32_t b_len,
                        uint32_t limit)
{
    uint32_t rows[3][CHARS + 1];
    uint32_t *before = rows[0], *last = rows[1], *row = rows[2];
    for (uint32_t j = 0; j <= b_len; j++)
        last[j] = j;
    for (uint32_t i = 1; i <= a_len; i++) {
        uint32_t lowest = row[0] = i;
        for (uint32_t j = 1; j <= b_len; j++) {
            uint32_t d = last[j - 1] + (a[i - 1] != b[j - 1]);
            d = least(d, least(last[j], row[j - 1]) + 1);
            if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1])
                d = least(d, before[j - 2] + 1);
            row[j] = d;
            lowest = least(lowest, d);
        }
        // A swap reaches back two rows, so both must be beyond hope.
        if (lowest > limit && i > 1) {
            uint32_t previous = last[0];
            for (uint32_t j = 1; j <= b_len; j++)
                previous = least(previous, last[j]);
            if (previous > limit)
                return limit + 1;
        }
        uint32_t *spare = before;
        before = last;
        last = row;
        row = spare;
    }
    return last[b_len] <= limit ? last[b_len] : limit + 1;
}

// Code points of a folded text; 0 when there are more than CHARS.
static uint32_t decode(struct slice s, uint32_t out[CHARS])
{
    uint32_t n = 0;
    for (size_t at = 0; at < s.len;) {
        if (n == CHARS)
            return 0;
        out[n++] = utf8_next(s, &at);
    }
    return n;
}

static uint32_t decode_ascii(struct slice s, uint32_t out[CHARS])
{
    if (s.len > CHARS)
        return 0;
    for (size_t i = 0; i < s.len; i++)
        out[i] = (unsigned char)s.ptr[i];
    return (uint32_t)s.len;
}

static uint32_t letters_of(const uint32_t *code, uint32_t n)
{
    uint32_t bits = 0;
    for (uint32_t i = 0; i < n; i++)
        bits |= 1u << (code[i] & 31);
    return bits;
}

enum result fuzzy_prepare(struct slice phrase, uint32_t distance, struct arena *arena,
                          struct fuzzy **out)
{
    struct fuzzy *f = ARENA_NEW(arena, struct fuzzy);
    if (!f)
        return RESULT_NOMEM;
    struct slice folded = text_words_fold(phrase, arena, &f->words);
    if (!folded.ptr)
        return RESULT_NOMEM;
    // A NUL stands for a word that is too long.
    f->chars = folded.len && memchr(folded.ptr, '\0', folded.len) ? 0 : decode(folded, f->code);
    if (f->chars == 0)
        return folded.len ? RESULT_LIMIT : RESULT_SYNTAX;
    f->limit = least(least(distance, SIMILAR_DISTANCE_MAX), f->chars / 4);
    f->letters = letters_of(f->code, f->chars);
    *out = f;
    return RESULT_OK;
}

static bool near(const struct fuzzy *f, const struct text_words *words, uint32_t first)
{
    const struct text_word *a = &words->at[first], *b = &words->at[first + f->words - 1];
    struct slice s =
        slice_make(words->folded + a->folded, b->folded + word_folded_len(b) - a->folded);
    uint32_t code[CHARS], n = words->ascii ? decode_ascii(s, code) : decode(s, code);
    // One edit changes at most two of the characters that occur.
    if (n == 0 || (uint32_t)__builtin_popcount(letters_of(code, n) ^ f->letters) > 2 * f->limit)
        return false;
    return fuzzy_distance(f->code, f->chars, code, n, f->limit) <= f->limit;
}

// One edit leaves the first or the last character as it is.
static inline bool ends_fit(const struct fuzzy *f, const struct text_words *words, uint32_t first)
{
    const struct text_word *a = &words->at[first], *b = &words->at[first + f->words - 1];
    if (f->limit > 1 || !words->ascii)
        return true;
    return (unsigned char)words->folded[a->folded] == f->code[0] ||
           (unsigned char)words->folded[b->folded + word_folded_len(b) - 1] ==
               f->code[f->chars - 1];
}

bool fuzzy_find(const struct fuzzy *f, const struct text_words *words, struct similar_place *place)
{
    for (uint32_t i = 0; i + f->words <= words->count; i++) {
        uint32_t chars = f->words - 1;
        for (uint32_t k = 0; k < f->words; k++)
            chars += word_chars(&words->at[i + k]);
        uint32_t apart = chars > f->chars ? chars - f->chars : f->chars - chars;
        if (apart > f->limit ||
            word_view(&words->at[i]) != word_view(&words->at[i + f->words - 1]) ||
            !ends_fit(f, words, i))
            continue;
        if (near(f, words, i)) {
            *place = (struct similar_place){i, f->words, true};
            return true;
        }
    }
    return false;
}

static bool is_plain(uint32_t c)
{
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == ' ';
}

// The best choice of pieces in the head of a phrase: the one whose commonest piece is the rarest.
struct choice {
    uint32_t worth;     // of the commonest piece; 0: no choice
    uint8_t begin, end; // of the last piece
};

enum { PIECE_MIN = 3, PIECE_WORTH_MIN = 110, PADDED = CHARS + 2 };

// `limit` + 1 pieces of the phrase with a blank at either end, as it stands in the folded text, of
// which neighbours have at least one character between them. Each edit of an alignment spoils at
// most one: a character that is replaced or left out is part of one piece; one put in tears the
// piece apart that it stands inside of; two that change places are neighbours, and no neighbours
// are of different pieces. So `limit` edits leave one piece as it is.
uint32_t fuzzy_pieces(const struct fuzzy *f, struct arena *arena,
                      struct slice out[SIMILAR_DISTANCE_MAX + 1])
{
    struct choice best[SIMILAR_DISTANCE_MAX + 2][PADDED + 1] = {0};
    uint32_t pieces = f->limit + 1, n = f->chars + 2, code[PADDED] = {' '};
    memcpy(code + 1, f->code, f->chars * sizeof *code);
    code[n - 1] = ' ';
    for (uint32_t e = 0; e <= n; e++)
        best[0][e].worth = UINT32_MAX;
    for (uint32_t k = 1; k <= pieces; k++)
        for (uint32_t e = 1; e <= n; e++) {
            best[k][e] = best[k][e - 1];
            uint32_t worth = 0;
            for (uint32_t b = e; b-- > 0 && is_plain(code[b]);) {
                worth += pieces_rarity((char)code[b]);
                uint32_t before = k == 1 ? UINT32_MAX : b ? best[k - 1][b - 1].worth : 0;
                uint32_t all = least(worth, before);
                if (e - b >= PIECE_MIN && all > best[k][e].worth)
                    best[k][e] = (struct choice){all, (uint8_t)b, (uint8_t)e};
            }
        }
    if (best[pieces][n].worth < PIECE_WORTH_MIN)
        return 0;
    for (uint32_t k = pieces, e = n; k > 0; k--) {
        const struct choice *c = &best[k][e];
        char *text = arena_alloc_aligned(arena, c->end - c->begin, 1);
        if (!text)
            return 0;
        for (uint32_t i = c->begin; i < c->end; i++)
            text[i - c->begin] = (char)code[i];
        out[k - 1] = slice_make(text, c->end - c->begin);
        e = c->begin ? c->begin - 1u : 0;
    }
    return pieces;
}
