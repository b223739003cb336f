/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tls: GnuTLS sessions. Never reads an application byte before chain, judgement and ALPN are settled; knows nothing of
 * frames. The trust is ours alone: the system's store is never asked.
 */
#include "tls.h"

#include <errno.h>
#include <gnutls/gnutls.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>

#include "base/err.h"
#include "base/mem.h"
#include "keystore/cert.h"
#include "keystore/identity.h"
#include "keystore/trust.h"
#include "tls_priv.h"

#define RECORD_HANDSHAKE 22
#define RECORD_ALERT	 21

/* --- failures --- */

enum tls_result tls_fail(struct tls *t, int rc, enum peer_verdict v, int alert, const char *text)
{
	if (t->rc == KC_OK) {
		t->rc = rc;
		t->text = mem_xstrdup(text);
		if (v != PEER_UNDECIDED)
			t->verdict = v;
		t->alert = alert;
	}
	return TLS_FAILED;
}

enum tls_result tls_refuse(struct tls *t, enum peer_verdict v, int alert)
{
	return tls_fail(t, KC_EREFUSED, v, alert, peer_text(v));
}

/* What a peer's fatal alert means to us. */
static const struct alert_row {
	gnutls_alert_description_t alert;
	enum peer_verdict verdict;
	int rc;
	const char *text;
} alerts[] = {
	{ GNUTLS_A_BAD_CERTIFICATE, PEER_REFUSED_US, KC_EREFUSED, "bad certificate" },
	{ GNUTLS_A_UNSUPPORTED_CERTIFICATE, PEER_REFUSED_US, KC_EREFUSED, "certificate not for this use" },
	{ GNUTLS_A_CERTIFICATE_REVOKED, PEER_REFUSED_US, KC_EREFUSED, "certificate revoked" },
	{ GNUTLS_A_CERTIFICATE_EXPIRED, PEER_REFUSED_US, KC_EREFUSED, "certificate expired or not valid yet" },
	{ GNUTLS_A_CERTIFICATE_UNKNOWN, PEER_REFUSED_US, KC_EREFUSED, "certificate unknown" },
	{ GNUTLS_A_UNKNOWN_CA, PEER_REFUSED_US, KC_EREFUSED, "unknown authority" },
	{ GNUTLS_A_ACCESS_DENIED, PEER_REFUSED_US, KC_EREFUSED, "access denied" },
	{ GNUTLS_A_CERTIFICATE_REQUIRED, PEER_REFUSED_US, KC_EREFUSED, "certificate required" },
	{ GNUTLS_A_HANDSHAKE_FAILURE, PEER_TLS_VERSION, KC_EREFUSED, "no common TLS version or algorithms" },
	{ GNUTLS_A_INSUFFICIENT_SECURITY, PEER_TLS_VERSION, KC_EREFUSED, "no common TLS version or algorithms" },
	{ GNUTLS_A_PROTOCOL_VERSION, PEER_TLS_VERSION, KC_EREFUSED, "TLS version not allowed" },
	{ GNUTLS_A_NO_APPLICATION_PROTOCOL, PEER_NO_ALPN, KC_EREFUSED, "no common protocol" },
};

static enum tls_result fail_alert(struct tls *t)
{
	gnutls_alert_description_t a = gnutls_alert_get(t->session);
	const struct alert_row *row = NULL;
	const char *name = gnutls_alert_get_name(a);
	char text[160];

	for (size_t i = 0; i < sizeof(alerts) / sizeof(alerts[0]); i++)
		if (alerts[i].alert == a)
			row = &alerts[i];
	snprintf(text, sizeof(text), "refused by the peer: %s",
	    row != NULL	   ? row->text
	    : name != NULL ? name
			   : "alert");
	return tls_fail(t, row != NULL ? row->rc : KC_EPROTO, row != NULL ? row->verdict : PEER_UNDECIDED, -1, text);
}

static enum tls_result fail_network(struct tls *t, int saved)
{
	char text[160];

	snprintf(text, sizeof(text), "connection lost: %s", saved != 0 ? strerror(saved) : "closed by the peer");
	return tls_fail(t, KC_ENET, PEER_UNDECIDED, -1, text);
}

/* The end of a call that GnuTLS ended with `e` < 0. */
static enum tls_result result_of(struct tls *t, int e)
{
	int saved = errno;
	char text[200];

