// The functions of nn/elem.h in the vector words of a tier; included by one file per tier, which is compiled
// with that tier's flags.
//
// 2^x by own least-maximum polynomials on [-1/2, 1/2], relative error in f32 8e-8 (degree 6) and 2.7e-6 (degree 4).

static void elem_norm_of(float *out, const float *x, const float *gain, const float *bias,
                         uint32_t n, float eps)
{
    vf s = vf_set(0), t = vf_set(0);
    for (uint32_t i = 0; i < n; i += VF_LEN)
        s = vf_add(s, vf_load_n(x + i, n - i));
    float mean = vf_hsum(s) / (float)n;
    vf m = vf_set(mean);
    for (uint32_t i = 0; i < n; i += VF_LEN) {
        vf d = vf_sub(vf_load_n(x + i, n - i), m);
        if (n - i < VF_LEN)
            d = vf_between(d, 0, 0, n - i, 0);
        t = vf_fma(d, d, t);
    }
    vf r = vf_set(1.0f / sqrtf(vf_hsum(t) / (float)n + eps));
    for (uint32_t i = 0; i < n; i += VF_LEN) {
        vf y = vf_mul(vf_sub(vf_load_n(x + i, n - i), m), r);
        if (gain)
            y = vf_mul(y, vf_load_n(gain + i, n - i));
        if (bias)
            y = vf_add(y, vf_load_n(bias + i, n - i));
        vf_store_n(out + i, y, n - i);
    }
}

static void elem_add(float *x, const float *y, uint32_t n)
{
    for (uint32_t i = 0; i < n; i += VF_LEN)
        vf_store_n(x + i, vf_add(vf_load_n(x + i, n - i), vf_load_n(y + i, n - i)), n - i);
}

static void elem_add_norm(float *out, float *x, const float *y, const float *gain,
                          const float *bias, uint32_t n, float eps)
{
    elem_add(x, y, n);
    elem_norm_of(out, x, gain, bias, n, eps);
}

static void elem_gelu(float *x, uint32_t n)
{
    gemm_act_row(GEMM_ACT_GELU, x, n);
}

static void elem_axpy(float *x, const float *y, float a, uint32_t n)
{
    for (uint32_t i = 0; i < n; i += VF_LEN)
        vf_store_n(x + i, vf_fma(vf_load_n(y + i, n - i), vf_set(a), vf_load_n(x + i, n - i)),
                   n - i);
}

static void elem_axpy_s8(float *x, const int8_t *y, float a, uint32_t n)
{
    uint32_t i = 0;
    for (; i + VF_LEN <= n; i += VF_LEN)
        vf_store(x + i, vf_fma(vf_from_s8(y + i), vf_set(a), vf_load(x + i)));
    for (; i < n; i++)
        x[i] = __builtin_fmaf((float)y[i], a, x[i]);
}

static void elem_axpy_s16(float *x, const int16_t *y, float a, uint32_t n)
{
    uint32_t i = 0;
    for (; i + VF_LEN <= n; i += VF_LEN)
        vf_store(x + i, vf_fma(vf_from_s16(y + i), vf_set(a), vf_load(x + i)));
    for (; i < n; i++)
        x[i] = __builtin_fmaf((float)y[i], a, x[i]);
}

// 2^t for t <= 0; 0 below 2^-126.
NN_INLINE vf exp2_of(vf t)
{
    vf n = vf_round(t), f = vf_sub(t, n);
    vf p = vf_fma(f, vf_set(0.00015345810970757157f), vf_set(0.0013399932067841291f));
    p = vf_fma(f, p, vf_set(0.009618489071726799f));
    p = vf_fma(f, p, vf_set(0.05550328642129898f));
    p = vf_fma(f, p, vf_set(0.24022646248340607f));
    p = vf_fma(f, p, vf_set(0.6931471824645996f));
    p = vf_fma(f, p, vf_set(1.0f));
    return vf_scale_low(p, n);
}
NN_INLINE vf exp2_short(vf t)
{
    vf n = vf_round(t), f = vf_sub(t, n);
    vf p = vf_fma(f, vf_set(0.009570100344717503f), vf_set(0.05591786652803421f));
    p = vf_fma(f, p, vf_set(0.240247443318367f));
    p = vf_fma(f, p, vf_set(0.6931217908859253f));
    p = vf_fma(f, p, vf_set(0.9999992847442627f));
    return vf_scale_low(p, n);
}
