/* SPDX-License-Identifier: Apache-2.0 */
/* tls_look: one client's handshake that accepts whatever comes, remembers it, and goes away. */
#include "tls_look.h"

#include <gnutls/gnutls.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "base/host.h"
#include "base/mem.h"
#include "keystore/cert.h"
#include "keystore/identity.h"

#define CHAIN_MAX 32
#define PRIORITY  "NORMAL:-VERS-ALL:+VERS-TLS1.3:+VERS-TLS1.2"

/* Called when the chain has come, which is before anybody can refuse ours. */
static int take_chain(gnutls_session_t session)
{
	struct tls_seen *seen = gnutls_session_get_ptr(session);
	unsigned n = 0;
	const gnutls_datum_t *peers = gnutls_certificate_get_peers(session, &n);

	for (unsigned i = 0; peers != NULL && i < n && seen->count < CHAIN_MAX; i++) {
		void *copy = mem_xalloc(peers[i].size);

		memcpy(copy, peers[i].data, peers[i].size);
		seen->chain = mem_xrealloc(seen->chain, (seen->count + 1) * sizeof(*seen->chain));
		seen->chain[seen->count++] = (struct cert_der){ copy, peers[i].size };
	}
	return 0;
}

/* A server may refuse who speaks nothing of its own. */
static int offer_protocols(gnutls_session_t session)
{
	static const char *const names[] = { "keyclone/1", "http/1.1", "h2" };
	gnutls_datum_t offered[3];

	for (size_t i = 0; i < 3; i++)
		offered[i] = (gnutls_datum_t){ (unsigned char *)(uintptr_t)names[i], (unsigned)strlen(names[i]) };
	return gnutls_alpn_set_protocols(session, offered, 3, 0);
}

static int set_up(gnutls_session_t session, gnutls_certificate_credentials_t cred, struct tls_seen *seen, int fd,
    const char *host, unsigned timeout_ms)
{
	int e = gnutls_priority_set_direct(session, PRIORITY, NULL);

	if (e >= 0)
		e = gnutls_credentials_set(session, GNUTLS_CRD_CERTIFICATE, cred);
	if (e >= 0)
		e = offer_protocols(session);
	if (e >= 0 && !host_is_address(host))
		e = gnutls_server_name_set(session, GNUTLS_NAME_DNS, host, strlen(host));
	gnutls_session_set_ptr(session, seen);
	gnutls_transport_set_int(session, fd);
	gnutls_handshake_set_timeout(session, timeout_ms);
	return e;
}

static int shake(struct tls_seen *seen, gnutls_session_t session)
{
	const char *alert;
	char *text;
	int e;

	do
		e = gnutls_handshake(session);
	while (e < 0 && gnutls_error_is_fatal(e) == 0);
	if (e >= 0) {
		text = gnutls_session_get_desc(session);
		snprintf(seen->describe, sizeof(seen->describe), "%s", text != NULL ? text : "TLS");
		gnutls_free(text);
		(void)gnutls_bye(session, GNUTLS_SHUT_WR);
	}
	if (seen->count > 0)
		return KC_OK;
	alert = e == GNUTLS_E_FATAL_ALERT_RECEIVED ? gnutls_alert_get_name(gnutls_alert_get(session)) : NULL;
	return err_set(KC_EPROTO, "it shows no certificate: %s%s%s", e < 0 ? gnutls_strerror(e) : "none was sent",
	    alert != NULL ? " " : "", alert != NULL ? alert : "");
}

int tls_look(struct tls_seen *seen, int fd, const char *host, const struct identity *id, unsigned timeout_ms)
{
	gnutls_certificate_credentials_t cred = NULL;
	gnutls_session_t session = NULL;
	int e = gnutls_certificate_allocate_credentials(&cred), rc = KC_OK;

	if (e >= 0) {
		gnutls_certificate_set_verify_function(cred, take_chain);
		if (id != NULL)
			(void)identity_set_credentials(id, cred);
		e = gnutls_init(&session, GNUTLS_CLIENT | GNUTLS_NO_TICKETS | GNUTLS_NO_SIGNAL);
	}
	if (e >= 0)
		e = set_up(session, cred, seen, fd, host, timeout_ms);
	if (e < 0)
		rc = err_set(KC_EFAIL, "TLS cannot be set up: %s", gnutls_strerror(e));
	if (rc == KC_OK)
		rc = shake(seen, session);
	if (session != NULL)
		gnutls_deinit(session);
	if (cred != NULL)
		gnutls_certificate_free_credentials(cred);
	if (rc < 0)
		tls_seen_fini(seen);
	return rc;
}

void tls_seen_fini(struct tls_seen *seen)
{
	for (size_t i = 0; i < seen->count; i++)
		free((void *)(uintptr_t)seen->chain[i].data);
	free(seen->chain);
	*seen = (struct tls_seen){ 0 };
}
