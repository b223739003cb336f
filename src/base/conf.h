/* SPDX-License-Identifier: Apache-2.0 */
/*
 * conf: the configuration of one daemon, read, checked, shown and edited.
 *
 * Two syntaxes, chosen by the extension of the file: Java properties, and libconfig for ".cfg" and ".conf". Both give
 * one tree, the tree gives struct conf by the table in conf_keys.h. Who reads the file with its secrets is the worker
 * or the command line; the daemon gets a copy without them (conf_public_json, conf_from_json).
 *
 *     struct conf_problems p = CONF_PROBLEMS_EMPTY;
 *     struct conf *c;
 *     rc = conf_load(&c, path, CONF_START, &p);
 *     for (size_t i = 0; i < p.warnings.count; i++)
 *             log_warn("%s", p.warnings.items[i]);
 *     for (size_t i = 0; i < p.errors.count; i++) ...
 *     conf_problems_fini(&p);
 *
 * A conf never changes after it was made; a reload makes a new one.
 */
#ifndef KC_CONF_H
#define KC_CONF_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "conf_keys.h"

enum conf_role { CONF_MASTER, CONF_CLONE };
enum conf_tls { CONF_TLS_1_2, CONF_TLS_1_3 };

struct conf_list {
	char **items; /* NULL-terminated; NULL: empty */
	size_t count;
};

/* One pair backup.ClientIPn, backup.ClientPortn. `host` is without brackets. */
struct conf_clone {
	char *host;
	int port;
};

/* A companion file or directory, replication.File.NAME: the same NAME on every machine, a path of its own. */
struct conf_file {
	char *name;
	char *path; /* absolute */
};

#define CONF_C_INT										int
#define CONF_C_BOOL										bool
#define CONF_C_ENUM										int
#define CONF_C_DURATION										uint64_t
#define CONF_C_STR										char *
#define CONF_C_HOST										char *
#define CONF_C_ADDRESS										char *
#define CONF_C_PATH										char *
#define CONF_C_LIST										struct conf_list
#define CONF_C_SECRET										char *
#define CONF_FIELD(field, type, name, def, sysdef, detail, min, max, role, flags, reload, help) CONF_C_##type field;
#define CONF_NO_FIELD(type, name, detail, min, max, role, help)

#define CONF_ROWS_MAX 64

/*
 * The members are those of the table (role is an enum conf_role, tls_minimum an enum conf_tls), and:
 */
struct conf {
	char *path; /* of the file, absolute */
	char *dir;  /* its directory */
	CONF_KEYS(CONF_FIELD, CONF_NO_FIELD)
	struct conf_clone *clones; /* in the order of their numbers */
	size_t clone_count;
	struct conf_file *files; /* by name */
	size_t file_count;
	bool password_set; /* one of the three ways to give the password is used; true in the daemon's copy too */
	int lines[CONF_ROWS_MAX];  /* where in the file a property is, in the order of the table; 0: nowhere */
	struct conf_list warnings; /* what conf_load warned of, for whoever got this conf by conf_from_json */
};

/* Everything that is wrong with a file, each "FILE:LINE: NAME: reason" (without LINE where something is missing). */
struct conf_problems {
	struct conf_list errors;
	struct conf_list warnings;
};
#define CONF_PROBLEMS_EMPTY     \
	{                       \
		.errors = { 0 } \
	}
void conf_problems_fini(struct conf_problems *p);

/* Flags of conf_load. */
enum {
	CONF_START = 1, /* what a daemon needs: required properties are there, paths that must exist do */
};

/*
 * Read and check `path`. KC_ECONF when anything is wrong with its contents: every error is in `p`, and the message of
 * the result is the first one with the number of the others; and when it cannot be read. `p` may be
 * NULL; it is added to, and filled on success too (warnings). *out is the caller's: conf_free.
 */
int conf_load(struct conf **out, const char *path, unsigned flags, struct conf_problems *p);
/* The same from memory; `path` says syntax and directory and need not exist. `text` is wiped by its owner. */
int conf_load_text(
    struct conf **out, const char *path, const void *text, size_t size, unsigned flags, struct conf_problems *p);
