/* SPDX-License-Identifier: Apache-2.0 */
/*
 * init_make: directories, secrets, certificates, key database and state of a new configuration. Each step notes what it
 * is about to make before it makes it, so that a failure takes back exactly that.
 */
#include <arpa/inet.h>
#include <dirent.h>
#include <ifaddrs.h>
#include <net/if.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "backup/source.h"
#include "base/err.h"
#include "base/file.h"
#include "base/mem.h"
#include "cli.h"
#include "daemon/secrets.h"
#include "daemon/state.h"
#include "init.h"
#include "keydb/keydb.h"
#include "keydb/master.h"
#include "keystore/identity.h"
#include "keystore/issue.h"
#include "keystore/trust.h"

#define SANS_MAX	16
#define AUTHORITY_ALIAS "authority"
#define SITE_ALIAS	"ssl_cert"

/* --- making and taking back --- */

static void note_contents(struct conf_list *l, const char *dir)
{
	DIR *d = opendir(dir);
	struct dirent *e;

	while (d != NULL && (e = readdir(d)) != NULL) {
		char *path = file_join(dir, e->d_name);

		conf_list_add(l, path);
		free(path);
	}
	if (d != NULL)
		closedir(d);
}

/* A directory of ours: made, or there already with contents that stay. */
static int make_dir(struct init *in, const char *dir)
{
	char *top, *up;

	if (file_is_dir(dir)) {
		conf_list_add(&in->kept, dir);
		note_contents(&in->before, dir);
		return KC_OK;
	}
	if (file_exists(dir))
		return err_set(KC_EEXIST, "%s exists and is not a directory", dir);
	top = mem_xstrdup(dir);
	for (up = file_dirname(top); !file_exists(up); up = file_dirname(top)) {
		free(top);
		top = up;
	}
	free(up);
	conf_list_add(&in->made, top);
	free(top);
	return file_make_dirs(dir);
}

static void note_file(struct init *in, const char *path)
{
	if (!file_exists(path))
		conf_list_add(&in->made, path);
}

static bool in_list(const struct conf_list *l, const char *item)
{
	for (size_t i = 0; i < l->count; i++)
		if (strcmp(l->items[i], item) == 0)
			return true;
	return false;
}

void init_undo(struct init *in)
{
	struct conf_list now = { 0 };

	for (size_t i = 0; i < in->kept.count; i++)
		if (strcmp(in->kept.items[i], in->dir) != 0)
			note_contents(&now, in->kept.items[i]);
	for (size_t i = 0; i < now.count; i++)
		if (!in_list(&in->before, now.items[i]))
			(void)file_remove_tree(now.items[i]);
	for (size_t i = in->made.count; i > 0; i--)
		(void)file_remove_tree(in->made.items[i - 1]);
	conf_list_fini(&now);
}

/* Somebody's secrets or state are never mixed with new ones. */
static int check_empty(const char *dir)
{
	struct conf_list found = { 0 };
	int rc = KC_OK;

	note_contents(&found, dir);
	for (size_t i = 0; rc == KC_OK && i < found.count; i++) {
		const char *name = file_basename(found.items[i]);

		if (strcmp(name, ".") != 0 && strcmp(name, "..") != 0)
			rc = err_set(KC_EEXIST, "%s exists; nothing was changed", found.items[i]);
	}
	conf_list_fini(&found);
	return rc;
}

static int make_dirs(struct init *in)
{
	const struct conf *conf = in->c->conf;
	const char *const dirs[] = { in->dir, conf->keystore_dir, conf->truststore_dir, conf->secrets_dir,
		conf->backup_dir, conf->log_dir, conf->state_dir, conf->run_dir };
	int rc = check_empty(conf->secrets_dir);

	if (rc == KC_OK)
		rc = check_empty(conf->state_dir);
	for (size_t i = 0; rc == KC_OK && i < sizeof(dirs) / sizeof(dirs[0]); i++)
		rc = make_dir(in, dirs[i]);
	return rc;
}

/* --- secrets --- */

static int make_secrets(struct init *in)
{
	struct secrets s;
	int rc = secrets_open(&s, in->c->conf->secrets_dir, in->master);

	if (rc < 0)
		return rc;
	if (in->password != NULL)
		rc = secret_seal(&in->sealed, s.box, SECRET_BACKUP_PASSWORD, in->password, strlen(in->password));
	secrets_fini(&s);
	return rc;
}

