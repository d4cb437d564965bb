// What reckoning needs besides the policy: the carbon of now, the batch at a place, meters, and how estimates turned out.
//
// One per process, shared by all policies. NULL stands for one that knows nothing: every function of the loops takes it.
//
//   control   reckon_use              a policy is taken up: its meters are opened, its files of carbon read
//             reckon_tick             every reckon_every_ms: meters are read and shared out, files looked at, ratios made
//             reckon_metrics          merit_meter_*, merit_carbon_*, merit_estimate_ratio
//   loops     reckon_here             for price_expect and price_settle
//             reckon_meter_*          one attempt's row on its machine's meter
//             reckon_count            expected and settled, for the ratio
#ifndef MERIT_API_RECKON_H
#define MERIT_API_RECKON_H

#include <stdbool.h>
#include <stdint.h>

#include "api/metrics.h"
#include "base/buf.h"
#include "pool/carbon.h"
#include "pool/meter_sampler.h"
#include "pool/pool.h"
#include "route/price.h"
#include "route/ratio.h"
#include "work/pool.h"

enum { RECKON_RATIO_MS = 10000 };

struct reckon;

// `loops` will count. `places` as for meter_open. RESULT_NOMEM.
enum result reckon_open(struct reckon **out, uint32_t loops,
                        const struct meter_places *places) MERIT_NODISCARD;
void reckon_close(struct reckon *k); // NULL: no-op

// --- control thread

// Before the policy is served. RESULT_LIMIT (something of it is not metered, or its carbon is the policy's figure), RESULT_NOMEM.
enum result reckon_use(struct reckon *k, const struct policy_image *image, uint64_t mono_us,
                       uint64_t wall_us) MERIT_NODISCARD;
// `say` gets a line without a newline for each meter and file that came or went, and for each alarm raised or cleared.
void reckon_tick(struct reckon *k, const struct metrics_names *names, uint64_t mono_us,
                 uint64_t wall_us, void (*say)(void *ctx, struct slice line), void *ctx);
// For who fetches its feeds.
struct carbon *reckon_carbon(struct reckon *k);
// METER_EVERY_MS while there is a meter, else seldom.
uint32_t reckon_every_ms(const struct reckon *k);
// Tells the places of a pool what carbon their zones have now, and meters what of others runs beside them: at once when it is
// taken up, and after each tick.
void reckon_places(struct reckon *k, const struct pool *pool, uint64_t now_us);
void reckon_metrics(const struct reckon *k, const struct metrics_names *names, struct buf *out);

// --- loops

// `place` NULL: nothing is known of where. `joined`: this request is among those that the place counts already. The batch is
// what the engine was last seen to run, or at least what Merit has there; of a place without an engine (a provider's) it is not
// known. `cpu_ns` of Merit's own thread goes in as the router's joules.
struct price_here reckon_here(const struct reckon *k, const struct policy_image *image,
                              int32_t model, const struct pool_place *place, bool joined,
                              uint64_t cpu_ns);

// Zero: not metered.
struct reckon_meter {
    struct meter_board *board;
    int32_t slot;
};
// `endpoint` of the image, or IMAGE_NONE.
struct reckon_meter reckon_meter_begin(const struct reckon *k, const struct policy_image *image,
                                       int32_t endpoint);
void reckon_meter_prefill(struct reckon_meter m, uint64_t computed_tok); // with the first byte
void reckon_meter_decode(struct reckon_meter m, uint64_t tok);
// Once; price_usage.metered_uj: negative when it is not metered.
int64_t reckon_meter_end(struct reckon_meter *m);

// `model_slot` of the metrics. An answered attempt whose usage can be believed.
void reckon_count(struct reckon *k, uint32_t loop, uint32_t model_slot, const struct estimate *was,
                  const struct price_settled *is, uint32_t output_tok);

#endif
