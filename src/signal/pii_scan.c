#include "signal/pii_scan.h"

const char *const pii_type_names[PII_TYPES + 1] = {"email", "phone",   "url", "ip",   "iban",
                                                   "card",  "ssn",     "key", "name", "address",
                                                   "id",    "account", NULL};

enum { LOCAL_MAX = 64, DOMAIN_MAX = 253, URL_MAX = 2048, FIRST_SPANS = 16 };

static bool digit(char c)
{
    return c >= '0' && c <= '9';
}

static bool letter(char c)
{
    return (c | 32) >= 'a' && (c | 32) <= 'z';
}

static bool alnum(char c)
{
    return digit(c) || letter(c);
}

static char get(struct slice s, size_t at)
{
    return at < s.len ? s.ptr[at] : 0;
}

// Endings of domains that are written without a scheme. Those that are file endings or ordinary words in running text (py,
// md, sh, is, so, app) are left out.
static const char *const endings[] = {
    "com",  "org",   "net",  "edu",     "gov",  "mil",  "int",    "info",   "biz",
    "io",   "dev",   "co",   "ai",      "us",   "uk",   "de",     "fr",     "nl",
    "be",   "ch",    "es",   "pt",      "eu",   "ca",   "au",     "nz",     "jp",
    "cn",   "kr",    "br",   "mx",      "ar",   "ru",   "ua",     "pl",     "cz",
    "sk",   "hu",    "ro",   "gr",      "tr",   "se",   "fi",     "dk",     "ie",
    "za",   "ng",    "ke",   "sg",      "hk",   "tw",   "xyz",    "online", "site",
    "shop", "cloud", "tech", "example", "test", "name", "museum", "travel",
};
// What looks like a domain and is the name of something else.
static const char *const no_domains[] = {"asp.net", "ado.net", "vb.net", "socket.io", "node.de"};

static bool is_ending(struct slice tld)
{
    for (unsigned i = 0; i < MERIT_COUNT(endings); i++)
        if (slice_ieq(tld, slice_cstr(endings[i])))
            return true;
    return false;
}

// The domain at `at`: labels of letters, digits and inner hyphens, at least two, the last of letters. 0: none. Letters beyond
// ASCII may stand in a label.
static uint32_t domain(struct slice s, uint32_t at, uint32_t *tld)
{
    uint32_t i = at, labels = 0, end = 0;
    while (i < s.len && i - at < DOMAIN_MAX) {
        uint32_t from = i;
        bool letters = true;
        while (i < s.len && i - from < 63 &&
               (alnum(s.ptr[i]) || s.ptr[i] == '-' || (s.ptr[i] & 0x80))) {
            letters &= letter(s.ptr[i]) || (s.ptr[i] & 0x80) != 0;
            i++;
        }
        if (i == from || s.ptr[from] == '-' || s.ptr[i - 1] == '-')
            break;
        labels++;
        if (labels >= 2 && letters && i - from >= 2) {
            end = i;
            *tld = from;
        }
        if (get(s, i) != '.')
            break;
        i++;
    }
    return end;
}

static bool local_char(char c)
{
    return alnum(c) || (c && strchr(".!#$%&'*+-/=?^_`{|}~", c));
}

static uint32_t email(struct slice s, uint32_t at)
{
    uint32_t i = at, tld = 0;
    while (i < s.len && i - at <= LOCAL_MAX && (local_char(s.ptr[i]) || (s.ptr[i] & 0x80)))
        i++;
    if (i == at || get(s, i) != '@' || s.ptr[i - 1] == '.')
        return 0;
    return domain(s, i + 1, &tld);
}

static bool url_char(char c)
{
    return (unsigned char)c > 32 && c != 127 && !strchr("<>\"`{}|\\^", c) && !(c & 0x80);
}

// A sentence's punctuation behind an address is not of it; a closing bracket only when it was opened inside.
static uint32_t url_end(struct slice s, uint32_t at, uint32_t end)
{
    while (end > at) {
        char c = s.ptr[end - 1];
        if (c == ')' || c == ']') {
            char open = c == ')' ? '(' : '[';
            unsigned opened = 0, closed = 0;
            for (uint32_t i = at; i < end; i++) {
                opened += s.ptr[i] == open;
                closed += s.ptr[i] == c;
            }
            if (closed <= opened)
                break;
        } else if (!strchr(".,;:!?'*_", c)) {
            break;
        }
        end--;
    }
    return end;
}

static uint32_t url_rest(struct slice s, uint32_t at, uint32_t from)
{
    uint32_t i = from;
    while (i < s.len && i - at < URL_MAX && url_char(s.ptr[i]))
        i++;
    return url_end(s, at, i);
}

static bool starts(struct slice s, uint32_t at, const char *word)
{
    size_t n = strlen(word);
    return at + n <= s.len && slice_ieq(slice_make(s.ptr + at, n), slice_make(word, n));
}

