#include "cli/ledger_view.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "cli/commands.h"
#include "ledger/usage.h"

#define SECOND UINT64_C(1000000)
#define DAY_US (86400 * SECOND)

static bool clock_of(struct slice t, uint64_t *seconds)
{
    static const uint32_t factors[3] = {3600, 60, 1}, most[3] = {23, 59, 60};
    uint64_t v;
    *seconds = 0;
    for (int i = 0; i < 3; i++) {
        size_t at = (size_t)i * 3;
        if (t.len < at + 2 || !slice_u64(slice_make(t.ptr + at, 2), &v) || v > most[i])
            return false;
        *seconds += v * factors[i];
        if (t.len == at + 2)
            return i > 0;
        if (i < 2 && t.ptr[at + 2] != ':')
            return false;
    }
    return t.len == 8 || (t.len == 9 && t.ptr[8] == 'Z');
}

static bool instant_of(const char *text, uint64_t now_us, uint64_t *out)
{
    uint64_t seconds;
    int32_t day;
    struct slice s = slice_cstr(text);
    if (args_duration(text, &seconds)) {
        uint64_t ago = seconds * SECOND;
        *out = ago < now_us ? now_us - ago : 0;
        return true;
    }
    if (s.len < 10 || !usage_day(slice_head(s, 10), &day))
        return false;
    *out = (uint64_t)day * DAY_US;
    if (s.len == 10)
        return true;
    if ((s.ptr[10] != 'T' && s.ptr[10] != ' ') || !clock_of(slice_from(s, 11), &seconds))
        return false;
    *out += seconds * SECOND;
    return true;
}

static int fail(const char *command, const struct buf *why)
{
    fprintf(stderr, "%s: %.*s\n", command, SLICE_FMT(buf_slice(why)));
    return EXIT_FOUND;
}

static int open_at(struct ledger_view *v, const char *command, struct buf *why)
{
    if (conf_load(&v->conf, v->conf_path, isatty(STDERR_FILENO), why))
        return fail(command, why);
    const char *directory = v->directory ? v->directory : conf_ledger(&v->conf);
    if (!directory) {
        buf_cstr(why, "the ledger is off (settings `ledger` and `data`); --ledger DIR names one");
        return fail(command, why);
    }
    v->found = directory;
    return report_open(&v->report, directory, why) ? fail(command, why) : ARGS_GO_ON;
}

int ledger_view_open(struct ledger_view *v, const char *command)
{
    struct buf why;
    v->now_us = clock_wall_us(&clock_system);
    v->span = (struct report_span){0, INT64_MAX};
    const char *const given[] = {v->since, v->until};
    uint64_t *const to[] = {&v->span.since_us, &v->span.until_us};
    for (int i = 0; i < 2; i++) {
        if (given[i] && !instant_of(given[i], v->now_us, to[i])) {
            fprintf(stderr,
                    "%s: %s \"%s\": write 2026-11-21, 2026-11-21T10:00:00Z, or a time ago such as "
                    "7d or 12h\n",
                    command, i ? "--until" : "--since", given[i]);
            return EXIT_USAGE;
        }
    }
    if (conf_init(&v->conf)) {
        fprintf(stderr, "%s: no memory\n", command);
        return EXIT_FOUND;
    }
    buf_init(&v->out, LEDGER_OUT_MAX);
    buf_init(&why, 65536);
    int code = open_at(v, command, &why);
    buf_deinit(&why);
    if (code != ARGS_GO_ON) {
        buf_deinit(&v->out);
        conf_deinit(&v->conf);
    }
    return code;
}

bool ledger_view_drain(struct ledger_view *v)
{
    if (!v->closed && v->out.len && fwrite(v->out.ptr, 1, v->out.len, stdout) != v->out.len)
        v->closed = true;
    v->closed |= buf_result(&v->out) != RESULT_OK;
    buf_reset(&v->out);
    return !v->closed;
}

int ledger_view_close(struct ledger_view *v, const char *command, enum result r)
{
    int code = EXIT_DONE;
    if (r) {
        fprintf(stderr, "%s: the ledger cannot be read: %s\n", command,
                r == RESULT_IO ? report_problem(v->report) : result_name(r));
        code = EXIT_FOUND;
    } else if (!ledger_view_drain(v) || fflush(stdout)) {
        fprintf(stderr, "%s: standard output cannot be written\n", command);
        code = EXIT_FOUND;
    }
    report_close(v->report);
    buf_deinit(&v->out);
    conf_deinit(&v->conf);
    return code;
}

void ledger_put_usd(struct buf *out, int64_t nusd)
{
    double usd = (double)nusd / 1e9, size = fabs(usd);
    buf_printf(out, "%.*f", size >= 100 || size == 0 ? 2 : size >= 0.1 ? 4 : 6, usd);
}

static void put_grouped(struct buf *out, int64_t v)
{
    char digits[24];
    int n = snprintf(digits, sizeof digits, "%" PRId64, v);
    for (int i = 0; i < n; i++) {
        buf_byte(out, digits[i]);
        int left = n - 1 - i;
        if (left && left % 3 == 0 && digits[i] != '-')
            buf_byte(out, ',');
    }
}

void ledger_put_amount(struct buf *out, enum image_unit unit, int64_t amount)
{
    static const char *const names[LEDGER_UNITS] = {"usd", "J",     "g",       "ms",
                                                    "tok", "calls", "requests"};
    switch (unit) {
    case IMAGE_UNIT_NUSD:
        ledger_put_usd(out, amount);
        break;
    case IMAGE_UNIT_UJ:
    case IMAGE_UNIT_UG: {
        static const char *const steps[] = {"", "k", "M", "G"};
        double v = (double)amount / 1e6;
        int i = 0;
        while (fabs(v) >= 1000 && i < 3) {
            v /= 1000;
            i++;
        }
        buf_printf(out, "%.3g %s%s", v, steps[i], names[unit]);
        return;
    }
    default:
        put_grouped(out, amount);
    }
    buf_printf(out, " %s", names[unit]);
}

void ledger_put_text(struct buf *out, size_t width, struct slice text)
{
    size_t n = 0;
    if (!text.len)
        text = SLICE("-");
    for (size_t i = 0; i < text.len; i++, n++) {
        unsigned char c = (unsigned char)text.ptr[i];
        bool high = c == 0xc2 && i + 1 < text.len && (unsigned char)text.ptr[i + 1] < 0xa0;
        buf_byte(out, c < 0x20 || c == 0x7f || high ? '?' : (char)c);
        i += high;
    }
    for (; n < width; n++)
        buf_byte(out, ' ');
}

void ledger_put_csv(struct buf *out, struct slice text)
{
    bool formula = text.len && strchr("=+-@\t\r", text.ptr[0]);
    bool quoted = formula;
    for (size_t i = 0; i < text.len && !quoted; i++)
        quoted = strchr(",\"\n\r", text.ptr[i]) != NULL;
    if (quoted)
        buf_byte(out, '"');
    if (formula)
        buf_byte(out, '\'');
    for (size_t i = 0; i < text.len; i++) {
        if (text.ptr[i] == '"')
            buf_byte(out, '"');
        buf_byte(out, text.ptr[i]);
    }
    if (quoted)
        buf_byte(out, '"');
}

const char *ledger_window_name(enum image_window w)
{
    static const char *const names[] = {"request", "minute", "hour", "day", "month", "life"};
    return names[w];
}
