// A small registry of signal families for tests of the policy language: every type, every form of argument, no
// functions that compute.
#ifndef MERIT_TESTS_FAKE_FAMILIES_H
#define MERIT_TESTS_FAKE_FAMILIES_H

#include <string.h>

#include "work/signal.h"

static enum signal_type fake_bool(const struct policy_image *p, const struct image_signal *s)
{
    (void)p;
    (void)s;
    return SIGNAL_BOOL;
}

static enum signal_type fake_number(const struct policy_image *p, const struct image_signal *s)
{
    (void)p;
    (void)s;
    return SIGNAL_NUMBER;
}

static enum signal_type fake_enum(const struct policy_image *p, const struct image_signal *s)
{
    (void)p;
    (void)s;
    return SIGNAL_ENUM;
}

static enum signal_type fake_text(const struct policy_image *p, const struct image_signal *s)
{
    (void)p;
    (void)s;
    return SIGNAL_TEXT;
}

static enum signal_type fake_set(const struct policy_image *p, const struct image_signal *s)
{
    (void)p;
    (void)s;
    return SIGNAL_SET;
}

// A set of groups or labels, else a text.
static enum signal_type fake_caller_type(const struct policy_image *p, const struct image_signal *s)
{
    const struct image_arg *a = IMAGE_AT(p, s->args, struct image_arg);
    return s->args.count && !slice_eq_cstr(image_text(p, a->text), "group") &&
                   !slice_eq_cstr(image_text(p, a->text), "label")
               ? SIGNAL_TEXT
               : SIGNAL_SET;
}

// A number when a bm25 or ngram string is among the arguments.
static enum signal_type fake_keywords_type(const struct policy_image *p,
                                           const struct image_signal *s)
{
    const struct image_arg *a = IMAGE_AT(p, s->args, struct image_arg);
    for (uint32_t i = 0; i < s->args.count; i++)
        if (slice_eq_cstr(image_text(p, a[i].tag), "bm25") ||
            slice_eq_cstr(image_text(p, a[i].tag), "ngram"))
            return SIGNAL_NUMBER;
    return SIGNAL_BOOL;
}

static void fake_keywords_check(const struct policy_image *p, const struct image_signal *s,
                                void (*complain)(void *ctx, uint32_t arg, const char *message),
                                void *ctx)
{
    const struct image_arg *a = IMAGE_AT(p, s->args, struct image_arg);
    for (uint32_t i = 0; i < s->args.count; i++)
        if (slice_eq_cstr(image_text(p, a[i].tag), "regex") &&
            slice_find(image_text(p, a[i].text), SLICE("(")) >= 0 &&
            slice_find(image_text(p, a[i].text), SLICE(")")) < 0)
            complain(ctx, i, "this regex has a parenthesis without an end");
}

static const char *const fake_on_off[] = {"on", "off", NULL};
static const char *const fake_tags[] = {"literal", "regex", "bm25", "ngram", "fuzzy", NULL};
static const char *const fake_structures[] = {"questions", "code",  "lists",
                                              "numbers",   "steps", NULL};
static const char *const fake_shapes[] = {"turns", "tool_cycles", "developer", NULL};
static const char *const fake_modalities[] = {"images", "audio", NULL};
static const char *const fake_formats[] = {"text", "json", "schema", NULL};
static const char *const fake_who[] = {"id", "group", "team", "tenant", "label", NULL};

static const struct signal_arg_spec fake_keywords_args[] = {
    {.kind = SIGNAL_ARG_STRING,
     .tags = fake_tags,
     .required = true,
     .repeated = true,
     .help = "write `keywords(\"word\")`"},
    {.name = "case", .kind = SIGNAL_ARG_WORD, .words = fake_on_off},
    {.name = "distance", .kind = SIGNAL_ARG_NUMBER, .min = 1, .max = 3},
};
static const struct signal_arg_spec fake_structure_args[] = {
    {.kind = SIGNAL_ARG_WORD,
     .words = fake_structures,
     .required = true,
     .help = "write `structure(questions)`"},
};
static const struct signal_arg_spec fake_conversation_args[] = {
    {.kind = SIGNAL_ARG_WORD, .words = fake_shapes, .required = true},
};
static const struct signal_arg_spec fake_modality_args[] = {
    {.kind = SIGNAL_ARG_WORD, .words = fake_modalities, .required = true},
};
static const struct signal_arg_spec fake_name_args[] = {
    {.kind = SIGNAL_ARG_STRING, .required = true, .help = "write the name in quotes"},
};
static const struct signal_arg_spec fake_caller_args[] = {
    {.kind = SIGNAL_ARG_WORD, .words = fake_who, .required = true},
};
static const struct signal_arg_spec fake_jailbreak_args[] = {
    {.name = "window", .kind = SIGNAL_ARG_NUMBER, .min = 1, .max = 100000, .unit = "tok"},
};

static const char *const fake_kinds[] = {"email", "ssn", NULL};
static const struct signal_arg_spec fake_pii_args[] = {
    {.kind = SIGNAL_ARG_WORD, .words = fake_kinds, .repeated = true},
};

#define FAKE(family_name, family_type, ...)                                                        \
    static const struct signal_family fake_##family_name = {                                       \
        .name = #family_name, .summary = "for tests", .type = family_type, __VA_ARGS__}
#define FAKE_ARGS(of) .args = of, .arg_count = sizeof(of) / sizeof *(of)

FAKE(keywords, fake_keywords_type, FAKE_ARGS(fake_keywords_args), .check = fake_keywords_check);
FAKE(context, fake_number, .unit = "tok");
FAKE(structure, fake_number, FAKE_ARGS(fake_structure_args));
FAKE(conversation, fake_number, .whole = true, FAKE_ARGS(fake_conversation_args));
FAKE(modality, fake_number, FAKE_ARGS(fake_modality_args));
FAKE(tools, fake_bool, .arg_count = 0);
FAKE(output, fake_enum, .words = fake_formats);
FAKE(metadata, fake_text, FAKE_ARGS(fake_name_args));
FAKE(header, fake_text, FAKE_ARGS(fake_name_args));
FAKE(caller, fake_caller_type, FAKE_ARGS(fake_caller_args));
FAKE(jailbreak, fake_number, FAKE_ARGS(fake_jailbreak_args), .number_max = 1);
FAKE(pii, fake_set, FAKE_ARGS(fake_pii_args));
FAKE(similarity, fake_number, FAKE_ARGS(fake_name_args), .number_max = 1);

static const struct signal_family *const fake_families[] = {
    &fake_keywords,  &fake_context, &fake_structure, &fake_conversation, &fake_modality,
    &fake_tools,     &fake_output,  &fake_metadata,  &fake_header,       &fake_caller,
    &fake_jailbreak, &fake_pii,     &fake_similarity};
static const struct signal_registry fake_registry = {fake_families,
                                                     sizeof fake_families / sizeof *fake_families};

#endif
