#include <math.h>
#include <stdlib.h>

#include "base/hash.h"
#include "signal/similar.h"

enum { FIRST_BITS = 4096 };

static const double K1 = 1.2, B = 0.75;

// English words that say nothing about the topic; sorted by nothing, looked up when preparing only.
static const char *const stop_words[] = {
    "a",   "an",   "and",  "are",   "as",    "at",   "be",    "but",  "by",   "can",
    "do",  "for",  "from", "has",   "have",  "how",  "i",     "if",   "in",   "into",
    "is",  "it",   "its",  "me",    "my",    "no",   "not",   "of",   "on",   "or",
    "our", "so",   "that", "the",   "their", "then", "there", "this", "to",   "was",
    "we",  "what", "when", "which", "who",   "will", "with",  "you",  "your",
};

// A posting: the document has the term `count` times.
struct posting {
    uint32_t document, count;
};

struct term {
    uint64_t hash;
    struct slice text;
    double idf;
    struct posting *postings;
    uint32_t posting_count;
};

struct bm25 {
    uint32_t documents, terms;
    uint32_t mask;   // of `slots`
    uint32_t *slots; // term index + 1, or 0
    struct term *term;
    double *norm;                    // per document: k1 * (1 - b + b * len / avg)
    uint64_t first[FIRST_BITS / 64]; // which first three bytes a word of a term can have
    bool short_term;                 // a term has fewer
};

static unsigned first_bit(const char *word)
{
    uint32_t three = (unsigned char)word[0] | (uint32_t)(unsigned char)word[1] << 8 |
                     (uint32_t)(unsigned char)word[2] << 16;
    return (three * 0x9E3779B1u) >> 20;
}

static void mark_first(struct bm25 *b, struct slice stem)
{
    if (stem.len < 3) {
        b->short_term = true;
        return;
    }
    unsigned bit = first_bit(stem.ptr);
    b->first[bit / 64] |= (uint64_t)1 << bit % 64;
    // Stemming keeps the first three letters, but for "ies" that became the third letter y.
    if (stem.len == 3 && stem.ptr[2] == 'y') {
        const char word[3] = {stem.ptr[0], stem.ptr[1], 'i'};
        bit = first_bit(word);
        b->first[bit / 64] |= (uint64_t)1 << bit % 64;
    }
}

static bool has_vowel(const char *word, size_t len)
{
    for (size_t i = 0; i < len; i++)
        if (word[i] && strchr("aeiouy", word[i]))
            return true;
    return false;
}

static bool ends(const char *word, size_t len, const char *suffix, size_t n)
{
    return len > n && memcmp(word + len - n, suffix, n) == 0;
}

static size_t strip_plural(char *word, size_t len)
{
    if (len > 4 && ends(word, len, "ies", 3)) {
        word[len - 3] = 'y';
        return len - 2;
    }
    if (ends(word, len, "es", 2) && !strchr("aeo", word[len - 3]))
        return len - 1;
    if (ends(word, len, "s", 1) && !strchr("us", word[len - 2]))
        return len - 1;
    return len;
}

static size_t strip_ending(const char *word, size_t len)
{
    size_t to = ends(word, len, "ing", 3) ? len - 3 : ends(word, len, "ed", 2) ? len - 2 : len;
    if (to == len || to < 3 || !has_vowel(word, to))
        return len;
    char last = word[to - 1];
    if (to > 3 && last == word[to - 2] && !strchr("aeioulsz", last))
        to--;
    return to;
}

size_t similar_stem(char *word, size_t len)
{
    for (size_t i = 0; i < len; i++)
        if ((unsigned char)word[i] >= 0x80 || word[i] == '\0')
            return len;
    if (len <= 3)
        return len;
    len = strip_plural(word, len);
    len = strip_ending(word, len);
    return len > 3 && word[len - 1] == 'e' ? len - 1 : len;
}

static bool is_stop_word(struct slice word)
{
    for (size_t i = 0; i < MERIT_COUNT(stop_words); i++)
        if (slice_eq_cstr(word, stop_words[i]))
            return true;
    return false;
}

static struct term *find(const struct bm25 *b, uint64_t hash, struct slice text, uint32_t *slot)
{
    uint32_t i = (uint32_t)hash & b->mask;
    while (b->slots[i]) {
        struct term *t = &b->term[b->slots[i] - 1];
        if (t->hash == hash && slice_eq(t->text, text))
            return t;
        i = (i + 1) & b->mask;
    }
    *slot = i;
    return NULL;
}

static enum result add_term(struct bm25 *b, uint32_t document, uint32_t documents,
                            struct slice stem, struct arena *arena)
{
    uint64_t hash = hash_fnv(0, stem);
    uint32_t slot;
    struct term *t = find(b, hash, stem, &slot);
    if (!t) {
        b->slots[slot] = b->terms + 1;
        t = &b->term[b->terms++];
        *t = (struct term){hash, stem, 0, NULL, 0};
    }
    if (t->posting_count && t->postings[t->posting_count - 1].document == document) {
        t->postings[t->posting_count - 1].count++;
        return RESULT_OK;
    }
    // Room for all documents at once is wasteful only for terms of one; grow by doubling.
    if ((t->posting_count & (t->posting_count - 1)) == 0) {
        uint32_t room = t->posting_count ? t->posting_count * 2 : 1;
        struct posting *grown =
            arena_alloc(arena, (room < documents ? room : documents) * sizeof *grown);
        if (!grown)
            return RESULT_NOMEM;
        if (t->posting_count)
            memcpy(grown, t->postings, t->posting_count * sizeof *grown);
        t->postings = grown;
    }
    t->postings[t->posting_count++] = (struct posting){document, 1};
    mark_first(b, stem);
    return RESULT_OK;
}

