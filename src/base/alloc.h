// Where all heap memory of Merit comes from, so that tests can fail the n-th allocation.
//
// `alloc_bytes` and friends are malloc, realloc and free with a switch in front. In a release build with no fault
// armed the switch is one predictable branch.
#ifndef MERIT_BASE_ALLOC_H
#define MERIT_BASE_ALLOC_H

#include <stddef.h>
#include <stdint.h>

#include "base/compiler.h"

// Uninitialised; NULL when there is none. Size 0 gives a unique pointer.
void *alloc_bytes(size_t size) MERIT_NODISCARD;
// Zeroed; NULL when there is none or count * size overflows.
void *alloc_zeroed(size_t count, size_t size) MERIT_NODISCARD;
// As realloc; on NULL the old block still stands.
void *alloc_resize(void *old, size_t size) MERIT_NODISCARD;
void alloc_free(void *ptr);

// Tests only, process-wide: the n-th allocation from now on fails (1 is the next one), and all later ones when
// `forever`; n 0 disarms. Not for use while other threads allocate.
void alloc_fail_at(uint64_t n, int forever);
// Allocations asked for since the process began, failed ones included.
uint64_t alloc_count(void);

#endif