void conf_free(struct conf *c); /* wipes the secrets; NULL is a no-op */

/* The file to use: `explicit` (-c) if not NULL, else $KEYCLONE_CONFIG, else SYSCONFDIR/keyclone/keyclone.properties.
 * Heap. */
char *conf_default_path(const char *explicit);

/*
 * A copy without secrets, for a process that must not have them: {"path", "values": {name: text}, "clones":
 * [{"host","port"}], "password_set", "lines": {name: number}, "warnings": [text]}. New reference; conf_from_json takes
 * it back (KC_EFORMAT).
 */
json_t *conf_public_json(const struct conf *c);
int conf_from_json(struct conf **out, const json_t *json);

/* "FILE:LINE: NAME", without LINE where the file does not have it: what a message about its value begins with. Heap. */
char *conf_where(const struct conf *c, const char *name);

/* The effective configuration as text in properties syntax (heap): what differs from the defaults, or with `all` every
 * property of the role (the unset ones as comments). Loads back to the same configuration, its secrets apart: a comment
 * says whether the password is set. */
char *conf_dump(const struct conf *c, bool all);
/* The same for programs: {name: value}. New reference. */
json_t *conf_dump_json(const struct conf *c);
/* The effective value of one property as it would be written, heap; *out is NULL where it is unset. KC_EUSAGE: no such
 * name (with the nearest one); KC_EPERM: a secret. */
int conf_get(char **out, const struct conf *c, const char *name);

/*
 * Change a file. Comments, order, line ends, mode and owner are kept; the result is checked before it is written (an
 * error that the file had before does not count), and replaces the file in one step. KC_ECONF with the errors in `p`
 * (may be NULL) and the file as it was. A property that is new goes behind its kin, else to the end.
 */
struct conf_change {
	const char *name;
	const char *value; /* as is, not escaped; NULL: remove the property */
};
int conf_edit(const char *path, const struct conf_change *changes, size_t count, struct conf_problems *p);
/* The same, and before anything is written `judge` is asked, which knows more than the file: it adds to `p`, and with
 * an error nothing is. `before` is NULL where the file was not right. */
typedef void (*conf_judge_fn)(struct conf_problems *p, const struct conf *before, const struct conf *after);
int conf_edit_judged(
    const char *path, const struct conf_change *changes, size_t count, conf_judge_fn judge, struct conf_problems *p);

/* Is a password of backups long enough? KC_EUSAGE with both figures. */
int conf_check_password(const char *password);

/* May this property be changed by hand? KC_EUSAGE for a secret (naming --password-file), KC_ECONF for an unknown one.
 */
int conf_check_name(const char *name);

/* The fleet in the file: numbers stay 1..n. KC_EEXIST: it is there; KC_ENOENT: it is not; KC_ELIMIT: 20 are there. */
int conf_clone_add(const char *path, const char *host, int port, struct conf_problems *p);
int conf_clone_remove(const char *path, const char *host, int port, struct conf_problems *p);

/*
 * Put the sealed password in the place of backup.EncryptionPassword (and of an older sealed one); the plain one is gone
 * from the file. What a conf of `password` != NULL asks its reader to do:
 *     if (c->password != NULL) { seal it; conf_replace_password(c->path, sealed); on an error: warn, and on }
 */
int conf_replace_password(const char *path, const char *sealed);

/* What a sealed value begins with; a value of backup.ObfuscatedEncryptionPassword that does not was made by another
 * product. */
#define CONF_SEALED_PREFIX "kc1:"

/* What of `next` is not what `now` has: names of properties that `reload` takes over, and of those that need a restart.
 * The caller owns both lists: conf_list_fini. */
void conf_diff(struct conf_list *live, struct conf_list *restart, const struct conf *now, const struct conf *next);
/* What needs a restart stays as it is: `next` gets it from `now`, which is left with what `next` had and is good for
 * conf_free only. A secret that `now` does not have is left alone. */
void conf_keep(struct conf *next, struct conf *now);

void conf_list_add(struct conf_list *l, const char *item);
void conf_list_fini(struct conf_list *l);
json_t *conf_list_json(const struct conf_list *l); /* array of strings, new reference */

#endif
