// Answers of name servers: whatever the bytes, no crash, and what is believed is in order and fit for a URL.
#include <stdlib.h>
#include <string.h>

#include "net/dns_ask.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char head[] = "\0\7\x81\x80\0\1";
    static const char question[] = "\x05_vllm\x04_tcp\x04pool\x07"
                                   "example\0\0\x21\0\1";
    static struct dns_srv_answer out;
    static char message[65536];
    struct slice name = SLICE("_vllm._tcp.pool.example");
    struct dns_servers servers;
    // As it is, and behind a question that is the right one: else little gets past that.
    enum result r = dns_read_srv(slice_make((const char *)data, size), 7, name, &out);
    if ((r == RESULT_OK) != (out.count > 0))
        abort();
    size_t at = sizeof head - 1, n = sizeof question - 1;
    if (size >= 6 && size < sizeof message - at - n) {
        memcpy(message, head, at);
        memcpy(message + at, data, 6); // counts
        memcpy(message + at + 6, question, n);
        memcpy(message + at + 6 + n, data + 6, size - 6);
        r = dns_read_srv(slice_make(message, at + n + size), 7, name, &out);
        if ((r == RESULT_OK) != (out.count > 0) || out.count > DNS_SRV_MAX)
            abort();
    }
    for (uint32_t i = 0; i < out.count; i++) {
        const struct dns_srv *s = &out.records[i];
        if (!s->port || !s->target[0] || strlen(s->target) > DNS_NAME_MAX ||
            strpbrk(s->target, "/:@?# %") || (i && s->priority < s[-1].priority))
            abort();
    }
    dns_servers_of(slice_make((const char *)data, size), &servers);
    if (!servers.count || servers.count > DNS_SERVERS_MAX)
        abort();
    (void)dns_server_of(slice_make((const char *)data, size), &servers);
    return 0;
}
