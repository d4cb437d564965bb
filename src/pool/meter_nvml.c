#include <dlfcn.h>
#include <stdio.h>

#include "base/alloc.h"
#include "pool/meter.h"

// NVML's binary interface, as its reference has it: every call answers with a number, 0 is success; a device is a pointer.
typedef int (*nvml_init_fn)(void);
typedef int (*nvml_shutdown_fn)(void);
typedef int (*nvml_device_fn)(unsigned index, void **device);
typedef int (*nvml_energy_fn)(void *device, unsigned long long *millijoules);
typedef const char *(*nvml_error_fn)(int result);
enum { NVML_OK = 0, NVML_INVALID = 2, NVML_UNSUPPORTED = 3, NVML_DENIED = 4, NVML_ABSENT = 6 };

struct nvml {
    struct meter base;
    void *library, *device;
    nvml_shutdown_fn shutdown;
    nvml_energy_fn energy;
    bool begun;
    uint64_t last_mj;
};

// dlsym gives data pointers; a union turns them into functions without a cast that compilers warn of.
#define SYMBOL(n, type, name)                                                                      \
    ((union {                                                                                      \
         void *data;                                                                               \
         type fn;                                                                                  \
     }){.data = dlsym((n)->library, name)}                                                         \
         .fn)

static void nvml_close(struct meter *m)
{
    struct nvml *n = (struct nvml *)m;
    if (n->begun)
        n->shutdown();
    if (n->library)
        dlclose(n->library);
    alloc_free(n);
}

static enum result nvml_read(struct meter *m, uint64_t *uj)
{
    struct nvml *n = (struct nvml *)m;
    unsigned long long mj = 0;
    if (n->energy(n->device, &mj) != NVML_OK)
        return RESULT_IO;
    bool back = mj < n->last_mj;
    *uj = back ? 0 : (mj - n->last_mj) * 1000;
    n->last_mj = mj;
    return back ? RESULT_AGAIN : RESULT_OK;
}

static const struct meter_kind nvml_kind = {nvml_read, nvml_close};

static enum result begin(struct nvml *n, uint32_t index, const char *name, char *why)
{
    nvml_init_fn init = SYMBOL(n, nvml_init_fn, "nvmlInit_v2");
    nvml_device_fn device = SYMBOL(n, nvml_device_fn, "nvmlDeviceGetHandleByIndex_v2");
    nvml_error_fn text = SYMBOL(n, nvml_error_fn, "nvmlErrorString");
    n->shutdown = SYMBOL(n, nvml_shutdown_fn, "nvmlShutdown");
    n->energy = SYMBOL(n, nvml_energy_fn, "nvmlDeviceGetTotalEnergyConsumption");
    if (!init || !device || !n->shutdown || !n->energy) {
        snprintf(why, METER_WHY_BYTES, "%s has no energy counter: the driver is too old", name);
        return RESULT_UNSUPPORTED;
    }
    const char *what = "nvmlInit";
    unsigned long long mj = 0;
    int r = init();
    n->begun = r == NVML_OK;
    if (!r) {
        what = "the GPU";
        r = device(index, &n->device);
    }
    if (!r) {
        what = "the energy counter";
        r = n->energy(n->device, &mj);
    }
    if (!r) {
        n->last_mj = mj;
        return RESULT_OK;
    }
    const char *said = text ? text(r) : NULL;
    snprintf(why, METER_WHY_BYTES, "nvml %u: %s: %s", index, what, said ? said : "unknown error");
    return r == NVML_INVALID || r == NVML_ABSENT ? RESULT_NOT_FOUND
           : r == NVML_UNSUPPORTED               ? RESULT_UNSUPPORTED
           : r == NVML_DENIED                    ? RESULT_DENIED
                                                 : RESULT_IO;
}

enum result meter_nvml_open(uint32_t index, const char *library, struct meter **out,
                            char why[METER_WHY_BYTES])
{
    struct nvml *n = alloc_zeroed(1, sizeof *n);
    if (!n)
        return RESULT_NOMEM;
    n->base.kind = &nvml_kind;
    enum result r = RESULT_NOT_FOUND;
    n->library = dlopen(library, RTLD_NOW | RTLD_LOCAL);
    if (n->library) {
        r = begin(n, index, library, why);
    } else {
        const char *said = dlerror();
        snprintf(why, METER_WHY_BYTES, "no NVIDIA driver: %s", said ? said : library);
    }
    if (r) {
        nvml_close(&n->base);
        return r;
    }
    *out = &n->base;
    return RESULT_OK;
}
