/* SPDX-License-Identifier: Apache-2.0 */
/* host: see host.h. */
#include "host.h"

#include <arpa/inet.h>
#include <stdlib.h>
#include <string.h>

#include "err.h"
#include "mem.h"

#define NAME_MAX_LEN 253
#define NAME_CHARS   "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._"

bool host_is_address(const char *text)
{
	char in[INET6_ADDRSTRLEN], addr[16];
	size_t n = strcspn(text, "%");

	if (n >= sizeof(in))
		return false;
	memcpy(in, text, n);
	in[n] = '\0';
	return inet_pton(AF_INET6, in, addr) == 1 || (text[n] == '\0' && inet_pton(AF_INET, in, addr) == 1);
}

static bool is_name(const char *text)
{
	size_t n = strlen(text);

	return n > 0 && n <= NAME_MAX_LEN && text[0] != '-' && text[0] != '.' && strspn(text, NAME_CHARS) == n;
}

bool host_parse(char **host, const char *text)
{
	size_t n = strlen(text);
	bool brackets = n > 2 && text[0] == '[' && text[n - 1] == ']';
	char *bare = brackets ? mem_xstrndup(text + 1, n - 2) : mem_xstrdup(text);

	if (!host_is_address(bare) && (brackets || !is_name(bare))) {
		free(bare);
		return false;
	}
	*host = bare;
	return true;
}

/* 1 to 65535, else 0. */
static int parse_port(const char *text)
{
	size_t n = strspn(text, "0123456789");
	long port = n > 0 && n <= 5 && text[n] == '\0' ? strtol(text, NULL, 10) : 0;

	return port <= 65535 ? (int)port : 0;
}

int host_port_parse(char **host, int *port, const char *text)
{
	const char *colon = strrchr(text, ':'), *bracket = strrchr(text, ']');
	int number = 0;
	char *name;
	bool good;

	/* "::1" has no port: only a colon behind the bracket, or the only colon, separates one. */
	if (colon != NULL && (text[0] == '[' ? bracket == NULL || colon < bracket : strchr(text, ':') != colon))
		colon = NULL;
	if (colon != NULL && (number = parse_port(colon + 1)) == 0)
		return err_set(KC_EUSAGE, "'%s': the port is not a number from 1 to 65535", text);
	name = colon != NULL ? mem_xstrndup(text, (size_t)(colon - text)) : mem_xstrdup(text);
	good = host_parse(host, name);
	free(name);
	if (!good)
		return err_set(KC_EUSAGE, "'%s' is not HOST:PORT", text);
	*port = number;
	return KC_OK;
}

char *host_port_format(const char *host, int port)
{
	bool brackets = strchr(host, ':') != NULL;

	if (port == 0)
		return mem_xasprintf("%s%s%s", brackets ? "[" : "", host, brackets ? "]" : "");
	return mem_xasprintf("%s%s%s:%d", brackets ? "[" : "", host, brackets ? "]" : "", port);
}
