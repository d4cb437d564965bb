#include "ledger/pacer.h"

static double clip(double v, double low, double high)
{
    return v < low ? low : v > high ? high : v;
}

double pacer_forecast(double count, double before, double elapsed_us, double length_us)
{
    double elapsed = clip(elapsed_us, 0, length_us);
    double prior = before > 0 ? PACER_PRIOR * length_us : 0;
    double span = elapsed + prior;
    double seen = count + before * PACER_PRIOR * (prior > 0);
    double n = span > 0 ? seen / span * (length_us - elapsed) : seen;
    return n > 1 ? n : 1;
}

double pacer_forecast_life(double count)
{
    return count > PACER_LIFE_MIN ? count : PACER_LIFE_MIN;
}

struct pacer pacer_step(struct pacer p, double c, double nusd, double left, double forecast)
{
    bool first = !(p.ema > 0);
    p.ema = first ? c : p.ema + PACER_A * (c - p.ema);
    p.ema_nusd = first ? nusd : p.ema_nusd + PACER_A * (nusd - p.ema_nusd);
    double target = left > 0 ? left / (forecast > 1 ? forecast : 1) : 0;
    double error = target > 0 ? p.ema / target - 1 : PACER_ERROR_MAX;
    p.lambda = clip(p.lambda + PACER_ETA * clip(error, -1, PACER_ERROR_MAX), 0, PACER_LAMBDA_MAX);
    p.share = target > PACER_SHARE_MIN * p.ema ? target : PACER_SHARE_MIN * p.ema;
    return p;
}

double pacer_price(struct pacer p)
{
    if (!(p.lambda > 0) || !(p.share > 0))
        return 0;
    return p.lambda * (p.ema_nusd > PACER_WORTH_NUSD ? p.ema_nusd : PACER_WORTH_NUSD) / p.share;
}
