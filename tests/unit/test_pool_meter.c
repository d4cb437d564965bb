// Meters against a driver and a powercap tree of our own: what they count, how a wrap is folded, and that whatever is
// missing has a name and a reason.
#include <dlfcn.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/alloc.h"
#include "base/file.h"
#include "pool/meter_sampler.h"
#include "support/image_builder.h"

static const char *const fake = MERIT_FAKES "/nvml.so";
static char why[METER_WHY_BYTES];
static struct meter *meter;

static void test_nvml(void **state)
{
    (void)state;
    struct meter_places places = {.nvml = fake};
    void *lib = dlopen(fake, RTLD_NOW);
    assert_non_null(lib);
    unsigned long long *mj = dlsym(lib, "fake_mj");
    int *init = dlsym(lib, "fake_init"), *energy = dlsym(lib, "fake_energy"),
        *open_count = dlsym(lib, "fake_open");
    uint64_t uj;
    assert_int_equal(meter_open(IMAGE_METER_NVML, 1, &places, &meter, why), RESULT_OK);
    assert_int_equal(meter_read(meter, &uj), RESULT_OK);
    assert_int_equal(uj, 0);
    mj[1] = 12;
    assert_int_equal(meter_read(meter, &uj), RESULT_OK);
    assert_int_equal(uj, 7000);
    // A reading that fails is made up for by the next one.
    mj[1] = 20;
    *energy = 999;
    assert_int_equal(meter_read(meter, &uj), RESULT_IO);
    assert_int_equal(uj, 0);
    *energy = 0;
    assert_int_equal(meter_read(meter, &uj), RESULT_OK);
    assert_int_equal(uj, 8000);
    // The driver was loaded anew.
    mj[1] = 3;
    assert_int_equal(meter_read(meter, &uj), RESULT_AGAIN);
    assert_int_equal(uj, 0);
    mj[1] = 4;
    assert_int_equal(meter_read(meter, &uj), RESULT_OK);
    assert_int_equal(uj, 1000);
    meter_close(meter);
    assert_int_equal(*open_count, 0);

    assert_int_equal(meter_open(IMAGE_METER_NVML, 7, &places, &meter, why), RESULT_NOT_FOUND);
    assert_string_equal(why, "nvml 7: the GPU: Invalid Argument");
    assert_null(meter);
    *energy = 3;
    assert_int_equal(meter_open(IMAGE_METER_NVML, 0, &places, &meter, why), RESULT_UNSUPPORTED);
    assert_string_equal(why, "nvml 0: the energy counter: Not Supported");
    *energy = 0;
    *init = 9;
    assert_int_equal(meter_open(IMAGE_METER_NVML, 0, &places, &meter, why), RESULT_IO);
    *init = 0;
    assert_int_equal(*open_count, 0);
    places.nvml = "libnvidia-ml-of-nobody.so.1";
    assert_int_equal(meter_open(IMAGE_METER_NVML, 0, &places, &meter, why), RESULT_NOT_FOUND);
    assert_non_null(strstr(why, "no NVIDIA driver: libnvidia-ml-of-nobody"));
    places.nvml = "libc.so.6";
    assert_int_equal(meter_open(IMAGE_METER_NVML, 0, &places, &meter, why), RESULT_UNSUPPORTED);
    assert_non_null(strstr(why, "too old"));
    assert_int_equal(meter_open(IMAGE_METER_NONE, 0, &places, &meter, why), RESULT_NOT_FOUND);
    for (uint64_t n = 1;; n++) {
        places.nvml = fake;
        alloc_fail_at(n, 0);
        enum result r = meter_open(IMAGE_METER_NVML, 0, &places, &meter, why);
        alloc_fail_at(0, 0);
        if (!r)
            break;
        assert_int_equal(r, RESULT_NOMEM);
    }
    meter_close(meter);
    meter_close(NULL);
    dlclose(lib);
}

static char folder[] = "/tmp/merit-powercap-XXXXXX";

