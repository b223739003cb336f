/* SPDX-License-Identifier: Apache-2.0 */
/* backup_env: what the commands about backups need: secrets, signers, state, and how a given file is to be opened. */
#ifndef KC_BACKUP_ENV_H
#define KC_BACKUP_ENV_H

#include "backup/image.h"
#include "cli.h"
#include "daemon/secrets.h"
#include "daemon/state.h"

struct backup_env {
	struct cli *c;
	struct secrets secrets;
	struct sign_pins pins;
	struct state_self self; /* empty where there is no state yet */
	char host[256];		/* of this machine */
	char *password;		/* secret memory; asked for or read when it was needed */
	char *file;		/* the backup that the command names, as a path */
	char *travel;		/* the header that came with the file, or with its full; NULL: none */
	uint64_t released;	/* keys that were held until a backup like this one was made */
	const char *shown;	/* phase on the terminal's progress line */
};

int backup_env_open(struct backup_env *e, struct cli *c);
void backup_env_close(struct backup_env *e);

/* The password of --password-file, or the configured one, or asked for. */
int backup_env_password(struct backup_env *e, bool confirm);
/* A backup was made: since when its password is in force, for `backup list`. */
void backup_env_note_password(struct backup_env *e, const char *backup);
/* The backup of the first argument: a path, or a name in the backup folder; and what opens it: --password-file, else
 * what came with it if it was received here, else the configured password, else a question. */
int backup_env_image(struct image_options *o, struct backup_env *e);
/* "digest 40%" on a terminal, nothing elsewhere. `phase` NULL: clear the line. */
void backup_env_show(struct backup_env *e, const char *phase, unsigned percent);
/* One audited piece of work: a record of its start, synced, then `work`, then one of its end. */
typedef int (*backup_work_fn)(struct backup_env *e, struct audit_record *r, void *arg);
int backup_env_audited(struct backup_env *e, enum audit_event event, backup_work_fn work, void *arg);

#endif
