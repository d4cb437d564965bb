// The families, one constant each, and small helpers that they share.
#ifndef MERIT_SIGNAL_FAMILIES_H
#define MERIT_SIGNAL_FAMILIES_H

#include "signal/artifacts.h"
#include "work/signal.h"

extern const struct signal_family signal_keywords;
extern const struct signal_family signal_context_length;
extern const struct signal_family signal_structure;
extern const struct signal_family signal_conversation;
extern const struct signal_family signal_modality;
extern const struct signal_family signal_tools;
extern const struct signal_family signal_output;
extern const struct signal_family signal_metadata;
extern const struct signal_family signal_header;
extern const struct signal_family signal_caller;
extern const struct signal_family signal_domain;
extern const struct signal_family signal_complexity;
extern const struct signal_family signal_reasoning;
extern const struct signal_family signal_factcheck;
extern const struct signal_family signal_feedback;
extern const struct signal_family signal_wish;
extern const struct signal_family signal_form;
extern const struct signal_family signal_length;
extern const struct signal_family signal_jailbreak;
extern const struct signal_family signal_language;
extern const struct signal_family signal_pii;
extern const struct signal_family signal_intent;
extern const struct signal_family signal_preference;
extern const struct signal_family signal_knowledge;
extern const struct signal_family signal_similar;
extern const struct signal_family signal_reask;
extern const struct signal_family signal_classify;

// The definition's arguments.
static inline const struct image_arg *signal_args(const struct policy_image *image,
                                                  const struct image_signal *def)
{
    return IMAGE_AT(image, def->args, struct image_arg);
}

// The named argument, or NULL.
static inline const struct image_arg *
signal_arg_named(const struct policy_image *image, const struct image_signal *def, const char *name)
{
    const struct image_arg *args = signal_args(image, def);
    for (uint32_t i = 0; i < def->args.count; i++)
        if (slice_eq_cstr(image_text(image, args[i].name), name))
            return &args[i];
    return NULL;
}

static inline bool signal_arg_positional(const struct image_arg *arg)
{
    return arg->name.len == 0;
}

// The first positional word, or the empty slice.
static inline struct slice signal_arg_word(const struct policy_image *image,
                                           const struct image_signal *def)
{
    const struct image_arg *args = signal_args(image, def);
    for (uint32_t i = 0; i < def->args.count; i++)
        if (signal_arg_positional(&args[i]) && args[i].kind == IMAGE_ARG_WORD)
            return image_text(image, args[i].text);
    return SLICE_EMPTY;
}

// The first positional string, or the empty slice.
static inline struct slice signal_arg_string(const struct policy_image *image,
                                             const struct image_signal *def)
{
    const struct image_arg *args = signal_args(image, def);
    for (uint32_t i = 0; i < def->args.count; i++)
        if (signal_arg_positional(&args[i]) && args[i].kind == IMAGE_ARG_STRING)
            return image_text(image, args[i].text);
    return SLICE_EMPTY;
}

// Index of the word in a NULL-terminated list, or -1.
static inline int signal_word_index(const char *const *words, struct slice word)
{
    for (int i = 0; words[i]; i++)
        if (slice_eq_cstr(word, words[i]))
            return i;
    return -1;
}

static inline void signal_fact_number(struct fact *out, double number)
{
    out->number = number;
    out->probability = 1;
}

static inline void signal_fact_text(struct fact *out, struct slice text)
{
    out->text = text;
    out->number = text.len > 0;
    out->probability = 1;
}

// Keeps the first FACT_EVIDENCE_MAX places, counts all.
static inline void signal_fact_evidence(struct fact *out, const struct text_view *view,
                                        uint32_t begin, uint32_t end, uint32_t argument)
{
    if (out->evidence_count < FACT_EVIDENCE_MAX)
        out->evidence[out->evidence_count++] =
            (struct evidence){view->message, view->part, begin, end - begin, argument};
    out->evidence_total++;
}

#endif
