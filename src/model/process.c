#include "model/process.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"

extern char **environ;

enum { POLL_MS = 50, GRACE_MS = 2000, PIECE = 4096 };

static enum result spawn(const char *const *argv, int output, pid_t *pid)
{
    posix_spawn_file_actions_t files;
    posix_spawnattr_t attributes;
    sigset_t none, standard;
    sigemptyset(&none);
    sigemptyset(&standard);
    sigaddset(&standard, SIGPIPE);
    sigaddset(&standard, SIGINT);
    sigaddset(&standard, SIGTERM);
    if (posix_spawn_file_actions_init(&files))
        return RESULT_NOMEM;
    if (posix_spawnattr_init(&attributes)) {
        posix_spawn_file_actions_destroy(&files);
        return RESULT_NOMEM;
    }
    int err = posix_spawn_file_actions_addopen(&files, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
    if (!err)
        err = posix_spawn_file_actions_adddup2(&files, output, STDOUT_FILENO);
    if (!err)
        err = posix_spawn_file_actions_adddup2(&files, output, STDERR_FILENO);
    if (!err)
        err = posix_spawnattr_setsigmask(&attributes, &none);
    if (!err)
        err = posix_spawnattr_setsigdefault(&attributes, &standard);
    if (!err)
        err = posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
    if (!err)
        err = posix_spawnp(pid, argv[0], &files, &attributes, (char *const *)(uintptr_t)argv,
                           environ);
    posix_spawnattr_destroy(&attributes);
    posix_spawn_file_actions_destroy(&files);
    errno = err;
    return !err ? RESULT_OK : err == ENOENT || err == EACCES ? RESULT_NOT_FOUND : RESULT_IO;
}

// What is there now; false at the end of the output.
static bool drain(int fd, struct buf *output)
{
    char piece[PIECE];
    ssize_t n;
    while ((n = read(fd, piece, sizeof piece)) > 0) {
        size_t room = output->cap - output->len;
        buf_append(output, piece, (size_t)n < room ? (size_t)n : room);
    }
    return n < 0 && (errno == EAGAIN || errno == EINTR);
}

static bool ended(pid_t pid, int *status)
{
    int code;
    pid_t got = waitpid(pid, &code, WNOHANG);
    if (got == pid)
        *status = WIFEXITED(code) ? WEXITSTATUS(code) : 128 + WTERMSIG(code);
    else if (got < 0 && errno != EINTR)
        *status = 127; // somebody else took it
    return got == pid || (got < 0 && errno != EINTR);
}

// First asked, then made.
static void put_an_end(pid_t pid, int *status)
{
    kill(pid, SIGTERM);
    for (int waited = 0; waited < GRACE_MS && !ended(pid, status); waited += POLL_MS) {
        if (waited + POLL_MS >= GRACE_MS) {
            kill(pid, SIGKILL);
            while (waitpid(pid, status, 0) < 0 && errno == EINTR)
                continue;
            return;
        }
        usleep(POLL_MS * 1000);
    }
}

enum result process_run(const char *const *argv, uint32_t timeout_ms, struct buf *output,
                        int *status)
{
    int ends[2];
    pid_t pid;
    *status = 0;
    if (pipe2(ends, O_CLOEXEC))
        return RESULT_IO;
    enum result r = fcntl(ends[0], F_SETFL, O_NONBLOCK) ? RESULT_IO : spawn(argv, ends[1], &pid);
    int saved = errno;
    close(ends[1]);
    uint64_t end_us = clock_mono_us(&clock_system) + (uint64_t)timeout_ms * 1000;
    // Its end is asked for beside the output's: something that it started may keep that open.
    bool open = true;
    while (!r && !ended(pid, status)) {
        struct pollfd p = {.fd = open ? ends[0] : -1, .events = POLLIN};
        poll(&p, 1, POLL_MS);
        if (open)
            open = drain(ends[0], output);
        if (clock_mono_us(&clock_system) >= end_us) {
            put_an_end(pid, status);
            r = RESULT_TIMEOUT;
        }
    }
    if (!r)
        drain(ends[0], output);
    close(ends[0]);
    errno = saved;
    return r;
}
