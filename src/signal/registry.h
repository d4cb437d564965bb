// The signal families of this build.
//
// A family is one constant in one file of src/signal/; this list is what the policy compiler and
// the plan are handed.
#ifndef MERIT_SIGNAL_REGISTRY_H
#define MERIT_SIGNAL_REGISTRY_H

#include "work/signal.h"

extern const struct signal_registry signal_registry;

#endif