	switch (e) {
	case GNUTLS_E_AGAIN:
		return gnutls_record_get_direction(t->session) == 1 ? TLS_AGAIN_WRITE : TLS_AGAIN_READ;
	case GNUTLS_E_FATAL_ALERT_RECEIVED:
		return fail_alert(t);
	case GNUTLS_E_PREMATURE_TERMINATION:
		return fail_network(t, 0);
	case GNUTLS_E_PULL_ERROR:
	case GNUTLS_E_PUSH_ERROR:
		return fail_network(t, saved);
	case GNUTLS_E_NO_CERTIFICATE_FOUND:
	case GNUTLS_E_CERTIFICATE_REQUIRED:
		return tls_refuse(t, PEER_NO_CERT,
		    gnutls_protocol_get_version(t->session) == GNUTLS_TLS1_3 ? GNUTLS_A_CERTIFICATE_REQUIRED
									     : GNUTLS_A_HANDSHAKE_FAILURE);
	case GNUTLS_E_NO_APPLICATION_PROTOCOL:
		return tls_refuse(t, PEER_NO_ALPN, GNUTLS_A_NO_APPLICATION_PROTOCOL);
	case GNUTLS_E_UNSUPPORTED_VERSION_PACKET:
	case GNUTLS_E_NO_CIPHER_SUITES: /* what GnuTLS 3.7 makes of an older hello; ours are mandatory in TLS 1.3 */
		return tls_refuse(t, PEER_TLS_VERSION, GNUTLS_A_PROTOCOL_VERSION);
	case GNUTLS_E_REHANDSHAKE:
		return tls_fail(
		    t, KC_EPROTO, PEER_UNDECIDED, GNUTLS_A_UNEXPECTED_MESSAGE, "the peer asked to renegotiate");
	default:
		snprintf(text, sizeof(text), "TLS: %s", gnutls_strerror(e));
		return tls_fail(t, KC_EPROTO, PEER_UNDECIDED, gnutls_error_to_alert(e, NULL), text);
	}
}

int tls_error(const struct tls *t, const char **text)
{
	*text = t->text != NULL ? t->text : "";
	return t->rc;
}

bool tls_send_alert(struct tls *t)
{
	if (t->alert < 0)
		return false;
	(void)gnutls_alert_send(t->session, GNUTLS_AL_FATAL, (gnutls_alert_description_t)t->alert);
	t->alert = -1;
	return true;
}

/* --- the peer's certificate --- */

/* Which of our rules the chain (leaf first) broke, for the audit and the alert; trust.h's message `why` has the
 * details. */
static enum peer_verdict fault_of(const struct tls *t, const struct cert_der *leaf, size_t count, const char *why)
{
	struct cert_info info = { 0 };
	time_t now = time(NULL);
	enum peer_verdict v = PEER_BAD_CERT;

	if (trust_check_revoked(t->creds->trust, leaf, count) < 0)
		return PEER_REVOKED;
	if (strstr(why, "not in the truststore") != NULL)
		return PEER_UNKNOWN_CA;
	if (cert_info_from_der(&info, leaf->data, leaf->size) < 0)
		return PEER_BAD_CERT;
	if (info.not_after < now)
		v = PEER_EXPIRED;
	else if (info.not_before > now)
		v = PEER_NOT_YET;
	else if (t->server ? !info.client : !info.server)
		v = PEER_WRONG_USE;
	cert_info_fini(&info);
	return v;
}

/* In a line of status when it ended comes first; whose it was is in the same line anyway. `text` is trust.h's. */
static void say_expired(char *text, size_t size, const struct cert_der *leaf)
{
	struct cert_info info = { 0 };
	const char *at = strstr(text, " expired "), *figures = at != NULL ? strchr(at, '(') : NULL;
	char *why;

	if (figures == NULL || cert_info_from_der(&info, leaf->data, leaf->size) < 0)
		return;
	why = mem_xasprintf("certificate%.*s(%.100s, %s", (int)(figures - at), at,
	    info.cn[0] != '\0' ? info.cn : info.subject, figures + 1);
	snprintf(text, size, "%s", why);
	free(why);
	cert_info_fini(&info);
}

static int alert_of(enum peer_verdict v)
{
	switch (v) {
	case PEER_UNKNOWN_CA:
		return GNUTLS_A_UNKNOWN_CA;
	case PEER_REVOKED:
		return GNUTLS_A_CERTIFICATE_REVOKED;
	case PEER_EXPIRED:
	case PEER_NOT_YET:
		return GNUTLS_A_CERTIFICATE_EXPIRED;
	case PEER_WRONG_USE:
		return GNUTLS_A_UNSUPPORTED_CERTIFICATE;
	default:
		return GNUTLS_A_BAD_CERTIFICATE;
	}
}

