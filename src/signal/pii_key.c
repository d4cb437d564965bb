// Keys and secrets: the published prefixes of providers, private keys, signed tokens, and values that somebody calls a
// password.
#include <math.h>
#include <string.h>

#include "signal/pii_scan.h"

enum { KEY_MAX = 512, PEM_MAX = 16384, VALUE_MIN = 8 };

static bool alnum(char c)
{
    return (c >= '0' && c <= '9') || ((c | 32) >= 'a' && (c | 32) <= 'z');
}

static char get(struct slice s, size_t at)
{
    return at < s.len ? s.ptr[at] : 0;
}

static bool key_char(char c)
{
    return alnum(c) || c == '_' || c == '-';
}

static bool starts(struct slice s, uint32_t at, const char *word)
{
    size_t n = strlen(word);
    return at + n <= s.len && memcmp(s.ptr + at, word, n) == 0;
}

// Prefix and how many characters of letters, digits, '_', '-' (and '.' for dotted ones) must follow at least. Sources: the
// providers' documentation and the pattern lists of secret scanners, 2026-11.
static const struct {
    const char *prefix;
    uint8_t least;
    bool upper, dotted; // only capitals and digits; parts joined by dots
} known[] = {
    {"sk-", 20, false, false},         {"sk_live_", 16, false, false},
    {"sk_test_", 16, false, false},    {"pk_live_", 16, false, false},
    {"pk_test_", 16, false, false},    {"rk_live_", 16, false, false},
    {"rk_test_", 16, false, false},    {"whsec_", 16, false, false},
    {"AKIA", 16, true, false},         {"ASIA", 16, true, false},
    {"ABIA", 16, true, false},         {"ghp_", 30, false, false},
    {"gho_", 30, false, false},        {"ghu_", 30, false, false},
    {"ghs_", 30, false, false},        {"ghr_", 30, false, false},
    {"github_pat_", 22, false, false}, {"glpat-", 16, false, false},
    {"xoxb-", 16, false, false},       {"xoxp-", 16, false, false},
    {"xoxa-", 16, false, false},       {"xoxr-", 16, false, false},
    {"xoxs-", 16, false, false},       {"xapp-", 16, false, false},
    {"AIza", 30, false, false},        {"ya29.", 20, false, false},
    {"GOCSPX-", 20, false, false},     {"npm_", 30, false, false},
    {"pypi-", 16, false, false},       {"hf_", 20, false, false},
    {"SG.", 30, false, true},          {"dop_v1_", 40, false, false},
    {"shpat_", 30, false, false},      {"shpss_", 30, false, false},
    {"sq0atp-", 20, false, false},     {"sq0csp-", 20, false, false},
    {"EAAC", 40, false, false},        {"key-", 32, false, false},
    {"dckr_pat_", 20, false, false},   {"gsk_", 20, false, false},
    {"nvapi-", 20, false, false},      {"r8_", 30, false, false},
    {"pplx-", 30, false, false},       {"xai-", 30, false, false},
    {"tvly-", 16, false, false},       {"lin_api_", 20, false, false},
    {"ntn_", 30, false, false},        {"secret_", 30, false, false},
    {"rubygems_", 30, false, false},   {"sntrys_", 20, false, true},
    {"dapi", 32, false, false},        {"hvs.", 20, false, false},
    {"atlasv1.", 20, false, false},    {"AC", 32, false, false},
    {"SK", 32, false, false},          {"figd_", 20, false, false},
    {"PMAK-", 20, false, false},       {"CFPAT-", 20, false, false},
    {"mrt_", 16, false, false},
};

static bool hex_lower(struct slice s, uint32_t from, uint32_t to)
{
    for (; from < to; from++)
        if (!((s.ptr[from] >= '0' && s.ptr[from] <= '9') ||
              (s.ptr[from] >= 'a' && s.ptr[from] <= 'f')))
            return false;
    return true;
}

static uint32_t with_prefix(struct slice s, uint32_t at)
{
    for (unsigned i = 0; i < MERIT_COUNT(known); i++) {
        if (s.ptr[at] != known[i].prefix[0] || !starts(s, at, known[i].prefix))
            continue;
        uint32_t from = at + (uint32_t)strlen(known[i].prefix), end = from;
        bool digits = false;
        while (end < s.len && end - at < KEY_MAX &&
               (key_char(s.ptr[end]) ||
                (known[i].dotted && s.ptr[end] == '.' && key_char(get(s, end + 1))))) {
            if (known[i].upper && (s.ptr[end] >= 'a' && s.ptr[end] <= 'z'))
                return 0;
            digits |= s.ptr[end] >= '0' && s.ptr[end] <= '9';
            end++;
        }
        bool twilio = from - at == 2;
        if (end - from < known[i].least || (known[i].upper && end - from != 16) ||
            (twilio && (end - from != 32 || !hex_lower(s, from, end))) ||
            (!digits && !known[i].upper))
            continue;
        return end;
    }
    return 0;
}

