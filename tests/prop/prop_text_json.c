// text/json beside a recursive reader written straight from the grammar of RFC 8259: random documents, whole and
// mutated, are accepted by both or by none, in every tier, and read the same. Random edits beside a naive writer.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/rng.h"
#include "text/json.h"

enum { TEXT_MAX = 4096, DEPTH_MAX = 12 };

// A reader that appends what it understood to `out`: types, decoded strings, raw numbers.
struct naive {
    const unsigned char *p, *end;
    struct buf *out;
    int depth;
};

static bool naive_value(struct naive *n);

static void naive_space(struct naive *n)
{
    while (n->p < n->end && strchr(" \t\r\n", *n->p) && *n->p)
        n->p++;
}

static bool naive_take(struct naive *n, const char *word)
{
    size_t len = strlen(word);
    if ((size_t)(n->end - n->p) < len || memcmp(n->p, word, len))
        return false;
    n->p += len;
    return true;
}

static bool naive_hex(struct naive *n, uint32_t *code)
{
    char digits[5] = "";
    if (n->end - n->p < 4)
        return false;
    for (int i = 0; i < 4; i++) {
        digits[i] = (char)n->p[i];
        if (!n->p[i] || !strchr("0123456789abcdefABCDEF", n->p[i]))
            return false;
    }
    *code = (uint32_t)strtoul(digits, NULL, 16);
    n->p += 4;
    return true;
}

static void put(struct buf *b, uint32_t code)
{
    if (code < 0x80) {
        buf_byte(b, (char)code);
        return;
    }
    int more = code < 0x800 ? 1 : code < 0x10000 ? 2 : 3;
    static const unsigned char lead[] = {0, 0xc0, 0xe0, 0xf0};
    buf_byte(b, (char)(lead[more] | code >> (6 * more)));
    while (more-- > 0)
        buf_byte(b, (char)(0x80 | (code >> (6 * more) & 0x3f)));
}

static bool naive_escape(struct naive *n)
{
    static const char names[] = "\"\\/bfnrt", values[] = "\"\\/\b\f\n\r\t";
    if (n->p == n->end)
        return false;
    unsigned char c = *n->p++;
    const char *at = c ? strchr(names, c) : NULL;
    if (at) {
        buf_byte(n->out, values[at - names]);
        return true;
    }
    uint32_t code, low;
    if (c != 'u' || !naive_hex(n, &code) || (code >= 0xdc00 && code <= 0xdfff))
        return false;
    if (code >= 0xd800 && code <= 0xdbff) {
        if (!naive_take(n, "\\u") || !naive_hex(n, &low) || low < 0xdc00 || low > 0xdfff)
            return false;
        code = 0x10000 + (code - 0xd800) * 0x400 + (low - 0xdc00);
    }
    put(n->out, code);
    return true;
}

static bool naive_utf8(struct naive *n)
{
    // The first byte's range decides how many follow and the range of the next one.
    static const unsigned char rows[][4] = {
        {0xc2, 0xdf, 0x80, 0xbf}, {0xe0, 0xe0, 0xa0, 0xbf}, {0xe1, 0xec, 0x80, 0xbf},
        {0xed, 0xed, 0x80, 0x9f}, {0xee, 0xef, 0x80, 0xbf}, {0xf0, 0xf0, 0x90, 0xbf},
        {0xf1, 0xf3, 0x80, 0xbf}, {0xf4, 0xf4, 0x80, 0x8f},
    };
    for (size_t i = 0; i < MERIT_COUNT(rows); i++) {
        if (*n->p < rows[i][0] || *n->p > rows[i][1])
            continue;
        int len = rows[i][0] >= 0xf0 ? 4 : rows[i][0] >= 0xe0 ? 3 : 2;
        if (n->end - n->p < len || n->p[1] < rows[i][2] || n->p[1] > rows[i][3])
            return false;
        for (int k = 2; k < len; k++) {
            if (n->p[k] < 0x80 || n->p[k] > 0xbf)
                return false;
        }
        buf_append(n->out, n->p, (size_t)len);
        n->p += len;
        return true;
    }
    return false;
}

