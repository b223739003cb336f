/* SPDX-License-Identifier: Apache-2.0 */
/*
 * keystore_tool: what keystore.sh needs of the library and no command offers alone.
 *
 *     keystore_tool authority DIR            make an own authority in DIR
 *     keystore_tool sign DIR FILE            sign FILE into FILE.sig with the key of DIR (made on demand,
 * DIR/signing.pub) keystore_tool verify PUB FILE SIG      verify as a signify public key and signature
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/file.h"
#include "base/mem.h"
#include "keystore/issue.h"
#include "keystore/layout.h"
#include "keystore/secret.h"
#include "keystore/sign.h"

#define FILE_SIZE_MAX (1 << 20)

static int open_key(struct sign_key **key, const char *dir)
{
	char *seal = file_join(dir, LAYOUT_SEAL_KEY), *path = file_join(dir, LAYOUT_SIGNING_KEY);
	char *pub = file_join(dir, LAYOUT_SIGNING_PUB);
	struct secret_box *box = NULL;
	int rc = secret_box_open(&box, seal);

	if (rc == KC_OK)
		rc = file_exists(path) ? sign_key_load(key, box, path) : sign_key_create(key, box, path, pub);
	secret_box_free(box);
	free(seal);
	free(path);
	free(pub);
	return rc;
}

static int sign(const char *dir, const char *path)
{
	struct sign_key *key = NULL;
	char *sig = NULL, *sig_path = mem_xasprintf("%s.sig", path);
	struct buf b;
	int rc;

	buf_init(&b, FILE_SIZE_MAX);
	rc = file_read(&b, path);
	if (rc == KC_OK)
		rc = open_key(&key, dir);
	if (rc == KC_OK)
		rc = sign_bytes(&sig, key, buf_data(&b), buf_len(&b));
	if (rc == KC_OK)
		rc = file_replace(sig_path, sig, strlen(sig), 0644);
	sign_key_free(key);
	buf_fini(&b);
	free(sig);
	free(sig_path);
	return rc;
}

static int verify(const char *pub_path, const char *path, const char *sig_path)
{
	struct sign_public pub;
	struct buf b, sig;
	int rc = sign_public_read(&pub, pub_path);

	buf_init(&b, FILE_SIZE_MAX);
	buf_init(&sig, FILE_SIZE_MAX);
	if (rc == KC_OK)
		rc = file_read(&b, path);
	if (rc == KC_OK)
		rc = file_read(&sig, sig_path);
	if (rc == KC_OK)
		rc = sign_verify(&pub, buf_data(&b), buf_len(&b), (const char *)buf_data(&sig), buf_len(&sig));
	buf_fini(&b);
	buf_fini(&sig);
	return rc;
}

int main(int argc, char **argv)
{
	int rc = mem_init();

	if (rc == KC_OK && argc == 3 && strcmp(argv[1], "authority") == 0)
		rc = issue_authority_create(argv[2], "interop authority", ISSUE_ECDSA_P256, 0);
	else if (rc == KC_OK && argc == 4 && strcmp(argv[1], "sign") == 0)
		rc = sign(argv[2], argv[3]);
	else if (rc == KC_OK && argc == 5 && strcmp(argv[1], "verify") == 0)
		rc = verify(argv[2], argv[3], argv[4]);
	else if (rc == KC_OK)
		rc = err_set(KC_EUSAGE, "usage: keystore_tool authority DIR | sign DIR FILE | verify PUB FILE SIG");
	if (rc < 0)
		fprintf(stderr, "keystore_tool: %s\n", err_text(rc));
	return err_exit_status(rc);
}
