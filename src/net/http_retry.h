// When a peer wants to be asked again: the values of Retry-After (RFC 9110, 10.2.3) and of retry-after-ms, which some
// providers send beside it. Pure; hints, so that what does not read counts as not said.
#ifndef MERIT_NET_HTTP_RETRY_H
#define MERIT_NET_HTTP_RETRY_H

#include <stdint.h>

#include "base/slice.h"

enum { HTTP_RETRY_MAX_S = 86400 }; // who asks for years is believed a day

// "120", "0.5", or "Sun, 06 Nov 1994 08:49:37 GMT" beside the wall clock: whole seconds, rounded up. 0: now, in the past, or
// not to be read.
uint32_t http_retry_after_s(struct slice value, uint64_t wall_us);
// A date of the peer (its header Date) in microseconds, for the second argument: its clock and ours may differ. `wall_us` where it
// is none.
uint64_t http_peer_clock_us(struct slice date, uint64_t wall_us);
// "1500", "0.5": the same from milliseconds.
uint32_t http_retry_after_ms_s(struct slice value);

#endif
