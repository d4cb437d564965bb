// Any bytes as a line of the decision log, under a policy with all that a line can speak of. What is read is written in
// both forms, explained, and decided again.
#include <stdint.h>
#include <stdlib.h>

#include "policy/policy.h"
#include "route/explain.h"
#include "route/record.h"
#include "signal/registry.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const char policy[] =
    "policy \"f\" version 1\n"
    "lattice exposure = public < phi\n"
    "zone house clears phi\n"
    "zone cloud\n"
    "sink nli verifier zone house clears phi timeout 1 s\n"
    "model near zone house endpoint \"http://a/v1\" context 8k tok output 1k tok effort low, high\n"
    "model far zone cloud endpoint \"http://b/v1\", \"http://c/v1\" context 8k tok output 1k tok\n"
    "signal ward = keywords(\"ward\")\n"
    "signal found = pii(card, email)\n"
    "signal hard = complexity\n"
    "signal topic = domain\n"
    "signal who = metadata(\"who\")\n"
    "signal data label exposure = max(phi when ward or found) on_error phi\n"
    "signal risk = score(0.6 hard, 0.3 when ward) bands low, high above 0.5\n"
    "forbid zone cloud when data == phi as \"home\"\n"
    "forbid endpoint \"http://c/v1\" when risk == high as \"not there\"\n"
    "require verify when topic == law as \"checked\"\n"
    "assume infeasible rest \"shown\"\n"
    "route no when who == \"x\" -> refuse \"no\"\n"
    "route rest when hard > 0.2 -> answer(far, near)\n"
    "otherwise -> answer(near high) -> verify(nli) else answer(any) else refuse \"end\"\n";

static struct arena kept;
static const struct policy_image *image;
static const struct route_table *table;
static struct route_costs costs;

static void open_once(void)
{
    arena_init(&kept, 1 << 20, 1 << 26);
    struct diag_list diags;
    diag_init(&diags, &kept, 20);
    if (policy_load(slice_cstr(policy), &signal_registry, &kept, &diags, &image))
        abort();
    costs.own_ns = ARENA_ARRAY(&kept, uint32_t, image->signals.count);
    costs.group = ARENA_ARRAY(&kept, uint8_t, image->signals.count);
    if (!costs.own_ns || !costs.group || route_table_open(image, &costs, &kept, &table))
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct arena arena;
    struct buf out;
    struct decision *d, *again;
    if (!image)
        open_once();
    arena_init(&arena, 1 << 16, 1 << 24);
    buf_init(&out, 1 << 20);
    if (record_read(image, slice_make((const char *)data, size), &arena, &d) == RESULT_OK) {
        const struct explain_options options = {.width = 100};
        record_compact(d, &out);
        record_json(d, NULL, &out);
        explain_text(d, &options, &out);
        explain_infeasible(d, &out);
        if (record_replay(table, d, &arena, &again) == RESULT_OK) {
            record_compact(again, &out);
            explain_text(again, &options, &out);
        }
    }
    buf_deinit(&out);
    arena_deinit(&arena);
    return 0;
}
