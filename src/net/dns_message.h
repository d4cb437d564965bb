// DNS messages about services (RFC 1035, 2782): the question, and what is in an answer. Pure: bytes in, records out.
//
// Nothing of an answer is believed but what belongs to the question: its id, the question that it repeats, and records of that
// name or of the one that a chain of CNAME leads to. A name's compression only ever points backwards, so reading ends.
#ifndef MERIT_NET_DNS_MESSAGE_H
#define MERIT_NET_DNS_MESSAGE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/result.h"
#include "base/slice.h"
#include "net/dns.h"

enum {
    DNS_SRV_MAX = 64,       // records that are kept, the most wanted first
    DNS_QUESTION_MAX = 320, // bytes
    DNS_UDP_MAX = 1232,     // bytes of an answer that we take by UDP
    DNS_CNAMES_MAX = 8,
};

struct dns_srv {
    uint16_t priority, weight, port;
    char target[DNS_NAME_MAX + 1]; // lower case, without the root's dot
};

struct dns_srv_answer {
    uint32_t count;
    uint32_t ttl_s;                      // the least of all
    struct dns_srv records[DNS_SRV_MAX]; // by priority, target and port; no two alike
};

// Into `out`; 0: `name` is none.
size_t dns_ask_for_srv(uint8_t out[DNS_QUESTION_MAX], uint16_t id, struct slice name);

// RESULT_OK (at least one record), RESULT_NOT_FOUND (the name does not exist, has none, or says by the target "." that there
// is no such service), RESULT_AGAIN (cut: ask by TCP), RESULT_DNS (the server could not tell), RESULT_PROTOCOL (no answer to this
// question, or malformed).
enum result dns_read_srv(struct slice message, uint16_t id, struct slice name,
                         struct dns_srv_answer *out);

#endif
