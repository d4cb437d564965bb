#include "signal/doubt.h"

#include <math.h>
#include <stdlib.h>

#include "base/alloc.h"

// The places where a number signal is cut: its own threshold and the comparisons that ask it.
struct cuts {
    double *at;
    uint32_t count;
};

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return x < y ? -1 : x > y;
}

static bool find_cuts(const struct policy_image *p, int32_t signal, struct cuts *out)
{
    const struct image_atom *atoms = IMAGE_AT(p, p->atoms, struct image_atom);
    const struct image_signal *s = image_signal(p, signal);
    *out = (struct cuts){alloc_zeroed(p->atoms.count + 1, sizeof *out->at), 0};
    if (!out->at)
        return false;
    if (s->has_threshold)
        out->at[out->count++] = s->threshold;
    for (uint32_t i = 0; i < p->atoms.count && s->type == SIGNAL_NUMBER; i++)
        if (atoms[i].signal == signal && atoms[i].op >= IMAGE_OP_LT && atoms[i].op <= IMAGE_OP_GE)
            out->at[out->count++] = atoms[i].number;
    qsort(out->at, out->count, sizeof *out->at, by_value);
    return true;
}

static void doubt_cuts(const struct policy_image *p, int32_t signal, const struct cuts *cuts,
                       double error, struct span span, struct diag_list *diags)
{
    struct slice name = image_text(p, image_signal(p, signal)->name);
    for (uint32_t i = 0; i < cuts->count; i++) {
        double t = cuts->at[i];
        struct diag *d = NULL;
        if (i > 0 && t > cuts->at[i - 1] && t - cuts->at[i - 1] < error)
            d = diag_add(
                diags, DIAG_WARNING, "threshold-in-doubt", span,
                "`%.*s` is cut at %.3g and at %.3g, nearer than its calibration error of %.3g",
                SLICE_FMT(name), cuts->at[i - 1], t, error);
        else if (t < error || t > 1 - error)
            d = diag_add(diags, DIAG_WARNING, "threshold-in-doubt", span,
                         "`%.*s` is cut at %.3g, within its calibration error of %.3g of %s",
                         SLICE_FMT(name), t, error, t < error ? "0" : "1");
        if (d)
            diag_help(diags, d,
                      "requests in between are told apart by chance; move the cut to between "
                      "%.3g and %.3g",
                      error, 1 - error);
    }
}

double doubt_reach(double a, double b)
{
    double angle = acos(fmax(-1, fmin(1, a))) + acos(fmax(-1, fmin(1, b)));
    return angle >= acos(-1.0) ? -1 : cos(angle);
}

// A signal that holds above a threshold of its likeness to examples.
struct cap {
    int32_t signal;
    double threshold;
    struct signal_doubt doubt;
    int32_t nearest; // the cap that reaches furthest into it
    double margin;   // by how much: cosine of the nearest examples less what must be reached
    uint32_t others;
};

static double nearest_cosine(const struct signal_doubt *a, const struct signal_doubt *b)
{
    double best = -1;
    for (uint32_t i = 0; i < a->count; i++)
        for (uint32_t j = 0; j < b->count; j++) {
            double dot = 0;
            for (uint32_t k = 0; k < a->dim; k++)
                dot += (double)a->prototypes[(size_t)i * a->dim + k] *
                       (double)b->prototypes[(size_t)j * b->dim + k];
            best = fmax(best, dot);
        }
    return best;
}

static void compare(struct cap *caps, uint32_t a, uint32_t b)
{
    if (caps[a].doubt.dim != caps[b].doubt.dim)
        return;
    double margin = nearest_cosine(&caps[a].doubt, &caps[b].doubt) -
                    doubt_reach(caps[a].threshold, caps[b].threshold);
    if (margin < 0)
        return;
    // Told at the later one, so that each pair is told once.
    if (caps[b].others++ == 0 || margin > caps[b].margin) {
        caps[b].nearest = (int32_t)a;
        caps[b].margin = margin;
    }
}

static void tell(const struct policy_image *p, const struct cap *caps, const struct cap *c,
                 struct span span, struct diag_list *diags)
{
    const struct cap *other = &caps[c->nearest];
    double cosine = nearest_cosine(&c->doubt, &other->doubt);
    // Two caps around centres of this cosine no longer meet when both reach less than half the angle.
    double apart = cos(acos(fmin(1, cosine)) / 2);
    struct slice name = image_text(p, image_signal(p, c->signal)->name),
                 with = image_text(p, image_signal(p, other->signal)->name);
    struct diag *d =
        diag_add(diags, DIAG_WARNING, "both-fire", span,
                 "one text can be like both `%.*s` above %.3g and `%.*s` above %.3g: their "
                 "nearest examples have a cosine of %.3g",
                 SLICE_FMT(name), c->threshold, SLICE_FMT(with), other->threshold, cosine);
    if (apart < 0.995)
        diag_help(diags, d,
                  "tell them apart by `exclusive(%.*s, %.*s)`, or raise both thresholds above %.3g",
                  SLICE_FMT(with), SLICE_FMT(name), ceil(apart * 1000) / 1000);
    else
        diag_help(diags, d,
                  "tell them apart by `exclusive(%.*s, %.*s)`: these examples are all but the same",
                  SLICE_FMT(with), SLICE_FMT(name));
}

enum result plan_doubts(const struct plan *p, const struct policy_places *places,
                        struct diag_list *diags)
{
    const struct policy_image *image = plan_image(p);
    struct cap *caps = alloc_zeroed(DOUBT_SIGNALS_MAX, sizeof *caps);
    uint32_t count = 0;
    enum result r = caps ? RESULT_OK : RESULT_NOMEM;
    for (uint32_t i = 0; i < image->signals.count && !r; i++) {
        const struct signal_family *f = plan_family(p, (int32_t)i);
        struct signal_doubt doubt = {.error = 0};
        struct cuts cuts;
        if (!f || !f->doubt)
            continue;
        f->doubt(plan_state(p, (int32_t)i), &doubt);
        if (!find_cuts(image, (int32_t)i, &cuts)) {
            r = RESULT_NOMEM;
            break;
        }
        if (doubt.error > 0)
            doubt_cuts(image, (int32_t)i, &cuts, doubt.error,
                       policy_place(places, IMAGE_SIGNALS, i), diags);
        if (doubt.count && cuts.count && count < DOUBT_SIGNALS_MAX)
            caps[count++] =
                (struct cap){.signal = (int32_t)i, .threshold = cuts.at[0], .doubt = doubt};
        alloc_free(cuts.at);
    }
    for (uint32_t b = 1; b < count; b++)
        for (uint32_t a = 0; a < b; a++)
            compare(caps, a, b);
    for (uint32_t b = 0; b < count; b++)
        if (caps[b].others)
            tell(image, caps, &caps[b],
                 policy_place(places, IMAGE_SIGNALS, (uint32_t)caps[b].signal), diags);
    alloc_free(caps);
    return r;
}
