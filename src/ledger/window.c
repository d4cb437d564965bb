#include "ledger/window.h"

#define SECOND UINT64_C(1000000)

enum { MINUTE_S = 60, HOUR_S = 3600, DAY_S = 86400, EPOCH_YEAR = 1970, YEAR_MAX = 9999 };

static uint64_t length_us(enum image_window w)
{
    switch (w) {
    case IMAGE_PER_MINUTE:
        return MINUTE_S * SECOND;
    case IMAGE_PER_HOUR:
        return HOUR_S * SECOND;
    case IMAGE_PER_DAY:
        return DAY_S * SECOND;
    default:
        return 0;
    }
}

static uint64_t leap_days_before(uint64_t year)
{
    uint64_t y = year - 1;
    return y / 4 - y / 100 + y / 400;
}

static uint64_t days_before_year(uint64_t year)
{
    return (year - EPOCH_YEAR) * 365 + leap_days_before(year) - leap_days_before(EPOCH_YEAR);
}

static uint64_t days_before_month(uint64_t year, uint64_t month)
{
    static const uint16_t before[12] = {0, 31, 59, 90, 120, 151, 181, 212, 243, 273, 304, 334};
    bool leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
    return days_before_year(year) + before[month] + (leap && month > 1);
}

static uint64_t month_number(uint64_t wall_us)
{
    uint64_t days = wall_us / SECOND / DAY_S;
    uint64_t year = EPOCH_YEAR + days / 366; // never too late a year
    while (year < YEAR_MAX && days_before_year(year + 1) <= days)
        year++;
    uint64_t month = 11;
    while (days_before_month(year, month) > days)
        month--;
    return (year - EPOCH_YEAR) * 12 + month;
}

uint64_t window_number(enum image_window w, uint64_t wall_us)
{
    if (w == IMAGE_PER_MONTH)
        return month_number(wall_us);
    uint64_t length = length_us(w);
    return length ? wall_us / length : 0;
}

uint64_t window_begin(enum image_window w, uint64_t number)
{
    if (w == IMAGE_PER_MONTH)
        return days_before_month(EPOCH_YEAR + number / 12, number % 12) * DAY_S * SECOND;
    return number * length_us(w);
}

uint64_t window_end(enum image_window w, uint64_t wall_us)
{
    if (w == IMAGE_PER_REQUEST || w == IMAGE_PER_LIFE)
        return 0;
    return window_begin(w, window_number(w, wall_us) + 1);
}
