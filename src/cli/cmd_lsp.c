// merit policy lsp: the language server on standard input and output. Called by cmd_policy.
//
// One thread reads, answers and writes; two others check whole policies, one for names and types, one to prove them. Nothing but the protocol goes to standard
// output; what a person should know goes to standard error.
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/clock.h"
#include "cli/args.h"
#include "cli/commands.h"
#include "lsp/server.h"
#include "signal/registry.h"

enum {
    READ_BYTES = 64 * 1024,
    // What a pipe takes whole once it can be written at all (PIPE_BUF).
    WRITE_BYTES = 4096,
    CLIENT_CHECK_MS = 5000,
};

// A thread that checks: it gets one at a time, and says through the event when it is done.
struct checker {
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t wake;
    struct lsp_check *todo, *done;
    bool ends, busy; // busy: for the owner's eyes only
    int event;
};

static void *check_forever(void *ctx)
{
    struct checker *k = ctx;
    pthread_mutex_lock(&k->lock);
    for (;;) {
        while (!k->todo && !k->ends)
            pthread_cond_wait(&k->wake, &k->lock);
        if (k->ends)
            break;
        struct lsp_check *c = k->todo;
        k->todo = NULL;
        pthread_mutex_unlock(&k->lock);
        lsp_check_run(c);
        pthread_mutex_lock(&k->lock);
        k->done = c;
        if (eventfd_write(k->event, 1))
            break;
    }
    pthread_mutex_unlock(&k->lock);
    return NULL;
}

static bool checker_open(struct checker *k)
{
    memset(k, 0, sizeof *k);
    k->event = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (k->event < 0)
        return false;
    pthread_mutex_init(&k->lock, NULL);
    pthread_cond_init(&k->wake, NULL);
    if (pthread_create(&k->thread, NULL, check_forever, k) == 0)
        return true;
    close(k->event);
    return false;
}

static void checker_close(struct checker *k)
{
    pthread_mutex_lock(&k->lock);
    k->ends = true;
    pthread_cond_signal(&k->wake);
    pthread_mutex_unlock(&k->lock);
    pthread_join(k->thread, NULL);
    lsp_check_close(k->todo);
    lsp_check_close(k->done);
    pthread_mutex_destroy(&k->lock);
    pthread_cond_destroy(&k->wake);
    close(k->event);
}

static void checker_give(struct checker *k, struct lsp_check *c)
{
    k->busy = true;
    pthread_mutex_lock(&k->lock);
    k->todo = c;
    pthread_cond_signal(&k->wake);
    pthread_mutex_unlock(&k->lock);
}

static struct lsp_check *checker_take(struct checker *k)
{
    eventfd_t count;
    if (eventfd_read(k->event, &count))
        return NULL;
    pthread_mutex_lock(&k->lock);
    struct lsp_check *c = k->done;
    k->done = NULL;
    k->busy = false;
    pthread_mutex_unlock(&k->lock);
    return c;
}

struct session {
    struct lsp_server *server;
    struct checker checkers[LSP_LANES];
    size_t written; // of the output
    bool input_open, output_open;
    uint64_t client; // a process that was there when it told its number, or 0
    bool client_asked;
};

static void put_log(struct session *s)
{
    struct buf *log = lsp_server_log(s->server);
    if (log->len)
        fwrite(log->ptr, 1, log->len, stderr);
    buf_reset(log);
}

// One piece, when the pipe has room for it: the editor may be waiting for us to read.
static void put_output(struct session *s)
{
    struct buf *out = lsp_server_output(s->server);
    size_t left = out->len - s->written;
    ssize_t n =
        write(STDOUT_FILENO, out->ptr + s->written, left < WRITE_BYTES ? left : WRITE_BYTES);
    if (n < 0 && (errno == EINTR || errno == EAGAIN))
        return;
    if (n < 0) {
        s->output_open = false;
        return;
    }
    s->written += (size_t)n;
    if (s->written == out->len) {
        buf_reset(out);
        s->written = 0;
    }
}

static void get_input(struct session *s)
{
    char bytes[READ_BYTES];
    ssize_t n = read(STDIN_FILENO, bytes, sizeof bytes);
    if (n < 0 && (errno == EINTR || errno == EAGAIN))
        return;
    if (n <= 0 || !lsp_server_feed(s->server, slice_make(bytes, (size_t)n)))
        s->input_open = false;
}

static bool is_gone(uint64_t pid)
{
    return kill((pid_t)pid, 0) != 0 && errno == ESRCH;
}

// An editor that is not there when it says who it is lives in another name space, and is not looked for.
static void know_client(struct session *s)
{
    uint64_t pid = lsp_server_client(s->server);
    if (s->client_asked || pid == 0 || pid > INT32_MAX)
        return;
    s->client_asked = true;
    s->client = is_gone(pid) ? 0 : pid;
}

