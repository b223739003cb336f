/* SPDX-License-Identifier: Apache-2.0 */
/*
 * check_files: owners, modes and room. The service runs as the owner of its state folder; an administrator who works
 * as root sees files that the service cannot open, so owners are compared, not tried.
 */
#include <dirent.h>
#include <errno.h>
#include <inttypes.h>
#include <pwd.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/err.h"
#include "base/file.h"
#include "base/mem.h"
#include "check.h"

static const char *user_name(char *out, size_t size, uid_t uid)
{
	const struct passwd *p = getpwuid(uid);

	if (p != NULL)
		snprintf(out, size, "%s", p->pw_name);
	else
		snprintf(out, size, "user id %u", (unsigned)uid);
	return out;
}

/* The service's user is whom the state belongs to; before there is one, the configuration's folder says so. */
static void find_service(struct check *k)
{
	const struct conf *conf = k->c->conf;
	char name[80], advice[200];
	struct stat st;

	if (stat(conf->state_dir, &st) < 0 && stat(conf->dir, &st) < 0)
		st.st_uid = geteuid();
	k->service = st.st_uid;
	if (geteuid() == 0 || geteuid() == k->service)
		return;
	user_name(name, sizeof(name), k->service);
	snprintf(advice, sizeof(advice), "run it as root, or as %s", name);
	check_say(
	    k, CHECK_WARN, "who asks", advice, "the service's files belong to %s; not all of them can be seen", name);
}

static bool wrong_owner(struct check *k, const char *what, const char *path, const struct stat *st)
{
	char has[80], wants[80], advice[700];

	if (st->st_uid == k->service)
		return false;
	user_name(has, sizeof(has), st->st_uid);
	user_name(wants, sizeof(wants), k->service);
	snprintf(advice, sizeof(advice), "chown %.80s %.500s", wants, path);
	check_say(k, CHECK_FAIL, what, advice, "%s belongs to %s, the service runs as %s", path, has, wants);
	return true;
}

static bool wrong_dir(struct check *k, const char *what, const char *path)
{
	struct stat st;

	if (stat(path, &st) < 0) {
		if (errno == ENOENT)
			return false; /* it is made at the first start */
		check_say(k, CHECK_FAIL, what, NULL, "%s: %s", path, strerror(errno));
		return true;
	}
	return wrong_owner(k, what, path, &st);
}

/* Certificates, requests, revocation lists and public keys are for everybody. */
static bool is_public(const char *name)
{
	static const char *const suffixes[] = { ".crt", ".csr", ".crl", ".pub" };
	const char *dot = strrchr(name, '.');

	for (size_t i = 0; dot != NULL && i < sizeof(suffixes) / sizeof(suffixes[0]); i++)
		if (strcmp(dot, suffixes[i]) == 0)
			return true;
	return false;
}

/* What a folder of secrets holds: nobody else reads it, and the service does. */
static bool wrong_secrets(struct check *k, const char *what, const char *dir)
{
	DIR *d = opendir(dir);
	struct dirent *e;
	bool wrong = wrong_dir(k, what, dir);

	while (d != NULL && (e = readdir(d)) != NULL) {
		char *path = file_join(dir, e->d_name), advice[700];
		struct stat st;

		if (stat(path, &st) == 0 && S_ISREG(st.st_mode)) {
			wrong = wrong_owner(k, what, path, &st) || wrong;
			if (!is_public(e->d_name) && (st.st_mode & 077) != 0) {
				snprintf(advice, sizeof(advice), "chmod 600 %.600s", path);
				check_say(k, CHECK_FAIL, what, advice, "%s has mode %04o: others may read it", path,
				    (unsigned)st.st_mode & 07777);
				wrong = true;
			}
		}
		free(path);
	}
	if (d != NULL)
		closedir(d);
	return wrong;
}

static void check_folders(struct check *k)
{
	const struct conf *conf = k->c->conf;
	const char *dirs[] = { conf->backup_dir, conf->state_dir, conf->log_dir, conf->run_dir, conf->truststore_dir };
	bool wrong = false;

	for (size_t i = 0; i < sizeof(dirs) / sizeof(dirs[0]); i++)
		wrong = wrong_dir(k, "folders", dirs[i]) || wrong;
	if (!wrong)
		check_say(k, CHECK_OK, "folders", NULL, "backups, state, log and run are the service's");
	wrong = wrong_secrets(k, "secrets", conf->keystore_dir);
	wrong = wrong_secrets(k, "secrets", conf->secrets_dir) || wrong;
	if (!wrong)
		check_say(k, CHECK_OK, "secrets", NULL, "keystore and secrets are the service's, and closed to others");
}

/* --- the key database --- */

