#include "cli/doctor.h"

#include <errno.h>
#include <hs/hs.h>
#include <sched.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/timex.h>
#include <unistd.h>

#include "api/keys.h"
#include "base/clock.h"
#include "base/file.h"
#include "cli/probe.h"
#include "text/json.h"

void doctor_add(struct doctor *d, enum doctor_status status, const char *check, const char *fix,
                const char *fmt, ...)
{
    char text[1024];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    struct slice message = arena_copy(d->arena, slice_cstr(text)),
                 mend = arena_copy(d->arena, slice_cstr(fix));
    if (!message.ptr || !mend.ptr) {
        d->nomem = true;
        return;
    }
    if (d->count == DOCTOR_FINDINGS_MAX) {
        d->dropped++;
        return;
    }
    d->findings[d->count++] = (struct doctor_finding){status, check, message, mend};
}

// ---- The machine

static void descriptors(struct doctor *d, const struct conf *c)
{
    struct rlimit limit;
    cpu_set_t set;
    uint32_t threads = c->threads;
    if (!threads)
        threads = sched_getaffinity(0, sizeof set, &set) ? 1 : (uint32_t)CPU_COUNT(&set);
    // A client connection may need one to an upstream.
    uint64_t need = (uint64_t)threads * c->http.connections * 2 + 100;
    if (getrlimit(RLIMIT_NOFILE, &limit)) {
        doctor_add(d, DOCTOR_WARN, "descriptors", "", "the limit of open files cannot be read");
        return;
    }
    unsigned long long have = limit.rlim_cur, most = limit.rlim_max;
    char fix[200];
    snprintf(fix, sizeof fix,
             "run `ulimit -n %llu` before merit serve, set LimitNOFILE=%llu in its unit, or lower "
             "limits.connections",
             (unsigned long long)need, (unsigned long long)need);
    if (have >= need)
        doctor_add(d, DOCTOR_OK, "descriptors", "", "%llu open files are allowed, %llu are enough",
                   have, (unsigned long long)need);
    else
        doctor_add(d, DOCTOR_WARN, "descriptors", fix,
                   "%llu open files are allowed (%llu at most); %u loops with %u connections may "
                   "need %llu",
                   have, most, threads, c->http.connections, (unsigned long long)need);
}

static void clocks(struct doctor *d)
{
    enum { BORN_S = 1790000000 }; // 2026-09-21: no clock that is right shows less
    char now[KEY_TIME_LEN + 1];
    uint64_t now_s = clock_wall_us(&clock_system) / 1000000;
    struct timex state = {0};
    key_time_print(now_s, now);
    if (now_s < BORN_S) {
        doctor_add(d, DOCTOR_FAIL, "clock",
                   "set the clock: expiry of keys and certificates depends on it",
                   "the clock says %s, which is in the past", now);
        return;
    }
    if (adjtimex(&state) >= 0 && (state.status & STA_UNSYNC))
        doctor_add(d, DOCTOR_WARN, "clock",
                   "run a time service (systemd-timesyncd, chrony) here or on the host",
                   "the clock says %s; nothing keeps it in step", now);
    else
        doctor_add(d, DOCTOR_OK, "clock", "", "%s, kept in step", now);
}

void doctor_machine(struct doctor *d, const struct conf *c)
{
    descriptors(d, c);
    clocks(d);
    if (hs_valid_platform() == HS_SUCCESS)
        doctor_add(d, DOCTOR_OK, "patterns", "", "the pattern matcher runs on this CPU (%s)",
                   hs_version());
    else
        doctor_add(d, DOCTOR_FAIL, "patterns", "use a machine with SSE4.2, or NEON on Arm",
                   "the pattern matcher cannot run on this CPU: signals with patterns would fail");
}

// ---- The process

void doctor_listen(struct doctor *d, const char *name, const struct conf_listen *l)
{
    char room[FILE_ERROR_BYTES], fix[120];
    snprintf(
        fix, sizeof fix,
        "stop what listens there (Merit itself, perhaps), or choose another with --%s HOST:PORT",
        name);
    enum result r = http_server_claim(l->host, l->port);
    if (!r)
        doctor_add(d, DOCTOR_OK, "ports", "", "%s %s:%u is free", name, l->host, l->port);
    else if (r == RESULT_EXISTS)
        doctor_add(d, DOCTOR_FAIL, "ports", fix, "%s %s:%u is taken", name, l->host, l->port);
    else
        doctor_add(d, DOCTOR_FAIL, "ports",
                   "choose an address of this machine and a port above 1023", "%s %s:%u: %s", name,
                   l->host, l->port, file_error(errno, room));
}

