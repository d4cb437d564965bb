// The shadow price of a paced budget: how much dearer its unit is made, so that what is left lasts to the window's end.
//
// After each attempt that took `c` of the budget:
//   ema    <- (1 - A) ema + A c
//   lambda <- clip(lambda + ETA (ema / target - 1), 0, LAMBDA_MAX)
//   target =  what is left / attempts still expected in the window
// lambda is without unit: at 1 an attempt's fair share of the budget, its target, weighs as much as an attempt's money. The
// price of one unit of the budget is lambda * worth / target, where worth is the mean money of an attempt, at least
// PACER_WORTH_NUSD, so that a budget of joules also bears on models that cost no money.
//
// A, ETA and LAMBDA_MAX are ParetoBandit's constants (cited; overshoot at most 0.4 % on its data); the moving mean
// breaks the textbook bound, so that the guarantee stays with hard reservations. The rest is guessed, 2026-11. Pure.
#ifndef MERIT_LEDGER_PACER_H
#define MERIT_LEDGER_PACER_H

#include <stdbool.h>
#include <stdint.h>

#define PACER_A 0.05
#define PACER_ETA 0.05
#define PACER_LAMBDA_MAX 5.0
// ema / target - 1 is held at this, so that an exhausted window raises the price in some ten attempts, not at once.
#define PACER_ERROR_MAX 10.0
// The target that a price is made of is held at this share of the mean, as it goes to 0 with what is left.
#define PACER_SHARE_MIN 0.1
#define PACER_WORTH_NUSD 100000.0
// The last window's pace counts as if it had gone on for this share of a window before this one began.
#define PACER_PRIOR 0.25
// Attempts that a session is expected to make still, when it has made fewer: after them as many as it has made.
#define PACER_LIFE_MIN 8.0

struct pacer {
    double lambda;
    double ema;      // of the budget's unit, per attempt; 0: none yet
    double ema_nusd; // money per attempt
    double share;    // the target of the last step, held at PACER_SHARE_MIN of the mean
};

// Attempts that the rest of a window still brings; at least 1. `elapsed_us` of `length_us` are over and brought
// `count`; the whole window before brought `before`.
double pacer_forecast(double count, double before, double elapsed_us, double length_us);
// The same of a session or loop, whose end nobody knows.
double pacer_forecast_life(double count);

// After an attempt that took `c` and cost `nusd`; `left` of the budget, negative when overdrawn.
struct pacer pacer_step(struct pacer p, double c, double nusd, double left, double forecast);
// nano-USD per unit of the budget.
double pacer_price(struct pacer p);

#endif
