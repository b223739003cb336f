/* SPDX-License-Identifier: Apache-2.0 */
/*
 * recipients: which identity each clone showed at first contact: the worker's own memory of it, in
 * keystore.SecretsDir/recipients, a text file with a line "age1… HOST:PORT" for each clone.
 *
 * The daemon, which talks to networks, says for whom a backup's key is to be wrapped. It is believed once for each
 * clone of the configuration; afterwards a daemon that was taken over cannot have the keys wrapped for anybody else.
 */
#ifndef KC_RECIPIENTS_H
#define KC_RECIPIENTS_H

#include "base/conf.h"

/* Is `recipient` the one of the clone? The first one is pinned. KC_EPERM: it is another; KC_ENOENT: no such clone in
 * the configuration. */
int recipients_check(const struct conf *c, const char *clone, const char *recipient);

/* The clone shows this one from now on, whatever was pinned: the holder of a token proved it. */
int recipients_pin(const struct conf *c, const char *clone, const char *recipient);

/* Forget the pins of clones that the configuration does not have. */
int recipients_prune(const struct conf *c);

/* Forget one: an operator removed the clone. No pin, no error. */
int recipients_forget(const struct conf *c, const char *clone);

#endif