static bool naive_string(struct naive *n)
{
    if (!naive_take(n, "\""))
        return false;
    BUF_LIT(n->out, "<");
    while (n->p < n->end && *n->p != '"') {
        bool ok = true;
        if (*n->p == '\\') {
            n->p++;
            ok = naive_escape(n);
        } else if (*n->p >= 0x80) {
            ok = naive_utf8(n);
        } else if (*n->p < 0x20) {
            ok = false;
        } else {
            buf_byte(n->out, (char)*n->p++);
        }
        if (!ok)
            return false;
    }
    BUF_LIT(n->out, ">");
    return naive_take(n, "\"");
}

static bool naive_digits(struct naive *n)
{
    const unsigned char *first = n->p;
    while (n->p < n->end && *n->p >= '0' && *n->p <= '9')
        n->p++;
    return n->p > first;
}

static bool naive_number(struct naive *n)
{
    const unsigned char *first = n->p;
    naive_take(n, "-");
    if (!naive_take(n, "0") && !naive_digits(n))
        return false;
    if (naive_take(n, ".") && !naive_digits(n))
        return false;
    if (naive_take(n, "e") || naive_take(n, "E")) {
        if (!naive_take(n, "+"))
            naive_take(n, "-");
        if (!naive_digits(n))
            return false;
    }
    buf_append(n->out, first, (size_t)(n->p - first));
    return true;
}

static bool naive_container(struct naive *n, bool object)
{
    const char *close = object ? "}" : "]";
    n->p++;
    if (++n->depth > DEPTH_MAX)
        return false;
    buf_byte(n->out, object ? '{' : '[');
    naive_space(n);
    bool first = true;
    while (!naive_take(n, close)) {
        if (!first && !naive_take(n, ","))
            return false;
        naive_space(n);
        if (object) {
            if (!naive_string(n))
                return false;
            naive_space(n);
            if (!naive_take(n, ":"))
                return false;
        }
        if (!naive_value(n))
            return false;
        buf_byte(n->out, ',');
        first = false;
    }
    buf_byte(n->out, close[0]);
    n->depth--;
    return true;
}

static bool naive_value(struct naive *n)
{
    naive_space(n);
    if (n->p == n->end)
        return false;
    unsigned char c = *n->p;
    bool ok = false;
    if (c == '{' || c == '[')
        ok = naive_container(n, c == '{');
    else if (c == '"')
        ok = naive_string(n);
    else if (c == '-' || (c >= '0' && c <= '9'))
        ok = naive_number(n);
    static const char *const words[] = {"true", "false", "null"};
    for (size_t i = 0; i < 3; i++) {
        if (c == words[i][0] && (ok = naive_take(n, words[i])))
            buf_cstr(n->out, words[i]);
    }
    naive_space(n);
    return ok;
}

static bool naive_read(struct slice text, struct buf *out)
{
    struct naive n = {(const unsigned char *)text.ptr, (const unsigned char *)text.ptr + text.len,
                      out, 0};
    buf_reset(out);
    return naive_value(&n) && n.p == n.end;
}

// The same account of a tape.
static void tell(const struct json *j, uint32_t token, struct buf *out, struct arena *arena)
{
    uint32_t at = 0, key, value;
    switch (json_type(j, token)) {
    case JSON_OBJECT:
        buf_byte(out, '{');
        while (json_member(j, token, &at, &key, &value)) {
            assert_true(j->tokens[key].is_key && !j->tokens[value].is_key);
            tell(j, key, out, arena);
            tell(j, value, out, arena);
            buf_byte(out, ',');
        }
        buf_byte(out, '}');
        break;
    case JSON_ARRAY:
        buf_byte(out, '[');
        while (json_element(j, token, &at, &value)) {
            tell(j, value, out, arena);
            buf_byte(out, ',');
        }
        buf_byte(out, ']');
        break;
    case JSON_STRING:
        BUF_LIT(out, "<");
        buf_add(out, json_string(j, token, arena));
        BUF_LIT(out, ">");
        break;
    default:
        buf_add(out, json_raw(j, token));
    }
}

