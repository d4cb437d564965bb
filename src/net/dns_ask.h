// Asks name servers for what getaddrinfo does not tell: service records. Blocks, so it is for a thread of its own.
//
// UDP with a random id over a connected socket, DNS_ASK_MS for an answer, by TCP where that was cut; each server in turn, twice.
#ifndef MERIT_NET_DNS_ASK_H
#define MERIT_NET_DNS_ASK_H

#include <stdbool.h>
#include <sys/socket.h>

#include "net/dns_message.h"

enum { DNS_SERVERS_MAX = 3, DNS_ASK_MS = 2000, DNS_ASK_TURNS = 2 };

struct dns_servers {
    struct sockaddr_storage at[DNS_SERVERS_MAX];
    uint32_t count;
};

// A numeric address, perhaps with a port: "127.0.0.1", "10.0.0.2:8600", "[::1]:53". False: it is none.
bool dns_server_of(struct slice text, struct dns_servers *out);
// The lines `nameserver ADDRESS` of a resolv.conf; without any, this machine's port 53.
void dns_servers_of(struct slice text, struct dns_servers *out);
// Those of /etc/resolv.conf as it is now.
void dns_servers_system(struct dns_servers *out);

// RESULT_OK, RESULT_NOT_FOUND, RESULT_DNS (no server could tell), RESULT_TIMEOUT (none answered), RESULT_LIMIT (no name can be so).
enum result dns_ask_srv(const struct dns_servers *servers, struct slice name,
                        struct dns_srv_answer *out);

#endif
