/* SPDX-License-Identifier: Apache-2.0 */
/* trust: the truststore directory: loading, listing, adding, removing. */
#include "trust.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "base/file.h"
#include "base/mem.h"
#include "identity_priv.h"
#include "trust_priv.h"

#define NAME_MAX_CHARS 64
#define SAME_NAME_MAX  1000
#define FILES_MAX      4096

/* The names of the directory's certificate files, sorted. */
struct names {
	char **names;
	size_t count;
};

static void names_fini(struct names *n)
{
	for (size_t i = 0; i < n->count; i++)
		free(n->names[i]);
	free(n->names);
}

static int compare_names(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

static bool is_cert_name(const char *name)
{
	const char *dot = strrchr(name, '.');

	return name[0] != '.' && dot != NULL && (strcmp(dot, ".pem") == 0 || strcmp(dot, ".crt") == 0);
}

static bool is_crl_name(const char *name)
{
	const char *dot = strrchr(name, '.');

	return name[0] != '.' && dot != NULL && strcmp(dot, ".crl") == 0;
}

static int read_names(struct names *out, const char *dir, bool (*wanted)(const char *name))
{
	struct names n = { 0 };
	struct dirent *e;
	DIR *d = opendir(dir);

	if (d == NULL && errno != ENOENT)
		return err_errno("%s", dir);
	while (d != NULL && n.count < FILES_MAX && (e = readdir(d)) != NULL) {
		if (!wanted(e->d_name))
			continue;
		n.names = mem_xrealloc(n.names, (n.count + 1) * sizeof(*n.names));
		n.names[n.count++] = mem_xstrdup(e->d_name);
	}
	if (d != NULL)
		closedir(d);
	if (n.count > 0)
		qsort(n.names, n.count, sizeof(*n.names), compare_names);
	*out = n;
	return KC_OK;
}

static int read_file(struct x509_list *list, const char *dir, const char *name)
{
	char *path = file_join(dir, name);
	struct buf b;
	int rc;

	buf_init(&b, X509_FILE_MAX);
	rc = file_read(&b, path);
	if (rc == KC_OK)
		rc = x509_list_parse(list, buf_data(&b), buf_len(&b), path);
	buf_fini(&b);
	free(path);
	return rc;
}

int trust_read_anchors(struct x509_list *anchors, const char *dir)
{
	struct names n;
	int rc = read_names(&n, dir, is_cert_name);

	if (rc < 0)
		return rc;
	for (size_t i = 0; rc == KC_OK && i < n.count; i++)
		rc = read_file(anchors, dir, n.names[i]);
	names_fini(&n);
	return rc;
}

static int export_ders(struct trust *t)
{
	t->ders = mem_xcalloc(t->anchors.count, sizeof(*t->ders));
	for (size_t i = 0; i < t->anchors.count; i++) {
		int rc = gnutls_x509_crt_export2(t->anchors.crts[i], GNUTLS_X509_FMT_DER, &t->ders[i]);

		if (rc < 0)
			return err_set(KC_EFAIL, "a certificate cannot be exported: %s", gnutls_strerror(rc));
	}
	return KC_OK;
}

static int read_crls(struct trust *t, const char *dir)
{
	struct names n;
	int rc = read_names(&n, dir, is_crl_name);

	if (rc < 0)
		return rc;
	for (size_t i = 0; rc == KC_OK && i < n.count; i++) {
		char *path = file_join(dir, n.names[i]);

		rc = trust_read_crl(t, path);
		free(path);
	}
	names_fini(&n);
	return rc;
}

int trust_load(struct trust **trust, const char *dir)
{
	struct trust *t = mem_xalloc(sizeof(*t));
	int rc = trust_read_anchors(&t->anchors, dir);

	if (rc == KC_OK)
		rc = export_ders(t);
	if (rc == KC_OK)
		rc = read_crls(t, dir);
	if (rc == KC_OK)
		*trust = t;
	else
		trust_free(t);
	return rc;
}

void trust_free(struct trust *trust)
{
	if (trust == NULL)
		return;
	for (size_t i = 0; trust->ders != NULL && i < trust->anchors.count; i++)
		gnutls_free(trust->ders[i].data);
	free(trust->ders);
	crl_list_fini(&trust->crls);
	x509_list_fini(&trust->anchors);
	free(trust);
}

size_t trust_count(const struct trust *trust)
{
	return trust->anchors.count;
}

static int list_file(struct trust_list *l, const char *dir, const char *name)
{
	struct x509_list crts = { 0 };
	int rc = read_file(&crts, dir, name);

	for (size_t i = 0; rc == KC_OK && i < crts.count; i++) {
		l->entries = mem_xrealloc(l->entries, (l->count + 1) * sizeof(*l->entries));
		rc = x509_info(&l->entries[l->count].info, crts.crts[i]);
		if (rc == KC_OK)
			l->entries[l->count++].name = mem_xstrndup(name, strlen(name) - 4);
	}
	x509_list_fini(&crts);
	return rc;
}

int trust_list_load(struct trust_list *list, const char *dir)
{
	struct trust_list l = { 0 };
	struct names n;
	int rc = read_names(&n, dir, is_cert_name);

	if (rc < 0)
		return rc;
	for (size_t i = 0; rc == KC_OK && i < n.count; i++)
		rc = list_file(&l, dir, n.names[i]);
	names_fini(&n);
	if (rc == KC_OK)
		*list = l;
	else
		trust_list_fini(&l);
	return rc;
}

void trust_list_fini(struct trust_list *list)
{
	for (size_t i = 0; i < list->count; i++) {
		free(list->entries[i].name);
		cert_info_fini(&list->entries[i].info);
	}
	free(list->entries);
	*list = (struct trust_list){ 0 };
}

/* A file name of a common name: letters, digits, '-', '_', '.'. Heap. */
static char *name_of(gnutls_x509_crt_t crt)
{
	char *cn = x509_name(crt), *name = mem_xstrndup(cn, NAME_MAX_CHARS);

	free(cn);
	for (char *p = name; *p != '\0'; p++)
		*p = isalnum((unsigned char)*p)	 ? (char)tolower((unsigned char)*p)
		     : strchr("-_.", *p) != NULL ? *p
						 : '-';
	if (name[0] == '.' || name[0] == '\0') {
		free(name);
		return mem_xstrdup("certificate");
	}
	return name;
}

static bool name_exists(const char *dir, const char *name)
{
	static const char *const suffixes[] = { ".pem", ".crt" };
	bool found = false;

	for (size_t i = 0; !found && i < sizeof(suffixes) / sizeof(suffixes[0]); i++) {
		char *file = mem_xasprintf("%s%s", name, suffixes[i]), *path = file_join(dir, file);

		found = file_exists(path);
		free(path);
		free(file);
	}
	return found;
}

/* `base`, base-2, base-3, … whichever is free. Heap; NULL if none is. */
static char *free_name(const char *dir, const char *base)
{
	char *name = mem_xstrdup(base);

	for (int i = 2; name_exists(dir, name); i++) {
		free(name);
		if (i > SAME_NAME_MAX)
			return NULL;
		name = mem_xasprintf("%s-%d", base, i);
	}
	return name;
}

static int check_name(const char *name)
{
	size_t n = strlen(name);

	for (size_t i = 0; i < n; i++)
		if (!isalnum((unsigned char)name[i]) && strchr("-_.@", name[i]) == NULL)
			return err_set(KC_EUSAGE, "name %s: '%c' is not allowed in a name", name, name[i]);
	if (n == 0 || n > NAME_MAX_CHARS || name[0] == '.' || name[0] == '-')
		return err_set(KC_EUSAGE, "name %s: not 1 to %d characters that begin with a letter or digit", name,
		    NAME_MAX_CHARS);
	return KC_OK;
}

static int write_one(char **used, const char *dir, const char *name, gnutls_x509_crt_t crt)
{
	char *base = name != NULL ? mem_xstrdup(name) : name_of(crt), *chosen = free_name(dir, base), *file = NULL;
	char *path = NULL;
	struct file_new f = FILE_NEW_EMPTY;
	struct buf b;
	int rc = chosen != NULL ? KC_OK : err_set(KC_EEXIST, "%s: %d names like it exist", base, SAME_NAME_MAX);

	buf_init(&b, X509_FILE_MAX);
	if (rc == KC_OK)
		rc = x509_put_pem(&b, crt);
	if (rc == KC_OK) {
		file = mem_xasprintf("%s.pem", chosen);
		path = file_join(dir, file);
		rc = file_new_begin(&f, path, 0644);
	}
	if (rc == KC_OK) {
		file_new_write(&f, buf_data(&b), buf_len(&b));
		rc = file_new_commit_excl(&f);
	}
	if (rc == KC_OK && used != NULL && *used == NULL) {
		*used = chosen;
		chosen = NULL;
	}
	buf_fini(&b);
	free(base);
	free(chosen);
	free(file);
	free(path);
	return rc;
}

static bool has_issuer(const struct x509_list *list, gnutls_x509_crt_t crt)
{
	for (size_t i = 0; i < list->count; i++)
		if (x509_is_ca(list->crts[i]) && x509_is_issued_by(crt, list->crts[i]))
			return true;
	return false;
}

/* What of `in` is to be trusted and is not yet. An end-entity certificate beside its issuer is passed over. */
static int choose(struct x509_list *out, const struct x509_list *in, const struct x509_list *present)
{
	for (size_t i = 0; i < in->count; i++) {
		gnutls_x509_crt_t crt = in->crts[i], copy;
		char *name;
		int rc;

		if (!x509_is_ca(crt) && !x509_is_issued_by(crt, crt)) {
			if (has_issuer(in, crt))
				continue;
			name = x509_name(crt);
			rc = err_set(KC_ECERT, "certificate %s is neither an authority nor self-signed", name);
			free(name);
			return rc;
		}
		if (x509_list_have(present, crt) || x509_list_have(out, crt))
			continue;
		if ((rc = x509_copy(&copy, crt)) < 0)
			return rc;
		x509_list_take(out, copy);
	}
	return KC_OK;
}

static int add_list(size_t *added, char **name_used, const char *dir, const char *name, const struct x509_list *in)
{
	struct x509_list fresh = { 0 };
	struct trust *present = NULL;
	char *used = NULL;
	int rc = file_make_dirs(dir);

	if (rc == KC_OK)
		rc = trust_load(&present, dir);
	if (rc == KC_OK)
		rc = choose(&fresh, in, &present->anchors);
	if (rc == KC_OK && fresh.count > 0 && name != NULL && name_exists(dir, name))
		rc = err_set(KC_EEXIST, "%s: exists already in %s", name, dir);
	for (size_t i = 0; rc == KC_OK && i < fresh.count; i++)
		rc = write_one(&used, dir, name, fresh.crts[i]);
	if (rc == KC_OK) {
		*added = fresh.count;
		if (name_used != NULL) {
			*name_used = used;
			used = NULL;
		}
	}
	free(used);
	x509_list_fini(&fresh);
	trust_free(present);
	return rc;
}

static int add_named(
    size_t *added, char **name_used, const char *dir, const char *name, const void *data, size_t size, const char *from)
{
	struct x509_list in = { 0 };
	int rc = name != NULL ? check_name(name) : KC_OK;

	if (rc == KC_OK)
		rc = x509_list_parse(&in, data, size, from);
	if (rc == KC_OK)
		rc = add_list(added, name_used, dir, name, &in);
	x509_list_fini(&in);
	return rc;
}

int trust_add(size_t *added, char **name_used, const char *dir, const char *name, const void *data, size_t size)
{
	return add_named(added, name_used, dir, name, data, size, "certificates to trust");
}

int trust_add_file(size_t *added, char **name_used, const char *dir, const char *name, const char *path)
{
	struct buf b;
	int rc;

	buf_init(&b, X509_FILE_MAX);
	rc = file_read(&b, path);
	if (rc == KC_OK)
		rc = add_named(added, name_used, dir, name, buf_data(&b), buf_len(&b), path);
	buf_fini(&b);
	return rc;
}

/* The file that holds just the certificate with this hash; KC_ELIMIT if it holds others too. */
static int find_hash(char **file, const char *dir, const struct names *n, const char *hash)
{
	for (size_t i = 0; i < n->count; i++) {
		struct trust_list l = { 0 };
		bool found = false;
		int rc = list_file(&l, dir, n->names[i]);

		for (size_t k = 0; rc == KC_OK && k < l.count; k++)
			found = found || strcasecmp(l.entries[k].info.sha256, hash) == 0;
		if (found && l.count > 1)
			rc = err_set(KC_ELIMIT, "%s/%s: holds %zu certificates: name the file to remove them all", dir,
			    n->names[i], l.count);
		trust_list_fini(&l);
		if (rc < 0)
			return rc;
		if (found) {
			*file = mem_xstrdup(n->names[i]);
			return KC_OK;
		}
	}
	return KC_OK;
}

int trust_remove(const char *dir, const char *name_or_sha256)
{
	char *file = NULL, *path;
	struct names n;
	int rc = read_names(&n, dir, is_cert_name);

	if (rc < 0)
		return rc;
	for (size_t i = 0; file == NULL && i < n.count; i++) {
		size_t len = strlen(n.names[i]) - 4;

		if (strlen(name_or_sha256) == len && strncmp(n.names[i], name_or_sha256, len) == 0)
			file = mem_xstrdup(n.names[i]);
	}
	if (file == NULL && strlen(name_or_sha256) == CERT_HEX_SIZE - 1)
		rc = find_hash(&file, dir, &n, name_or_sha256);
	names_fini(&n);
	if (rc == KC_OK && file == NULL)
		rc = err_set(KC_ENOENT, "%s: not in the truststore %s", name_or_sha256, dir);
	if (rc == KC_OK) {
		path = file_join(dir, file);
		rc = retired_put_trusted(dir, file);
		if (rc == KC_OK)
			rc = file_remove(path);
		free(path);
	}
	free(file);
	return rc;
}