static void random_string(struct rng *r, struct buf *b)
{
    static const char *const parts[] = {
        "a",
        "model",
        " ",
        "\\n",
        "\\\"",
        "\\\\",
        "\\u00e9",
        "\\ud83d\\ude00",
        "\\u0000",
        "\xc3\xa9",
        "\xe4\xb8\xad",
        "\xf0\x9f\x98\x80",
        "\\/",
        "a longer run of plain text, beyond one block of bytes",
        "\x7f",
        "x",
        "\\u001F",
        "{\\\"a\\\":1}",
    };
    buf_byte(b, '"');
    for (uint64_t n = rng_below(r, 8); n > 0; n--)
        buf_cstr(b, parts[rng_below(r, MERIT_COUNT(parts))]);
    buf_byte(b, '"');
}

static void random_space(struct rng *r, struct buf *b)
{
    static const char *const spaces[] = {"", "", "", " ", "\n", "\t", "\r\n", "            "};
    buf_cstr(b, spaces[rng_below(r, MERIT_COUNT(spaces))]);
}

static void random_value(struct rng *r, struct buf *b, int depth)
{
    static const char *const scalars[] = {
        "0",  "-1", "3.25", "1e9", "-0.5E-3", "true", "false", "null", "12345678901234567890",
        "0.1"};
    random_space(r, b);
    uint64_t kind = rng_below(r, depth >= 6 || b->len > TEXT_MAX / 2 ? 2 : 5);
    if (kind == 0) {
        random_string(r, b);
    } else if (kind == 1) {
        buf_cstr(b, scalars[rng_below(r, MERIT_COUNT(scalars))]);
    } else {
        bool object = kind < 4;
        buf_byte(b, object ? '{' : '[');
        for (uint64_t n = rng_below(r, 6), i = 0; i < n; i++) {
            if (i)
                buf_byte(b, ',');
            random_space(r, b);
            if (object) {
                random_string(r, b);
                random_space(r, b);
                buf_byte(b, ':');
            }
            random_value(r, b, depth + 1);
        }
        random_space(r, b);
        buf_byte(b, object ? '}' : ']');
    }
    random_space(r, b);
}

static void mutate(struct rng *r, struct buf *b)
{
    static const char bytes[] =
        "\"\\{}[]:,0123456789.eE+-truefalsnu \n\t\x01\x7f\x80\xc3\xed\xf4\xff";
    for (uint64_t n = 1 + rng_below(r, 3); n > 0 && b->len; n--) {
        size_t at = rng_below(r, b->len);
        switch (rng_below(r, 4)) {
        case 0:
            b->ptr[at] = bytes[rng_below(r, sizeof bytes)];
            break;
        case 1:
            memmove(b->ptr + at, b->ptr + at + 1, b->len - at - 1);
            b->len--;
            break;
        case 2:
            b->len = at;
            break;
        default:
            buf_byte(b, 0);
            memmove(b->ptr + at + 1, b->ptr + at, b->len - at - 1);
            b->ptr[at] = bytes[rng_below(r, sizeof bytes)];
        }
    }
}

static void readers_agree(void **state)
{
    (void)state;
    static const struct json_limits limits = {DEPTH_MAX, 100000};
    struct rng r;
    struct buf doc, want, got;
    struct arena a;
    unsigned accepted = 0, rejected = 0;
    rng_seed(&r, 21);
    buf_init(&doc, 1 << 20);
    buf_init(&want, 1 << 20);
    buf_init(&got, 1 << 20);
    arena_init(&a, 65536, 16 << 20);
    for (int round = 0; round < 15000; round++) {
        buf_reset(&doc);
        random_value(&r, &doc, 0);
        if (round % 3)
            mutate(&r, &doc);
        char *copy = malloc(doc.len ? doc.len : 1);
        memcpy(copy, doc.ptr, doc.len);
        struct slice text = slice_make(copy, doc.len);
        bool ok = naive_read(text, &want);
        uint32_t error_at = 0;
        for (int tier = 0; tier <= JSON_TIER_BEST; tier++) {
            if (json_force_tier((enum json_tier)tier))
                continue;
            struct json j;
            arena_reset(&a);
            enum result result = json_parse(&j, text, &limits, &a);
            if (ok != !result)
                fail_msg("%s: %.*s", result_name(result), SLICE_FMT(text));
            if (tier && result)
                assert_int_equal(j.error_at, error_at);
            error_at = j.error_at;
            assert_true(error_at <= text.len);
            if (result)
                continue;
            buf_reset(&got);
            tell(&j, 0, &got, &a);
            assert_int_equal(j.tokens[0].next, j.count);
            assert_true(slice_eq(buf_slice(&got), buf_slice(&want)));
        }
        accepted += ok;
        rejected += !ok;
        free(copy);
    }
    json_force_tier(JSON_TIER_BEST);
    assert_true(accepted > 4000 && rejected > 4000);
    arena_deinit(&a);
    buf_deinit(&doc);
    buf_deinit(&want);
    buf_deinit(&got);
}