void doctor_writable(struct doctor *d, const char *name, const char *path, bool directory)
{
    struct stat st;
    char parent[4096], room[FILE_ERROR_BYTES];
    const char *check = path;
    bool there = !stat(path, &st);
    if (there && directory != (bool)S_ISDIR(st.st_mode)) {
        doctor_add(d, DOCTOR_FAIL, "files", directory ? "name a directory" : "name a file",
                   "%s %s is %sa directory", name, path, directory ? "not " : "");
        return;
    }
    // The nearest directory that exists is where it would be made; a log's own must be there.
    if (!there) {
        snprintf(parent, sizeof parent, "%s", path);
        check = parent;
        do {
            char *slash = strrchr(parent, '/');
            if (slash == parent)
                parent[1] = 0;
            else if (slash)
                *slash = 0;
            else
                snprintf(parent, sizeof parent, ".");
        } while (directory && access(parent, F_OK) && strcmp(parent, "/") != 0 &&
                 strcmp(parent, ".") != 0);
    }
    if (access(check, there && !directory ? W_OK : W_OK | X_OK))
        doctor_add(d, DOCTOR_FAIL, "files",
                   "make the directory, or let the user of merit serve write there",
                   "%s %s cannot be written: %s: %s", name, path, check, file_error(errno, room));
    else
        doctor_add(d, DOCTOR_OK, "files", "", "%s %s can be written", name, path);
}

static bool exposed(const struct conf_listen *l, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        if (!l[i].loopback)
            return true;
    }
    return false;
}

static void caller_keys(struct doctor *d, const struct conf *c)
{
    struct key_set *set = NULL;
    struct buf why;
    uint64_t now_s = clock_wall_us(&clock_system) / 1000000;
    buf_init(&why, 4096);
    enum result r = key_set_load(&set, c->keys, NULL, &why);
    if (r) {
        doctor_add(d, DOCTOR_FAIL, "keys", "mend the file; `merit key list` shows when it is good",
                   "%.*s", SLICE_FMT(slice_head(buf_slice(&why), why.len ? why.len - 1 : 0)));
        buf_deinit(&why);
        return;
    }
    uint32_t traffic = key_set_usable(set, KEY_SCOPE_TRAFFIC, now_s),
             admin = key_set_usable(set, KEY_SCOPE_ADMIN, now_s);
    if (exposed(c->listen, c->listen_count) && !traffic)
        doctor_add(d, DOCTOR_FAIL, "keys", "merit key create --caller NAME",
                   "listen is open to other machines and there is no key for traffic: merit serve "
                   "will not start");
    else if (exposed(c->admin, c->admin_count) && !admin)
        doctor_add(d, DOCTOR_FAIL, "keys", "merit key create --caller NAME --scopes admin",
                   "admin.listen is open to other machines and there is no admin key: merit serve "
                   "will not start");
    else
        doctor_add(d, DOCTOR_OK, "keys", "", "%u key%s for traffic, %u for admin in %s", traffic,
                   traffic == 1 ? "" : "s", admin, c->keys);
    key_set_unref(set);
    buf_deinit(&why);
}

void doctor_process(struct doctor *d, const struct conf *c)
{
    for (uint32_t i = 0; i < c->listen_count; i++)
        doctor_listen(d, "listen", c->listen + i);
    for (uint32_t i = 0; i < c->admin_count; i++)
        doctor_listen(d, "admin-listen", c->admin + i);
    if (c->certificate_count) {
        char diag[TLS_DIAG_BYTES] = "";
        struct tls_context *tls = NULL;
        if (tls_server_open(&tls, c->certificates, c->certificate_count, diag))
            doctor_add(d, DOCTOR_FAIL, "tls", "mend tls.certificate in merit.conf", "%s", diag);
        else
            doctor_add(d, DOCTOR_OK, "tls", "", "%u certificate%s with key", c->certificate_count,
                       c->certificate_count == 1 ? "" : "s");
        if (tls)
            tls_context_unref(tls);
    }
    caller_keys(d, c);
    if (c->log_access && strcmp(c->log_access, "-") != 0)
        doctor_writable(d, "log.access", c->log_access, false);
    if (c->log_decisions && strcmp(c->log_decisions, "-") != 0)
        doctor_writable(d, "log.decisions", c->log_decisions, false);
    if (c->cache)
        doctor_writable(d, "cache", c->cache, true);
    if (c->data)
        doctor_writable(d, "data", c->data, true);
}

// ---- Upstreams

// The key of a model as an Authorization value in `room`; empty without. False: the policy names one that is not there.
static bool key_of(const struct policy_image *p, const struct image_model *m, struct buf *room)
{
    char name[4096];
    struct slice source = image_text(p, m->key_name);
    buf_reset(room);
    if (m->key_source == IMAGE_KEY_NONE)
        return true;
    snprintf(name, sizeof name, "%.*s", SLICE_FMT(source));
    BUF_LIT(room, "Bearer ");
    size_t begin = room->len;
    if (m->key_source == IMAGE_KEY_ENV) {
        const char *key = getenv(name);
        buf_cstr(room, key ? key : "");
    } else if (file_read(name, room)) {
        room->len = begin;
    }
    while (room->len > begin && strchr(" \t\r\n", room->ptr[room->len - 1]))
        room->len--;
    return room->len > begin;
}

