/* SPDX-License-Identifier: Apache-2.0 */
/* worker_int: what the files of the worker share. */
#ifndef KC_WORKER_INT_H
#define KC_WORKER_INT_H

#include "backup/companions.h"
#include "backup/create.h"
#include "backup/diverged.h"
#include "backup/image.h"
#include "backup/source.h"
#include "daemon/chain_key.h"
#include "daemon/secrets.h"
#include "daemon/worker.h"

struct cert_info;
struct identity;
struct issue_request;

/* The base of the newest generation, as it was made or read in this life; generation 0: not known. */
struct worker_base {
	uint64_t generation;
	char lineage[MANIFEST_LINEAGE_LEN + 1];
	struct source_digest digest;
	char master_key_sum[SOURCE_DIGEST_LEN + 1]; /* "": not known */
	struct changelog_mark mark;		    /* of the built-in key database's change log */
};

/* A private key that waits for its certificate; it is lost with the worker, and asked for again. */
#define WORKER_REQUESTS 4
struct worker_request {
	char *purpose;
	struct request *request;
};

struct worker {
	const char *conf_path;
	struct conf *conf;
	struct secrets secrets;
	char *password;				   /* of backups; NULL: none configured (a clone) */
	char password_id[SECRET_FINGERPRINT_SIZE]; /* tells it from others; "" without one */
	struct source *source;
	struct companion_paths companions;
	char files_stamp[TREE_DIGEST_LEN +
			 1];		  /* of the companions, when they were last seen to be in the newest backup */
	bool files_strayed;		  /* clone: with that stamp they are not what was last applied */
	struct create_prepared *prepared; /* for the next backup */
	uint64_t version;		  /* of the source, when it was last seen to be in the newest backup */
	bool version_known;
	struct age_identity *chain_key; /* of the full that is made, or was made last */
	struct age_key *key;		/* file key of the backup `key_path` */
	char *key_path;
	const char *lineage; /* of the backup that is made */
	bool unmarked;	     /* held keys of the newest backup are not marked as being in it */
	struct worker_base base;
	bool prune_due;	   /* older bases are there still */
	uint64_t alive_at; /* last sign of life, monotonic ms */
	struct worker_request requests[WORKER_REQUESTS];
	int fd;
	bool opened;
	bool checkpoint_due; /* a restore is in the write-ahead log only */
};

/* A progress message, which also keeps the daemon from thinking that we stall. Failure: the daemon is gone. */
int worker_progress(struct worker *w, json_t *progress); /* takes it */
/* The same at most once a second, for waits and long work without figures. For source_options.alive. */
int worker_alive(void *arg);
/* Ask the daemon in the middle of a job; takes `question`. *answer is the caller's. */
int worker_ask(json_t **answer, struct worker *w, json_t *question);

/* Members of a request. A missing or mistyped one is KC_EPROTO. */
int worker_get_string(const char **value, const json_t *request, const char *name);
int worker_get_number(uint64_t *value, const json_t *request, const char *name);

/* worker_password.c */
/* The plain password of the file goes out of it as soon as it was read. A file that cannot be written is a warning. */
int worker_seal_password(bool *sealed, const struct conf *c);
/* The password of `c` becomes the one in force; on a failure the old one stays. */
int worker_take_password(struct worker *w, const struct conf *c);

int worker_job_check(json_t *result, struct worker *w, const json_t *request);
int worker_job_recount(json_t *result, struct worker *w, const json_t *request);
int worker_job_backup(json_t *result, struct worker *w, const json_t *request);
int worker_job_wrap(json_t *result, struct worker *w, const json_t *request);
int worker_job_system(json_t *result, struct worker *w, const json_t *request);
int worker_job_restore(json_t *result, struct worker *w, const json_t *request);
int worker_job_resolve(json_t *result, struct worker *w, const json_t *request);
int worker_job_diverged(json_t *result, struct worker *w, const json_t *request);

/* worker_base.c */
/* What an increment on the newest generation is made from; filled in from the request, as far as that is possible: its
 * chain's key and its base are here. `recipient` is for *i to point to. */
bool worker_base_increment(struct create_increment *i, struct age_recipient *recipient, char why[256], struct worker *w,
    const json_t *request, const char *lineage);
/* A backup was made, or nothing had changed: what there is now. Moves the result's digest. */
void worker_base_take(struct worker *w, struct create_result *r, const struct create_options *o);
void worker_base_forget(struct worker *w);
/* Only the base of the newest generation stays. */
void worker_base_prune(struct worker *w);
/* Rows were written past the change log. */
void worker_base_unlogged(struct worker *w);
/* The change log of the built-in key database, made where it is missing; NULL: it is another database, or its held keys
 * have to be looked for in a snapshot. */