enum { KEEP, REPLACED, REMOVED };

// What shall become of each token; `added` counts the members put in front of an object.
struct plan {
    uint8_t fate[TEXT_MAX], added[TEXT_MAX];
};

// The document without white space, under a plan (NULL: as it is).
static void emit(const struct json *j, uint32_t token, const struct plan *plan, struct buf *out)
{
    static const struct plan none;
    const struct plan *p = plan ? plan : &none;
    uint32_t at = 0, key, value;
    bool object = json_type(j, token) == JSON_OBJECT, first = true;
    if (p->fate[token] == REPLACED) {
        BUF_LIT(out, "[\"new\"]");
        return;
    }
    if (!object && json_type(j, token) != JSON_ARRAY) {
        buf_append(out, j->text.ptr + json_begin(j, token),
                   json_end(j, token) - json_begin(j, token));
        return;
    }
    buf_byte(out, object ? '{' : '[');
    for (unsigned i = 0; i < p->added[token]; i++, first = false)
        buf_printf(out, "%s\"added%u\":%u", first ? "" : ",", i, i);
    while (object ? json_member(j, token, &at, &key, &value)
                  : json_element(j, token, &at, &value)) {
        if (object && p->fate[key] == REMOVED)
            continue;
        if (!first)
            buf_byte(out, ',');
        first = false;
        if (object) {
            emit(j, key, NULL, out);
            buf_byte(out, ':');
        }
        emit(j, value, plan, out);
    }
    buf_byte(out, object ? '}' : ']');
}

// Plans random edits below `token` and makes them; nothing is planned inside what goes.
static void plan_edits(struct rng *r, const struct json *j, uint32_t token, struct plan *plan,
                       struct json_edits *edits)
{
    static const struct slice members[] = {SLICE("\"added0\":0"), SLICE("\"added1\":1")};
    uint32_t at = 0, key, value;
    bool object = json_type(j, token) == JSON_OBJECT;
    if (!object && json_type(j, token) != JSON_ARRAY)
        return;
    unsigned adds = object && rng_below(r, 3) == 0 ? 1 + (unsigned)rng_below(r, 2) : 0;
    bool early = rng_below(r, 2);
    for (unsigned i = 0; early && i < adds; i++)
        plan->added[token] += json_edit_member(edits, j, token, members[i]) == RESULT_OK;
    while (object ? json_member(j, token, &at, &key, &value)
                  : json_element(j, token, &at, &value)) {
        uint64_t choice = rng_below(r, 5);
        if (choice < 2 && object && json_edit_remove(edits, j, token, key) == RESULT_OK)
            plan->fate[key] = REMOVED;
        else if (choice == 2 && json_edit_value(edits, j, value, SLICE("[\"new\"]")) == RESULT_OK)
            plan->fate[value] = REPLACED;
        else
            plan_edits(r, j, value, plan, edits);
    }
    for (unsigned i = 0; !early && i < adds; i++)
        plan->added[token] += json_edit_member(edits, j, token, members[i]) == RESULT_OK;
}