static bool lists_model(struct slice body, struct slice id, struct arena *arena)
{
    struct json j;
    uint32_t at = 0, model;
    if (json_parse(&j, body, &json_limits_default, arena) || json_type(&j, 0) != JSON_OBJECT)
        return true; // not a list that could speak against it
    uint32_t data = json_get(&j, 0, SLICE("data"), NULL);
    if (data == JSON_NONE || json_type(&j, data) != JSON_ARRAY)
        return true;
    while (json_element(&j, data, &at, &model)) {
        uint32_t t = json_type(&j, model) == JSON_OBJECT ? json_get(&j, model, SLICE("id"), NULL)
                                                         : JSON_NONE;
        if (t != JSON_NONE && json_type(&j, t) == JSON_STRING && json_string_is(&j, t, id))
            return true;
    }
    return false;
}

static void judge(struct doctor *d, const struct policy_image *p, const struct image_model *m,
                  struct slice url, const struct probe_answer *a)
{
    struct slice name = image_text(p, m->name), id = image_text(p, m->upstream_name);
    unsigned long long ms = a->took_us / 1000;
    if (a->status == 401 || a->status == 403)
        doctor_add(d, DOCTOR_FAIL, "upstream", "put a valid key where the policy reads it",
                   "%.*s: %.*s refuses the key (%d)", SLICE_FMT(name), SLICE_FMT(url), a->status);
    else if (a->status >= 500)
        doctor_add(d, DOCTOR_FAIL, "upstream", "look into that server's log",
                   "%.*s: %.*s answers %d", SLICE_FMT(name), SLICE_FMT(url), a->status);
    else if (a->status != 200)
        doctor_add(d, DOCTOR_WARN, "upstream",
                   "check the endpoint's path: it usually ends with /v1",
                   "%.*s: %.*s is there, but answers %d to GET /models", SLICE_FMT(name),
                   SLICE_FMT(url), a->status);
    else if (!lists_model(buf_slice(&a->body), id, d->arena))
        doctor_add(d, DOCTOR_WARN, "upstream",
                   "set the model's name as the server knows it: as \"NAME\"",
                   "%.*s: %.*s does not list a model \"%.*s\"", SLICE_FMT(name), SLICE_FMT(url),
                   SLICE_FMT(id));
    else
        doctor_add(d, DOCTOR_OK, "upstream", "", "%.*s: %.*s answers in %llu ms", SLICE_FMT(name),
                   SLICE_FMT(url), ms);
}

static void endpoint(struct doctor *d, const struct conf *c, const struct policy_image *p,
                     const struct image_model *m, struct slice url, struct slice authorization)
{
    struct probe_request request = {.url = url,
                                    .path = "/models",
                                    .authorization = authorization,
                                    .timeout_ms = DOCTOR_TIMEOUT_MS,
                                    .roots = c->upstream_roots};
    struct probe_answer answer;
    enum result r = probe_get(&request, &answer);
    const char *fix = r == RESULT_DNS   ? "check the host's name and this machine's resolver"
                      : r == RESULT_TLS ? "check the certificate; name its root with upstream.roots"
                      : r == RESULT_TIMEOUT ? "check that a firewall lets this machine through"
                                            : "start the server, or check host and port";
    if (r)
        doctor_add(d, DOCTOR_FAIL, "upstream", fix, "%.*s: %.*s: %s",
                   SLICE_FMT(image_text(p, m->name)), SLICE_FMT(url), answer.why);
    else
        judge(d, p, m, url, &answer);
    probe_done(&answer);
}

void doctor_upstreams(struct doctor *d, const struct conf *c, const struct policy_image *p)
{
    struct buf key;
    buf_init(&key, 8192);
    uint32_t simulated = 0;
    for (uint32_t i = 0; i < p->models.count; i++) {
        const struct image_model *m = image_model(p, (int32_t)i);
        bool good = key_of(p, m, &key);
        if (!good)
            doctor_add(d, DOCTOR_WARN, "upstream", "set it before merit serve starts",
                       "%.*s: its key is missing (%s %.*s): it will not be chosen",
                       SLICE_FMT(image_text(p, m->name)),
                       m->key_source == IMAGE_KEY_ENV ? "variable" : "file",
                       SLICE_FMT(image_text(p, m->key_name)));
        const struct image_endpoint *e = IMAGE_AT(p, m->endpoints, struct image_endpoint);
        for (uint32_t k = 0; k < m->endpoints.count; k++) {
            struct slice url = image_text(p, e[k].url);
            if (slice_starts_with(url, SLICE("demo:")))
                simulated++;
            else if (good)
                endpoint(d, c, p, m, url, buf_slice(&key));
        }
    }
    if (simulated)
        doctor_add(d, DOCTOR_OK, "upstream", "", "%u model%s of the demo pool inside the program",
                   simulated, simulated == 1 ? "" : "s");
    if (key.ptr)
        explicit_bzero(key.ptr, key.room);
    buf_deinit(&key);
}
