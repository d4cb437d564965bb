// Reads documents (four bytes of length, lowest first, then the bytes) from standard input and writes a line for each,
// for the differential test against another reader: "reject NAME OFFSET" or "accept ACCOUNT HEX", where the account
// names every type, decoded string (hex), and number (raw text, bits of the double, whole value), and HEX is the
// document written anew by json_write_string and json_write_double. All tiers must agree.
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "text/json.h"

static void hex(struct buf *out, struct slice s)
{
    for (size_t i = 0; i < s.len; i++)
        buf_printf(out, "%02x", (unsigned char)s.ptr[i]);
}

struct echo {
    struct json j;
    struct arena arena;
    struct buf account, written;
};

static void number(struct echo *e, uint32_t token)
{
    double d = 0;
    uint64_t u = 0, bits;
    enum result rd = json_double(&e->j, token, &d), ru = json_u64(&e->j, token, &u);
    memcpy(&bits, &d, 8);
    buf_printf(&e->account, "n%.*s|", SLICE_FMT(json_raw(&e->j, token)));
    if (rd)
        buf_cstr(&e->account, result_name(rd));
    else
        buf_printf(&e->account, "%016" PRIx64, bits);
    if (ru)
        buf_printf(&e->account, "|%s", result_name(ru));
    else
        buf_printf(&e->account, "|%" PRIu64, u);
    json_write_double(&e->written, d);
}

static void value(struct echo *e, uint32_t token)
{
    uint32_t at = 0, key, next;
    enum json_type type = json_type(&e->j, token);
    bool first = true;
    struct slice s;
    switch (type) {
    case JSON_OBJECT:
    case JSON_ARRAY:
        buf_byte(&e->account, type == JSON_OBJECT ? '{' : '[');
        buf_byte(&e->written, type == JSON_OBJECT ? '{' : '[');
        while (type == JSON_OBJECT ? json_member(&e->j, token, &at, &key, &next)
                                   : json_element(&e->j, token, &at, &next)) {
            if (!first)
                buf_byte(&e->written, ',');
            first = false;
            if (type == JSON_OBJECT) {
                value(e, key);
                buf_byte(&e->account, ':');
                buf_byte(&e->written, ':');
            }
            value(e, next);
            buf_byte(&e->account, ',');
        }
        buf_byte(&e->account, type == JSON_OBJECT ? '}' : ']');
        buf_byte(&e->written, type == JSON_OBJECT ? '}' : ']');
        break;
    case JSON_STRING:
        s = json_string(&e->j, token, &e->arena);
        buf_byte(&e->account, 's');
        hex(&e->account, s);
        json_write_string(&e->written, s);
        break;
    case JSON_NUMBER:
        number(e, token);
        break;
    default:
        buf_add(&e->account, json_raw(&e->j, token));
        buf_add(&e->written, json_raw(&e->j, token));
    }
}

static void echo(struct echo *e, struct slice text)
{
    enum result first = RESULT_COUNT_;
    uint32_t error_at = 0;
    for (int tier = 0; tier <= JSON_TIER_BEST; tier++) {
        if (json_force_tier((enum json_tier)tier))
            continue;
        arena_reset(&e->arena);
        enum result r = json_parse(&e->j, text, &json_limits_default, &e->arena);
        if (first != RESULT_COUNT_ && (r != first || e->j.error_at != error_at)) {
            puts("tiers differ");
            return;
        }
        first = r;
        error_at = e->j.error_at;
    }
    if (first) {
        printf("reject %s %" PRIu32 "\n", result_name(first), error_at);
        return;
    }
    struct buf line;
    buf_reset(&e->account);
    buf_reset(&e->written);
    value(e, 0);
    buf_init(&line, 64 << 20);
    hex(&line, buf_slice(&e->written));
    printf("accept %.*s %.*s\n", SLICE_FMT(buf_slice(&e->account)), SLICE_FMT(buf_slice(&line)));
    buf_deinit(&line);
}

int main(void)
{
    struct echo e;
    unsigned char head[4];
    arena_init(&e.arena, 65536, 64 << 20);
    buf_init(&e.account, 64 << 20);
    buf_init(&e.written, 64 << 20);
    while (fread(head, 1, 4, stdin) == 4) {
        size_t len = head[0] | (size_t)head[1] << 8 | (size_t)head[2] << 16 | (size_t)head[3] << 24;
        char *text = malloc(len ? len : 1);
        if (!text || fread(text, 1, len, stdin) != len)
            return 2;
        echo(&e, slice_make(text, len));
        free(text);
    }
    arena_deinit(&e.arena);
    buf_deinit(&e.account);
    buf_deinit(&e.written);
    return 0;
}
