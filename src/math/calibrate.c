#include "math/calibrate.h"

#include <math.h>

#include "math/real.h"

// Mean loss, its first and second derivative by the slope.
static double slope_loss(const float *logits, const uint32_t *truth, uint32_t rows, uint32_t labels,
                         double slope, double *first)
{
    double loss = 0, d1 = 0;
    for (uint32_t r = 0; r < rows; r++) {
        const float *x = logits + (size_t)r * labels;
        double top = -INFINITY, sum = 0, mean = 0;
        for (uint32_t i = 0; i < labels; i++)
            if (x[i] > top)
                top = x[i];
        for (uint32_t i = 0; i < labels; i++) {
            double e = real_exp(slope * (x[i] - top));
            sum += e;
            mean += e * (x[i] - top);
        }
        double own = x[truth[r]] - top;
        loss += real_log(sum) - slope * own;
        d1 += mean / sum - own;
    }
    *first = rows ? d1 / rows : 0;
    return rows ? loss / rows : 0;
}

float calibrate_slope(const float *logits, const uint32_t *truth, uint32_t rows, uint32_t labels)
{
    // The loss is convex in the slope: its derivative changes sign once.
    double low = 1.0 / 64, high = 64, first;
    for (int i = 0; i < 40; i++) {
        double mid = real_sqrt(low * high);
        slope_loss(logits, truth, rows, labels, mid, &first);
        if (first > 0)
            high = mid;
        else
            low = mid;
    }
    return (float)real_sqrt(low * high);
}

void calibrate_platt(const float *score, const bool *positive, uint32_t rows, float *slope,
                     float *shift)
{
    double yes = 0, a = 1, b = 0;
    for (uint32_t i = 0; i < rows; i++)
        yes += positive[i];
    double high = (yes + 1) / (yes + 2), low = 1 / (rows - yes + 2);
    double last = INFINITY;
    for (int round = 0; round < 100; round++) {
        double ga = 0, gb = 0, haa = 1e-9, hab = 0, hbb = 1e-9;
        for (uint32_t i = 0; i < rows; i++) {
            double p = real_logistic(a * score[i] + b), t = positive[i] ? high : low,
                   w = p * (1 - p);
            ga += (p - t) * score[i];
            gb += p - t;
            haa += w * score[i] * score[i];
            hab += w * score[i];
            hbb += w;
        }
        double det = haa * hbb - hab * hab;
        double da = (hbb * ga - hab * gb) / det, db = (haa * gb - hab * ga) / det;
        // Shorter steps while the loss does not fall.
        double pace = 1, loss = last;
        for (int half = 0; half < 30; half++, pace /= 2) {
            loss = 0;
            for (uint32_t i = 0; i < rows; i++) {
                double z = (a - pace * da) * score[i] + (b - pace * db);
                double t = positive[i] ? high : low;
                loss +=
                    (z > 0 ? z + real_log(1 + real_exp(-z)) : real_log(1 + real_exp(z))) - t * z;
            }
            if (loss <= last)
                break;
        }
        if (loss > last)
            break;
        a -= pace * da;
        b -= pace * db;
        bool done = last - loss < 1e-10 * (1 + fabs(loss));
        last = loss;
        if (done)
            break;
    }
    *slope = (float)a;
    *shift = (float)b;
}

void calibrate_isotonic(const double *value, const double *weight, uint32_t count, double *fitted)
{
    // Blocks are kept in place: fitted[start] is a block's mean, told apart by walking back over equal means.
    for (uint32_t i = 0; i < count; i++) {
        double mean = value[i], mass = weight ? weight[i] : 1;
        uint32_t begin = i;
        while (begin > 0 && fitted[begin - 1] >= mean) {
            double other = fitted[begin - 1], part = 0;
            while (begin > 0 && fitted[begin - 1] == other) {
                begin--;
                part += weight ? weight[begin] : 1;
            }
            mean = (mean * mass + other * part) / (mass + part);
            mass += part;
        }
        for (uint32_t k = begin; k <= i; k++)
            fitted[k] = mean;
    }
}