static int on_verify(gnutls_session_t session)
{
	struct tls *t = gnutls_session_get_ptr(session);
	struct cert_der chain[TLS_CHAIN_MAX];
	unsigned count = tls_shown_chain(chain, session);
	char text[400];
	int rc;

	if (count == 0) {
		tls_refuse(t, PEER_NO_CERT, GNUTLS_A_CERTIFICATE_REQUIRED);
		return GNUTLS_E_CERTIFICATE_ERROR;
	}
	rc = trust_verify(&t->info, t->creds->trust, chain, count, t->server ? CERT_USE_CLIENT : CERT_USE_SERVER, 0);
	if (rc < 0) {
		enum peer_verdict v;

		snprintf(text, sizeof(text), "%.390s", err_text(rc));
		v = fault_of(t, chain, count, text);
		if (v == PEER_EXPIRED)
			say_expired(text, sizeof(text), &chain[0]);
		tls_fail(t, KC_EREFUSED, v, alert_of(v), text);
		return GNUTLS_E_CERTIFICATE_ERROR;
	}
	t->verified = true;
	t->verdict = t->judge(&t->info, t->arg);
	if (!peer_may_speak(t->verdict)) {
		snprintf(text, sizeof(text), "%s (%s)", peer_text(t->verdict),
		    t->info.subject[0] != '\0' ? t->info.subject : t->info.sha256);
		tls_fail(t, KC_EREFUSED, t->verdict, GNUTLS_A_ACCESS_DENIED, text);
		return GNUTLS_E_CERTIFICATE_ERROR;
	}
	return 0;
}

/* --- session --- */

static bool is_dns_name(const char *host)
{
	return host != NULL && host[strspn(host, "0123456789.")] != '\0' && strchr(host, ':') == NULL;
}

/* What GnuTLS reads from the network. A peer that does not begin with a TLS record is told apart here, by the very
 * first byte of all: GnuTLS would only say that a length is odd. */
static ssize_t pull(gnutls_transport_ptr_t ptr, void *data, size_t n)
{
	struct tls *t = ptr;
	ssize_t r = recv(t->fd, data, n, 0);
	int e = errno;

	if (r > 0 && !t->heard) {
		t->heard = true;
		t->foreign =
		    *(const unsigned char *)data != RECORD_HANDSHAKE && *(const unsigned char *)data != RECORD_ALERT;
	}
	if (t->foreign) {
		r = -1;
		e = EPROTO;
	}
	if (r < 0)
		gnutls_transport_set_errno(t->session, e);
	errno = e;
	return r;
}

/* Nothing is waited for here: the loop says when there is something. */
static int pull_at_once(gnutls_transport_ptr_t ptr, unsigned ms)
{
	(void)ptr;
	(void)ms;
	return 1;
}

static int set_up(struct tls *t, const char *host)
{
	int e = gnutls_priority_set(t->session, t->creds->priority);

	if (e == GNUTLS_E_SUCCESS)
		e = tls_psk_set_up(t);
	if (e == GNUTLS_E_SUCCESS && !t->server && is_dns_name(host))
		e = gnutls_server_name_set(t->session, GNUTLS_NAME_DNS, host, strlen(host));
	if (e != GNUTLS_E_SUCCESS)
		return err_set(KC_EFAIL, "TLS session cannot be set up: %s", gnutls_strerror(e));
	if (t->server)
		gnutls_certificate_server_set_request(t->session, GNUTLS_CERT_REQUIRE);
	gnutls_session_set_ptr(t->session, t);
	gnutls_session_set_verify_function(t->session, on_verify);
	gnutls_handshake_set_timeout(t->session, 0); /* conn has the deadline */
	gnutls_transport_set_ptr2(t->session, t, (gnutls_transport_ptr_t)(intptr_t)t->fd);
	gnutls_transport_set_pull_function(t->session, pull);
	gnutls_transport_set_pull_timeout_function(t->session, pull_at_once);
	return KC_OK;
}

int tls_new(
    struct tls **tls, struct tls_creds *creds, int fd, bool server, const char *host, tls_judge_fn judge, void *arg)
{
	struct tls *t = mem_xalloc(sizeof(*t));
	int e, rc;

	t->creds = tls_creds_ref(creds);
	t->fd = fd;
	t->server = server;
	t->judge = judge;
	t->arg = arg;
	t->alert = -1;
	e = gnutls_init(&t->session,
	    (server ? GNUTLS_SERVER : GNUTLS_CLIENT) | GNUTLS_NONBLOCK | GNUTLS_NO_SIGNAL | GNUTLS_NO_TICKETS);
	rc = e == GNUTLS_E_SUCCESS ? set_up(t, host)
				   : err_set(KC_EFAIL, "TLS session cannot be made: %s", gnutls_strerror(e));
	if (rc < 0) {
		tls_free(t);
		return rc;
	}
	t->at = &creds->sessions->first;
	t->next = *t->at;
	if (t->next != NULL)
		t->next->at = &t->next;
	*t->at = t;
	*tls = t;
	return KC_OK;
}

