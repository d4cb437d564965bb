// conversation: the shape of the conversation.
//
//   conversation(user | assistant | system | developer | tool)  messages of that role; number
//   conversation(messages)          all messages
//   conversation(turns)             user messages that a person wrote, not agents' lines
//   conversation(tool_calls)        calls that assistant messages ask for
//   conversation(tool_cycles)       assistant messages with calls that have a tool result behind
//                                   them, before the next assistant message
//   conversation(active_tool_loop)  bool: behind the anchor an assistant message asked for tools
//                                   and no assistant message without calls came after it
//
// Asks: the list of messages. Costs: one pass over it, a nanosecond each; at most WORK_MESSAGES_MAX
// of them. Evidence: none (places are in texts). Limits: none of its own; cannot fail.
#include "signal/families.h"

enum kind {
    USER,
    ASSISTANT,
    SYSTEM,
    DEVELOPER,
    TOOL,
    MESSAGES,
    TURNS,
    TOOL_CALLS,
    TOOL_CYCLES,
    ACTIVE_TOOL_LOOP,
};

static const char *const kinds[] = {"user",        "assistant",        "system", "developer",
                                    "tool",        "messages",         "turns",  "tool_calls",
                                    "tool_cycles", "active_tool_loop", NULL};

static const struct signal_arg_spec args[] = {
    {.kind = SIGNAL_ARG_WORD, .words = kinds, .required = true, .help = "what is counted"},
};

static enum kind kind_of(const struct policy_image *image, const struct image_signal *def)
{
    int i = signal_word_index(kinds, signal_arg_word(image, def));
    return i < 0 ? MESSAGES : (enum kind)i;
}

static enum signal_type type(const struct policy_image *image, const struct image_signal *def)
{
    return kind_of(image, def) == ACTIVE_TOOL_LOOP ? SIGNAL_BOOL : SIGNAL_NUMBER;
}

static enum result prepare(const struct policy_image *image, const struct image_signal *def,
                           struct arena *arena, const struct signal_load *load, void **state)
{
    (void)load;
    enum kind *kind = ARENA_NEW(arena, enum kind);
    if (!kind)
        return RESULT_NOMEM;
    *kind = kind_of(image, def);
    *state = kind;
    return RESULT_OK;
}

static uint32_t count_role(const struct work *w, enum work_role role)
{
    uint32_t n = 0;
    for (uint32_t i = 0; i < w->message_count; i++)
        n += w->messages[i].role == role;
    return n;
}

static uint32_t count_turns(const struct work *w)
{
    uint32_t n = 0;
    for (uint32_t i = 0; i < w->message_count; i++)
        n += w->messages[i].role == WORK_USER && !w->messages[i].synthetic;
    return n;
}

static uint32_t count_calls(const struct work *w)
{
    uint32_t n = 0;
    for (uint32_t i = 0; i < w->message_count; i++)
        n += w->messages[i].role == WORK_ASSISTANT ? w->messages[i].tool_calls : 0;
    return n;
}

static uint32_t count_cycles(const struct work *w)
{
    uint32_t n = 0;
    bool open = false;
    for (uint32_t i = 0; i < w->message_count; i++) {
        const struct work_message *m = &w->messages[i];
        if (m->role == WORK_ASSISTANT) {
            open = m->tool_calls > 0;
        } else if (m->role == WORK_TOOL && open) {
            n++;
            open = false;
        }
    }
    return n;
}

static bool in_tool_loop(const struct work *w)
{
    uint32_t from = w->anchor == WORK_NO_ANCHOR ? 0 : w->anchor;
    for (uint32_t i = w->message_count; i > from; i--)
        if (w->messages[i - 1].role == WORK_ASSISTANT)
            return w->messages[i - 1].tool_calls > 0;
    return false;
}

static enum result compute(const void *state, struct signal_context *ctx, struct fact *out)
{
    const struct work *w = ctx->work;
    double n = 0;
    switch (*(const enum kind *)state) {
    case USER:
        n = count_role(w, WORK_USER);
        break;
    case ASSISTANT:
        n = count_role(w, WORK_ASSISTANT);
        break;
    case SYSTEM:
        n = count_role(w, WORK_SYSTEM);
        break;
    case DEVELOPER:
        n = count_role(w, WORK_DEVELOPER);
        break;
    case TOOL:
        n = count_role(w, WORK_TOOL);
        break;
    case MESSAGES:
        n = w->message_count;
        break;
    case TURNS:
        n = count_turns(w);
        break;
    case TOOL_CALLS:
        n = count_calls(w);
        break;
    case TOOL_CYCLES:
        n = count_cycles(w);
        break;
    case ACTIVE_TOOL_LOOP:
        n = in_tool_loop(w);
        break;
    }
    signal_fact_number(out, n);
    return RESULT_OK;
}

const struct signal_family signal_conversation = {
    .name = "conversation",
    .whole = true,
    .summary = "counts of messages, turns and tool use",
    .cost = SIGNAL_COST_FREE,
    .args = args,
    .arg_count = MERIT_COUNT(args),
    .type = type,
    .prepare = prepare,
    .compute = compute,
};
