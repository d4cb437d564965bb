// Signals that read the anchored text with a head of their own and say one of a few words, or how likely one of them is.
//
//   domain       one of the 14 categories of MMLU-Pro, or unsure          feedback   what a follow-up says of the last answer
//   complexity   0 (easy) to 1 (hard)                                    wish       text, image or both
//   reasoning    how likely it needs reasoning in steps                  form       prose, code, list, table, json, ...
//   factcheck    how likely its answer states facts to be checked        length     short, medium, long
//
// Asks: the first tier of the head (characters and words, microseconds); when that is not sure enough, one embedding, which
// all of them and other signals share. Evidence: none, the whole text speaks. Limits: long texts are read by their head,
// middle and tail. Words that have no answer: unsure, when the probability is below `min`; none, when there is nothing to
// give feedback on.
#include "signal/families.h"
#include "signal/learned.h"

enum { WORDS_MAX = 16, NO_WORD = 255 };

enum say {
    SAY_WORD,  // the most likely label
    SAY_LABEL, // the probability of one label
    SAY_SCALE, // the mean of the labels' places, from 0 to 1
};

struct topic {
    const struct signal_family *family;
    enum say say;
    const char *label; // of SAY_LABEL
    const char *const
        *words;     // of SAY_WORD and SAY_SCALE, labels in order; SAY_WORD has one more at the end
    bool follow_up; // only behind an assistant's message
};

static const char *const domains[] = {"biology",   "business",    "chemistry", "computer_science",
                                      "economics", "engineering", "health",    "history",
                                      "law",       "math",        "other",     "philosophy",
                                      "physics",   "psychology",  "unsure",    NULL};
static const char *const difficulties[] = {"easy", "medium", "hard", NULL};
static const char *const feedbacks[] = {
    "satisfied", "need_clarification", "wrong_answer", "want_different", "none", NULL};
static const char *const wishes[] = {"text", "image", "both", "unsure", NULL};
static const char *const forms[] = {"prose",       "code",         "list",    "table",  "json",
                                    "translation", "short_answer", "summary", "unsure", NULL};
static const char *const lengths[] = {"short", "medium", "long", "unsure", NULL};

static const struct topic topics[] = {
    {&signal_domain, SAY_WORD, NULL, domains, false},
    {&signal_complexity, SAY_SCALE, NULL, difficulties, false},
    {&signal_reasoning, SAY_LABEL, "needs_reasoning", NULL, false},
    {&signal_factcheck, SAY_LABEL, "needs_fact_check", NULL, false},
    {&signal_feedback, SAY_WORD, NULL, feedbacks, true},
    {&signal_wish, SAY_WORD, NULL, wishes, false},
    {&signal_form, SAY_WORD, NULL, forms, false},
    {&signal_length, SAY_WORD, NULL, lengths, false},
};

static const struct signal_arg_spec word_args[] = {
    {.name = "min",
     .kind = SIGNAL_ARG_NUMBER,
     .min = 0,
     .max = 1,
     .help = "the least probability of an answer; below it the value is the last word"},
};

struct state {
    const struct topic *topic;
    const struct learned *head;
    double min;
    uint32_t label;          // of SAY_LABEL
    uint8_t word[WORDS_MAX]; // of each label of the head
    uint32_t none;           // the word without an answer
};

static enum signal_type type_word(const struct policy_image *image, const struct image_signal *def)
{
    (void)image;
    (void)def;
    return SIGNAL_ENUM;
}

static enum signal_type type_number(const struct policy_image *image,
                                    const struct image_signal *def)
{
    (void)image;
    (void)def;
    return SIGNAL_NUMBER;
}

// "computer science" of a head is computer_science in a policy.
static bool same_label(struct slice label, const char *word)
{
    size_t n = strlen(word);
    if (label.len != n)
        return false;
    for (size_t i = 0; i < n; i++)
        if (label.ptr[i] != word[i] && !(label.ptr[i] == ' ' && word[i] == '_'))
            return false;
    return true;
}

static enum result map_labels(struct state *s)
{
    const struct head_info *info = head_info(s->head->head);
    const struct topic *t = s->topic;
    if (t->say == SAY_LABEL) {
        s->label = head_label(s->head->head, slice_cstr(t->label));
        return s->label < info->label_count ? RESULT_OK : RESULT_SYNTAX;
    }
    if (info->label_count > WORDS_MAX)
        return RESULT_LIMIT;
    for (uint32_t i = 0; i < info->label_count; i++) {
        s->word[i] = NO_WORD;
        for (uint32_t w = 0; t->words[w]; w++)
            if (same_label(info->labels[i], t->words[w]))
                s->word[i] = (uint8_t)w;
        if (s->word[i] == NO_WORD)
            return RESULT_SYNTAX;
    }
    while (t->words[s->none + 1])
        s->none++;
    return RESULT_OK;
}

