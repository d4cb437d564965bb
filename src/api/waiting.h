// A request that waits for the compute pool. Private to api/.
//
// The request goes on when its asks are answered or the deadline passes; whoever leaves earlier gives the job up. What the
// pool works on belongs to neither the request nor its policy, so both may go while it still runs.
#ifndef MERIT_API_WAITING_H
#define MERIT_API_WAITING_H

#include "api/request.h"
#include "work/trunk.h"

// Hands the asks that are not answered to the pool. RESULT_OK: `go_on` is called on the loop, once, later: with RESULT_OK when
// every ask is answered, r->waited_us being what that cost in CPU; with RESULT_TIMEOUT when they are as they were (`deadline_ms` 0: never). The asks
// live in the exchange's arena and are left alone meanwhile. RESULT_NOT_FOUND (there is no pool), and as compute_submit.
enum result waiting_begin(struct request *r, struct trunk_ask *asks, uint32_t deadline_ms,
                          void (*go_on)(struct request *r, enum result why)) MERIT_NODISCARD;
// Gives up; `go_on` is not called any more. No-op when the request does not wait.
void waiting_drop(struct request *r);

#endif
