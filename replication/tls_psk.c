/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tls_psk: sessions that a one-time token opens: TLS 1.3 with an external key and an exchange of fresh ones
 * (psk_dhe_ke) and no certificate from anybody.
 *
 * One port serves both kinds. The ALPN of the client's hello decides, before its keys are looked at: with that of
 * enrolment the session loses its certificate and the certificates' key exchanges, and gets the tokens; with the other
 * it never has them. So a token cannot open a session of the usual kind, nor a certificate one of enrolment.
 */
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "base/mem.h"
#include "base/str.h"
#include "tls_priv.h"

#define PRIORITY TLS_PRIORITY("+VERS-TLS1.3", "+ECDHE-PSK")

static const gnutls_datum_t alpn_enroll = { (unsigned char *)PROTO_ALPN_ENROLL, sizeof(PROTO_ALPN_ENROLL) - 1 };
static const gnutls_datum_t alpn_usual = { (unsigned char *)PROTO_ALPN, sizeof(PROTO_ALPN) - 1 };

int tls_creds_new_token(struct tls_creds **creds, const char *id, const uint8_t psk[TLS_PSK_BYTES])
{
	struct tls_creds *c = mem_xalloc(sizeof(*c));
	gnutls_datum_t key = { (unsigned char *)(uintptr_t)psk, TLS_PSK_BYTES };
	int e;

	c->refs = 1;
	c->sessions = mem_xalloc(sizeof(*c->sessions));
	c->sessions->refs = 1;
	e = gnutls_psk_allocate_client_credentials(&c->psk);
	if (e == GNUTLS_E_SUCCESS)
		e = gnutls_psk_set_client_credentials(c->psk, id, &key, GNUTLS_PSK_KEY_RAW);
	if (e == GNUTLS_E_SUCCESS)
		e = gnutls_priority_init(&c->priority, PRIORITY, NULL);
	if (e != GNUTLS_E_SUCCESS) {
		tls_creds_unref(c);
		return err_set(KC_EFAIL, "TLS cannot be set up: %s", gnutls_strerror(e));
	}
	*creds = c;
	return KC_OK;
}

bool tls_is_enrolment(const struct tls *t)
{
	return t->enrolment;
}

const char *tls_token(const struct tls *t)
{
	return t->token;
}

/* --- server --- */

static int alert_of(enum peer_verdict v)
{
	switch (v) {
	case PEER_BAD_TOKEN:
		return GNUTLS_A_DECRYPT_ERROR;
	case PEER_MANY_TOKENS:
		return GNUTLS_A_ACCESS_DENIED;
	default:
		return GNUTLS_A_UNKNOWN_PSK_IDENTITY;
	}
}

static int on_identity(gnutls_session_t session, const char *id, gnutls_datum_t *key)
{
	struct tls *t = gnutls_session_get_ptr(session);
	enum peer_verdict v = PEER_NO_TOKEN;
	uint8_t *psk;

	/* GnuTLS asks for each one that it is offered. */
	if (t->token[0] != '\0')
		return -1;
	psk = mem_secret_new(TLS_PSK_BYTES);
	STR_COPY(t->token, id);
	if (strcmp(t->token, id) == 0)
		v = t->find_token(psk, id, t->token_arg);
	if (v == PEER_TOKEN) {
		key->data = gnutls_malloc(TLS_PSK_BYTES);
		key->size = TLS_PSK_BYTES;
		if (key->data != NULL)
			memcpy(key->data, psk, TLS_PSK_BYTES);
	} else {
		tls_refuse(t, v, alert_of(v));
	}
	mem_secret_free(psk);
	return v == PEER_TOKEN && key->data != NULL ? 0 : -1;
}

