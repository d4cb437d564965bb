// Windows of budgets: which one an instant lies in, and when it ends. UTC; months are those of the calendar. Pure.
#ifndef MERIT_LEDGER_WINDOW_H
#define MERIT_LEDGER_WINDOW_H

#include <stdbool.h>
#include <stdint.h>

#include "work/image.h"

// Counts up by one from window to window; 0 of one that never ends (per request, per life).
uint64_t window_number(enum image_window w, uint64_t wall_us);
// Where window `number` begins; 0 of one that never ends. The next one's beginning is this one's end.
uint64_t window_begin(enum image_window w, uint64_t number);
// When the window of `wall_us` ends; 0: never.
uint64_t window_end(enum image_window w, uint64_t wall_us);

#endif
