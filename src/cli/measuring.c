#include "cli/measuring.h"

#include <stdio.h>

#include "base/file.h"

enum { ROUND_MS = 2000, SAVE_ROUNDS = 30, PATH_MAX_BYTES = 4096 };

static bool is_plain(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' ||
           c == '_';
}

// The file of the policy: its name, in letters that every file system takes.
static bool path_of(const struct measuring *m, char out[PATH_MAX_BYTES])
{
    const struct policy_image *p = m->serving->image;
    struct slice name = image_text(p, p->name);
    int n = snprintf(out, PATH_MAX_BYTES, "%s/measured", m->data);
    if (n < 0 || (size_t)n + name.len + 2 > PATH_MAX_BYTES || name.len > 200)
        return false;
    out[n++] = '/';
    for (size_t i = 0; i < name.len; i++)
        out[n++] = is_plain(name.ptr[i]) ? name.ptr[i] : '_';
    out[n] = '\0';
    return true;
}

static void complain(struct measuring *m, const char *what, const char *path, enum result r)
{
    char room[FILE_ERROR_BYTES];
    if (!m->complained)
        fprintf(stderr, "merit: cannot %s %s: %s; costs of signals are measured all the same\n",
                what, path, file_problem(r, room));
    m->complained = true;
}

static void save(struct measuring *m)
{
    struct buf out;
    char path[PATH_MAX_BYTES], folder[PATH_MAX_BYTES];
    m->since_saved = 0;
    if (measured_decisions(m->serving->measured) == m->saved || !m->data || !path_of(m, path))
        return;
    buf_init(&out, MEASURED_FILE_MAX);
    measured_write(m->serving->measured, &out);
    snprintf(folder, sizeof folder, "%s/measured", m->data);
    enum result r = buf_result(&out);
    if (!r)
        r = file_make_folder(folder, 0700);
    if (!r)
        r = file_replace(path, buf_slice(&out), 0600);
    if (r)
        complain(m, "keep what is measured in", path, r);
    else
        m->saved = measured_decisions(m->serving->measured);
    buf_deinit(&out);
}

static void load(struct measuring *m)
{
    struct buf text;
    char path[PATH_MAX_BYTES];
    uint32_t kept;
    if (!m->data || !path_of(m, path))
        return;
    buf_init(&text, MEASURED_FILE_MAX);
    enum result r = file_read(path, &text);
    if (r && r != RESULT_NOT_FOUND)
        complain(m, "read what was measured in", path, r);
    if (!r) {
        r = measured_read(m->serving->measured, buf_slice(&text), &kept);
        m->saved = measured_decisions(m->serving->measured);
        if (r)
            fprintf(stderr, "merit: %s is %s; costs of signals are measured anew\n", path,
                    r == RESULT_VERSION ? "of another version of Merit" : "damaged");
    }
    buf_deinit(&text);
}

static void publish(struct measuring *m)
{
    for (uint32_t i = 0; i < m->count; i++) {
        struct measured_epoch *e;
        if (measured_epoch(m->serving->measured, &e) ||
            gateway_post_costs(m->gateways[i], m->serving, e))
            return; // the old one stays good
    }
}

static void on_due(struct loop_timer *t)
{
    struct measuring *m = MERIT_CONTAINER(t, struct measuring, timer);
    if (measured_merge(m->serving->measured))
        publish(m);
    if (++m->since_saved >= SAVE_ROUNDS)
        save(m);
    loop_timer_set(m->loop, t, ROUND_MS);
}

void measuring_open(struct measuring *m, struct loop *loop, const char *data,
                    struct serving *serving, struct gateway **gateways, uint32_t count)
{
    *m = (struct measuring){.loop = loop,
                            .timer.on_due = on_due,
                            .serving = serving,
                            .gateways = gateways,
                            .count = count,
                            .data = data};
    serving_ref(serving);
    load(m);
    publish(m);
    loop_timer_set(loop, &m->timer, ROUND_MS);
}

void measuring_move(struct measuring *m, struct serving *next)
{
    struct buf out;
    uint32_t kept;
    buf_init(&out, MEASURED_FILE_MAX);
    measured_merge(m->serving->measured);
    measured_write(m->serving->measured, &out);
    // Without memory it begins with guesses.
    enum result ignored =
        buf_result(&out) ? RESULT_OK : measured_read(next->measured, buf_slice(&out), &kept);
    (void)ignored;
    buf_deinit(&out);
    m->saved = UINT64_MAX; // another policy's rows are in the file
    serving_ref(next);
    serving_unref(m->serving);
    m->serving = next;
    publish(m);
}

void measuring_close(struct measuring *m)
{
    if (!m->loop)
        return;
    loop_timer_cancel(m->loop, &m->timer);
    measured_merge(m->serving->measured);
    save(m);
    serving_unref(m->serving);
    m->loop = NULL;
}
