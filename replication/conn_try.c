/* SPDX-License-Identifier: Apache-2.0 */
/* conn_try: a name that is looked up; the port is tried where listeners are made (conn_listen.c). */
#include "conn_try.h"

#include <netdb.h>
#include <sys/socket.h>

#include "base/err.h"
#include "base/mem.h"

int conn_try_name(char **address, const char *host)
{
	struct addrinfo hints = { .ai_socktype = SOCK_STREAM }, *list = NULL;
	char text[NI_MAXHOST] = "";
	int rc = getaddrinfo(host, NULL, &hints, &list);

	if (rc == 0)
		rc = getnameinfo(list->ai_addr, list->ai_addrlen, text, sizeof(text), NULL, 0, NI_NUMERICHOST);
	if (list != NULL)
		freeaddrinfo(list);
	if (rc != 0)
		return err_set(KC_ENET, "the name %s is not known here: %s", host, gai_strerror(rc));
	*address = mem_xstrdup(text);
	return KC_OK;
}