static void edits_equal_a_naive_writer(void **state)
{
    (void)state;
    struct rng r;
    struct buf doc, want, edited, got;
    struct arena a;
    unsigned made = 0;
    rng_seed(&r, 22);
    buf_init(&doc, 1 << 20);
    buf_init(&want, 1 << 20);
    buf_init(&edited, 1 << 20);
    buf_init(&got, 1 << 20);
    arena_init(&a, 65536, 16 << 20);
    for (int round = 0; round < 8000; round++) {
        static struct plan plan;
        struct json j, after;
        struct json_edits edits;
        struct slice pieces[2 * JSON_EDITS_MAX + 1];
        uint64_t total;
        buf_reset(&doc);
        random_value(&r, &doc, 0);
        arena_reset(&a);
        assert_int_equal(json_parse(&j, buf_slice(&doc), &json_limits_default, &a), RESULT_OK);
        if (j.count > TEXT_MAX)
            continue;
        memset(&plan, 0, sizeof plan);
        json_edits_init(&edits);
        plan_edits(&r, &j, 0, &plan, &edits);
        made += edits.count;
        buf_reset(&want);
        emit(&j, 0, &plan, &want);
        buf_reset(&edited);
        uint32_t n = json_edit_pieces(&edits, j.text, pieces, &total);
        assert_true(n <= 2 * JSON_EDITS_MAX + 1);
        for (uint32_t i = 0; i < n; i++)
            buf_add(&edited, pieces[i]);
        assert_int_equal(edited.len, total);
        if (json_parse(&after, buf_slice(&edited), &json_limits_default, &a))
            fail_msg("broken: %.*s\nfrom %.*s", SLICE_FMT(buf_slice(&edited)), SLICE_FMT(j.text));
        buf_reset(&got);
        emit(&after, 0, NULL, &got);
        if (!slice_eq(buf_slice(&got), buf_slice(&want)))
            fail_msg("%.*s, not %.*s", SLICE_FMT(buf_slice(&got)), SLICE_FMT(buf_slice(&want)));
    }
    assert_true(made > 8000);
    arena_deinit(&a);
    buf_deinit(&doc);
    buf_deinit(&want);
    buf_deinit(&edited);
    buf_deinit(&got);
}

static void what_is_written_reads_back(void **state)
{
    (void)state;
    struct rng r;
    struct buf out;
    struct arena a;
    rng_seed(&r, 23);
    buf_init(&out, 1 << 20);
    arena_init(&a, 65536, 1 << 20);
    for (int round = 0; round < 20000; round++) {
        char text[200];
        size_t len = rng_below(&r, sizeof text);
        unsigned odd = 1 + (unsigned)rng_below(&r, 40);
        for (size_t i = 0; i < len; i++)
            text[i] = (char)(rng_below(&r, odd) ? 'a' + rng_below(&r, 26) : rng_below(&r, 128));
        for (int tier = 0; tier <= JSON_TIER_BEST; tier++) {
            if (json_force_tier((enum json_tier)tier))
                continue;
            struct json j;
            buf_reset(&out);
            json_write_string(&out, slice_make(text, len));
            arena_reset(&a);
            assert_int_equal(json_parse(&j, buf_slice(&out), &json_limits_default, &a), RESULT_OK);
            struct slice back = json_string(&j, 0, &a);
            assert_true(slice_eq(back, slice_make(text, len)));
            assert_true(json_string_is(&j, 0, back));
            uint32_t at = (uint32_t)rng_below(&r, len + 1),
                     raw = json_raw_offset(json_raw(&j, 0), at);
            // From that place on, the raw text decodes to the rest.
            struct json rest;
            arena_reset(&a);
            buf_reset(&out);
            json_write_string(&out, slice_make(text, len));
            out.ptr[raw] = '"';
            assert_int_equal(
                json_parse(&rest, slice_from(buf_slice(&out), raw), &json_limits_default, &a),
                RESULT_OK);
            assert_true(json_string_is(&rest, 0, slice_make(text + at, len - at)));
        }
    }
    json_force_tier(JSON_TIER_BEST);
    arena_deinit(&a);
    buf_deinit(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(readers_agree),
        cmocka_unit_test(edits_equal_a_naive_writer),
        cmocka_unit_test(what_is_written_reads_back),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
