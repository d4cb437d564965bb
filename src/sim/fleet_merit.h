// Merit's own placement in the fleet simulator: its pool (rows, in-flight counts, health, speeds), its dispatch, its index of
// prefixes, its learner of lengths, in the order in which a request meets them in the gateway, in virtual time.
//
// They see what they would see on a wire: a replica's metrics every scrape_ms, first bytes, usage with cached tokens and
// output length when an answer has ended, connections that are refused. Not the constants, not what is in a cache.
//
// The policy has one model with an endpoint per replica.
#ifndef MERIT_SIM_FLEET_MERIT_H
#define MERIT_SIM_FLEET_MERIT_H

#include "sim/fleet.h"

extern const struct fleet_placement fleet_merit;
// The same without the index of prefixes and sessions, to see what they bring.
extern const struct fleet_placement fleet_merit_blind;

#endif
