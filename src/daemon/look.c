/* SPDX-License-Identifier: Apache-2.0 */
/* look: a connection, a TLS hello, and what came back. */
#include "look.h"

#include <stdlib.h>
#include <unistd.h>

#include "base/err.h"
#include "keystore/identity.h"
#include "replication/conn_look.h"
#include "replication/tls_look.h"

#define LOOK_TIMEOUT_MS 10000

/* Without one of our own the look is as good; only the other side's log says more. */
static struct identity *own(const struct conf *conf)
{
	struct identity *id = NULL;
	char *alias = NULL;

	if (identity_resolve(&alias, conf->keystore_dir, conf->tls_alias) < 0 ||
	    identity_load(&id, conf->keystore_dir, alias) < 0)
		id = NULL;
	free(alias);
	return id;
}

int look_at(struct look *k, const struct conf *conf, const char *host, int port)
{
	struct tls_seen seen = { 0 };
	struct identity *id;
	int fd = -1, rc = conn_look(&fd, host, port, LOOK_TIMEOUT_MS);

	if (rc < 0)
		return rc;
	id = own(conf);
	rc = tls_look(&seen, fd, host, id, LOOK_TIMEOUT_MS);
	if (rc == KC_OK)
		rc = cert_list_copy(&k->chain, seen.chain, seen.count);
	if (rc == KC_OK)
		snprintf(k->protocol, sizeof(k->protocol), "%s", seen.describe);
	tls_seen_fini(&seen);
	identity_free(id);
	close(fd);
	return rc;
}

void look_fini(struct look *k)
{
	cert_list_fini(&k->chain);
}
