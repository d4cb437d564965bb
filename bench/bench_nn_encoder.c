// Times an encoder per plan and length: bench_nn_encoder [--tier T] [--plans f32,half,auto,int8] [--lengths 16,128]
//   [--modernbert] [--rounds N] [FOLDER]
// FOLDER holds config.json and model.safetensors; without one the model is made of random weights: the shape of
// all-MiniLM-L6-v2 (6 x 384), or with --modernbert of ModernBERT-base (22 x 768) with 4,096 words.
// One thread; the plans take turns; what is printed is the least processor time of a pass, in ms.
#include <getopt.h>
#include <stdio.h>
#include <time.h>

#include "../tests/helper/encoder_load.h"
#include "../tests/helper/encoder_random.h"

enum { PLANS = 4, LENGTHS = 12 };
static const char *const plan_names[PLANS] = {"auto", "int8", "half", "f32"};

static double now_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (double)t.tv_sec * 1e3 + (double)t.tv_nsec / 1e6;
}

struct subject {
    struct loaded l;
    struct encoder_scratch *scratch;
    const char *name;
    double ms[LENGTHS];
};

static void pass(struct subject *s, const uint32_t *ids, uint32_t n, double *least)
{
    static float v[ENCODER_HIDDEN_MAX];
    struct encoder_sequence q = {ids, NULL, n};
    struct encoder_output out = {.embedding = v};
    double from = now_ms();
    if (encoder_run(s->l.encoder, s->scratch, &q, 1, &out, NULL))
        abort();
    double ms = now_ms() - from;
    if (ms < *least)
        *least = ms;
}

int main(int argc, char **argv)
{
    static const struct option options[] = {{"tier", 1, NULL, 't'},    {"plans", 1, NULL, 'p'},
                                            {"lengths", 1, NULL, 'l'}, {"modernbert", 0, NULL, 'm'},
                                            {"rounds", 1, NULL, 'r'},  {NULL, 0, NULL, 0}};
    static struct subject subjects[PLANS];
    static uint32_t ids[ENCODER_TOKENS_MAX];
    const char *plans = "auto,int8,half,f32", *lengths = "16,32,64,128,256,512";
    enum nn_tier tier = nn_tier_best();
    uint32_t lens[LENGTHS], len_count = 0, count = 0, longest = 0;
    int rounds = 9, c;
    bool modern = false;
    while ((c = getopt_long(argc, argv, "t:p:l:mr:", options, NULL)) >= 0) {
        if (c == 't')
            for (enum nn_tier i = 0; i < NN_TIERS; i++)
                tier = strcmp(nn_tier_name(i), optarg) ? tier : i;
        plans = c == 'p' ? optarg : plans;
        lengths = c == 'l' ? optarg : lengths;
        modern |= c == 'm';
        rounds = c == 'r' ? atoi(optarg) : rounds;
    }
    for (const char *p = lengths; *p && len_count < LENGTHS; len_count++) {
        char *end;
        lens[len_count] = (uint32_t)strtoul(p, &end, 10);
        longest = lens[len_count] > longest ? lens[len_count] : longest;
        p = *end ? end + 1 : end;
    }
    for (unsigned i = 0; i < PLANS; i++) {
        struct subject *s = &subjects[count];
        if (!strstr(plans, plan_names[i]))
            continue;
        bool ok = optind < argc ? load_folder(&s->l, argv[optind])
                                : load_random(&s->l, modern ? RANDOM_MODERNBERT : RANDOM_MINILM);
        static const enum encoder_plan kinds[PLANS] = {ENCODER_PLAN_AUTO, ENCODER_PLAN_INT8,
                                                       ENCODER_PLAN_HALF, ENCODER_PLAN_F32};
        double from = now_ms();
        if (!ok || !load_pack(&s->l, tier, kinds[i]) ||
            encoder_scratch_open(s->l.encoder, longest, &s->scratch))
            return 1;
        s->name = plan_names[i];
        printf("%s: packed in %.0f ms, %.1f MB\n", s->name, now_ms() - from,
               (double)s->l.used / 1e6);
        for (uint32_t k = 0; k < LENGTHS; k++)
            s->ms[k] = 1e9;
        count++;
    }
    struct rng rng;
    rng_seed(&rng, 7);
    for (uint32_t i = 0; i < longest; i++)
        ids[i] = (uint32_t)rng_below(&rng, subjects[0].l.config.vocab);
    for (int r = 0; r < rounds; r++)
        for (uint32_t k = 0; k < len_count; k++)
            for (uint32_t i = 0; i < count; i++)
                pass(&subjects[i], ids, lens[k], &subjects[i].ms[k]);
    printf("%-12s", nn_tier_name(tier));
    for (uint32_t k = 0; k < len_count; k++)
        printf("%9u", lens[k]);
    for (uint32_t i = 0; i < count; i++) {
        printf("\n%-12s", subjects[i].name);
        for (uint32_t k = 0; k < len_count; k++)
            printf("%9.2f", subjects[i].ms[k]);
    }
    printf("\n");
    return 0;
}
