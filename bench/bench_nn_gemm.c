// The matrix kernels as a share of the peak of their instruction: loops over registers alone, measured in turns with the
// kernels. CPU time of this thread.
//
// A cell is the kernel's best slice over the best slice of the probe; slices end when it
// reaches ENOUGH, at the latest after PATIENCE + 1 rounds of SLICES. gemm_peak_share is the least cell at 64, 128 and 512 rows of all
// kernels that this CPU runs. 16 rows, and 16 rows with weights that come from memory each time, are shown beside it.
//   bench_nn_gemm [NAME]    only kernels whose name begins so
#include <ctype.h>
#include <stdio.h>
#include <string.h>

#include "../tests/support/gemm_probe.h"

enum { SLICES = 20, PATIENCE = 8, ROW_COUNTS = 5, COLD_BYTES = 96 << 20 };
static const double SLICE_S = 0.0005, TARGET = 0.88, ENOUGH = 0.94;
static const uint32_t SHAPES[][2] = {{384, 384}, {384, 1536}, {1536, 384},
                                     {768, 768}, {768, 2304}, {1152, 768}};
enum { SHAPE_COUNT = sizeof SHAPES / sizeof SHAPES[0] };
// 0 stands for 16 rows with cold weights; the first two are not part of the gate.
static const uint32_t ROWS[ROW_COUNTS] = {0, 16, 64, 128, 512};

// 16 rows with one copy of the weights after another, of more copies than the caches hold.
static double cold_rate(struct gemm_case *s)
{
    size_t bytes =
        (gemm_weights_bytes(s->w.tier, s->w.precision, s->w.k, s->w.n) + 4095) & ~(size_t)4095;
    uint32_t copies = (uint32_t)(COLD_BYTES / bytes) + 1;
    char *all = gemm_memory(copies * bytes);
    for (uint32_t i = 0; i < copies; i++)
        memcpy(all + i * bytes, s->data,
               gemm_weights_bytes(s->w.tier, s->w.precision, s->w.k, s->w.n));
    double begin = gemm_now_s();
    for (uint32_t i = 0; i < copies; i++) {
        s->w.data = all + i * bytes;
        gemm_run_kernel(s->probe->kernel, &s->w, s->packed, s->rows, s->c, s->w.n, false);
    }
    double took = gemm_now_s() - begin;
    s->w.data = s->data;
    free(all);
    return 2.0 * s->rows * s->w.k * s->w.n * copies / took;
}

static double cell(const struct gemm_probe *probe, const uint32_t shape[2], uint32_t rows,
                   double *peak)
{
    struct gemm_case s = gemm_case_open(probe, shape[0], shape[1], rows ? rows : 16);
    struct gemm_rates best = gemm_measure(&s, SLICES, SLICE_S, ENOUGH);
    for (int i = 0; rows > 0 && i < PATIENCE && best.kernel < ENOUGH * best.probe; i++) {
        nanosleep(&(struct timespec){0, 50 * 1000 * 1000}, NULL); // let a neighbour's burst pass
        struct gemm_rates again = gemm_measure(&s, SLICES, SLICE_S, ENOUGH);
        best.kernel = again.kernel > best.kernel ? again.kernel : best.kernel;
        best.probe = again.probe > best.probe ? again.probe : best.probe;
    }
    for (int i = 0; rows == 0 && i < 3; i++) {
        double rate = cold_rate(&s);
        best.kernel = i == 0 || rate > best.kernel ? rate : best.kernel;
    }
    gemm_case_close(&s);
    *peak = best.probe > *peak ? best.probe : *peak;
    return best.kernel / best.probe;
}

// One line of the table; the least share at 64 rows and more.
static double line(const struct gemm_probe *probe)
{
    double least = 1e9, peak = 0;
    printf("%-22s", probe->name);
    for (int i = 0; i < SHAPE_COUNT; i++) {
        for (int r = 0; r < ROW_COUNTS; r++) {
            double share = cell(probe, SHAPES[i], ROWS[r], &peak);
            printf("%s%.2f", r ? "/" : " ", share);
            fflush(stdout);
            if (ROWS[r] >= 64 && share < least)
                least = share;
        }
    }
    printf("  %.3f %6.0f\n", least, peak / 1e9);
    return least;
}

static void cpu_model(char *out, size_t size)
{
    char text[256];
    FILE *f = fopen("/proc/cpuinfo", "r");
    snprintf(out, size, "unknown");
    while (f && fgets(text, sizeof text, f)) {
        char *colon = strchr(text, ':');
        if (strncmp(text, "model name", 10) == 0 && colon) {
            colon[strcspn(colon, "\n\"\\")] = '\0';
            snprintf(out, size, "%s", colon + 2);
            break;
        }
    }
    if (f)
        fclose(f);
}

int main(int argc, char **argv)
{
    double shares[GEMM_PROBE_COUNT + 1] = {0}, least = 1e9;
    printf("Share of the peak at 16 rows with cold weights / 16 / 64 / 128 / 512 rows\n%-22s", "");
    for (int i = 0; i < SHAPE_COUNT; i++)
        printf(" %11ux%-12u", SHAPES[i][0], SHAPES[i][1]);
    printf("  least  peak G/s\n");
    for (int i = 0; i < GEMM_PROBE_COUNT; i++) {
        const struct gemm_probe *p = &GEMM_PROBES[i];
        if (!nn_tier_has(p->runs_on) ||
            (argc > 1 && strncmp(p->name, argv[1], strlen(argv[1])) != 0))
            continue;
        shares[i] = line(p);
        least = shares[i] < least ? shares[i] : least;
    }
    char cpu[128];
    cpu_model(cpu, sizeof cpu);
    bool pass = least >= TARGET && least < 1e9;
    printf("{\"bench\": \"gemm\", \"cpu\": \"%s\", \"pass\": %s, \"figures\": {", cpu,
           pass ? "true" : "false");
    for (int i = 0; i < GEMM_PROBE_COUNT; i++) {
        char name[64];
        snprintf(name, sizeof name, "%s", GEMM_PROBES[i].name);
        for (char *c = name; *c; c++)
            *c = *c == ' ' || *c == '-' ? '_' : (char)tolower((unsigned char)*c);
        if (shares[i] > 0)
            printf("\"%s_share\": %.3f, ", name, shares[i]);
    }
    printf("\"gemm_peak_share\": %.3f}}\n", least < 1e9 ? least : 0);
    return pass ? 0 : 1;
}
