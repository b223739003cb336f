/* SPDX-License-Identifier: Apache-2.0 */
/* enroll: `enroll join`: enroll_join.c is the command, on a new machine and on a clone; enroll_keep.c asks the master
 * and keeps what it answers. */
#ifndef KC_CLI_ENROLL_H
#define KC_CLI_ENROLL_H

#include "daemon/enroll_client.h"
#include "keystore/identity.h"

struct cli;
struct conf;

struct joining {
	struct invite token;
	const char *host;     /* as the master reaches this machine; NULL: not said */
	const char *external; /* absolute: folder with the certificate that there is already; NULL: one is requested */
	const char *lineage;  /* that is followed here; NULL or "": none */
	int port;

	struct enroll_answer answer;
	bool answered;
	char *alias;	     /* of the identity */
	struct identity *id; /* as it was kept */
	char detail[400];    /* of the audit record */
};
void joining_fini(struct joining *j);

int enroll_join(struct cli *c);

/* Whatever can be known to be wrong before anybody is asked. */
int enroll_look(struct joining *j, const struct conf *conf);
/* Ask, and keep trust, signer and identity under j->alias, in the place of what was there. All folders exist. */
int enroll_ask_and_keep(struct joining *j, const struct conf *conf);

#endif