// A JSON web token: three parts of base64url, the first two of which begin an object.
static uint32_t web_token(struct slice s, uint32_t at, uint32_t *dull)
{
    if (at < *dull || !starts(s, at, "eyJ"))
        return 0;
    uint32_t i = at, dots = 0;
    while (i < s.len && i - at < PEM_MAX &&
           (key_char(s.ptr[i]) || (s.ptr[i] == '.' && dots < 2 && key_char(get(s, i + 1)))))
        dots += s.ptr[i++] == '.';
    if (!dots && i - at < PEM_MAX)
        *dull = i; // the same end, and as few dots, from every place between
    else if (!dots)
        *dull = i - PEM_MAX / 2; // no token's first part is half as long as this
    return dots >= 1 && i - at >= 30 ? i : 0;
}

static uint32_t private_key(struct slice s, uint32_t at)
{
    if (!starts(s, at, "-----BEGIN "))
        return 0;
    struct slice head = slice_make(s.ptr + at, s.len - at < 64 ? s.len - at : 64);
    if (slice_find(head, SLICE("PRIVATE KEY")) < 0)
        return 0;
    struct slice all = slice_make(s.ptr + at, s.len - at < PEM_MAX ? s.len - at : PEM_MAX);
    ptrdiff_t end = slice_find(all, SLICE("-----END "));
    if (end < 0) { // cut: the line and what follows is secret all the same
        ptrdiff_t line = slice_find(all, SLICE("\n\n"));
        return at + (uint32_t)(line < 0 ? (ptrdiff_t)all.len : line);
    }
    ptrdiff_t close = slice_find(slice_from(all, (size_t)end + 9), SLICE("-----"));
    return at + (uint32_t)(close < 0 ? (ptrdiff_t)all.len : end + 9 + close + 5);
}

// Bits per character of a value: what people choose as an example is poor in it.
static double entropy(const char *p, uint32_t n)
{
    uint16_t seen[256] = {0};
    double h = 0;
    for (uint32_t i = 0; i < n; i++)
        seen[(unsigned char)p[i]]++;
    for (unsigned i = 0; i < 256; i++)
        if (seen[i]) {
            double f = (double)seen[i] / n;
            h -= f * log2(f);
        }
    return h;
}

// Whether the identifier [at, end) says that its value is a secret: it ends with one of these words.
static bool names_secret(struct slice s, uint32_t at, uint32_t end)
{
    static const char *const names[] = {
        "password",    "passwd",        "pwd",        "passphrase", "secret",     "api_key",
        "apikey",      "api-key",       "token",      "bearer",     "secret_key", "access_key",
        "private_key", "authorization", "credential", "passcode",   "auth_key",   "secretkey",
        "accesskey",   "account_key",   "accountkey",
    };
    char last = end > at ? (char)(s.ptr[end - 1] | 32) : 0;
    for (unsigned i = 0; i < MERIT_COUNT(names); i++) {
        size_t n = strlen(names[i]);
        if (names[i][n - 1] == last && end - at >= n &&
            slice_ieq(slice_make(s.ptr + end - n, n), slice_make(names[i], n)))
            return true;
    }
    return false;
}

// `password: hunter2!`, `API_KEY="..."`, `Authorization: Bearer ...`: a word that says so, a separator, a value that could be
// one.
static uint32_t named(struct slice s, uint32_t at, uint32_t *begin)
{
    uint32_t i = at;
    while (i < s.len && i - at < 64 && key_char(s.ptr[i]))
        i++;
    uint32_t end = i;
    if ((starts(s, i, " key") || starts(s, i, " Key")) && !alnum(get(s, i + 4)))
        i += 4; // "api key", "secret key"
    else if (!names_secret(s, at, end))
        return 0;
    bool separated = end - at == 6 && slice_ieq(slice_make(s.ptr + at, 6), SLICE("bearer"));
    if (starts(s, i, " is ")) {
        i += 2;
        separated = true;
    }
    while (i < s.len && strchr(" \t\"'`=:>", s.ptr[i])) {
        separated |= s.ptr[i] == '=' || s.ptr[i] == ':';
        if (i++ - at > 40)
            return 0;
    }
    if (!separated || i >= s.len)
        return 0;
    uint32_t from = i;
    while (i < s.len && i - from < KEY_MAX && (unsigned char)s.ptr[i] > 32 && !(s.ptr[i] & 0x80) &&
           !strchr("\"'`,;<>(){}", s.ptr[i]))
        i++;
    while (i > from && s.ptr[i - 1] == '.')
        i--;
    uint32_t n = i - from;
    if (n < VALUE_MIN || s.ptr[from] == '$' || s.ptr[from] == '[')
        return 0;
    bool digits = false, letters = false, other = false;
    for (uint32_t k = from; k < i; k++) {
        char c = s.ptr[k];
        digits |= c >= '0' && c <= '9';
        letters |= (c | 32) >= 'a' && (c | 32) <= 'z';
        other |= !alnum(c) && c != '.' && c != '_' && c != '-' && c != '/';
    }
    if (!letters || !(digits || other) || entropy(s.ptr + from, n) < 2.8)
        return 0;
    *begin = from;
    return i;
}

uint32_t pii_key(struct slice s, uint32_t at, uint32_t *begin, uint32_t *dull)
{
    uint32_t end;
    if (s.ptr[at] == '-')
        return private_key(s, at);
    if ((end = with_prefix(s, at)) || (end = web_token(s, at, dull)))
        return end;
    return named(s, at, begin);
}
