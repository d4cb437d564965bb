// merit policy prove
#include <stdio.h>

#include "cli/args.h"
#include "cli/commands.h"
#include "cli/policy_session.h"
#include "proof/theorem.h"
#include "proof/trust.h"
#include "signal/registry.h"
#include "text/json.h"

static const char usage[] =
    "usage: merit policy prove FILE [--claim 'prove ...']... [--json]\n"
    "\n"
    "Answers the `prove` statements of a policy for every request there is: proved, refuted with "
    "signal\n"
    "values that show it, or not proved when a limit was reached. The limits count steps, never "
    "time.\n"
    "A proof speaks of requests as they are labelled; what it takes on trust is listed behind it.\n"
    "\n"
    "  --claim TEXT   a statement beside those of the file (several)\n"
    "  --json         {\"proofs\": [{\"line\", \"text\", \"verdict\", \"why\", \"witness\"}], "
    "\"trust\"}\n"
    "\n"
    "  prove no phi reaches zone cloud              nobody there sees it, by any step, alias or "
    "name\n"
    "  prove passes verify when topic == law        no answer is delivered without\n"
    "  prove every path costs at most 0.25 usd, 60 s\n"
    "  prove never attack and vip                   no request is both\n"
    "\n"
    "Exit: 0 all proved, 1 one is refuted or not proved, 2 usage.\n"
    "\n"
    "  merit policy prove clinic.merit\n"
    "  merit policy prove clinic.merit --claim 'prove zone local when data == phi'\n";

struct proofs {
    struct policy_session *session;
    struct buf *out;
    bool json;
    uint32_t told, bad;
};

static void quote(const struct proofs *p, const struct image_theorem *t, struct buf *text)
{
    buf_reset(text);
    policy_session_quote(p->session, t->begin, t->end, text);
}

static void tell_text(struct proofs *p, const struct image_theorem *t,
                      const struct theorem_answer *a, struct buf *text)
{
    static const char *const words[] = {"proved", "refuted", "proved", "not proved"};
    quote(p, t, text);
    buf_printf(p->out, "%-10s  %.*s\n", words[a->verdict], SLICE_FMT(buf_slice(text)));
    if (a->verdict == THEOREM_EMPTY)
        BUF_LIT(p->out, "            of nothing: no request is ever like that\n");
    if (a->why.len)
        buf_printf(p->out, "            %.*s\n", SLICE_FMT(a->why));
    if (a->verdict != THEOREM_REFUTED)
        return;
    BUF_LIT(p->out, "            merit route");
    if (p->session->file)
        buf_printf(p->out, " --policy %s", p->session->file);
    if (a->model.len)
        buf_printf(p->out, " --model '%.*s'", SLICE_FMT(a->model));
    buf_printf(p->out, " --given '%.*s' \"...\"\n", SLICE_FMT(a->witness));
}

static void tell_json(struct proofs *p, const struct image_theorem *t,
                      const struct theorem_answer *a, struct buf *text)
{
    struct buf *o = p->out;
    uint32_t line, column;
    diag_position(buf_slice(&p->session->text), t->begin, &line, &column);
    quote(p, t, text);
    buf_printf(o, "%s\n  {\"line\": %u, \"added\": %s, \"text\": ", p->told ? "," : "", line,
               t->begin >= p->session->own_len ? "true" : "false");
    json_write_string(o, buf_slice(text));
    buf_printf(o, ", \"verdict\": \"%s\"", theorem_verdict_name(a->verdict));
    if (a->why.len) {
        BUF_LIT(o, ", \"why\": ");
        json_write_string(o, a->why);
    }
    if (a->claim >= 0 && t->claims.count > 1)
        buf_printf(o, ", \"claim\": %d", a->claim);
    if (a->verdict == THEOREM_REFUTED) {
        BUF_LIT(o, ", \"witness\": ");
        buf_add(o, a->witness);
        if (a->model.len) {
            BUF_LIT(o, ", \"model\": ");
            json_write_string(o, a->model);
        }
    }
    buf_printf(o, ", \"questions\": %llu}", (unsigned long long)a->questions);
}

