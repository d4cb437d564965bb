// What a server measures of its signals, carried between loops, policies and starts. Control thread only.
//
// Now and then what the loops have counted is merged, and when it says enough that is new each loop gets a new epoch of
// costs and probabilities. The totals are kept in DATA/measured/POLICY, by the policy's name, written every minute while
// they change and at the end, and read at the start. A file that cannot be read or believed is told once on standard
// error, and measuring begins anew: it only makes decisions dearer for a while, never different.
#ifndef MERIT_CLI_MEASURING_H
#define MERIT_CLI_MEASURING_H

#include "api/gateway.h"

struct measuring {
    struct loop *loop; // NULL: not open
    struct loop_timer timer;
    struct serving *serving; // the one that is measured
    struct gateway **gateways;
    uint32_t count;
    const char *data; // NULL: nothing is kept
    uint64_t saved;   // decisions in the file
    bool complained;
    uint32_t since_saved; // rounds
};

// `data` (may be NULL) and `gateways` outlive it.
void measuring_open(struct measuring *m, struct loop *loop, const char *data,
                    struct serving *serving, struct gateway **gateways, uint32_t count);
// Another policy is served from now on: what it shares with the last one is taken over.
void measuring_move(struct measuring *m, struct serving *next);
// Keeps what there is. When the loops write no more, or while they do. No-op when it is not open.
void measuring_close(struct measuring *m);

#endif
