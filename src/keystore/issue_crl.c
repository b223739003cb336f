/* SPDX-License-Identifier: Apache-2.0 */
/* issue_crl: the revocation list of the own authority. The signed list is the only record of what was revoked. */
#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <time.h>
#include <unistd.h>

#include "base/err.h"
#include "base/file.h"
#include "base/mem.h"
#include "crl.h"
#include "issue_priv.h"

struct serial {
	unsigned char bytes[ISSUE_SERIAL_HEX_MAX / 2];
	size_t size;
};

static int parse_serial(struct serial *s, const char *hex)
{
	size_t n = strlen(hex);

	if (n == 0 || n % 2 != 0 || n > ISSUE_SERIAL_HEX_MAX)
		return err_set(KC_EUSAGE, "%.60s: not a serial number in hex", hex);
	for (size_t i = 0; i < n; i += 2) {
		char pair[3] = { hex[i], hex[i + 1], '\0' };

		if (!isxdigit((unsigned char)pair[0]) || !isxdigit((unsigned char)pair[1]))
			return err_set(KC_EUSAGE, "%.60s: not a serial number in hex", hex);
		s->bytes[i / 2] = (unsigned char)strtoul(pair, NULL, 16);
	}
	s->size = n / 2;
	return KC_OK;
}

/* The present list, verified. None yet: empty. One of another authority, which had its place before, does not count. */
static int load_list(struct crl_list *list, const struct issue_authority *a, const char *path)
{
	struct buf b;
	int rc;

	buf_init(&b, CRL_FILE_MAX);
	rc = file_read(&b, path);
	if (rc == KC_OK)
		rc = crl_list_parse(list, buf_data(&b), buf_len(&b), path);
	if (rc == KC_OK && !crl_is_of(&list->crls[0], a->crt))
		crl_list_fini(list);
	else if (rc == KC_OK && (rc = crl_verify(&list->crls[0], a->crt)) < 0)
		rc = err_set(rc, "%s: %s", path, err_text(rc));
	buf_fini(&b);
	if (rc == KC_ECERT || rc == KC_EFORMAT)
		return err_set(KC_EDAMAGED, "%s", err_text(rc));
	return rc == KC_ENOENT ? KC_OK : rc;
}

/* One more than the number before. */
static void next_number(unsigned char number[CRL_NUMBER_MAX], const struct crl *before)
{
	size_t n = before != NULL ? before->number[0] : 0;

	memset(number, 0, CRL_NUMBER_MAX);
	if (n > 0)
		memcpy(number + CRL_NUMBER_MAX - n, before->number + 1, n);
	for (size_t i = CRL_NUMBER_MAX; i > 0 && ++number[i - 1] == 0; i--)
		;
}

static int set_head(gnutls_x509_crl_t crl, const struct issue_authority *a, const struct crl *before)
{
	unsigned char number[CRL_NUMBER_MAX], id[64];
	size_t n = sizeof(id), skip = 0;
	int rc;

	next_number(number, before);
	/* A positive integer without needless zeros. */
	while (skip + 1 < sizeof(number) && number[skip] == 0 && (number[skip + 1] & 0x80) == 0)
		skip++;
	rc = issue_check(gnutls_x509_crl_set_version(crl, 2), "version of the revocation list");
	if (rc == KC_OK)
		rc = issue_check(gnutls_x509_crl_set_this_update(crl, time(NULL)), "date of the revocation list");
	if (rc == KC_OK)
		rc = issue_check(
		    gnutls_x509_crl_set_next_update(crl, a->info.not_after), "next date of the revocation list");
	if (rc == KC_OK)
		rc = issue_check(gnutls_x509_crl_set_number(crl, number + skip, sizeof(number) - skip),
		    "number of the revocation list");
	if (rc == KC_OK && gnutls_x509_crt_get_subject_key_id(a->crt, id, &n, NULL) >= 0)
		rc = issue_check(gnutls_x509_crl_set_authority_key_id(crl, id, n),
		    "authority key identifier of the revocation list");
	return rc;
}