/* What the client's hello asks for is known; its keys, and ours, have not been looked at yet. */
static int on_hello(gnutls_session_t session)
{
	struct tls *t = gnutls_session_get_ptr(session);
	gnutls_datum_t chosen;
	int e = gnutls_alpn_get_selected_protocol(session, &chosen);

	if (e != GNUTLS_E_SUCCESS || chosen.size != alpn_enroll.size ||
	    memcmp(chosen.data, alpn_enroll.data, alpn_enroll.size) != 0)
		return 0;
	t->enrolment = true;
	gnutls_credentials_clear(session);
	gnutls_certificate_server_set_request(session, GNUTLS_CERT_IGNORE);
	e = gnutls_psk_allocate_server_credentials(&t->tokens);
	if (e == GNUTLS_E_SUCCESS) {
		gnutls_psk_set_server_credentials_function(t->tokens, on_identity);
		e = gnutls_credentials_set(session, GNUTLS_CRD_PSK, t->tokens);
	}
	return e == GNUTLS_E_SUCCESS ? gnutls_priority_set_direct(session, PRIORITY, NULL) : e;
}

int tls_take_tokens(struct tls *t, tls_token_fn find, void *arg)
{
	const gnutls_datum_t both[] = { alpn_usual, alpn_enroll };
	int e = gnutls_alpn_set_protocols(t->session, both, 2, GNUTLS_ALPN_MANDATORY);

	if (e != GNUTLS_E_SUCCESS)
		return err_set(KC_EFAIL, "TLS session cannot be set up: %s", gnutls_strerror(e));
	t->find_token = find;
	t->token_arg = arg;
	gnutls_handshake_set_post_client_hello_function(t->session, on_hello);
	return KC_OK;
}

/* --- both --- */

int tls_psk_set_up(struct tls *t)
{
	int e;

	if (t->creds->psk != NULL) {
		t->enrolment = true;
		e = gnutls_credentials_set(t->session, GNUTLS_CRD_PSK, t->creds->psk);
	} else {
		e = gnutls_credentials_set(t->session, GNUTLS_CRD_CERTIFICATE, t->creds->cred);
	}
	if (e != GNUTLS_E_SUCCESS)
		return e;
	return gnutls_alpn_set_protocols(
	    t->session, t->enrolment ? &alpn_enroll : &alpn_usual, 1, GNUTLS_ALPN_MANDATORY);
}

bool tls_psk_failed(struct tls *t, int e)
{
	if (!t->enrolment)
		return false;
	if (e == GNUTLS_E_FATAL_ALERT_RECEIVED && !t->server) {
		switch (gnutls_alert_get(t->session)) {
		case GNUTLS_A_UNKNOWN_PSK_IDENTITY:
			tls_fail(t, KC_EREFUSED, PEER_NO_TOKEN, -1, "refused by the peer: unknown token");
			return true;
		case GNUTLS_A_DECRYPT_ERROR:
			tls_fail(t, KC_EREFUSED, PEER_BAD_TOKEN, -1, "refused by the peer: wrong token");
			return true;
		case GNUTLS_A_ACCESS_DENIED:
			tls_fail(t, KC_EREFUSED, PEER_MANY_TOKENS, -1, "refused by the peer: too many wrong tokens");
			return true;
		default:
			return false;
		}
	}
	/* Its key for the token is another one. */
	if (e == GNUTLS_E_RECEIVED_ILLEGAL_PARAMETER && t->token[0] != '\0') {
		tls_refuse(t, PEER_BAD_TOKEN, GNUTLS_A_DECRYPT_ERROR);
		return true;
	}
	if (e != GNUTLS_E_INSUFFICIENT_CREDENTIALS)
		return false;
	if (t->server) /* it offers none, or only without an exchange of keys */
		tls_refuse(t, PEER_NO_TOKEN, GNUTLS_A_HANDSHAKE_FAILURE);
	else
		tls_fail(t, KC_EREFUSED, PEER_BAD_TOKEN, GNUTLS_A_HANDSHAKE_FAILURE,
		    "the peer does not show that it knows the token");
	return true;
}

bool tls_psk_is_right(struct tls *t)
{
	gnutls_datum_t chosen;

	return gnutls_alpn_get_selected_protocol(t->session, &chosen) == GNUTLS_E_SUCCESS &&
	       chosen.size == alpn_enroll.size && memcmp(chosen.data, alpn_enroll.data, alpn_enroll.size) == 0 &&
	       gnutls_protocol_get_version(t->session) == GNUTLS_TLS1_3 &&
	       gnutls_auth_get_type(t->session) == GNUTLS_CRD_PSK && gnutls_kx_get(t->session) == GNUTLS_KX_ECDHE_PSK &&
	       (!t->server || t->token[0] != '\0');
}