static enum result add_document(struct bm25 *b, uint32_t document, uint32_t documents,
                                struct slice folded, struct arena *arena)
{
    struct slice rest = folded, word;
    while (slice_split(&rest, ' ', &word)) {
        if (word.len == 0 || is_stop_word(word))
            continue;
        struct slice copy = arena_copy(arena, word);
        if (!copy.ptr)
            return RESULT_NOMEM;
        copy.len = similar_stem((char *)copy.ptr, copy.len);
        b->norm[document]++;
        enum result r = add_term(b, document, documents, copy, arena);
        if (r)
            return r;
    }
    return RESULT_OK;
}

enum result bm25_prepare(const struct slice *documents, uint32_t count, struct arena *arena,
                         struct bm25 **out)
{
    struct bm25 *b = ARENA_NEW(arena, struct bm25);
    struct slice *folded = ARENA_ARRAY(arena, struct slice, count);
    uint32_t words = 0, size = 16;
    if (count > SIMILAR_PHRASES_MAX)
        return RESULT_LIMIT;
    if (!b || !folded)
        return RESULT_NOMEM;
    for (uint32_t i = 0; i < count; i++) {
        uint32_t n;
        folded[i] = text_words_fold(documents[i], arena, &n);
        if (!folded[i].ptr)
            return RESULT_NOMEM;
        words += n;
    }
    while (size < words * 2)
        size *= 2;
    b->mask = size - 1;
    b->documents = count;
    b->slots = ARENA_ARRAY(arena, uint32_t, size);
    b->term = ARENA_ARRAY(arena, struct term, words + 1);
    b->norm = ARENA_ARRAY(arena, double, count);
    if (!b->slots || !b->term || !b->norm)
        return RESULT_NOMEM;
    double total = 0;
    for (uint32_t i = 0; i < count; i++) {
        enum result r = add_document(b, i, count, folded[i], arena);
        if (r)
            return r;
        total += b->norm[i];
    }
    for (uint32_t i = 0; i < count; i++)
        b->norm[i] = K1 * (1 - B + (total > 0 ? B * b->norm[i] * count / total : 0));
    for (uint32_t i = 0; i < b->terms; i++) {
        double n = b->term[i].posting_count;
        b->term[i].idf = log(1 + (count - n + 0.5) / (n + 0.5));
    }
    *out = b;
    return RESULT_OK;
}

enum result bm25_scores(const struct bm25 *b, const struct text_words *words, struct arena *arena,
                        double *scores, struct similar_place *places)
{
    bool *seen = ARENA_ARRAY(arena, bool, b->terms + 1);
    if (!seen)
        return RESULT_NOMEM;
    for (uint32_t i = 0; i < b->documents; i++) {
        scores[i] = 0;
        places[i] = (struct similar_place){0};
    }
    for (uint32_t i = 0; i < words->count; i++) {
        const struct text_word *w = &words->at[i];
        const char *text = words->folded + w->folded;
        char stem[SIGNAL_WORD_CHARS_MAX * 4];
        uint32_t slot;
        if (word_folded_len(w) == 0)
            continue;
        if (word_folded_len(w) > 2) {
            unsigned bit = first_bit(text);
            if (!(b->first[bit / 64] >> bit % 64 & 1))
                continue;
        } else if (!b->short_term) {
            continue;
        }
        memcpy(stem, text, word_folded_len(w));
        struct slice s = slice_make(stem, similar_stem(stem, word_folded_len(w)));
        struct term *t = find(b, hash_fnv(0, s), s, &slot);
        if (!t || seen[t - b->term])
            continue;
        seen[t - b->term] = true;
        for (uint32_t k = 0; k < t->posting_count; k++) {
            uint32_t d = t->postings[k].document;
            double tf = t->postings[k].count;
            scores[d] += t->idf * tf * (K1 + 1) / (tf + b->norm[d]);
            if (!places[d].found)
                places[d] = (struct similar_place){i, 1, true};
        }
    }
    return RESULT_OK;
}

// The words that become a term begin with it, since stemming takes letters off a word's end; but
// for "ies", which becomes "y", where nothing is taken off any more. A word of fewer than three
// letters is its stem.
bool bm25_pieces(const struct bm25 *b, struct arena *arena, struct slice *out, uint32_t max,
                 uint32_t *count)
{
    *count = 0;
    for (uint32_t i = 0; i < b->terms; i++) {
        struct slice stem = b->term[i].text;
        bool ascii = true;
        for (size_t k = 0; k < stem.len; k++)
            ascii &= stem.ptr[k] > 0;
        // A NUL stands for a word that is too long.
        if (!ascii)
            continue;
        bool plural = stem.len >= 3 && stem.ptr[stem.len - 1] == 'y';
        if (*count + 1 + plural > max)
            return false;
        out[*count] = arena_printf(arena, " %.*s%s", SLICE_FMT(stem), stem.len < 3 ? " " : "");
        if (!out[(*count)++].ptr)
            return false;
        if (!plural)
            continue;
        out[*count] = arena_printf(arena, " %.*sies", (int)stem.len - 1, stem.ptr);
        if (!out[(*count)++].ptr)
            return false;
    }
    return true;
}
