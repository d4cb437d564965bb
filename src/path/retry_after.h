// How long an upstream wants to be left alone: `Retry-After` in seconds or as a date (RFC 9110), else `retry-after-ms`. Pure.
#ifndef MERIT_PATH_RETRY_AFTER_H
#define MERIT_PATH_RETRY_AFTER_H

#include <stdbool.h>
#include <stdint.h>

#include "net/http.h"

enum { RETRY_AFTER_MAX_S = 86400 }; // who asks for years is believed a day

// Seconds, rounded up; 0: it says nothing, nothing that can be read, or a moment that is over. A date is held against the upstream's
// own `Date` where it gives one, because its clock and ours may differ, else against `wall_us`.
uint32_t retry_after_s(const struct http_head *head, uint64_t wall_us);

// One of the three forms of a date in HTTP, in seconds since 1970. False: it is none, or before that.
bool retry_after_date(struct slice text, int64_t *unix_s);

#endif
