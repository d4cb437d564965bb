// classify: the label of a head of one's own, trained by `merit train`.
//
//   classify("support-topics")             a head of the models folder
//   classify("./heads/x.safetensors")      a file
//   classify("support-topics", min 0.6)    empty when no label is as likely
//
// Asks: the head's first tier; when that is not sure enough, one embedding, shared with other signals. A head that was
// trained on another encoder is an error when the policy is loaded. Evidence: none. Limits: long texts are read by their
// head, middle and tail.
#include "signal/families.h"
#include "signal/learned.h"

static const struct signal_arg_spec args[] = {
    {.kind = SIGNAL_ARG_STRING, .required = true, .help = "the head's name or file"},
    {.name = "min",
     .kind = SIGNAL_ARG_NUMBER,
     .min = 0,
     .max = 1,
     .help = "the least probability of an answer"},
};

struct state {
    const struct learned *head;
    float min;
};

static enum signal_type type(const struct policy_image *image, const struct image_signal *def)
{
    (void)image;
    (void)def;
    return SIGNAL_TEXT;
}

static enum result prepare(const struct policy_image *image, const struct image_signal *def,
                           struct arena *arena, const struct signal_load *load, void **state)
{
    struct state *s = ARENA_NEW(arena, struct state);
    if (!s)
        return RESULT_NOMEM;
    *state = s;
    const struct image_arg *min = signal_arg_named(image, def, "min");
    s->min = min ? (float)min->number : 0;
    return learned_open(load, signal_arg_string(image, def), arena, &s->head);
}

static enum result compute(const void *state, struct signal_context *ctx, struct fact *out)
{
    const struct state *s = state;
    struct learned_answer a;
    bool has_text;
    out->probability = 1;
    enum result r = learned_topic(ctx, s->head, &a, &has_text);
    if (r || !has_text)
        return r;
    const struct head_info *info = head_info(s->head->head);
    uint32_t best = head_best(a.p, info->label_count);
    out->by = a.by;
    bool likely = a.p[best] >= s->min;
    out->probability = likely ? a.p[best] : 1 - a.p[best];
    if (likely) {
        out->text = info->labels[best];
        out->number = 1;
    }
    return RESULT_OK;
}

const struct signal_family signal_classify = {
    .name = "classify",
    .summary = "the label of a head of one's own",
    .cost = SIGNAL_COST_ENCODER,
    .args = args,
    .arg_count = MERIT_COUNT(args),
    .type = type,
    .prepare = prepare,
    .compute = compute,
};