const struct changelog *worker_base_log(struct worker *w);

/* worker_keys.c */
/* Says where backup.ReleaseKeysOnSuccessfulBackup has no effect. */
void worker_keys_warn(struct worker *w);
/* A whole backup has what the snapshot has. */
void worker_keys_made(struct worker *w, const char *snapshot, const char *lineage, uint64_t generation);
/* The database is what a master replicated: nothing in it is held. */
void worker_keys_restored(struct worker *w);
int worker_job_release(json_t *result, struct worker *w, const json_t *request);

int worker_job_self_check(json_t *result, struct worker *w, const json_t *request);
int worker_job_by_hand(json_t *result, struct worker *w, const json_t *request);

/* A backup of the live database beside the others, kind safety, before rows are discarded. *path (may be NULL) is heap.
 * `h`: the history it is of; NULL: of none, for rows that did not come from the one that is followed. */
struct worker_history {
	const char *lineage;
	const struct lineage_list *ancestors;
	uint64_t generation;
};
int worker_safety_backup(char **path, struct worker *w, const struct worker_history *h);

/* worker_files.c */
/* Are the companions other than in the newest backup? By stat; if the request has its "files", by content then. */
int worker_files_moved(bool *moved, struct worker *w, const json_t *request);
/* The rest of a restore whose database is the new one already; request: "files", what they are to be. */
int worker_files_finish(struct worker *w, const json_t *request, const struct image_options *image);
/* If they are not what was last applied (request: "files"): `now` becomes something else than any digest of rows, which
 * moves when they do. Read only where stat says that they moved. */
int worker_files_strayed(char now[TREE_DIGEST_LEN + 1], struct worker *w, const json_t *request);
/* Adds those that are not what was last applied (request: "files"); with a newer backup, also those that it would have
 * to take over. */
int worker_files_diverged(
    struct diverged_list *list, struct worker *w, const json_t *request, const struct image_options *newest);

/* worker_rotate.c */
int worker_job_rotate_begin(json_t *result, struct worker *w, const json_t *request);
int worker_job_rotate_directive(json_t *result, struct worker *w, const json_t *request);
int worker_job_rotate_use(json_t *result, struct worker *w, const json_t *request);
int worker_job_rotate_end(json_t *result, struct worker *w, const json_t *request);

/* worker_directive.c */
int worker_job_directive(json_t *result, struct worker *w, const json_t *request);

/* worker_cert.c */
/* worker_enroll.c */
int worker_job_tokens(json_t *result, struct worker *w, const json_t *request);
int worker_job_enroll(json_t *result, struct worker *w, const json_t *request);

int worker_job_issue(json_t *result, struct worker *w, const json_t *request);
/* The names of a certificate, for another in its place; borrowed from `info`. */
#define WORKER_SANS_MAX 64
void worker_names(struct issue_request *r, const char *sans[WORKER_SANS_MAX], const struct cert_info *info);
/* What a request says of days, or the default, within cert.MaximumYears. KC_EUSAGE over it. */
int worker_days(unsigned *days, const struct conf *c, const json_t *request);
int worker_job_csr(json_t *result, struct worker *w, const json_t *request);
int worker_job_revoke(json_t *result, struct worker *w, const json_t *request);
/* Master: what the authority has revoked is in the truststore, also if the power went in between. */
void worker_publish_crl(const struct conf *c);
int worker_job_install(json_t *result, struct worker *w, const json_t *request);
void worker_request_drop(struct worker_request *q);
/* "sha256", "spki_sha256", "not_after" */
void worker_describe(json_t *result, const struct cert_info *info);
/* Was it issued by this authority (NULL: no)? */
struct issue_authority;
bool worker_is_own(const struct identity *id, const struct issue_authority *authority);
/* "serial": of what the own authority made for a clone */
void worker_say_issued(json_t *result, const struct cert_info *info);

/* worker_renew.c */
/* `next` takes the place of the alias, if it may (keystore/renewal.h). */
int worker_renew(json_t *result, struct worker *w, const struct identity *next, const char *alias, unsigned allow);
int worker_job_external(json_t *result, struct worker *w, const json_t *request);
int worker_job_depot(json_t *result, struct worker *w, const json_t *request);
int worker_job_fetched(json_t *result, struct worker *w, const json_t *request);

#endif
