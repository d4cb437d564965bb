#include "cli/args.h"

#include <stdio.h>

#include "base/diag.h"
#include "cli/commands.h"

static const struct args_option *option_find(const struct args *a, struct slice name)
{
    for (size_t i = 0; i < a->option_count; i++) {
        if (slice_eq_cstr(name, a->options[i].name))
            return a->options + i;
    }
    return NULL;
}

static int unknown(const struct args *a, struct slice name)
{
    struct slice names[33];
    size_t n = 0;
    for (; n < a->option_count && n < MERIT_COUNT(names) - 1; n++)
        names[n] = slice_cstr(a->options[n].name);
    names[n++] = SLICE("--help");
    int near = diag_nearest(name, names, n);
    fprintf(stderr, "%s: there is no option %.*s", a->command, SLICE_FMT(name));
    if (near >= 0)
        fprintf(stderr, "; did you mean %.*s?\n", SLICE_FMT(names[near]));
    else
        fprintf(stderr, "; %s --help lists them\n", a->command);
    return EXIT_USAGE;
}

static int option_read(struct args *a, int argc, char **argv, int *at)
{
    struct slice rest = slice_cstr(argv[*at]), name;
    slice_split(&rest, '=', &name);
    const char *another = NULL;
    bool many = a->many && slice_eq_cstr(name, a->many->name);
    const struct args_option several = {name.ptr, &another, NULL},
                             *o = many ? &several : option_find(a, name);
    if (!o)
        return unknown(a, name);
    if (many && a->many->count == ARGS_MANY_MAX) {
        fprintf(stderr, "%s: at most %d times %s\n", a->command, ARGS_MANY_MAX, a->many->name);
        return EXIT_USAGE;
    }
    if (o->flag) {
        if (rest.ptr) {
            fprintf(stderr, "%s: %s takes no value\n", a->command, o->name);
            return EXIT_USAGE;
        }
        *o->flag = true;
        return ARGS_GO_ON;
    }
    if (*o->value) {
        fprintf(stderr, "%s: %s is given twice\n", a->command, o->name);
        return EXIT_USAGE;
    }
    if (!rest.ptr && *at + 1 == argc) {
        fprintf(stderr, "%s: %s needs a value; %s --help shows its form\n", a->command, o->name,
                a->command);
        return EXIT_USAGE;
    }
    *o->value = rest.ptr ? rest.ptr : argv[++*at];
    if (many)
        a->many->at[a->many->count++] = another;
    return ARGS_GO_ON;
}

int args_read(struct args *a, int argc, char **argv)
{
    bool options = true;
    a->word_count = 0;
    for (int i = 1; i < argc; i++) {
        const char *arg = argv[i];
        if (options && (slice_eq_cstr(SLICE("--help"), arg) || slice_eq_cstr(SLICE("-h"), arg))) {
            fputs(a->usage, stdout);
            return EXIT_DONE;
        }
        if (options && slice_eq_cstr(SLICE("--"), arg)) {
            options = false;
        } else if (options && arg[0] == '-' && arg[1]) {
            int code = option_read(a, argc, argv, &i);
            if (code != ARGS_GO_ON)
                return code;
        } else if (a->word_count == a->word_max || a->word_count == MERIT_COUNT(a->words)) {
            fprintf(stderr, "%s: \"%s\" is one word too many; %s --help shows the form\n",
                    a->command, arg, a->command);
            return EXIT_USAGE;
        } else {
            a->words[a->word_count++] = arg;
        }
    }
    if (a->word_count < a->word_min) {
        fprintf(stderr, "%s: a word is missing\n\n%s", a->command, a->usage);
        return EXIT_USAGE;
    }
    return ARGS_GO_ON;
}

bool args_duration(const char *text, uint64_t *seconds)
{
    static const struct {
        char unit;
        uint32_t factor;
    } units[] = {{'s', 1}, {'m', 60}, {'h', 3600}, {'d', 86400}};
    struct slice s = slice_cstr(text);
    uint64_t v;
    for (size_t i = 0; s.len && i < MERIT_COUNT(units); i++) {
        if (s.ptr[s.len - 1] != units[i].unit)
            continue;
        if (!slice_u64(slice_head(s, s.len - 1), &v) ||
            v > (uint64_t)36525 * 86400 / units[i].factor)
            return false;
        *seconds = v * units[i].factor;
        return true;
    }
    return false;
}

int args_put(const struct buf *out)
{
    if (buf_result(out)) {
        fprintf(stderr, "merit: the output is too long or there is no memory\n");
        return EXIT_FOUND;
    }
    if (fwrite(out->ptr ? out->ptr : "", 1, out->len, stdout) != out->len || fflush(stdout)) {
        fprintf(stderr, "merit: standard output cannot be written\n");
        return EXIT_FOUND;
    }
    return EXIT_DONE;
}
