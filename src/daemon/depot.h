/* SPDX-License-Identifier: Apache-2.0 */
/*
 * depot: certificates with their keys that a master keeps for its clones, in keystore.Dir/depot, a keystore of its own:
 * the alias of the one for HOST:PORT is PORT@HOST (of an IPv6 address with '_' for ':').
 *
 * What leaves it goes to one clone, sealed for its identity (sealed.h) by the master's worker.
 */
#ifndef KC_DEPOT_H
#define KC_DEPOT_H

#include <stdbool.h>

#include "base/conf.h"
#include "keystore/identity.h"

/* Heap. */
char *depot_dir(const struct conf *c);

/*
 * Keep `id` for a clone. KC_ECERT unless it could be that clone's: both uses, a chain that verifies against the
 * truststore of this master, and a name by which this master lets it in (the host, tls.AuthorizedCNs, the role of a
 * clone). KC_EEXIST unless `replace`.
 */
int depot_add(const struct conf *c, const char *host, int port, const struct identity *id, bool replace);
bool depot_keeps(const struct conf *c, const char *host, int port);
/* KC_ENOENT. */
int depot_remove(const struct conf *c, const char *host, int port);
/* What is kept, as a keystore's list. depot_name(): "HOST:PORT" of an alias, heap. */
int depot_list(struct identity_list *list, const struct conf *c);
char *depot_name(const char *alias);

/* The one for a clone (HOST:PORT). KC_ENOENT: there is none. */
int depot_load(struct identity **id, const struct conf *c, const char *clone);

#endif
