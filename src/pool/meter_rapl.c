#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/file.h"
#include "base/slice.h"
#include "pool/meter.h"

enum { DOMAINS = 2, SUBDOMAINS_MAX = 8 };

struct domain {
    int fd; // of energy_uj, read anew from its start
    uint64_t range_uj, last_uj;
};

struct rapl {
    struct meter base;
    struct domain domains[DOMAINS]; // the package, its memory
    unsigned count;
};

static void rapl_close(struct meter *m)
{
    struct rapl *r = (struct rapl *)m;
    for (unsigned i = 0; i < r->count; i++)
        close(r->domains[i].fd);
    alloc_free(r);
}

static bool number(int fd, uint64_t *out)
{
    char text[32];
    ssize_t n = pread(fd, text, sizeof text, 0);
    if (n <= 0)
        return false;
    struct slice s = slice_make(text, (size_t)n);
    if (s.ptr[s.len - 1] == '\n')
        s.len--;
    return slice_u64(s, out);
}

// What went by between two readings; false: another counter than before.
static bool passed(const struct domain *d, uint64_t now, uint64_t *uj)
{
    uint64_t last = d->last_uj;
    if (now >= last) {
        *uj += now - last;
        return true;
    }
    // A wrap goes from near the range to near zero.
    if (last > d->range_uj || last - now < d->range_uj / 2)
        return false;
    *uj += d->range_uj - last + now;
    return true;
}

static enum result rapl_read(struct meter *m, uint64_t *uj)
{
    struct rapl *r = (struct rapl *)m;
    uint64_t now[DOMAINS];
    bool whole = true;
    // All or none, so that a reading that failed is made up for by the next one.
    for (unsigned i = 0; i < r->count; i++)
        if (!number(r->domains[i].fd, &now[i]))
            return RESULT_IO;
    for (unsigned i = 0; i < r->count; i++) {
        whole &= passed(&r->domains[i], now[i], uj);
        r->domains[i].last_uj = now[i];
    }
    return whole ? RESULT_OK : RESULT_AGAIN;
}

static const struct meter_kind rapl_kind = {rapl_read, rapl_close};

static bool text_of(const char *folder, const char *name, char *out, size_t room)
{
    char path[METER_PATH_BYTES];
    if (snprintf(path, sizeof path, "%s/%s", folder, name) >= (int)sizeof path)
        return false;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t n = fd < 0 ? -1 : read(fd, out, room - 1);
    if (fd >= 0)
        close(fd);
    if (n < 0)
        return false;
    out[n] = 0;
    out[strcspn(out, "\n")] = 0;
    return true;
}

static enum result domain_open(struct domain *d, const char *folder, char *why)
{
    char path[METER_PATH_BYTES], range[32];
    if (snprintf(path, sizeof path, "%s/energy_uj", folder) >= (int)sizeof path) {
        snprintf(why, METER_WHY_BYTES, "the path of the meter is too long");
        return RESULT_LIMIT;
    }
    d->fd = open(path, O_RDONLY | O_CLOEXEC);
    if (d->fd < 0) {
        int err = errno;
        char room[FILE_ERROR_BYTES];
        snprintf(why, METER_WHY_BYTES, "%.120s: %s", path, file_error(err, room));
        return err == EACCES || err == EPERM     ? RESULT_DENIED
               : err == ENOENT || err == ENOTDIR ? RESULT_NOT_FOUND
                                                 : RESULT_IO;
    }
    if (!text_of(folder, "max_energy_range_uj", range, sizeof range) ||
        !slice_u64(slice_cstr(range), &d->range_uj) || !d->range_uj ||
        !number(d->fd, &d->last_uj)) {
        snprintf(why, METER_WHY_BYTES, "%.180s: no number, or no range", path);
        close(d->fd);
        return RESULT_UNSUPPORTED;
    }
    return RESULT_OK;
}

// Memory is counted beside the package, not in it, where a subdomain is called dram. One that cannot be read is left out:
// the package is what was asked for.
static void memory(struct rapl *r, const char *folder, uint32_t index)
{
    char sub[METER_PATH_BYTES], name[32], why[METER_WHY_BYTES];
    for (unsigned i = 0; i < SUBDOMAINS_MAX && r->count < DOMAINS; i++) {
        if (snprintf(sub, sizeof sub, "%s/intel-rapl:%u:%u", folder, index, i) >= (int)sizeof sub)
            return;
        if (text_of(sub, "name", name, sizeof name) && !strcmp(name, "dram") &&
            !domain_open(&r->domains[r->count], sub, why))
            r->count++;
    }
}

enum result meter_rapl_open(uint32_t index, const char *folder, struct meter **out,
                            char why[METER_WHY_BYTES])
{
    char package[METER_PATH_BYTES];
    if (snprintf(package, sizeof package, "%s/intel-rapl:%u", folder, index) >=
        (int)sizeof package) {
        snprintf(why, METER_WHY_BYTES, "the path of the meter is too long");
        return RESULT_LIMIT;
    }
    struct rapl *r = alloc_zeroed(1, sizeof *r);
    if (!r)
        return RESULT_NOMEM;
    r->base.kind = &rapl_kind;
    enum result result = domain_open(&r->domains[0], package, why);
    if (result) {
        rapl_close(&r->base);
        return result;
    }
    r->count = 1;
    memory(r, folder, index);
    *out = &r->base;
    return RESULT_OK;
}
