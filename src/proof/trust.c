#include "proof/trust.h"

#include "math/measure.h"
#include "signal/registry.h"
#include "text/json.h"

struct trust {
    const struct policy_image *p;
    struct buf *out;
    bool json;
    uint32_t count;
};

static void item(struct trust *t, const char *kind, struct slice name, struct slice text)
{
    if (t->json) {
        buf_printf(t->out, "%s{\"kind\": \"%s\", \"name\": ", t->count ? ", " : "", kind);
        json_write_string(t->out, name);
        BUF_LIT(t->out, ", \"text\": ");
        json_write_string(t->out, text);
        BUF_LIT(t->out, "}");
    } else {
        BUF_LIT(t->out, "  ");
        buf_add(t->out, text);
        BUF_LIT(t->out, "\n");
    }
    t->count++;
}

static void redactions(struct trust *t, struct buf *text)
{
    const struct policy_image *p = t->p;
    const struct image_lattice *l = IMAGE_AT(p, p->lattices, struct image_lattice);
    for (uint32_t i = 0; i < p->routes.count; i++) {
        const struct image_route *r = image_route(p, (int32_t)i);
        for (uint32_t c = 0; c < r->chains.count; c++) {
            struct image_list list = image_chains(p, r)[c].steps;
            const struct image_step *s = IMAGE_AT(p, list, struct image_step);
            for (uint32_t k = 0; k < list.count; k++) {
                if (s[k].kind != IMAGE_STEP_REDACT)
                    continue;
                struct slice level = image_text(
                    p, IMAGE_AT(p, l[s[k].lattice].levels, struct image_str)[s[k].level]);
                buf_reset(text);
                buf_printf(
                    text,
                    "redact(%.*s) of route %.*s: that it leaves nothing above %.*s in the text",
                    SLICE_FMT(level), SLICE_FMT(image_text(p, r->name)), SLICE_FMT(level));
                item(t, "redact", image_text(p, r->name), buf_slice(text));
            }
        }
    }
}

// One signal that a label rests on: its family, and how much that was measured to miss.
static void labeller(const struct policy_image *p, const struct image_signal *s, bool first,
                     struct buf *out)
{
    const struct signal_family *f = signal_family_find(&signal_registry, image_text(p, s->family));
    struct signal_missed m = f && f->missed ? f->missed(p, s) : (struct signal_missed){0, 0};
    buf_printf(out, "%s%.*s", first ? "" : ", ", SLICE_FMT(image_text(p, s->family)));
    if (!m.of)
        return;
    struct measure share = measure_share(m.missed, m.of);
    buf_printf(out, ", which misses %.1f %% (%.1f to %.1f) where that was measured",
               share.value * 100, share.low * 100, share.high * 100);
}

void trust_labellers(const struct policy_image *p, const struct image_signal *label,
                     struct buf *out)
{
    enum { SEEN = 64 }; // told; a label over more of them names these
    const struct image_term *terms = IMAGE_AT(p, label->terms, struct image_term);
    const struct image_atom *atoms = IMAGE_AT(p, p->atoms, struct image_atom);
    int32_t seen[SEEN];
    uint32_t count = 0;
    for (uint32_t i = 0; i < label->terms.count; i++) {
        const struct image_node *n = IMAGE_AT(p, terms[i].guard, struct image_node);
        for (uint32_t k = 0; k < terms[i].guard.count && count < SEEN; k++) {
            if (n[k].kind != IMAGE_NODE_ATOM)
                continue;
            int32_t signal = atoms[n[k].arg].signal;
            uint32_t at = 0;
            while (at < count && seen[at] != signal)
                at++;
            if (at < count)
                continue;
            seen[count++] = signal;
            labeller(p, image_signal(p, signal), count == 1, out);
        }
    }
}

static void labels(struct trust *t, struct buf *text)
{
    const struct policy_image *p = t->p;
    for (uint32_t i = 0; i < p->signals.count; i++) {
        const struct image_signal *s = image_signal(p, (int32_t)i);
        if (s->derive != IMAGE_DERIVE_LABEL || s->hidden)
            continue;
        buf_reset(text);
        buf_printf(text, "label %.*s (", SLICE_FMT(image_text(p, s->name)));
        trust_labellers(p, s, text);
        BUF_LIT(text, "): what it misses is not labelled, and no proof speaks of it");
        item(t, "label", image_text(p, s->name), buf_slice(text));
    }
}

static void assumptions(struct trust *t, struct buf *text)
{
    const struct policy_image *p = t->p;
    const struct image_assume *a = IMAGE_AT(p, p->assumes, struct image_assume);
    for (uint32_t i = 0; i < p->assumes.count; i++) {
        buf_reset(text);
        struct slice name = image_text(p, a[i].name);
        buf_printf(text, "assume %.*s%s%.*s: %.*s", SLICE_FMT(image_text(p, a[i].code)),
                   name.len ? " " : "", SLICE_FMT(name), SLICE_FMT(image_text(p, a[i].reason)));
        item(t, "assume", name, buf_slice(text));
    }
}

static void all(struct trust *t)
{
    struct buf text;
    buf_init(&text, 1024 * 1024);
    redactions(t, &text);
    labels(t, &text);
    assumptions(t, &text);
    buf_deinit(&text);
}

void trust_text(const struct policy_image *image, struct buf *out)
{
    struct trust t = {.p = image, .out = out};
    all(&t);
}

void trust_json(const struct policy_image *image, struct buf *out)
{
    struct trust t = {.p = image, .out = out, .json = true};
    BUF_LIT(out, "[");
    all(&t);
    BUF_LIT(out, "]");
}