static int sign(struct buf *pem, const struct issue_authority *a, const struct crl *before, const struct serial *fresh,
    size_t count)
{
	gnutls_x509_crl_t crl;
	gnutls_datum_t out = { 0 };
	int rc = issue_check(gnutls_x509_crl_init(&crl), "revocation list");

	if (rc < 0)
		return rc;
	rc = set_head(crl, a, before);
	for (size_t i = 0; rc == KC_OK && before != NULL && i < before->count; i++)
		rc = issue_check(gnutls_x509_crl_set_crt_serial(
				     crl, before->entries[i].serial, before->entries[i].size, before->entries[i].at),
		    "serial number");
	for (size_t i = 0; rc == KC_OK && i < count; i++)
		rc = issue_check(
		    gnutls_x509_crl_set_crt_serial(crl, fresh[i].bytes, fresh[i].size, time(NULL)), "serial number");
	if (rc == KC_OK)
		rc = issue_check(gnutls_x509_crl_sign2(crl, a->crt, a->key, issue_digest_of(a->key), 0),
		    "signature of the revocation list");
	if (rc == KC_OK)
		rc = issue_check(gnutls_x509_crl_export2(crl, GNUTLS_X509_FMT_PEM, &out), "revocation list");
	if (rc == KC_OK) {
		buf_put(pem, out.data, out.size);
		rc = buf_status(pem);
	}
	gnutls_free(out.data);
	gnutls_x509_crl_deinit(crl);
	return rc;
}

/* What is not on the list yet, each once. */
static int choose(struct serial *fresh, size_t *count, const struct crl *before, const char *const *serials, size_t n)
{
	size_t k = 0;

	for (size_t i = 0; i < n; i++) {
		struct serial s;
		bool known;
		int rc = parse_serial(&s, serials[i]);

		if (rc < 0)
			return rc;
		known = before != NULL && crl_find_serial(before, s.bytes, s.size) != NULL;
		for (size_t j = 0; !known && j < k; j++)
			known = fresh[j].size == s.size && memcmp(fresh[j].bytes, s.bytes, s.size) == 0;
		if (!known)
			fresh[k++] = s;
	}
	*count = k;
	return KC_OK;
}

static int add_to_list(struct buf *pem, size_t *added, const struct issue_authority *a, const char *path,
    const char *const *serials, size_t n)
{
	struct serial *fresh = mem_xcalloc(n + 1, sizeof(*fresh));
	struct crl_list list = { 0 };
	const struct crl *before;
	size_t begin = buf_len(pem);
	int rc = load_list(&list, a, path);

	before = list.count > 0 ? &list.crls[0] : NULL;
	if (rc == KC_OK)
		rc = choose(fresh, added, before, serials, n);
	if (rc == KC_OK && *added == 0 && before != NULL) {
		rc = file_read(pem, path);
	} else if (rc == KC_OK) {
		rc = sign(pem, a, before, fresh, *added);
		if (rc == KC_OK)
			rc = file_replace(path, (const char *)buf_data(pem) + begin, buf_len(pem) - begin, 0644);
	}
	crl_list_fini(&list);
	free(fresh);
	return rc;
}

static int revoke_with(struct buf *pem, size_t *added, const char *secrets_dir, const char *stem,
    const char *const *serials, size_t serial_count)
{
	char *path = mem_xasprintf("%s/%scrl", secrets_dir, stem);
	struct issue_authority *a = NULL;
	size_t n = 0;
	int rc = issue_authority_read(&a, secrets_dir, stem);

	if (rc == KC_OK)
		rc = add_to_list(pem, &n, a, path, serials, serial_count);
	if (n > *added)
		*added = n;
	issue_authority_free(a);
	free(path);
	return rc;
}

int issue_revoke(
    struct buf *pem, size_t *added, const char *secrets_dir, const char *const *serials, size_t serial_count)
{
	size_t n = 0;
	int lock = -1, rc = issue_authority_finish(secrets_dir);

	if (rc == KC_OK) {
		lock = open(secrets_dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		if (lock < 0 || flock(lock, LOCK_EX) < 0)
			rc = err_errno("%s: cannot lock", secrets_dir);
	}
	if (rc == KC_OK)
		rc = revoke_with(pem, &n, secrets_dir, ISSUE_PRESENT, serials, serial_count);
	/* Which of the two issued them is not known here. */
	if (rc == KC_OK && serial_count > 0 && issue_authority_is_replaced(secrets_dir))
		rc = revoke_with(pem, &n, secrets_dir, ISSUE_BEFORE, serials, serial_count);
	if (rc == KC_OK && added != NULL)
		*added = n;
	if (lock >= 0)
		close(lock);
	return rc;
}

int issue_crl_pem(struct buf *pem, const char *secrets_dir)
{
	char *path = file_join(secrets_dir, ISSUE_PRESENT "crl");
	int rc = file_read(pem, path);

	free(path);
	return rc;
}