/* --- certificates --- */

/* The names under which clones and administrators may reach this machine. */
struct names {
	char *sans[SANS_MAX];
	size_t count;
};

static void add_name(struct names *n, const char *kind, const char *name)
{
	char *san = mem_xasprintf("%s%s", kind, name);

	for (size_t i = 0; i < n->count; i++)
		if (strcmp(n->sans[i], san) == 0)
			goto out;
	if (n->count < SANS_MAX) {
		n->sans[n->count++] = san;
		return;
	}
out:
	free(san);
}

static void add_addresses(struct names *n)
{
	struct ifaddrs *all = NULL;
	char text[INET6_ADDRSTRLEN];

	if (getifaddrs(&all) < 0)
		return;
	for (struct ifaddrs *i = all; i != NULL; i = i->ifa_next) {
		const void *address = NULL;

		if (i->ifa_addr == NULL || !(i->ifa_flags & IFF_UP) || (i->ifa_flags & IFF_LOOPBACK))
			continue;
		if (i->ifa_addr->sa_family == AF_INET) {
			address = &((const struct sockaddr_in *)(const void *)i->ifa_addr)->sin_addr;
		} else if (i->ifa_addr->sa_family == AF_INET6) {
			const struct in6_addr *a6 =
			    &((const struct sockaddr_in6 *)(const void *)i->ifa_addr)->sin6_addr;

			address = IN6_IS_ADDR_LINKLOCAL(a6) ? NULL : a6;
		}
		if (address != NULL && inet_ntop(i->ifa_addr->sa_family, address, text, sizeof(text)) != NULL)
			add_name(n, "ip:", text);
	}
	freeifaddrs(all);
}

static void collect_names(struct names *n, const char *host)
{
	char *label;

	add_name(n, "dns:", "localhost");
	add_name(n, "ip:", "127.0.0.1");
	add_name(n, "ip:", "::1");
	if (host[0] != '\0') {
		label = mem_xstrndup(host, strcspn(host, "."));
		add_name(n, "dns:", host);
		add_name(n, "dns:", label);
		free(label);
	}
	add_addresses(n);
}

int init_issue_master(const struct issue_authority *authority, const char *keystore_dir, const char *alias,
    const char *host, bool replace)
{
	struct names names = { .count = 0 };
	struct issue_request request = { .cn = host[0] != '\0' ? host : "localhost", .role = CERT_ROLE_MASTER };
	struct identity *id = NULL;
	int rc;

	collect_names(&names, host);
	request.sans = (const char *const *)names.sans;
	request.san_count = names.count;
	rc = issue_identity(&id, authority, &request);
	if (rc == KC_OK)
		rc = identity_save(id, keystore_dir, alias, replace);
	identity_free(id);
	while (names.count > 0)
		free(names.sans[--names.count]);
	return rc;
}

static int make_authority(struct init *in)
{
	const struct conf *conf = in->c->conf;
	struct issue_authority *authority = NULL;
	char host[256] = "", *name;
	struct buf pem;
	size_t added;
	int rc;

	if (gethostname(host, sizeof(host) - 1) < 0)
		host[0] = '\0';
	name = mem_xasprintf("keyclone authority of %s", host[0] != '\0' ? host : "localhost");
	buf_init(&pem, 65536);
	rc = issue_authority_create(conf->secrets_dir, name, ISSUE_ECDSA_P256, 0);
	if (rc == KC_OK)
		rc = issue_authority_load(&authority, conf->secrets_dir);
	if (rc == KC_OK)
		rc = issue_authority_pem(&pem, authority);
	if (rc == KC_OK)
		rc = trust_add(&added, NULL, conf->truststore_dir, AUTHORITY_ALIAS, buf_data(&pem), buf_len(&pem));
	if (rc == KC_OK)
		rc = init_issue_master(authority, conf->keystore_dir, SITE_ALIAS, host, false);
	if (rc == KC_OK)
		in->alias = mem_xstrdup(SITE_ALIAS);
	issue_authority_free(authority);
	buf_fini(&pem);
	free(name);
	return rc;
}

static int make_certificate(struct init *in)
{
	const struct conf *conf = in->c->conf;

	if (in->p12 != NULL)
		return identity_import_site(
		    &in->alias, conf->keystore_dir, conf->truststore_dir, in->p12, in->p12_password, NULL);
	return in->master ? make_authority(in) : KC_OK;
}

