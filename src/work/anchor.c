#include "work/anchor.h"

#include "base/hash.h"

enum {
    REMEMBERED = 8, // different messages behind tool results that later ones are compared with
    SUFFIX_LINES_MAX = 4,
};

// How continuation lines of known agents begin. Each stands for a family of lines that only differ
// in what follows.
static const char *const continuations[] = {
    "Continue from the tool evidence.",
    "Continue the same Elephant Agent turn using",
};

static bool is_space(char c)
{
    return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

static struct slice trim_end(struct slice s)
{
    while (s.len > 0 && is_space(s.ptr[s.len - 1]))
        s.len--;
    return s;
}

static bool is_suffix_char(char c)
{
    bool alnum = (unsigned char)(c - '0') < 10 || (unsigned char)((c | 32) - 'a') < 26;
    return alnum || (c != '\0' && strchr(" .,:+-/", c));
}

// "[Time: ...]" and the like.
static bool is_volatile_line(struct slice line)
{
    static const char *const words[] = {"time", "date", "timestamp", "current time",
                                        "current date"};
    if (line.len < 3 || line.len > ANCHOR_SUFFIX_MAX || line.ptr[0] != '[' ||
        line.ptr[line.len - 1] != ']')
        return false;
    struct slice rest = slice_make(line.ptr + 1, line.len - 2), word;
    bool colon = memchr(rest.ptr, ':', rest.len) != NULL;
    if (!colon || !slice_split(&rest, ':', &word))
        return false;
    bool known = false;
    for (size_t i = 0; i < MERIT_COUNT(words); i++)
        known |= slice_ieq(word, slice_cstr(words[i]));
    for (size_t i = 0; i < rest.len; i++)
        known &= is_suffix_char(rest.ptr[i]);
    return known;
}

struct slice work_anchor_text(struct slice text)
{
    struct slice s = trim_end(text);
    for (int lines = 0; lines < SUFFIX_LINES_MAX && s.len > 0 && s.ptr[s.len - 1] == ']'; lines++) {
        const char *nl = memrchr(s.ptr, '\n', s.len);
        size_t from = nl ? (size_t)(nl - s.ptr) + 1 : 0;
        struct slice line = slice_from(s, from);
        while (line.len && (line.ptr[0] == ' ' || line.ptr[0] == '\t'))
            line = slice_from(line, 1);
        if (!is_volatile_line(line))
            break;
        s = trim_end(slice_head(s, from));
    }
    return s;
}

// What a message says, for telling an agent's line from a person's.
struct content {
    bool blank; // no text and nothing else
    bool text_only;
    bool known_line;
    uint64_t hash;
    size_t len;
};

static bool begins_known_line(struct slice text)
{
    while (text.len && is_space(text.ptr[0]))
        text = slice_from(text, 1);
    for (size_t i = 0; i < MERIT_COUNT(continuations); i++)
        if (text.len <= ANCHOR_LINE_MAX && slice_starts_with(text, slice_cstr(continuations[i])))
            return true;
    return false;
}

static struct content content_of(const struct work_message *m, const struct work_part *parts,
                                 bool behind_tool)
{
    struct content c = {.blank = true, .text_only = true};
    for (uint32_t i = 0; i < m->part_count; i++) {
        const struct work_part *part = &parts[m->part_first + i];
        if (part->kind != WORK_TEXT) {
            c.blank = c.text_only = false;
            continue;
        }
        struct slice text = behind_tool ? work_anchor_text(part->text) : trim_end(part->text);
        if (text.len == 0)
            continue;
        if (c.blank)
            c.known_line = behind_tool && begins_known_line(text);
        c.blank = false;
        c.len += text.len;
        // A person's long text costs its reading once; only lines behind tool results are compared.
        if (behind_tool)
            c.hash = hash_fnv(c.hash, text);
    }
    return c;
}

struct seen {
    uint64_t hash;
    size_t len;
    struct work_message *first;
};

// Whether the same text stood behind a tool result before; then that one was no person's either.
static bool seen_before(struct seen seen[REMEMBERED], uint32_t *count, const struct content *c,
                        struct work_message *m)
{
    for (uint32_t i = 0; i < *count && i < REMEMBERED; i++) {
        if (seen[i].hash != c->hash || seen[i].len != c->len)
            continue;
        seen[i].first->synthetic = true;
        return true;
    }
    seen[(*count)++ % REMEMBERED] = (struct seen){c->hash, c->len, m};
    return false;
}

uint32_t work_anchor(struct work_message *messages, uint32_t message_count,
                     const struct work_part *parts)
{
    struct seen seen[REMEMBERED];
    uint32_t seen_count = 0, first_user = WORK_NO_ANCHOR, anchor = WORK_NO_ANCHOR;
    bool behind_tool = false;
    for (uint32_t i = 0; i < message_count; i++) {
        struct work_message *m = &messages[i];
        m->synthetic = false;
        if (m->role == WORK_TOOL)
            behind_tool = true;
        else if (m->role == WORK_ASSISTANT)
            behind_tool = false;
        if (m->role != WORK_USER)
            continue;
        if (first_user == WORK_NO_ANCHOR)
            first_user = i;
        struct content c = content_of(m, parts, behind_tool);
        m->synthetic = c.blank || (behind_tool && c.text_only &&
                                   (c.known_line || seen_before(seen, &seen_count, &c, m)));
    }
    for (uint32_t i = message_count; i > 0 && anchor == WORK_NO_ANCHOR; i--)
        if (messages[i - 1].role == WORK_USER && !messages[i - 1].synthetic)
            anchor = i - 1;
    return anchor == WORK_NO_ANCHOR ? first_user : anchor;
}
