// The ledger in Prometheus' terms.
#ifndef MERIT_API_METRICS_LEDGER_H
#define MERIT_API_METRICS_LEDGER_H

#include "base/buf.h"
#include "ledger/ledger.h"

void metrics_ledger_write(const struct ledger_stats *s, struct buf *out);

#endif