void tls_free(struct tls *t)
{
	if (t == NULL)
		return;
	if (t->at != NULL)
		*t->at = t->next;
	if (t->at != NULL && t->next != NULL)
		t->next->at = t->at;
	if (t->session != NULL)
		gnutls_deinit(t->session);
	if (t->tokens != NULL)
		gnutls_psk_free_server_credentials(t->tokens);
	tls_creds_unref(t->creds);
	cert_info_fini(&t->info);
	free(t->text);
	free(t);
}

static void describe(struct tls *t)
{
	const char *version = gnutls_protocol_get_name(gnutls_protocol_get_version(t->session));
	const char *group = gnutls_group_get_name(gnutls_group_get(t->session));
	const char *cipher = gnutls_cipher_get_name(gnutls_cipher_get(t->session));

	snprintf(t->describe, sizeof(t->describe), "%s %s %s", version != NULL ? version : "TLS",
	    group != NULL ? group : "", cipher != NULL ? cipher : "");
}

enum tls_result tls_handshake(struct tls *t)
{
	gnutls_datum_t chosen;
	int e;

	if (t->rc != KC_OK)
		return TLS_FAILED;
	do
		e = gnutls_handshake(t->session);
	while (e == GNUTLS_E_INTERRUPTED || e == GNUTLS_E_WARNING_ALERT_RECEIVED);
	if (t->foreign)
		return tls_refuse(t, PEER_NO_TLS, -1);
	if (e == GNUTLS_E_AGAIN)
		return result_of(t, e);
	if (e < 0) {
		/* Whose certificate it was is only known when it was proved: anybody can show anybody's. */
		if (peer_may_speak(t->verdict)) {
			t->verdict = PEER_UNDECIDED;
			t->verified = false;
		}
		return t->rc != KC_OK || tls_psk_failed(t, e) ? TLS_FAILED : result_of(t, e);
	}
	if (t->enrolment) {
		if (!tls_psk_is_right(t) || gnutls_session_is_resumed(t->session))
			return tls_refuse(t, PEER_NO_TOKEN, GNUTLS_A_HANDSHAKE_FAILURE);
		t->verdict = PEER_TOKEN;
		describe(t);
		return TLS_OK;
	}
	if (gnutls_alpn_get_selected_protocol(t->session, &chosen) != GNUTLS_E_SUCCESS)
		return tls_refuse(t, PEER_NO_ALPN, GNUTLS_A_NO_APPLICATION_PROTOCOL);
	/* A resumed session would have skipped the verification. There are no tickets; be certain. */
	if (!t->verified || gnutls_session_is_resumed(t->session))
		return tls_refuse(t, PEER_NO_CERT, GNUTLS_A_CERTIFICATE_REQUIRED);
	describe(t);
	return TLS_OK;
}

enum tls_result tls_read(struct tls *t, void *data, size_t n, size_t *got)
{
	ssize_t r;

	if (t->rc != KC_OK)
		return TLS_FAILED;
	do
		r = gnutls_record_recv(t->session, data, n);
	while (r == GNUTLS_E_INTERRUPTED || r == GNUTLS_E_WARNING_ALERT_RECEIVED);
	if (r == 0)
		return TLS_CLOSED;
	if (r < 0)
		return result_of(t, (int)r);
	*got = (size_t)r;
	return TLS_OK;
}

/* In TLS 1.3 a refusal of our certificate comes when our handshake is over: a lost line may still hold its alert. */
static enum tls_result lost_while_writing(struct tls *t, int saved)
{
	unsigned char scratch[512];
	ssize_t r;

	do
		r = gnutls_record_recv(t->session, scratch, sizeof(scratch));
	while (r > 0 || r == GNUTLS_E_INTERRUPTED);
	return r == GNUTLS_E_FATAL_ALERT_RECEIVED ? fail_alert(t) : fail_network(t, saved);
}

enum tls_result tls_write(struct tls *t, const void *data, size_t n, size_t *put)
{
	ssize_t r;

	if (t->rc != KC_OK)
		return TLS_FAILED;
	do
		r = gnutls_record_send(t->session, data, n);
	while (r == GNUTLS_E_INTERRUPTED);
	if (r == GNUTLS_E_PUSH_ERROR)
		return lost_while_writing(t, errno);
	if (r < 0)
		return result_of(t, (int)r);
	*put = (size_t)r;
	return TLS_OK;
}

enum tls_result tls_bye(struct tls *t)
{
	int e;

	do
		e = gnutls_bye(t->session, GNUTLS_SHUT_WR);
	while (e == GNUTLS_E_INTERRUPTED);
	return e < 0 ? result_of(t, e) : TLS_OK;
}

enum peer_verdict tls_verdict(const struct tls *t)
{
	return t->verdict;
}

const struct cert_info *tls_peer(const struct tls *t)
{
	return t->verified ? &t->info : NULL;
}

const char *tls_describe(const struct tls *t)
{
	return t->describe;
}
