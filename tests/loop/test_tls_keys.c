/* SPDX-License-Identifier: Apache-2.0 */
/* Every type of key that `cert create` makes, as the certificate that both sides share.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <string.h>
#include <sys/socket.h>

#include "base/err.h"
#include "keystore/issue.h"
#include "tests/loop/wire.h"

static struct wire_world world;

static int setup(void **state)
{
	(void)state;
	wire_world_init(&world);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	wire_world_fini(&world);
	return 0;
}

static void speak(const struct identity *site)
{
	struct conn_options mo = wire_options(&world, PROTO_MASTER), co = wire_options(&world, PROTO_CLONE);
	struct tls_creds *creds = NULL;
	struct wire_log client = { 0 }, server = { 0 };
	int fds[2];

	assert_int_equal(tls_creds_new(&creds, site, pki_trust_new(NULL, NULL, site), false), KC_OK);
	mo.creds = co.creds = creds;
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fds), 0);
	server.conn = conn_from_fd(world.loop, fds[0], true, "s", &co, &wire_events, &server);
	client.conn = conn_from_fd(world.loop, fds[1], false, "c", &mo, &wire_events, &client);
	wire_pump(world.loop, &server.ready);
	if (server.ready == 0)
		print_error("%s: %s, %s\n", identity_info(site)->key_type, server.text, client.text);
	assert_int_equal(server.ready, 1);
	assert_int_equal(client.ready, 1);
	assert_int_equal(conn_verdict(server.conn), PEER_SITE);
	assert_int_equal(conn_verdict(client.conn), PEER_SITE);
	conn_free(server.conn);
	conn_free(client.conn);
	tls_creds_unref(creds);
}

static void site__of_every_key_type__is_spoken_with(void **state)
{
	static const enum issue_key keys[] = { ISSUE_ECDSA_P256, ISSUE_ECDSA_P384, ISSUE_ECDSA_P521, ISSUE_ED25519,
		ISSUE_RSA_2048, ISSUE_RSA_3072, ISSUE_RSA_4096 };

	(void)state;
	for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++) {
		struct issue_request r = { .cn = "site", .key = keys[i] };
		struct identity *site = NULL;

		assert_int_equal(issue_identity(&site, NULL, &r), KC_OK);
		speak(site);
		identity_free(site);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(site__of_every_key_type__is_spoken_with),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
