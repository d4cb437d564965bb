#include "sim/wire.h"

static uint32_t completion_tok(const struct sim_wire *w)
{
    uint32_t n = 0;
    for (uint32_t i = 0; i < w->request->choices; i++)
        n += w->answers[i].count;
    return n;
}

static void usage(const struct sim_wire *w, struct buf *out)
{
    uint32_t in = w->request->prompt_tok, n = completion_tok(w);
    buf_printf(out,
               "\"usage\":{\"prompt_tokens\":%u,\"completion_tokens\":%u,\"total_tokens\":%u,"
               "\"prompt_tokens_details\":{\"cached_tokens\":%u},\"completion_tokens_details\":{"
               "\"reasoning_tokens\":0}}",
               in, n, in + n, w->cached_tok);
}

static void head(const struct sim_wire *w, const char *object, struct buf *out)
{
    buf_printf(out,
               "{\"id\":\"%.*s\",\"object\":\"%s\",\"created\":%llu,\"model\":", SLICE_FMT(w->id),
               object, (unsigned long long)w->created_s);
    json_write_string(out, w->model);
    BUF_LIT(out, ",\"system_fingerprint\":\"fp_simulated\",");
}

// The same for one token: made up, but of the right shape.
static void logprob(struct slice token, struct buf *out)
{
    BUF_LIT(out, "{\"token\":");
    json_write_string(out, token);
    BUF_LIT(out, ",\"logprob\":-0.25,\"bytes\":[");
    for (size_t i = 0; i < token.len; i++)
        buf_printf(out, "%s%u", i ? "," : "", (unsigned char)token.ptr[i]);
    BUF_LIT(out, "],\"top_logprobs\":[]}");
}

static void logprobs(const struct sim_wire *w, const struct slice *tokens, uint32_t count,
                     struct buf *out)
{
    if (!w->request->logprobs) {
        BUF_LIT(out, "\"logprobs\":null");
        return;
    }
    BUF_LIT(out, "\"logprobs\":{\"content\":[");
    for (uint32_t i = 0; i < count; i++) {
        if (i)
            buf_byte(out, ',');
        logprob(tokens[i], out);
    }
    BUF_LIT(out, "],\"refusal\":null}");
}

// The tokens of an answer are neighbours in memory.
static struct slice whole_text(const struct sim_answer *a)
{
    if (!a->count)
        return SLICE("");
    const struct slice *last = a->tokens + a->count - 1;
    return slice_make(a->tokens->ptr, (size_t)(last->ptr + last->len - a->tokens->ptr));
}

static void call_head(const struct sim_wire *w, uint32_t choice, struct buf *out)
{
    buf_printf(out, "\"id\":\"call_sim_%llu_%u\",\"type\":\"function\",\"function\":{\"name\":",
               (unsigned long long)w->serial, choice);
    json_write_string(out, w->request->tool);
    BUF_LIT(out, ",\"arguments\":");
}

void sim_wire_completion(const struct sim_wire *w, struct buf *out)
{
    head(w, "chat.completion", out);
    BUF_LIT(out, "\"choices\":[");
    for (uint32_t i = 0; i < w->request->choices; i++) {
        const struct sim_answer *a = w->answers + i;
        buf_printf(out,
                   "%s{\"index\":%u,\"message\":{\"role\":\"assistant\",\"content\":", i ? "," : "",
                   i);
        if (a->tool_call) {
            BUF_LIT(out, "null,\"tool_calls\":[{");
            call_head(w, i, out);
            json_write_string(out, whole_text(a));
            BUF_LIT(out, "}}]");
        } else {
            json_write_string(out, whole_text(a));
        }
        BUF_LIT(out, ",\"refusal\":null},");
        logprobs(w, a->tokens, a->tool_call ? 0 : a->count, out);
        buf_printf(out, ",\"finish_reason\":\"%s\"}", a->finish);
    }
    BUF_LIT(out, "]");
    if (!w->no_usage) {
        buf_byte(out, ',');
        usage(w, out);
    }
    BUF_LIT(out, "}");
}

