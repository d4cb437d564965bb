// Stands in for libnvidia-ml.so.1: two GPUs whose counters and failures a test sets through variables that it finds by
// name.
#include <stddef.h>

unsigned long long fake_mj[2] = {1000000, 5};
int fake_init, fake_energy; // what those calls answer
int fake_open;              // inits less shutdowns

int nvmlInit_v2(void);
int nvmlShutdown(void);
int nvmlDeviceGetHandleByIndex_v2(unsigned index, void **device);
int nvmlDeviceGetTotalEnergyConsumption(void *device, unsigned long long *mj);
const char *nvmlErrorString(int result);

int nvmlInit_v2(void)
{
    fake_open += !fake_init;
    return fake_init;
}

int nvmlShutdown(void)
{
    fake_open--;
    return 0;
}

int nvmlDeviceGetHandleByIndex_v2(unsigned index, void **device)
{
    if (index > 1)
        return 2; // NVML_ERROR_INVALID_ARGUMENT
    *device = &fake_mj[index];
    return 0;
}

int nvmlDeviceGetTotalEnergyConsumption(void *device, unsigned long long *mj)
{
    *mj = *(unsigned long long *)device;
    return fake_energy;
}

const char *nvmlErrorString(int result)
{
    return result == 2 ? "Invalid Argument" : result == 3 ? "Not Supported" : "Unknown Error";
}
