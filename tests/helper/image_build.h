// Builds a policy image with signals by hand, for tests of layers that only read one.
//
//   struct image_build b; build_init(&b);
//   build_signal(&b, "code", "keywords"); build_string(&b, "regex", "a+"); build_word(&b, "match",
//   "all"); const struct policy_image *p = build_done(&b);
#ifndef MERIT_TESTS_IMAGE_BUILD_H
#define MERIT_TESTS_IMAGE_BUILD_H

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "signal/registry.h"
#include "work/image.h"

enum { BUILD_SIGNALS_MAX = 1024, BUILD_ARGS_MAX = 8192, BUILD_STRINGS_MAX = 1024 * 1024 };

struct image_build {
    struct image_signal signals[BUILD_SIGNALS_MAX];
    struct image_arg args[BUILD_ARGS_MAX];
    uint32_t signal_count, arg_count, string_len;
    char strings[BUILD_STRINGS_MAX];
    void *block;
};

static inline struct image_str build_text_n(struct image_build *b, const char *s, size_t n)
{
    struct image_str r = {b->string_len, (uint32_t)n};
    if (b->string_len + n > BUILD_STRINGS_MAX)
        abort();
    memcpy(b->strings + b->string_len, s, n);
    b->string_len += (uint32_t)n;
    return r;
}

static inline struct image_str build_text(struct image_build *b, const char *s)
{
    return build_text_n(b, s ? s : "", s ? strlen(s) : 0);
}

static inline struct image_build *build_new(void)
{
    struct image_build *b = calloc(1, sizeof *b);
    if (!b)
        abort();
    return b;
}

static inline void build_free(struct image_build *b)
{
    free(b->block);
    free(b);
}

static inline struct image_signal *build_signal(struct image_build *b, const char *family)
{
    char name[16];
    snprintf(name, sizeof name, "s%u", b->signal_count);
    struct image_signal *s = &b->signals[b->signal_count++];
    s->name = build_text(b, name);
    s->family = build_text(b, family);
    s->args.at = b->arg_count;
    return s;
}

static inline struct image_arg *build_arg(struct image_build *b, enum image_arg_kind kind)
{
    struct image_arg *a = &b->args[b->arg_count++];
    b->signals[b->signal_count - 1].args.count++;
    a->kind = kind;
    a->begin = b->arg_count * 10;
    a->end = a->begin + 5;
    return a;
}

static inline void build_string_n(struct image_build *b, const char *tag, const char *text,
                                  size_t n)
{
    struct image_arg *a = build_arg(b, IMAGE_ARG_STRING);
    a->tag = build_text(b, tag);
    a->text = build_text_n(b, text, n);
}

static inline void build_string(struct image_build *b, const char *tag, const char *text)
{
    build_string_n(b, tag, text, strlen(text));
}

// Positional when `name` is NULL.
static inline void build_word(struct image_build *b, const char *name, const char *word)
{
    struct image_arg *a = build_arg(b, IMAGE_ARG_WORD);
    a->name = build_text(b, name);
    a->text = build_text(b, word);
}

static inline void build_number(struct image_build *b, const char *name, double number)
{
    struct image_arg *a = build_arg(b, IMAGE_ARG_NUMBER);
    a->name = build_text(b, name);
    a->number = number;
}

static inline void build_above(struct image_build *b, bool above, double threshold)
{
    struct image_signal *s = &b->signals[b->signal_count - 1];
    s->has_threshold = true;
    s->threshold_above = above;
    s->threshold = threshold;
}

static inline void build_move(struct image_str *s, uint32_t by)
{
    s->at += by;
}

// Lays the block out and sets the types through the registry. Valid until build_free.
static inline const struct policy_image *build_done(struct image_build *b)
{
    uint32_t signals = (uint32_t)((sizeof(struct policy_image) + 7) & ~(size_t)7);
    uint32_t args = signals + b->signal_count * (uint32_t)sizeof(struct image_signal);
    uint32_t strings = args + b->arg_count * (uint32_t)sizeof(struct image_arg);
    char *block = calloc(1, strings + b->string_len + 8);
    if (!block)
        abort();
    struct policy_image *p = (struct policy_image *)(void *)block;
    p->signals = (struct image_list){signals, b->signal_count};
    p->args = (struct image_list){args, b->arg_count};
    p->size = strings + b->string_len;
    for (uint32_t i = 0; i < b->arg_count; i++) {
        struct image_arg *a = (struct image_arg *)(void *)(block + args) + i;
        *a = b->args[i];
        build_move(&a->name, strings);
        build_move(&a->tag, strings);
        build_move(&a->text, strings);
    }
    memcpy(block + strings, b->strings, b->string_len);
    for (uint32_t i = 0; i < b->signal_count; i++) {
        struct image_signal *s = (struct image_signal *)(void *)(block + signals) + i;
        *s = b->signals[i];
        build_move(&s->name, strings);
        build_move(&s->family, strings);
        build_move(&s->error_text, strings);
        s->args.at = args + s->args.at * (uint32_t)sizeof(struct image_arg);
        const struct signal_family *f =
            signal_family_find(&signal_registry, image_text(p, s->family));
        s->type = f && !s->has_threshold ? f->type(p, s) : SIGNAL_BOOL;
    }
    free(b->block);
    b->block = block;
    return p;
}

#endif
