#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "text/json.h"
#include "text/json_scan.h"
#include "text/utf8.h"

// What stands for a byte that may not stand by itself, with its length.
static unsigned escape(unsigned char c, char out[6])
{
    static const char hex[] = "0123456789abcdef";
    static const char names[] = {
        ['\b'] = 'b', ['\t'] = 't', ['\n'] = 'n',  ['\f'] = 'f',
        ['\r'] = 'r', ['"'] = '"',  ['\\'] = '\\',
    };
    out[0] = '\\';
    if (names[c]) {
        out[1] = names[c];
        return 2;
    }
    memcpy(out + 1, "u00", 3);
    out[4] = hex[c >> 4];
    out[5] = hex[c & 15];
    return 6;
}

void json_write_string(struct buf *out, struct slice s)
{
    json_copy_fn *copy = json_kernels_active()->copy;
    // The rest of the string and its closing quote always have room.
    char *to = buf_reserve(out, s.len + 2);
    if (!to)
        return;
    *to++ = '"';
    enum { UNKNOWN, VALID, BROKEN } utf8 = UNKNOWN;
    size_t at = 0;
    while (at < s.len) {
        const unsigned char *p = (const unsigned char *)s.ptr + at;
        size_t n = copy(to, p, s.len - at, utf8 != VALID);
        to += n;
        at += n;
        if (at == s.len)
            break;
        char piece[6];
        unsigned len;
        if (p[n] < 0x80) {
            len = escape(p[n], piece);
            at++;
        } else {
            if (utf8 == UNKNOWN)
                utf8 = utf8_valid(slice_from(s, at)) ? VALID : BROKEN;
            if (utf8 == VALID)
                continue;
            len = utf8_put(utf8_next(s, &at), piece);
        }
        out->len = (size_t)(to - out->ptr);
        to = buf_reserve(out, len + (s.len - at) + 1);
        if (!to)
            return;
        memcpy(to, piece, len);
        to += len;
    }
    *to++ = '"';
    out->len = (size_t)(to - out->ptr);
}

static const double powers[] = {1e0,  1e1,  1e2,  1e3,  1e4,  1e5,  1e6,  1e7,  1e8,  1e9, 1e10,
                                1e11, 1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18, 1e19, 1e20};

// digits / 10^places, without trailing zeros.
static void write_decimal(struct buf *out, uint64_t digits, int places)
{
    while (places > 0 && digits % 10 == 0) {
        digits /= 10;
        places--;
    }
    char text[32], *end = text + sizeof text, *p = end;
    for (int i = 0; i < places; i++) {
        *--p = (char)('0' + digits % 10);
        digits /= 10;
    }
    if (places)
        *--p = '.';
    do {
        *--p = (char)('0' + digits % 10);
        digits /= 10;
    } while (digits);
    buf_append(out, p, (size_t)(end - p));
}

// The shortest decimal of a double in [1e-5, 1e15).
static void write_usual(struct buf *out, double v)
{
    // v * 10^places has 15 digits before the point.
    int places = v < 1 ? 15 : 14;
    if (v < 1) {
        while (v * powers[places] < 1e14)
            places++;
    } else {
        while (v >= powers[15 - places])
            places--;
    }
    // Any decimal of 15 digits reads back as itself through a double, and v * 10^places is off by less than a quarter,
    // so that one rounding finds it and one division proves it.
    uint64_t digits = (uint64_t)(v * powers[places] + 0.5);
    if ((double)digits / powers[places] == v) {
        write_decimal(out, digits, places);
        return;
    }
    // v is mantissa / 2^shift; `exact` is v * 10^(places + 2) * 2^shift, below 2^123. 17 digits always read back; 16 do
    // when they are nearer than half a unit of the mantissa. (Below a power of two the unit is half as large, but those
    // in this range have 15 digits at most and came out above.)
    uint64_t bits;
    memcpy(&bits, &v, sizeof bits);
    uint64_t mantissa = (bits & 0xfffffffffffffu) | 1ull << 52;
    int shift = 1075 - (int)(bits >> 52);
    uint64_t ten = 1;
    for (int i = 0; i < places; i++)
        ten *= 10;
    unsigned __int128 unit = (unsigned __int128)ten * 100, exact = unit * mantissa;
    unsigned __int128 half = (unsigned __int128)1 << (shift - 1);
    digits = (uint64_t)((exact + half) >> shift);
    uint64_t rounded = ((uint64_t)(exact >> shift) + 5) / 10;
    unsigned __int128 shorter = (unsigned __int128)(rounded * 10) << shift;
    unsigned __int128 error = shorter > exact ? shorter - exact : exact - shorter;
    if (error < unit / 2)
        write_decimal(out, rounded, places + 1);
    else
        write_decimal(out, digits, places + 2);
}

void json_write_double(struct buf *out, double v)
{
    if (!isfinite(v)) {
        BUF_LIT(out, "null");
        return;
    }
    if (signbit(v)) {
        buf_byte(out, '-');
        v = -v;
    }
    if (v < 9007199254740992.0 && v == (double)(uint64_t)v) {
        buf_u64(out, (uint64_t)v);
        return;
    }
    if (v >= 1e-5 && v < 1e15) {
        write_usual(out, v);
        return;
    }
    char text[32];
    int n = 0;
    for (int digits = 15; digits <= 17; digits++) {
        n = snprintf(text, sizeof text, "%.*g", digits, v);
        if (strtod(text, NULL) == v)
            break;
    }
    // A host program may have set a locale with another decimal point, perhaps of several bytes.
    int len = 0;
    for (int i = 0; i < n; i++) {
        if (strchr("0123456789e+-", text[i]))
            text[len++] = text[i];
        else if (len == 0 || text[len - 1] != '.')
            text[len++] = '.';
    }
    buf_append(out, text, (size_t)len);
}