static int wait_ms(const struct session *s)
{
    uint64_t now = clock_mono_us(&clock_system), at = lsp_server_wake_us(s->server);
    if (at <= now)
        return 0;
    uint64_t ms = at == UINT64_MAX ? CLIENT_CHECK_MS : (at - now) / 1000 + 1;
    return ms < CLIENT_CHECK_MS ? (int)ms : CLIENT_CHECK_MS;
}

// Whether more is to be done. Reads whatever is there before it works, so that a cancelled request costs nothing.
static bool turn(struct session *s)
{
    struct buf *out = lsp_server_output(s->server);
    bool backlog = out->len > LSP_OUTPUT_MAX / 2, steps = !lsp_server_full(s->server);
    struct pollfd fds[] = {
        {.fd = s->input_open && steps && !backlog ? STDIN_FILENO : -1, .events = POLLIN},
        {.fd = out->len > s->written ? STDOUT_FILENO : -1, .events = POLLOUT},
        {.fd = s->checkers[LSP_LANE_QUICK].event, .events = POLLIN},
        {.fd = s->checkers[LSP_LANE_PROOF].event, .events = POLLIN},
    };
    bool busy = !backlog && lsp_server_waiting(s->server);
    int n = poll(fds, 2 + LSP_LANES, busy ? 0 : wait_ms(s));
    uint64_t now = clock_mono_us(&clock_system);
    if (n < 0 && errno != EINTR)
        return false;
    know_client(s);
    if (n == 0 && !busy && s->client && is_gone(s->client))
        return false;
    for (int i = 0; i < LSP_LANES; i++) {
        struct lsp_check *c = fds[2 + i].revents ? checker_take(&s->checkers[i]) : NULL;
        if (c)
            lsp_server_checked(s->server, c, now);
    }
    if (fds[1].revents)
        put_output(s);
    if (fds[0].revents)
        get_input(s);
    else if (!backlog)
        lsp_server_step(s->server, now);
    for (int i = 0; i < LSP_LANES; i++) {
        struct lsp_check *due = lsp_server_check(s->server, (enum lsp_lane)i, now);
        if (due)
            checker_give(&s->checkers[i], due);
    }
    put_log(s);
    // What is to be said before the end is said.
    bool over = lsp_server_ended(s->server) || (!s->input_open && !lsp_server_waiting(s->server));
    return s->output_open && (!over || lsp_server_output(s->server)->len > s->written);
}

static const char usage[] =
    "usage: merit policy lsp [--stdio]\n"
    "\n"
    "A language server for policies, for editors: the Language Server Protocol 3.17 on standard "
    "input\n"
    "and output. docs/editors.md tells how to set up VS Code, Neovim, Vim, Helix and Emacs.\n"
    "\n"
    "  --stdio   what editors like to say; there is no other way\n"
    "\n"
    "Exit: 0 after `shutdown`, 1 without, 2 usage.\n";

int cmd_policy_lsp(int argc, char **argv)
{
    bool stdio;
    const struct args_option options[] = {{"--stdio", NULL, &stdio}};
    struct args args = {.command = "merit policy lsp",
                        .usage = usage,
                        .options = options,
                        .option_count = MERIT_COUNT(options)};
    int usage_code = args_read(&args, argc, argv);
    if (usage_code != ARGS_GO_ON)
        return usage_code;
    struct session s = {.input_open = true, .output_open = true};
    struct sigaction ignore = {.sa_handler = SIG_IGN};
    sigaction(SIGPIPE, &ignore, NULL);
    if (isatty(STDIN_FILENO))
        fputs("merit policy lsp: this is for editors; docs/editors.md tells how to set one up\n",
              stderr);
    enum result r = lsp_server_open(&signal_registry, &s.server);
    if (r) {
        fprintf(stderr, "merit policy lsp: cannot begin: %s\n", result_name(r));
        return EXIT_FOUND;
    }
    for (int i = 0; i < LSP_LANES; i++) {
        if (checker_open(&s.checkers[i]))
            continue;
        fprintf(stderr, "merit policy lsp: cannot begin: no thread or descriptor is left\n");
        while (i-- > 0)
            checker_close(&s.checkers[i]);
        lsp_server_close(s.server);
        return EXIT_FOUND;
    }
    while (turn(&s))
        ;
    put_log(&s);
    int code = lsp_server_exit_code(s.server);
    // Nobody waits for a proof that nobody will read.
    if (s.checkers[LSP_LANE_QUICK].busy || s.checkers[LSP_LANE_PROOF].busy) {
        fflush(stderr);
        _exit(code);
    }
    for (int i = 0; i < LSP_LANES; i++)
        checker_close(&s.checkers[i]);
    lsp_server_close(s.server);
    return code;
}
