// Many connections that do nothing: load_idle --port P --connections N [--path /health]
//
// Opens N kept connections to 127.0.0.1, one request on each, and prints {"open": N}; at the end of standard input it
// looks which of them the server has closed, prints {"still_open": M} and ends. Exit code 1 when one failed.
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

static int request(int fd, const char *path)
{
    char text[4096];
    int n = snprintf(text, sizeof text, "GET %s HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n", path);
    if (send(fd, text, (size_t)n, MSG_NOSIGNAL) != n)
        return -1;
    size_t len = 0;
    for (;;) {
        ssize_t got = recv(fd, text + len, sizeof text - 1 - len, 0);
        if (got <= 0)
            return -1;
        len += (size_t)got;
        text[len] = 0;
        char *end = strstr(text, "\r\n\r\n"), *length = strcasestr(text, "\r\ncontent-length:");
        if (end && length && len >= (size_t)(end - text) + 4 + strtoul(length + 17, NULL, 10))
            return 0;
        if (len == sizeof text - 1)
            return -1;
    }
}

int main(int argc, char **argv)
{
    int port = 0, count = 1000, open = 0, still = 0;
    const char *path = "/health";
    for (int i = 1; i + 1 < argc; i += 2) {
        if (strcmp(argv[i], "--port") == 0)
            port = atoi(argv[i + 1]);
        else if (strcmp(argv[i], "--connections") == 0)
            count = atoi(argv[i + 1]);
        else if (strcmp(argv[i], "--path") == 0)
            path = argv[i + 1];
    }
    if (!port || count < 1) {
        fprintf(stderr, "usage: load_idle --port P --connections N [--path /health]\n");
        return 2;
    }
    struct rlimit r;
    if (getrlimit(RLIMIT_NOFILE, &r) == 0) {
        r.rlim_cur = r.rlim_max;
        setrlimit(RLIMIT_NOFILE, &r);
    }
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    struct timeval limit = {.tv_sec = 10};
    int *fds = calloc((size_t)count, sizeof *fds);
    if (!fds)
        return 2;
    for (int i = 0; i < count; i++) {
        fds[i] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        setsockopt(fds[i], SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
        if (fds[i] < 0 || connect(fds[i], (struct sockaddr *)&a, sizeof a) != 0 ||
            request(fds[i], path) != 0) {
            fprintf(stderr, "connection %d: %s\n", i, strerror(errno));
            break;
        }
        open++;
    }
    printf("{\"open\": %d}\n", open);
    fflush(stdout);
    char c;
    while (read(0, &c, 1) > 0)
        ;
    for (int i = 0; i < open; i++)
        still += recv(fds[i], &c, 1, MSG_DONTWAIT) < 0 && errno == EAGAIN;
    printf("{\"still_open\": %d}\n", still);
    free(fds);
    return open == count ? 0 : 1;
}
