/* SPDX-License-Identifier: Apache-2.0 */
/* host: names and addresses of machines, and HOST:PORT, as people write them. */
#ifndef KC_HOST_H
#define KC_HOST_H

#include <stdbool.h>

/* An IPv4 or IPv6 address (with a zone: "fe80::1%eth0"), without brackets. */
bool host_is_address(const char *text);
/* A host name or an address, an IPv6 one in brackets or not. *host is heap, without brackets. False: neither. */
bool host_parse(char **host, const char *text);

/* "HOST:PORT", "[ADDRESS]:PORT", "ADDRESS", "HOST"; port 0 where there is none. *host as host_parse. KC_EUSAGE. */
int host_port_parse(char **host, int *port, const char *text);
/* The way back, heap: brackets around an address with colons; without a port where it is 0. */
char *host_port_format(const char *host, int port);

#endif