static void put(const char *name, const char *text)
{
    char path[256];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    FILE *f =
        fopen(path, "w"); // in place: the meter holds the file open, as the kernel's stays the same
    assert_non_null(f);
    fputs(text, f);
    fclose(f);
}

static void make_folder(const char *name)
{
    char path[256];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    assert_int_equal(file_make_folder(path, 0755), RESULT_OK);
}

static void test_rapl(void **state)
{
    (void)state;
    struct meter_places places = {.powercap = folder};
    uint64_t uj;
    assert_non_null(mkdtemp(folder));
    assert_int_equal(meter_open(IMAGE_METER_RAPL, 0, &places, &meter, why), RESULT_NOT_FOUND);
    assert_non_null(strstr(why, "intel-rapl:0/energy_uj: No such file"));
    make_folder("intel-rapl:0");
    make_folder("intel-rapl:0:0");
    make_folder("intel-rapl:0:1");
    put("intel-rapl:0/name", "package-0\n");
    put("intel-rapl:0/energy_uj", "900\n");
    assert_int_equal(meter_open(IMAGE_METER_RAPL, 0, &places, &meter, why), RESULT_UNSUPPORTED);
    put("intel-rapl:0/max_energy_range_uj", "1000\n");
    put("intel-rapl:0:0/name", "core\n");
    put("intel-rapl:0:0/energy_uj", "5\n");
    put("intel-rapl:0:0/max_energy_range_uj", "1000\n");
    put("intel-rapl:0:1/name", "dram\n");
    put("intel-rapl:0:1/energy_uj", "10\n");
    put("intel-rapl:0:1/max_energy_range_uj", "500\n");
    assert_int_equal(meter_open(IMAGE_METER_RAPL, 0, &places, &meter, why), RESULT_OK);
    put("intel-rapl:0/energy_uj", "950\n");
    put("intel-rapl:0:1/energy_uj", "13\n");
    put("intel-rapl:0:0/energy_uj", "400\n"); // cores are in the package
    assert_int_equal(meter_read(meter, &uj), RESULT_OK);
    assert_int_equal(uj, 53);
    put("intel-rapl:0/energy_uj", "20\n"); // around
    assert_int_equal(meter_read(meter, &uj), RESULT_OK);
    assert_int_equal(uj, 70);
    put("intel-rapl:0/energy_uj", "nothing\n");
    put("intel-rapl:0:1/energy_uj", "15\n");
    assert_int_equal(meter_read(meter, &uj), RESULT_IO);
    assert_int_equal(uj, 0);
    put("intel-rapl:0/energy_uj", "30\n");
    assert_int_equal(meter_read(meter, &uj), RESULT_OK);
    assert_int_equal(uj, 12);
    put("intel-rapl:0/energy_uj", "29\n"); // no wrap goes back by one
    put("intel-rapl:0:1/energy_uj", "16\n");
    assert_int_equal(meter_read(meter, &uj), RESULT_AGAIN);
    assert_int_equal(uj, 1);
    meter_close(meter);
    if (geteuid() != 0) {
        char path[256];
        snprintf(path, sizeof path, "%s/intel-rapl:0/energy_uj", folder);
        assert_int_equal(chmod(path, 0), 0);
        assert_int_equal(meter_open(IMAGE_METER_RAPL, 0, &places, &meter, why), RESULT_DENIED);
    }
    char long_path[600];
    memset(long_path, 'x', sizeof long_path);
    long_path[sizeof long_path - 1] = 0;
    places.powercap = long_path;
    assert_int_equal(meter_open(IMAGE_METER_RAPL, 0, &places, &meter, why), RESULT_LIMIT);
    char command[300];
    snprintf(command, sizeof command, "rm -r %s", folder);
    assert_int_equal(system(command), 0);
}

