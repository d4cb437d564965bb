#include "api/metrics_ledger.h"

#include <inttypes.h>

static void value(struct buf *out, const char *name, const char *type, const char *help, uint64_t v)
{
    buf_printf(out, "# HELP %s %s\n# TYPE %s %s\n%s %" PRIu64 "\n", name, help, name, type, name,
               v);
}

void metrics_ledger_write(const struct ledger_stats *s, struct buf *out)
{
    value(out, "merit_ledger_reserved_total", "counter", "Attempts reserved.", s->reserved);
    value(out, "merit_ledger_settled_total", "counter", "Attempts settled.", s->settled);
    BUF_LIT(out, "# HELP merit_ledger_refused_total Reservations refused, by reason.\n"
                 "# TYPE merit_ledger_refused_total counter\n");
    for (int i = 0; i < LEDGER_REFUSED_COUNT_; i++)
        buf_printf(out, "merit_ledger_refused_total{reason=\"%s\"} %" PRIu64 "\n",
                   ledger_refused_name((enum ledger_refused)i), s->refused[i]);
    value(out, "merit_ledger_over_bound_total", "counter",
          "Settled above what a hard budget had reserved.", s->over_bound);
    value(out, "merit_ledger_passed_over_total", "counter",
          "Draws on paced budgets that found no account free.", s->passed_over);
    value(out, "merit_ledger_recovered_total", "counter",
          "Attempts of an earlier process, settled at their bound.", s->recovered);
    value(out, "merit_ledger_damaged_total", "counter", "Journal records that could not be read.",
          s->damaged);
    value(out, "merit_ledger_accounts", "gauge", "Accounts there is room for.", s->accounts);
    value(out, "merit_ledger_accounts_used", "gauge",
          "Of these used so far, expired ones included.", s->accounts_used);
    value(out, "merit_ledger_open", "gauge", "Attempts reserved and not settled.", s->open);
    value(out, "merit_ledger_backlog", "gauge", "Attempts settled and not yet in the store.",
          s->backlog);
    value(out, "merit_ledger_slots", "gauge", "Attempts that the journal has room for.", s->slots);
    value(out, "merit_ledger_stored_total", "counter", "Rows committed.", s->stored);
    value(out, "merit_ledger_store_failures_total", "counter", "Commits that failed.",
          s->store_failures);
    value(out, "merit_ledger_storing", "gauge", "1 when the last commit went well.", s->storing);
    buf_printf(out,
               "# HELP merit_ledger_lag_seconds Age of the oldest row of the last commit.\n"
               "# TYPE merit_ledger_lag_seconds gauge\nmerit_ledger_lag_seconds %.6f\n",
               (double)s->store_lag_us / 1e6);
}
