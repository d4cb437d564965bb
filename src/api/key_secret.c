#include "api/key_secret.h"

#include <stdio.h>

#include "base/clock.h"
#include "base/rng.h"

static const char prefix[] = "merit-sk-";
static const char base62[] = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
enum { PREFIX = sizeof prefix - 1 };
_Static_assert(PREFIX + KEY_RANDOM + KEY_CHECK == KEY_SECRET_LEN, "the length of a secret");

enum result key_random(char *out, size_t n)
{
    uint8_t pool[64];
    for (size_t have = 0; have < n;) {
        enum result r = rng_secret(pool, sizeof pool);
        if (r)
            return r;
        // 248 is the largest multiple of 62 in a byte: what lies above it would make some letters likelier.
        for (size_t i = 0; i < sizeof pool && have < n; i++) {
            if (pool[i] < 248)
                out[have++] = base62[pool[i] % 62];
        }
    }
    explicit_bzero(pool, sizeof pool);
    return RESULT_OK;
}

// CRC-32 (ISO 3309, reflected 0xEDB88320) in base62, high digit first. 62^6 > 2^32.
static void check_of(const char *text, size_t n, char out[KEY_CHECK])
{
    uint32_t crc = UINT32_MAX;
    for (size_t i = 0; i < n; i++) {
        crc ^= (unsigned char)text[i];
        for (int bit = 0; bit < 8; bit++)
            crc = crc >> 1 ^ (0xEDB88320u & -(crc & 1));
    }
    crc = ~crc;
    for (int i = KEY_CHECK - 1; i >= 0; i--, crc /= 62)
        out[i] = base62[crc % 62];
}

bool key_secret_ok(struct slice secret)
{
    char check[KEY_CHECK];
    if (secret.len != KEY_SECRET_LEN || memcmp(secret.ptr, prefix, PREFIX) != 0)
        return false;
    check_of(secret.ptr, PREFIX + KEY_RANDOM, check);
    return memcmp(secret.ptr + PREFIX + KEY_RANDOM, check, KEY_CHECK) == 0;
}

enum result key_secret_make(char out[KEY_SECRET_LEN + 1])
{
    memcpy(out, prefix, PREFIX);
    enum result r = key_random(out + PREFIX, KEY_RANDOM);
    check_of(out, PREFIX + KEY_RANDOM, out + PREFIX + KEY_RANDOM);
    out[KEY_SECRET_LEN] = 0;
    return r;
}

void key_time_print(uint64_t seconds, char out[KEY_TIME_LEN + 1])
{
    char iso[CLOCK_ISO_LEN];
    clock_iso(seconds * 1000000, iso);
    memcpy(out, iso, KEY_TIME_LEN - 1);
    out[KEY_TIME_LEN - 1] = 'Z';
    out[KEY_TIME_LEN] = 0;
}

static bool is_leap(unsigned year)
{
    return (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
}

bool key_time_parse(struct slice text, uint64_t *seconds)
{
    static const char form[] = "dddd-dd-ddTdd:dd:ddZ";
    static const unsigned days_in[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    unsigned n[6] = {0}, at = 0;
    if (text.len != KEY_TIME_LEN)
        return false;
    for (size_t i = 0; i < KEY_TIME_LEN; i++) {
        char c = text.ptr[i];
        if (form[i] != 'd') {
            if (c != form[i])
                return false;
            at++;
        } else if (c >= '0' && c <= '9') {
            n[at] = n[at] * 10 + (unsigned)(c - '0');
        } else {
            return false;
        }
    }
    unsigned year = n[0], month = n[1], day = n[2];
    if (year < 1970 || month < 1 || month > 12 || day < 1 ||
        day > days_in[month - 1] + (month == 2 && is_leap(year)) || n[3] > 23 || n[4] > 59 ||
        n[5] > 59)
        return false;
    uint64_t days = day - 1;
    for (unsigned y = 1970; y < year; y++)
        days += is_leap(y) ? 366 : 365;
    for (unsigned m = 1; m < month; m++)
        days += days_in[m - 1] + (m == 2 && is_leap(year));
    *seconds = ((days * 24 + n[3]) * 60 + n[4]) * 60 + n[5];
    return true;
}
