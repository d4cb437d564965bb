// Answers of the simulated pool that no model gives: errors, and the pages of an engine.
#ifndef MERIT_SIM_RESPOND_H
#define MERIT_SIM_RESPOND_H

#include "net/http_server.h"
#include "sim/live.h"
#include "sim/script.h"

struct http_header sim_header(const char *name, struct slice value);
void sim_respond_json(struct http_exchange *x, int status, struct slice body);
void sim_respond_error(struct http_exchange *x, const struct sim_error *e);
void sim_respond_refusal(struct http_exchange *x, int status, const char *code,
                         struct slice message);
void sim_respond_nomem(struct http_exchange *x);
// Metrics, adapters, state and restart (sim/pool.h); `get` for GET and HEAD. False when the path is none of these.
bool sim_engine_request(struct live *l, struct http_exchange *x, bool get);

#endif