// Two models on one GPU share a board, a meter that is not there is tried again, and one that breaks takes its word back.
static void test_sampler(void **state)
{
    (void)state;
    static struct image_builder b;
    const struct policy_image *image;
    struct meter_sampler *s;
    struct meter_view v;
    bool up;
    void *lib = dlopen(fake, RTLD_NOW);
    unsigned long long *mj = dlsym(lib, "fake_mj");
    int *energy = dlsym(lib, "fake_energy"), *init = dlsym(lib, "fake_init");
    ib_init(&b);
    for (int i = 0; i < 3; i++) {
        struct image_model *m = ib_model(&b, i == 0 ? "a" : i == 1 ? "b" : "c");
        m->energy = (struct image_energy){.curve = IMAGE_CURVE_INVERSE,
                                          .a = 0.1,
                                          .c = 3,
                                          .prefill_j_tok = 0.02,
                                          .batch = 32,
                                          .batch_max = 256,
                                          .hardware = ib_str(&b, "1 h100")};
        m->energy_in_uj = m->energy_out_uj = 1;
        b.endpoints[i].model = i;
        b.endpoints[i].url = ib_str(&b, "http://a");
        b.endpoints[i].meter = i < 2 ? IMAGE_METER_NVML : IMAGE_METER_RAPL;
        b.endpoints[i].meter_index = 0;
    }
    b.endpoint_count = 3;
    image = ib_finish(&b);
    struct meter_places places = {.nvml = fake, .powercap = "/nonexistent"};
    assert_int_equal(meter_sampler_new(&s, &places), RESULT_OK);
    *init = 9;
    assert_int_equal(meter_sampler_use(s, image, 0), RESULT_OK);
    assert_int_equal(meter_sampler_use(s, image, 0), RESULT_OK);
    struct meter_board *board = meter_sampler_board(s, IMAGE_METER_NVML, 0, &up);
    assert_true(board && !up);
    assert_null(meter_sampler_board(s, IMAGE_METER_NVML, 1, &up));
    *init = 0;
    assert_true(meter_sampler_tick(s, 1000)); // that neither is there
    assert_false(meter_sampler_tick(s, 2000));
    assert_true(meter_sampler_tick(s, METER_RETRY_MS * UINT64_C(1000)));
    assert_ptr_equal(meter_sampler_board(s, IMAGE_METER_NVML, 0, &up), board);
    assert_true(up);
    int32_t slot = meter_board_begin(board);
    meter_board_decode(board, slot, 10);
    mj[0] += 42;
    assert_false(meter_sampler_tick(s, METER_RETRY_MS * UINT64_C(1000) + 100000));
    assert_true(meter_sampler_each(s, 0, &v) && v.up && v.watts > 0.419 && v.watts < 0.421);
    for (unsigned i = 1; i < METER_SHARES_MIN; i++)
        assert_false(meter_sampler_tick(s, METER_RETRY_MS * UINT64_C(1000) + 100000 + i));
    assert_int_equal(meter_board_end(board, slot), 42000);
    assert_true(meter_sampler_each(s, 1, &v) && !v.up && v.why[0]);
    assert_false(meter_sampler_each(s, 2, &v));
    slot = meter_board_begin(board);
    *energy = 999;
    assert_true(meter_sampler_tick(s, METER_RETRY_MS * UINT64_C(1000) + 200000));
    assert_int_equal(meter_board_end(board, slot), -1);
    meter_sampler_board(s, IMAGE_METER_NVML, 0, &up);
    assert_false(up);
    *energy = 0;
    struct buf out;
    buf_init(&out, 1 << 16);
    meter_sampler_metrics(s, &out);
    buf_byte(&out, 0);
    assert_non_null(strstr(out.ptr, "merit_meter_up{meter=\"rapl 0\"} 0\n"));
    assert_non_null(
        strstr(out.ptr, "merit_meter_joules_total{meter=\"nvml 0\",part=\"requests\"} 0.042\n"));
    buf_deinit(&out);
    meter_sampler_free(s);
    meter_sampler_free(NULL);
    ib_deinit(&b);
    dlclose(lib);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_nvml), cmocka_unit_test(test_rapl),
                                       cmocka_unit_test(test_sampler)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
