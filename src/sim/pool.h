// The demo pool: simulated models behind a real HTTP server on loopback, so that Merit shows real decisions, streams
// and errors with nothing else at hand.
//
// It speaks OpenAI's wire format: POST /v1/chat/completions (stream and not, usage, include_usage, tools, n, stop,
// max_tokens, JSON answers), GET /v1/models, GET /health. Every answer says that it is simulated. It depends only on
// the request and the seed, but for ids and times. Four models differ in speed, window and manner:
//
//   swift   first token  20 ms, then  2 ms a token, window   8,192, one short sentence
//   steady  first token  60 ms, then  5 ms a token, window  32,768, a paragraph
//   deep    first token 150 ms, then 10 ms a token, window 128,000, reasons in steps
//   vast    first token 300 ms, then 15 ms a token, window 200,000, long and thorough
//
// A directive makes it misbehave, for tests: `[[sim: status=429 retry-after=2]]` in the text of the last user message,
// in metadata.sim or in the header x-sim (there without brackets). Words, any number of them:
//
//   status=N          answers N with an error body          retry-after=N     adds the header
//   delay=DURATION    before the head                       slow=DURATION     before each chunk
//   hang              never answers                         garbage           a body that is no JSON, no event stream
//   type=TEXT         another content type                  empty             200 with an empty body
//   cut after=N       breaks the connection after N chunks  error after=N     error event after N chunks, then breaks
//   no-done           ends cleanly without [DONE]           no-usage          never gives usage
//   headers=N         adds N bytes of headers               tokens=N          answers exactly N tokens
//   times=N           only for the first N requests with this directive text
//   model=NAME        only when this model is asked       port=N            only on this port
//
// `after=N` belongs to the word before it; `hang after=N` stops in the middle of a stream. Durations are 20ms or 2s.
// A word that is not known is answered with 400, so that a test cannot miss its aim.
//
// With an engine (`live`) the four models' speeds do not count: requests queue and run on it (sim/engine.h, sim/live.h), usage
// tells cached tokens, and there are GET /metrics in the words of that engine, the ORCA header `endpoint-load-metrics` for a
// request with `endpoint-load-metrics-format: TEXT` or `JSON`, POST /v1/load_lora_adapter and /v1/unload_lora_adapter
// {"lora_name"}, and, for tests, GET /sim/state (what the engine knows of itself) and POST /sim/restart {"down_ms"} (caches
// and requests are lost; connections break until it is back). Directives work as before; one that is about the answer's
// status or form is answered without the engine.
//
// One thread of its own; open and close may be called from any one thread.
#ifndef MERIT_SIM_POOL_H
#define MERIT_SIM_POOL_H

#include <stdbool.h>
#include <stdint.h>

#include "base/result.h"
#include "sim/live.h"

struct sim;

struct sim_options {
    const char *host; // NULL: 127.0.0.1
    uint16_t port;    // 0: any free one
    double pace;      // factor on all delays of answers; 0: none. Directives' delays are not scaled
    uint64_t seed;
    const char *const
        *models; // names to serve; NULL: the four. An unknown name gets a profile by its hash
    uint32_t model_count;
    // Every other name is served, too, with any window: the policy that calls it says what its models are. Such names are
    // not listed.
    bool any_model;
    const struct live_options *live; // an engine of one model, the first name; NULL: none
};

// RESULT_EXISTS (somebody listens on the port), RESULT_IO (errno), RESULT_NOMEM, RESULT_LIMIT (more
// than SIM_MODELS_MAX names), what live_open has.
enum { SIM_MODELS_MAX = 32 };
enum result sim_open(struct sim **out, const struct sim_options *options);
// Its base URL is http://127.0.0.1:PORT/v1.
uint16_t sim_port(const struct sim *s);
// Requests answered so far; any thread.
uint64_t sim_requests(const struct sim *s);
// Breaks what runs, joins the thread.
void sim_close(struct sim *s);

#endif
