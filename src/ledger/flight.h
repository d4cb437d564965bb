// What a journal holds at the moment, read by one who is not its process: attempts that are under way, and those that are
// settled and not yet in the store. It may be another process's that is at work, or nobody's.
#ifndef MERIT_LEDGER_FLIGHT_H
#define MERIT_LEDGER_FLIGHT_H

#include <stddef.h>
#include <stdint.h>

#include "base/compiler.h"
#include "base/result.h"
#include "ledger/ledger.h"

enum { FLIGHT_DRAWS_MAX = 4 << 20 };

// One attempt's part of one account.
struct flight_draw {
    uint64_t ticket, account, number;
    enum image_window window;
    enum image_unit unit;
    bool hard, settled;
    int64_t amount; // reserved, or what it is charged
};

struct flight {
    struct flight_draw *draws;
    size_t count;
};

// Copies what is whole; a slot that is just being written is one more or less. RESULT_OK without a journal, RESULT_IO
// (errno; it is somebody else's), RESULT_VERSION, RESULT_LIMIT, RESULT_NOMEM.
enum result flight_read(struct flight *out, const char *directory) MERIT_NODISCARD;
void flight_free(struct flight *f);

#endif