static enum result answer_all(struct proofs *p, struct theorem_prover *prover)
{
    const struct policy_image *image = p->session->image;
    const struct image_theorem *t = IMAGE_AT(image, image->theorems, struct image_theorem);
    struct buf text;
    enum result r = RESULT_OK;
    buf_init(&text, POLICY_BYTES_MAX);
    for (uint32_t i = 0; i < image->theorems.count && !r; i++) {
        struct theorem_answer a;
        if (t[i].is_test)
            continue;
        r = theorem_ask(prover, i, NULL, &a);
        if (r)
            break;
        if (p->json)
            tell_json(p, &t[i], &a, &text);
        else
            tell_text(p, &t[i], &a, &text);
        p->told++;
        p->bad += a.verdict == THEOREM_REFUTED || a.verdict == THEOREM_NOT_PROVED;
    }
    buf_deinit(&text);
    return r;
}

static void tell_trust(struct proofs *p)
{
    const struct policy_image *image = p->session->image;
    if (p->json) {
        BUF_LIT(p->out, "],\n\"trust\": ");
        trust_json(image, p->out);
        BUF_LIT(p->out, "}\n");
        return;
    }
    if (!p->told) {
        BUF_LIT(p->out, "nothing to prove: the policy has no `prove` statement\n");
        return;
    }
    size_t before = p->out->len;
    BUF_LIT(p->out, "taken on trust:\n");
    size_t head = p->out->len;
    trust_text(image, p->out);
    if (p->out->len == head)
        p->out->len = before;
}

static enum result prove(struct proofs *p)
{
    struct theorem_prover prover;
    enum result r =
        theorem_open(&prover, p->session->image, &signal_registry, NULL, &p->session->arena);
    if (r)
        return r;
    if (p->json)
        BUF_LIT(p->out, "{\"proofs\": [");
    r = answer_all(p, &prover);
    theorem_close(&prover);
    if (!r)
        tell_trust(p);
    return r;
}

int cmd_policy_prove(int argc, char **argv)
{
    bool json = false;
    struct args_many claims = {.name = "--claim"};
    const struct args_option options[] = {{"--json", NULL, &json}};
    struct args a = {.command = "merit policy prove",
                     .usage = usage,
                     .options = options,
                     .option_count = MERIT_COUNT(options),
                     .many = &claims,
                     .word_min = 1,
                     .word_max = 1};
    int code = args_read(&a, argc, argv);
    if (code != ARGS_GO_ON)
        return code;
    struct policy_session s;
    struct buf out, added;
    buf_init(&out, 64 * 1024 * 1024);
    buf_init(&added, POLICY_BYTES_MAX);
    for (size_t i = 0; i < claims.count; i++) {
        struct slice c = slice_trim(slice_cstr(claims.at[i]));
        // A statement stands on one line here, so that its number is that of its --claim.
        if (!slice_starts_with(c, SLICE("prove ")))
            BUF_LIT(&added, "prove ");
        for (size_t k = 0; k < c.len; k++)
            buf_byte(&added, c.ptr[k] == '\n' || c.ptr[k] == '\r' ? ' ' : c.ptr[k]);
        BUF_LIT(&added, "\n");
    }
    code = policy_session_open(&s, a.command, a.words[0], buf_slice(&added));
    if (!code) {
        struct proofs p = {.session = &s, .out = &out, .json = json};
        enum result r = prove(&p);
        if (r) {
            fprintf(stderr, "%s: %s: %s\n", a.command, s.name, result_name(r));
            code = EXIT_FOUND;
        } else {
            code = args_put(&out);
            code = code ? code : p.bad ? EXIT_FOUND : EXIT_DONE;
        }
    }
    buf_deinit(&out);
    buf_deinit(&added);
    policy_session_close(&s);
    return code;
}
