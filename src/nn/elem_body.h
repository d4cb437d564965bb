// The functions of nn/elem.h in the vector words of a tier; included by one file per tier, after its simd_*.h.
//
// Sources of formulas: erf's GELU as x * Phi(x), Phi(x) - 1/2 = x * P(x^2) / Q(x^2) on [-5.2, 5.2], own minimax fit,
// absolute error of GELU 1.2e-6 in f32 (measured on 400,001 points against double). 2^x by own minimax polynomial on
// [-1/2, 1/2], relative error 8e-8 (degree 6) and 2.7e-6 (degree 4).

static void elem_norm_of(float *out, const float *x, const float *gain, const float *bias,
                         uint32_t n, float eps)
{
    vf s = vf_set(0), t = vf_set(0);
    for (uint32_t i = 0; i < n; i += VW)
        s = vf_add(s, vf_load_n(x + i, n - i));
    float mean = vf_sum(s) / (float)n;
    vf m = vf_set(mean);
    for (uint32_t i = 0; i < n; i += VW) {
        vf d = vf_sub(vf_load_n(x + i, n - i), m);
        if (n - i < VW)
            d = vf_between(d, 0, 0, n - i, 0);
        t = vf_fma(d, d, t);
    }
    vf r = vf_set(1.0f / sqrtf(vf_sum(t) / (float)n + eps));
    for (uint32_t i = 0; i < n; i += VW) {
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
    for (uint32_t i = 0; i < n; i += VW)
        vf_store_n(x + i, vf_add(vf_load_n(x + i, n - i), vf_load_n(y + i, n - i)), n - i);
}

static void elem_add_norm(float *out, float *x, const float *y, const float *gain,
                          const float *bias, uint32_t n, float eps)
{
    elem_add(x, y, n);
    elem_norm_of(out, x, gain, bias, n, eps);
}

SIMD vf gelu_of(vf x)
{
    vf low = vf_max(x, vf_set(-5.2f));
    vf c = vf_min(low, vf_set(5.2f));
    vf t = vf_mul(c, c);
    vf p = vf_fma(t, vf_set(-2.0067423278646856e-08f), vf_set(6.921561634953832e-06f));
    vf q = vf_fma(t, vf_set(0.00018035268294624984f), vf_set(0.003926241770386696f));
    p = vf_fma(t, p, vf_set(0.0005310678971000016f));
    q = vf_fma(t, q, vf_set(0.049629028886556625f));
    p = vf_fma(t, p, vf_set(0.006816258653998375f));
    q = vf_fma(t, q, vf_set(0.34506580233573914f));
    p = vf_fma(t, p, vf_set(0.07117785513401031f));
    q = vf_fma(t, q, vf_set(1.0f));
    p = vf_fma(t, p, vf_set(0.3989415764808655f));
    return vf_mul(low, vf_fma(c, vf_div(p, q), vf_set(0.5f)));
}

static void elem_gelu(float *x, uint32_t n)
{
    for (uint32_t i = 0; i < n; i += VW)
        vf_store_n(x + i, gelu_of(vf_load_n(x + i, n - i)), n - i);
}

static void elem_geglu(float *out, const float *a, const float *b, uint32_t n)
{
    for (uint32_t i = 0; i < n; i += VW)
        vf_store_n(out + i,
                   vf_mul(gelu_of(vf_load_n(a + i, n - i)), vf_load_n(b + i, n - i)), n - i);
}

static void elem_axpy(float *x, const float *y, float a, uint32_t n)
{
    for (uint32_t i = 0; i < n; i += VW)
        vf_store_n(x + i, vf_fma(vf_load_n(y + i, n - i), vf_set(a), vf_load_n(x + i, n - i)),
                   n - i);
}

static void elem_axpy_s8(float *x, const int8_t *y, float a, uint32_t n)
{
    uint32_t i = 0;
    for (; i + VW <= n; i += VW)
        vf_store(x + i, vf_fma(vf_from_s8(y + i), vf_set(a), vf_load(x + i)));
    for (; i < n; i++)
        x[i] = __builtin_fmaf((float)y[i], a, x[i]);
}

static void elem_axpy_s16(float *x, const int16_t *y, float a, uint32_t n)
{
    uint32_t i = 0;
    for (; i + VW <= n; i += VW)
        vf_store(x + i, vf_fma(vf_from_s16(y + i), vf_set(a), vf_load(x + i)));
    for (; i < n; i++)
        x[i] = __builtin_fmaf((float)y[i], a, x[i]);
}

// 2^t for t <= 0; 0 below 2^-126.
SIMD vf exp2_of(vf t)
{
    vf n = vf_round(t), f = vf_sub(t, n);
    vf p = vf_fma(f, vf_set(0.00015345810970757157f), vf_set(0.0013399932067841291f));
    p = vf_fma(f, p, vf_set(0.009618489071726799f));
    p = vf_fma(f, p, vf_set(0.05550328642129898f));
    p = vf_fma(f, p, vf_set(0.24022646248340607f));
    p = vf_fma(f, p, vf_set(0.6931471824645996f));
    p = vf_fma(f, p, vf_set(1.0f));
    return vf_scale(p, n);
}
SIMD vf exp2_short(vf t)
{
    vf n = vf_round(t), f = vf_sub(t, n);
    vf p = vf_fma(f, vf_set(0.009570100344717503f), vf_set(0.05591786652803421f));
    p = vf_fma(f, p, vf_set(0.240247443318367f));
    p = vf_fma(f, p, vf_set(0.6931217908859253f));
    p = vf_fma(f, p, vf_set(0.9999992847442627f));
    return vf_scale(p, n);
}
