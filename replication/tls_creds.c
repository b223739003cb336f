/* SPDX-License-Identifier: Apache-2.0 */
/* tls_creds: credentials, and the sessions that live on with them when others have taken their place. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "base/err.h"
#include "base/mem.h"
#include "keystore/identity.h"
#include "keystore/token.h"
#include "keystore/trust.h"
#include "tls_priv.h"

#define CERTIFICATES(versions) TLS_PRIORITY(versions, "+ECDHE-ECDSA:+ECDHE-RSA")

static void sessions_unref(struct sessions *s)
{
	if (s != NULL && --s->refs == 0)
		free(s);
}

int tls_creds_new(struct tls_creds **creds, const struct identity *id, struct trust *trust, bool allow_tls12)
{
	struct tls_creds *c = mem_xalloc(sizeof(*c));
	const char *priority = allow_tls12 ? CERTIFICATES("+VERS-TLS1.3:+VERS-TLS1.2") : CERTIFICATES("+VERS-TLS1.3");
	int rc, e;

	c->refs = 1;
	c->sessions = mem_xalloc(sizeof(*c->sessions));
	c->sessions->refs = 1;
	e = gnutls_certificate_allocate_credentials(&c->cred);
	if (e == GNUTLS_E_SUCCESS)
		e = gnutls_priority_init(&c->priority, priority, NULL);
	rc = e == GNUTLS_E_SUCCESS ? identity_set_credentials(id, c->cred)
				   : err_set(KC_ECONF, "TLS cannot be set up: %s", gnutls_strerror(e));
	if (rc < 0) {
		tls_creds_unref(c);
		return rc;
	}
	tls_creds_add_spki(c, identity_info(id)->spki_sha256);
	c->trust = trust;
	c->token = token_ref(identity_token(id));
	*creds = c;
	return KC_OK;
}

struct tls_creds *tls_creds_ref(struct tls_creds *creds)
{
	creds->refs++;
	return creds;
}

void tls_creds_unref(struct tls_creds *creds)
{
	if (creds == NULL || --creds->refs > 0)
		return;
	if (creds->cred != NULL)
		gnutls_certificate_free_credentials(creds->cred);
	if (creds->psk != NULL)
		gnutls_psk_free_client_credentials(creds->psk);
	if (creds->priority != NULL)
		gnutls_priority_deinit(creds->priority);
	token_unref(creds->token); /* after the key */
	trust_free(creds->trust);
	for (size_t i = 0; i < creds->spki_count; i++)
		free(creds->spkis[i]);
	free(creds->spkis);
	sessions_unref(creds->sessions);
	free(creds);
}

void tls_creds_succeed(struct tls_creds *creds, const struct tls_creds *before)
{
	sessions_unref(creds->sessions);
	creds->sessions = before->sessions;
	creds->sessions->refs++;
}

const struct trust *tls_creds_trust(const struct tls_creds *creds)
{
	return creds->trust;
}

void tls_creds_add_spki(struct tls_creds *creds, const char *spki)
{
	creds->spkis = mem_xrealloc(creds->spkis, (creds->spki_count + 2) * sizeof(*creds->spkis));
	creds->spkis[creds->spki_count++] = mem_xstrdup(spki);
	creds->spkis[creds->spki_count] = NULL;
}

const char *const *tls_creds_spkis(const struct tls_creds *creds)
{
	return (const char *const *)creds->spkis;
}

/* --- revoked --- */

unsigned tls_shown_chain(struct cert_der chain[TLS_CHAIN_MAX], gnutls_session_t session)
{
	unsigned count = 0;
	const gnutls_datum_t *list = gnutls_certificate_get_peers(session, &count);

	count = list == NULL ? 0 : count > TLS_CHAIN_MAX ? TLS_CHAIN_MAX : count;
	for (unsigned i = 0; i < count; i++)
		chain[i] = (struct cert_der){ .data = list[i].data, .size = list[i].size };
	return count;
}

/* A read finds the end of what comes, and why. */
static bool end_if_revoked(struct tls *t, const struct trust *trust)
{
	struct cert_der chain[TLS_CHAIN_MAX];
	unsigned count = tls_shown_chain(chain, t->session);
	char text[400];
	int rc = t->verified ? trust_check_revoked(trust, chain, count) : KC_OK;

	if (rc == KC_OK || t->rc != KC_OK)
		return false;
	snprintf(text, sizeof(text), "%.390s", err_text(rc));
	tls_fail(t, KC_EREFUSED, PEER_REVOKED, GNUTLS_A_CERTIFICATE_REVOKED, text);
	(void)shutdown(t->fd, SHUT_RD);
	return true;
}

size_t tls_creds_end_revoked(struct tls_creds *creds)
{
	size_t n = 0;

	for (struct tls *t = creds->sessions->first; t != NULL; t = t->next)
		n += end_if_revoked(t, creds->trust) ? 1 : 0;
	return n;
}