/* The service owns it, or it is shared by a group: 0660 in a set-gid folder. */
static bool is_shared(const char *dir, const struct stat *st)
{
	struct stat up;

	return stat(dir, &up) == 0 && (st->st_mode & 0660) == 0660 && (up.st_mode & S_ISGID) != 0 &&
	       up.st_gid == st->st_gid;
}

/* Whoever opens an idle database in WAL mode first owns its -wal and -shm, and locks the others out. */
static bool wrong_side(struct check *k, const char *suffix, const struct stat *keydb, const char *dir)
{
	char *path = mem_xasprintf("%s%s", k->c->conf->keydb_path, suffix), has[80], advice[700];
	struct stat st;
	bool wrong = stat(path, &st) == 0 && st.st_uid != keydb->st_uid && !is_shared(dir, &st);

	if (wrong) {
		snprintf(advice, sizeof(advice), "chown --reference=%.300s %.300s", k->c->conf->keydb_path, path);
		check_say(k, CHECK_FAIL, "key database", advice,
		    "%s belongs to %s and the database does not: somebody else opened it first and locks the owner out",
		    path, user_name(has, sizeof(has), st.st_uid));
	}
	free(path);
	return wrong;
}

static void check_keydb(struct check *k)
{
	const char *path = k->c->conf->keydb_path;
	char *dir = file_dirname(path), owner[80], wants[80], advice[1200];
	struct stat st;
	bool wrong = false;

	if (stat(path, &st) < 0) {
		if (errno != ENOENT || k->c->conf->role == CONF_MASTER)
			check_say(k, CHECK_FAIL, "key database",
			    "keydb.Path names it; 'keyclone key generate' makes the built-in one", "%s: %s", path,
			    strerror(errno));
		else
			check_say(k, CHECK_OK, "key database", NULL, "%s comes with the first restore", path);
		free(dir);
		return;
	}
	if (st.st_uid != k->service && k->service != 0 && !is_shared(dir, &st)) {
		user_name(owner, sizeof(owner), st.st_uid);
		user_name(wants, sizeof(wants), k->service);
		snprintf(advice, sizeof(advice),
		    "run keycloned as %.80s; or give both a group: chgrp GROUP %.200s %.200s; chmod 2770 %.200s; chmod "
		    "660 "
		    "%.200s",
		    owner, dir, path, dir, path);
		check_say(k, CHECK_FAIL, "key database", advice, "%s belongs to %s, the service runs as %s", path,
		    owner, wants);
		wrong = true;
	}
	wrong = wrong_side(k, "-wal", &st, dir) || wrong;
	wrong = wrong_side(k, "-shm", &st, dir) || wrong;
	if ((st.st_mode & 07) != 0) {
		snprintf(advice, sizeof(advice), "chmod o= %.600s", path);
		check_say(k, CHECK_WARN, "key database", advice, "%s has mode %04o: everybody may open it", path,
		    (unsigned)st.st_mode & 07777);
	} else if (!wrong) {
		check_say(k, CHECK_OK, "key database", NULL, "%s, owner and mode are right", path);
	}
	free(dir);
}

/* --- room --- */

static const char *megabytes(char *out, size_t size, uint64_t bytes)
{
	snprintf(out, size, bytes < 10000000 ? "%.1f MB" : "%.0f MB", (double)bytes / 1e6);
	return out;
}

/* A backup is at most about as large as the database; a snapshot, or what is unpacked, is as large. */
static void check_room_in(struct check *k, const char *what, const char *dir, uint64_t need)
{
	uint64_t free_bytes = 0;
	char has[40], wants[40];
	int rc = file_free_space(&free_bytes, dir);

	if (rc < 0) {
		check_say(k, CHECK_WARN, what, NULL, "%s", err_text(rc));
		return;
	}
	megabytes(has, sizeof(has), free_bytes);
	megabytes(wants, sizeof(wants), need);
	if (free_bytes < need)
		check_say(k, CHECK_FAIL, what, "make room there", "%s has %s free, a replication needs up to %s", dir,
		    has, wants);
	else if (free_bytes < 3 * need)
		check_say(k, CHECK_WARN, what, "make room there, or keep fewer: replication.MaxBackupNum",
		    "%s has %s free, a replication needs up to %s", dir, has, wants);
	else
		check_say(k, CHECK_OK, what, NULL, "%s free in %s", has, dir);
}

static void check_room(struct check *k)
{
	const struct conf *conf = k->c->conf;
	char *dir = file_dirname(conf->keydb_path);
	struct stat st;
	uint64_t need = stat(conf->keydb_path, &st) == 0 ? (uint64_t)st.st_size : 0;

	need += need / 64 + 262144;
	check_room_in(k, "room for backups", file_exists(conf->backup_dir) ? conf->backup_dir : conf->dir, need);
	check_room_in(k, "room for staging", dir, need);
	free(dir);
}

void check_files(struct check *k)
{
	find_service(k);
	check_folders(k);
	check_keydb(k);
	check_room(k);
}
