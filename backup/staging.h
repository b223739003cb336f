/* SPDX-License-Identifier: Apache-2.0 */
/*
 * staging: a private folder for one job's files in clear, below the staging folder beside the key database.
 *
 * It is locked as long as the job lives, so that a cleaner can tell what a crash left behind.
 */
#ifndef KC_BACKUP_STAGING_H
#define KC_BACKUP_STAGING_H

struct staging {
	char *dir; /* heap; NULL: none */
	int fd;	   /* holds the lock */
};
#define STAGING_EMPTY    \
	{                \
		.fd = -1 \
	}
/* What is ours beside the database: "<its folder>/.keyclone". Heap. */
char *staging_folder(const char *keydb_path);
/* Where they are: "<folder of the database>/.keyclone/staging", made 0700 where it is missing. Heap. */
int staging_parent(char **parent, const char *keydb_path);
/* Makes "<parent>/<random>", 0700. */
int staging_begin(struct staging *st, const char *parent);
/* Removes it with all that is in it. An empty one is a no-op. errno survives; a failure is logged. */
void staging_end(struct staging *st);
/* Removes what a crash left there: what nobody holds. KC_EPERM if somebody else's thing is in its place. */
int staging_clean(const char *keydb_path);

#endif