static enum result prepare(const struct policy_image *image, const struct image_signal *def,
                           struct arena *arena, const struct signal_load *load, void **state)
{
    struct state *s = ARENA_NEW(arena, struct state);
    if (!s)
        return RESULT_NOMEM;
    struct slice name = image_text(image, def->family);
    for (unsigned i = 0; i < MERIT_COUNT(topics); i++)
        if (slice_eq_cstr(name, topics[i].family->name))
            s->topic = &topics[i];
    const struct image_arg *min = signal_arg_named(image, def, "min");
    s->min = min ? min->number : 0;
    enum result r = learned_open(load, name, arena, &s->head);
    *state = s;
    return r ? r : map_labels(s);
}

static bool follows_answer(const struct work *w)
{
    for (uint32_t i = 0; i < w->anchor && i < w->message_count; i++)
        if (w->messages[i].role == WORK_ASSISTANT)
            return true;
    return false;
}

static double scale(const struct state *s, const float *p)
{
    uint32_t n = head_info(s->head->head)->label_count;
    double v = 0;
    for (uint32_t i = 0; i < n; i++)
        v += (double)p[i] * s->word[i] / (n - 1);
    return v;
}

static enum result compute(const void *state, struct signal_context *ctx, struct fact *out)
{
    const struct state *s = state;
    struct learned_answer a;
    bool has_text = false;
    out->number = s->topic->say == SAY_WORD ? s->none : 0;
    out->probability = 1;
    if (s->topic->follow_up && !follows_answer(ctx->work))
        return RESULT_OK;
    enum result r = learned_topic(ctx, s->head, &a, &has_text);
    if (r || !has_text)
        return r;
    out->by = a.by;
    uint32_t best = head_best(a.p, head_info(s->head->head)->label_count);
    out->probability = a.p[best];
    switch (s->topic->say) {
    case SAY_WORD:
        if (a.p[best] >= (float)s->min)
            out->number = s->word[best];
        else
            out->probability = 1 - a.p[best];
        break;
    case SAY_LABEL:
        out->number = a.p[s->label];
        break;
    case SAY_SCALE:
        out->number = scale(s, a.p);
        break;
    }
    return RESULT_OK;
}

static void doubt(const void *state, struct signal_doubt *out)
{
    const struct state *s = state;
    out->error = learned_error(s->head);
}

#define WORD_FAMILY(NAME, SUMMARY, WORDS)                                                          \
    const struct signal_family signal_##NAME = {                                                   \
        .name = #NAME,                                                                             \
        .summary = SUMMARY,                                                                        \
        .cost = SIGNAL_COST_ENCODER,                                                               \
        .args = word_args,                                                                         \
        .arg_count = MERIT_COUNT(word_args),                                                       \
        .type = type_word,                                                                         \
        .words = WORDS,                                                                            \
        .prepare = prepare,                                                                        \
        .compute = compute,                                                                        \
    }
#define NUMBER_FAMILY(NAME, SUMMARY)                                                               \
    const struct signal_family signal_##NAME = {                                                   \
        .name = #NAME,                                                                             \
        .summary = SUMMARY,                                                                        \
        .number_max = 1,                                                                           \
        .cost = SIGNAL_COST_ENCODER,                                                               \
        .type = type_number,                                                                       \
        .prepare = prepare,                                                                        \
        .compute = compute,                                                                        \
        .doubt = doubt,                                                                            \
    }

WORD_FAMILY(domain, "what field the request is about", domains);
NUMBER_FAMILY(complexity, "how hard the request is, 0 to 1");
NUMBER_FAMILY(reasoning, "how likely the request needs reasoning in steps, 0 to 1");
NUMBER_FAMILY(factcheck, "how likely the answer states facts that can be checked, 0 to 1");
WORD_FAMILY(feedback, "what a follow-up says of the answer before it", feedbacks);
WORD_FAMILY(wish, "whether text, an image or both are wanted", wishes);
WORD_FAMILY(form, "what form of answer is wanted", forms);
WORD_FAMILY(length, "how long an answer is wanted", lengths);