static uint32_t url(struct slice s, uint32_t at)
{
    static const char *const schemes[] = {"https://", "http://", "ftp://", "ftps://", "sftp://",
                                          "ws://",    "wss://",  "ssh://", "git://",  "s3://"};
    uint32_t tld = 0;
    for (unsigned i = 0; i < MERIT_COUNT(schemes); i++)
        if ((s.ptr[at] | 32) == schemes[i][0] && starts(s, at, schemes[i])) {
            uint32_t from = at + (uint32_t)strlen(schemes[i]), end = url_rest(s, at, from);
            return end > from ? end : 0;
        }
    uint32_t end = domain(s, at, &tld);
    if (!end || get(s, end) == '@')
        return 0;
    char next = get(s, end);
    bool www = starts(s, at, "www.") && tld > at + 4;
    if (!www && (!is_ending(slice_make(s.ptr + tld, end - tld)) || tld - at < 3 || next == '(' ||
                 next == '_'))
        return 0;
    for (unsigned i = 0; !www && i < MERIT_COUNT(no_domains); i++)
        if (slice_ieq(slice_make(s.ptr + at, end - at), slice_cstr(no_domains[i])))
            return 0;
    if (next == ':' && digit(get(s, end + 1))) {
        end++;
        while (digit(get(s, end)))
            end++;
        next = get(s, end);
    }
    return next == '/' || next == '?' || next == '#' ? url_rest(s, at, end) : end;
}

enum result pii_spans_add(struct pii_spans *s, struct arena *arena, struct pii_span span)
{
    s->seen |= 1u << span.type;
    if (s->count == PII_SPANS_MAX) {
        s->cut = true;
        return RESULT_OK;
    }
    if (s->count == s->room) {
        uint32_t room = s->room ? s->room * 2 : FIRST_SPANS;
        struct pii_span *at = arena_alloc(arena, room * sizeof *at);
        if (!at)
            return RESULT_NOMEM;
        if (s->count)
            memcpy(at, s->at, s->count * sizeof *at);
        s->at = at;
        s->room = room;
    }
    s->at[s->count++] = span;
    return RESULT_OK;
}

// What begins at the first byte of a word; 0: nothing.
static uint32_t detect(struct pii_scan *scan, uint32_t *begin, enum pii_type *type)
{
    struct slice s = scan->folded.text;
    uint32_t end, at = scan->at, types = scan->types;
    char c = s.ptr[at];
    *begin = at;
    if (letter(c) || c == '-' || c == '_' || digit(c)) {
        if ((types & 1u << PII_KEY) && (end = pii_key(s, at, begin, &scan->dull))) {
            *type = PII_KEY;
            return end;
        }
        *begin = at;
    }
    if ((types & (1u << PII_URL | 1u << PII_EMAIL)) && (alnum(c) || (c & 0x80))) {
        end = letter(c) || digit(c) ? url(s, at) : 0;
        // A password in an address makes it a secret as well; the address is what is told.
        if (end && (types & 1u << PII_URL)) {
            *type = PII_URL;
            return end;
        }
        if ((types & 1u << PII_EMAIL) && (end = email(s, at))) {
            *type = PII_EMAIL;
            return end;
        }
    }
    if ((types & 1u << PII_IBAN) && letter(c) && (end = pii_iban(s, at))) {
        *type = PII_IBAN;
        return end;
    }
    if ((types & 1u << PII_IP) && (alnum(c) || c == ':') && (end = pii_ip6(s, at))) {
        *type = PII_IP;
        return end;
    }
    if (digit(c) || c == '+' || c == '(')
        return pii_number(s, at, types, type);
    return 0;
}

enum result pii_scan_begin(struct pii_scan *s, struct slice text, uint32_t types,
                           struct arena *arena)
{
    *s = (struct pii_scan){.text = text, .types = types};
    return skeleton_make(text, arena, &s->folded);
}

enum result pii_scan_some(struct pii_scan *s, uint32_t bytes, struct arena *arena,
                          struct pii_spans *out)
{
    struct slice folded = s->folded.text;
    uint64_t until = (uint64_t)s->at + bytes;
    enum result r = RESULT_OK;
    while (!r && s->at < folded.len) {
        enum pii_type type;
        uint32_t begin, end = 0;
        char c = folded.ptr[s->at];
        if (s->at >= until)
            return RESULT_AGAIN;
        if (!s->word && c != ' ')
            end = detect(s, &begin, &type);
        if (!end) {
            s->word = alnum(c) || c == '_';
            s->at++;
            continue;
        }
        struct pii_span span = {skeleton_begin(&s->folded, begin),
                                skeleton_end(&s->folded, s->text, end), type, 1};
        if (s->types & 1u << type)
            r = pii_spans_add(out, arena, span);
        s->word = true;
        s->at = end;
    }
    return r;
}

enum result pii_scan(struct slice text, uint32_t types, struct arena *arena, struct pii_spans *out)
{
    struct pii_scan s;
    enum result r = pii_scan_begin(&s, text, types, arena);
    return r ? r : pii_scan_some(&s, UINT32_MAX, arena, out);
}