static void delta(const struct sim_wire *w, const struct sim_cursor *at, struct buf *out)
{
    const struct sim_answer *a = w->answers + at->choice;
    if (at->phase == SIM_AT_ROLE) {
        BUF_LIT(out, "{\"role\":\"assistant\",\"content\":");
        if (!a->tool_call) {
            BUF_LIT(out, "\"\",\"refusal\":null}");
            return;
        }
        BUF_LIT(out, "null,\"tool_calls\":[{\"index\":0,");
        call_head(w, at->choice, out);
        BUF_LIT(out, "\"\"}}]}");
    } else if (at->phase == SIM_AT_TOKEN) {
        buf_cstr(out, a->tool_call ? "{\"tool_calls\":[{\"index\":0,\"function\":{\"arguments\":"
                                   : "{\"content\":");
        json_write_string(out, a->tokens[at->token]);
        buf_cstr(out, a->tool_call ? "}}]}" : "}");
    } else {
        BUF_LIT(out, "{}");
    }
}

static void chunk(const struct sim_wire *w, const struct sim_cursor *at, struct buf *out)
{
    const struct sim_answer *a = w->answers + at->choice;
    bool has_token = at->phase == SIM_AT_TOKEN && !a->tool_call;
    BUF_LIT(out, "data: ");
    head(w, "chat.completion.chunk", out);
    buf_printf(out, "\"choices\":[{\"index\":%u,\"delta\":", at->choice);
    delta(w, at, out);
    buf_byte(out, ',');
    if (has_token)
        logprobs(w, a->tokens + at->token, 1, out);
    else
        BUF_LIT(out, "\"logprobs\":null");
    if (at->phase == SIM_AT_FINISH)
        buf_printf(out, ",\"finish_reason\":\"%s\"}]", a->finish);
    else
        BUF_LIT(out, ",\"finish_reason\":null}]");
    if (w->request->usage && !w->no_usage)
        BUF_LIT(out, ",\"usage\":null");
    BUF_LIT(out, "}\n\n");
}

// The next choice that still has this token; else the next token's first.
static bool next_token(const struct sim_wire *w, struct sim_cursor *at)
{
    uint32_t longest = 0;
    for (uint32_t i = 0; i < w->request->choices; i++)
        longest = w->answers[i].count > longest ? w->answers[i].count : longest;
    for (; at->token < longest; at->token++, at->choice = 0) {
        for (; at->choice < w->request->choices; at->choice++) {
            if (at->token < w->answers[at->choice].count)
                return true;
        }
    }
    at->choice = 0;
    return false;
}

bool sim_wire_event(const struct sim_wire *w, struct sim_cursor *at, struct buf *out)
{
    if (at->phase == SIM_AT_TOKEN && !next_token(w, at))
        at->phase = SIM_AT_FINISH;
    if (at->phase == SIM_AT_USAGE && (!w->request->usage || w->no_usage))
        at->phase = SIM_AT_DONE;
    switch (at->phase) {
    case SIM_AT_ROLE:
    case SIM_AT_FINISH:
        chunk(w, at, out);
        if (++at->choice == w->request->choices) {
            at->choice = 0;
            at->phase = at->phase == SIM_AT_ROLE ? SIM_AT_TOKEN : SIM_AT_USAGE;
        }
        return true;
    case SIM_AT_TOKEN:
        chunk(w, at, out);
        at->choice++;
        return true;
    case SIM_AT_USAGE:
        BUF_LIT(out, "data: ");
        head(w, "chat.completion.chunk", out);
        BUF_LIT(out, "\"choices\":[],");
        usage(w, out);
        BUF_LIT(out, "}\n\n");
        at->phase = SIM_AT_DONE;
        return true;
    case SIM_AT_DONE:
        BUF_LIT(out, "data: [DONE]\n\n");
        at->phase = SIM_AT_END;
        return true;
    default:
        return false;
    }
}

static void string_or_null(const char *s, struct buf *out)
{
    if (s)
        json_write_string(out, slice_cstr(s));
    else
        BUF_LIT(out, "null");
}

void sim_wire_error(const struct sim_error *e, struct buf *out)
{
    BUF_LIT(out, "{\"error\":{\"message\":");
    json_write_string(out, e->message);
    BUF_LIT(out, ",\"type\":");
    string_or_null(e->type, out);
    BUF_LIT(out, ",\"param\":");
    string_or_null(e->param, out);
    BUF_LIT(out, ",\"code\":");
    string_or_null(e->code, out);
    BUF_LIT(out, "}}");
}

void sim_wire_model(struct slice name, struct buf *out)
{
    const struct sim_profile *p = sim_profile_for(name);
    BUF_LIT(out, "{\"id\":");
    json_write_string(out, name);
    buf_printf(
        out,
        ",\"object\":\"model\",\"created\":0,\"owned_by\":\"simulated\",\"context_window\":%u}",
        p->context_tok);
}
