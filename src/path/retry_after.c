#include "path/retry_after.h"

#include <string.h>
#include <time.h>

static bool take(struct slice *rest, const char *text)
{
    size_t n = strlen(text);
    if (rest->len < n || memcmp(rest->ptr, text, n) != 0)
        return false;
    *rest = slice_from(*rest, n);
    return true;
}

static bool number(struct slice *rest, size_t digits, int *out)
{
    uint64_t v;
    if (rest->len < digits || !slice_u64(slice_head(*rest, digits), &v))
        return false;
    *out = (int)v;
    *rest = slice_from(*rest, digits);
    return true;
}

static bool month(struct slice *rest, int *out)
{
    static const char names[] = "JanFebMarAprMayJunJulAugSepOctNovDec";
    for (int i = 0; i < 12; i++)
        if (rest->len >= 3 && memcmp(rest->ptr, names + 3 * i, 3) == 0) {
            *out = i;
            *rest = slice_from(*rest, 3);
            return true;
        }
    return false;
}

static bool clock_of(struct slice *rest, struct tm *tm)
{
    return number(rest, 2, &tm->tm_hour) && take(rest, ":") && number(rest, 2, &tm->tm_min) &&
           take(rest, ":") && number(rest, 2, &tm->tm_sec);
}

// "Sun, 06 Nov 1994 08:49:37 GMT"; of "Sunday, 06-Nov-94 08:49:37 GMT" the year has two digits.
static bool with_comma(struct slice rest, const char *between, size_t digits, struct tm *tm)
{
    bool ok = take(&rest, " ") && number(&rest, 2, &tm->tm_mday) && take(&rest, between) &&
              month(&rest, &tm->tm_mon) && take(&rest, between) &&
              number(&rest, digits, &tm->tm_year) && take(&rest, " ") && clock_of(&rest, tm) &&
              take(&rest, " GMT") && !rest.len;
    if (digits == 2)
        tm->tm_year += tm->tm_year < 70 ? 2000 : 1900;
    return ok;
}

// "Nov  6 08:49:37 1994", behind the day of the week.
static bool without(struct slice rest, struct tm *tm)
{
    if (!take(&rest, " ") || !month(&rest, &tm->tm_mon) || !take(&rest, " "))
        return false;
    bool one = take(&rest, " ");
    return number(&rest, one ? 1 : 2, &tm->tm_mday) && take(&rest, " ") && clock_of(&rest, tm) &&
           take(&rest, " ") && number(&rest, 4, &tm->tm_year) && !rest.len;
}

bool retry_after_date(struct slice text, int64_t *unix_s)
{
    struct tm tm = {0};
    const char *comma = text.len ? memchr(text.ptr, ',', text.len) : NULL;
    bool ok;
    if (comma) {
        struct slice rest = slice_from(text, (size_t)(comma - text.ptr) + 1);
        struct tm long_form = {0};
        ok = with_comma(rest, " ", 4, &tm);
        if (!ok && with_comma(rest, "-", 2, &long_form)) {
            ok = true;
            tm = long_form;
        }
    } else {
        ok = text.len > 3 && without(slice_from(text, 3), &tm);
    }
    if (!ok || tm.tm_mday < 1 || tm.tm_mday > 31 || tm.tm_hour > 23 || tm.tm_min > 59 ||
        tm.tm_sec > 60 || tm.tm_year < 1970)
        return false;
    tm.tm_year -= 1900;
    *unix_s = timegm(&tm);
    return *unix_s >= 0;
}

static bool is_digits(struct slice s)
{
    for (size_t i = 0; i < s.len; i++)
        if (s.ptr[i] < '0' || s.ptr[i] > '9')
            return false;
    return s.len > 0;
}

static uint32_t capped(uint64_t s)
{
    return s < RETRY_AFTER_MAX_S ? (uint32_t)s : RETRY_AFTER_MAX_S;
}

uint32_t retry_after_s(const struct http_head *head, uint64_t wall_us)
{
    struct slice said = http_header_get(head, "retry-after");
    struct slice ms = http_header_get(head, "retry-after-ms");
    uint64_t n;
    int64_t at, now = (int64_t)(wall_us / 1000000);
    if (is_digits(said))
        return capped(slice_u64(said, &n) ? n : UINT64_MAX);
    if (said.len && retry_after_date(said, &at)) {
        (void)retry_after_date(http_header_get(head, "date"), &now);
        return at > now ? capped((uint64_t)(at - now)) : 0;
    }
    if (is_digits(ms))
        return capped(slice_u64(ms, &n) ? n / 1000 + (n % 1000 > 0) : UINT64_MAX);
    return 0;
}