/* --- key database and state --- */

static int make_keydb(struct init *in)
{
	static const char *const suffixes[] = { "", "-wal", "-shm", "-journal" };
	const struct conf *conf = in->c->conf;
	int32_t application_id;
	int rc;

	/* Somebody else's: looked at, not touched. */
	if (in->keydb != NULL) {
		rc = source_check_access(in->keydb);
		return rc < 0 ? rc : source_check_format(&application_id, in->keydb);
	}
	for (size_t i = 0; i < sizeof(suffixes) / sizeof(suffixes[0]); i++) {
		char *path = mem_xasprintf("%s%s", conf->keydb_path, suffixes[i]);

		note_file(in, path);
		free(path);
	}
	rc = keydb_create(conf->keydb_path);
	/* A clone gets its master's with the first restore. */
	if (rc == KC_OK && in->master) {
		note_file(in, conf->master_key_file);
		rc = master_create(conf->master_key_file);
	}
	return rc;
}

static int make_state(struct init *in)
{
	const char *dir = in->c->conf->state_dir;
	struct state *s = NULL;
	int rc = state_open(&s, dir, true);

	if (rc == KC_OK && in->master)
		rc = state_new_lineage(s);
	state_close(s);
	return rc;
}

/* --- all of it --- */

static int audited(struct init *in)
{
	struct audit *audit = NULL;
	struct audit_record cert = { .event = in->join != NULL	? AUDIT_ENROLL_JOIN
					      : in->p12 != NULL ? AUDIT_CERT_IMPORT
								: AUDIT_CERT_CREATE,
		.detail = in->alias };
	struct audit_record config = { .event = AUDIT_CONFIG_CHANGE,
		.detail = in->master	     ? "init master"
			  : in->join != NULL ? "enroll join"
					     : "init clone" };
	struct audit_record seal = { .event = AUDIT_PASSWORD_SEAL };
	int rc = cli_audit(&audit, in->c);

	if (rc == KC_OK)
		rc = audit_result(audit, &config, KC_OK);
	if (rc == KC_OK && in->alias != NULL)
		rc = audit_result(audit, &cert, KC_OK);
	if (rc == KC_OK && in->sealed != NULL)
		rc = audit_result(audit, &seal, KC_OK);
	return rc == KC_OK ? audit_sync(audit) : rc;
}

int init_make(struct init *in)
{
	int rc = make_dirs(in);

	if (rc == KC_OK)
		rc = make_secrets(in);
	if (rc == KC_OK && in->join == NULL)
		rc = make_certificate(in);
	if (rc == KC_OK)
		rc = make_keydb(in);
	if (rc == KC_OK)
		rc = make_state(in);
	if (rc == KC_OK && in->join != NULL)
		rc = in->join(in, in->join_arg);
	return rc == KC_OK ? audited(in) : rc;
}

int init_write(struct init *in)
{
	struct file_new f = FILE_NEW_EMPTY;
	char *text = init_text(in);
	int rc = file_new_begin(&f, in->path, 0600);

	if (rc == KC_OK) {
		file_new_write(&f, text, strlen(text));
		rc = file_new_commit_excl(&f);
	}
	free(text);
	return rc;
}

void init_write_paths(struct conf_list *paths, const struct init *in)
{
	const struct conf *conf = in->c->conf;
	const char *const dirs[] = { conf->dir, conf->keystore_dir, conf->truststore_dir, conf->secrets_dir,
		conf->backup_dir, conf->log_dir, conf->state_dir, conf->run_dir };
	char *keydb = file_dirname(conf->keydb_path);

	*paths = (struct conf_list){ 0 };
	for (size_t i = 0; i <= sizeof(dirs) / sizeof(dirs[0]); i++) {
		const char *dir = i < sizeof(dirs) / sizeof(dirs[0]) ? dirs[i] : keydb;
		bool covered = false;

		for (size_t k = 0; k < paths->count; k++) {
			size_t n = strlen(paths->items[k]);

			covered =
			    covered || (strncmp(dir, paths->items[k], n) == 0 && (dir[n] == '/' || dir[n] == '\0'));
		}
		if (!covered)
			conf_list_add(paths, dir);
	}
	free(keydb);
}
