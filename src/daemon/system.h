/* SPDX-License-Identifier: Apache-2.0 */
/*
 * system: the system backup of an installation (backup/system.h) seen from its configuration: what goes in on a master,
 * and what comes out on the machine that takes its place. Blocking and secret: for the worker and the command line.
 */
#ifndef KC_DAEMON_SYSTEM_H
#define KC_DAEMON_SYSTEM_H

#include "backup/system.h"
#include "base/conf.h"
#include "daemon/secrets.h"

/* Everything of this master that another needs: the properties, keystore and truststore, of the secrets the authority,
 * the signing key, the signers, the pinned identities of clones and what opens all these; the fleet. Not this
 * machine's own identity, and not the key database's master key file, which goes with the keys. Lineage, ancestors,
 * generations, time and host are the caller's to fill in. */
int system_gather(struct system_contents *c, const struct conf *conf);

/* The newest system backup in a backup folder, heap: of this lineage, if there is one. KC_ENOENT with what to do where
 * there is none. */
int system_newest(char **path, const char *backup_dir, const char *lineage);

/* The master's configuration: fleet, schedule, retention. Relative paths are resolved against the directory of
 * `own_path`; what is set about files and certificates is the other machine's. Its sealed password does not open here.
 */
int system_conf(struct conf **conf, const struct system_contents *c, const char *own_path);

/*
 * For a promotion: authority, signing key, signers, the clones' identities and the truststore of the master come to
 * this machine, into the folders of `own`, the signing key sealed anew by this machine's own key. Identity, keystore
 * and properties stay this machine's. What this machine had signed stays good: its old key remains a signer. Can be
 * done again after a crash in the middle. `s` holds the new signing key afterwards.
 */
int system_take(const struct system_contents *c, const struct conf *own, struct secrets *s);

#endif
