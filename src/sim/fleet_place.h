// The placements of the fleet simulator. Private to it.
#ifndef MERIT_SIM_FLEET_PLACE_H
#define MERIT_SIM_FLEET_PLACE_H

#include "sim/fleet.h"

enum { FLEET_SCRAPE_MS = 1000 };

extern const struct fleet_placement fleet_rr, fleet_lr, fleet_p2c, fleet_oracle, fleet_warm,
    fleet_home;

#endif
