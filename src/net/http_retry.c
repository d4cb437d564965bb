#include "net/http_retry.h"

#include <stdbool.h>
#include <string.h>

#include "base/compiler.h"

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

// A decimal number in whole units of `unit`, rounded up; more than the most is the most. False: it is none.
static bool seconds_of(struct slice v, uint64_t unit, uint32_t *out)
{
    uint64_t whole = 0, most = (uint64_t)HTTP_RETRY_MAX_S * unit;
    bool rest = false;
    size_t i = 0;
    for (; i < v.len && is_digit(v.ptr[i]); i++)
        whole = whole > most ? whole : whole * 10 + (uint64_t)(v.ptr[i] - '0');
    if (!i)
        return false;
    if (i < v.len && v.ptr[i] == '.') {
        for (i++; i < v.len && is_digit(v.ptr[i]); i++)
            rest |= v.ptr[i] != '0';
    }
    if (i < v.len)
        return false;
    uint64_t s = whole / unit + (whole % unit || rest);
    *out = s < HTTP_RETRY_MAX_S ? (uint32_t)s : HTTP_RETRY_MAX_S;
    return true;
}

static bool number(struct slice v, size_t at, size_t n, uint32_t least, uint32_t most,
                   uint32_t *out)
{
    *out = 0;
    for (size_t i = at; i < at + n; i++) {
        if (!is_digit(v.ptr[i]))
            return false;
        *out = *out * 10 + (uint32_t)(v.ptr[i] - '0');
    }
    return *out >= least && *out <= most;
}

// "Sun, 06 Nov 1994 08:49:37 GMT", the only form that is still to be sent. The name of the day is not held to the date.
static bool date_of(struct slice v, uint64_t *out)
{
    static const char form[] = "Sun, 06 Nov 1994 08:49:37 GMT",
                      months[] = "JanFebMarAprMayJunJulAugSepOctNovDec";
    static const uint16_t before[] = {0, 31, 59, 90, 120, 151, 181, 212, 243, 273, 304, 334};
    uint32_t day, year, hour, minute, second, month = 0;
    if (v.len != sizeof form - 1)
        return false;
    for (size_t i = 3; i < v.len; i++)
        if ((form[i] == ' ' || form[i] == ',' || form[i] == ':' || i > 25) && v.ptr[i] != form[i])
            return false;
    while (month < 12 && memcmp(v.ptr + 8, months + (size_t)month * 3, 3) != 0)
        month++;
    if (month == 12 || !number(v, 5, 2, 1, 31, &day) || !number(v, 12, 4, 1970, 9999, &year) ||
        !number(v, 17, 2, 0, 23, &hour) || !number(v, 20, 2, 0, 59, &minute) ||
        !number(v, 23, 2, 0, 60, &second))
        return false;
    // Years whose end of February has come; a 31st of a shorter month is the day behind its last.
    uint32_t leap = month > 1 ? year : year - 1;
    uint64_t days = (uint64_t)(year - 1970) * 365 + leap / 4 - leap / 100 + leap / 400 -
                    (1969 / 4 - 1969 / 100 + 1969 / 400) + before[month] + day - 1;
    *out = ((days * 24 + hour) * 60 + minute) * 60 + second;
    return true;
}

uint32_t http_retry_after_s(struct slice value, uint64_t wall_us)
{
    uint32_t s = 0;
    uint64_t then, now = wall_us / 1000000;
    if (seconds_of(value, 1, &s) || !date_of(value, &then) || then <= now)
        return s;
    return then - now < HTTP_RETRY_MAX_S ? (uint32_t)(then - now) : HTTP_RETRY_MAX_S;
}

uint64_t http_peer_clock_us(struct slice date, uint64_t wall_us)
{
    uint64_t s;
    return date_of(date, &s) ? s * 1000000 : wall_us;
}

uint32_t http_retry_after_ms_s(struct slice value)
{
    uint32_t s = 0;
    return seconds_of(value, 1000, &s) ? s : 0;
}
