#include <math.h>
#include <string.h>

#include "base/alloc.h"
#include "base/rng.h"
#include "nn/encoder_pack.h"

struct encoder_calibration {
    struct encoder_scratch *scratch;
};

enum result encoder_calibration_open(struct encoder_packer *p, struct encoder_calibration **out)
{
    (void)p;
    *out = alloc_zeroed(1, sizeof **out);
    return *out ? RESULT_OK : RESULT_NOMEM;
}

void encoder_calibration_close(struct encoder_calibration *c)
{
    alloc_free(c);
}

void encoder_calibrate(struct encoder_calibration *c, struct encoder_packer *p, uint32_t i,
                       struct encoder_choice_linear choice[ENCODER_LINEARS],
                       const float *balance[ENCODER_LINEARS])
{
    (void)c, (void)p, (void)i, (void)choice, (void)balance;
}
