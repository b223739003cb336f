/* SPDX-License-Identifier: Apache-2.0 */
/* Unit tests of conf: types and ranges, rules over several properties, defaults, hand-over, dump. */
#include "base/host.h"

#include "conf_load.h"

/* --- types --- */

T(types__ranges__hold_at_both_ends)
{
	conf_free(good("replication.MaxBackupNum=2\nreplication.MaxLogFileSize=10\nbackup.KeyDerivationWork=15\n"));
	conf_free(
	    good("replication.MaxBackupNum=1000\nreplication.MaxLogFileSize=1048576\nbackup.KeyDerivationWork=20\n"));
	bad("replication.MaxBackupNum=1001\nreplication.MaxLogFileSize=9\nbackup.KeyDerivationWork=21\nrestore."
	    "ListenPort=65536\n"
	    "replication.MaxLogFileNum=-2\nbackup.CompressionLevel=0x5\ntls.MinimumVersion=1.1\nreplication.role="
	    "slave\n",
	    "1: replication.MaxBackupNum: 1001 is out of range, 2 to 1000",
	    "2: replication.MaxLogFileSize: 9 is out of range, 10 to 1048576 KB",
	    "3: backup.KeyDerivationWork: 21 is out of range, 15 to 20",
	    "4: restore.ListenPort: 65536 is out of range, 1 to 65535",
	    "5: replication.MaxLogFileNum: '-2' is not a whole number",
	    "6: backup.CompressionLevel: '0x5' is not a whole number",
	    "7: tls.MinimumVersion: '1.1' is none of 1.2|1.3", "8: replication.role: 'slave' is none of master|clone");
}

T(types__durations__need_a_unit)
{
	struct conf *c = good(
	    "replication.RetryMin=1s\nreplication.RetryMax=2h\nreplication.Timeout=1d\nbackup.CheckFrequency=90s\n");

	assert_int_equal(c->retry_min_ms, 1000);
	assert_int_equal(c->retry_max_ms, 7200000);
	assert_int_equal(c->timeout_ms, 86400000);
	assert_int_equal(c->check_frequency_ms, 90000);
	conf_free(c);
	bad("replication.RetryMin=5\nreplication.Timeout=s\nreplication.RetryMax=1w\nreplication.JobStallTimeout=1.5m\n"
	    "backup.CheckFrequency=31d\n",
	    "1: replication.RetryMin: '5' needs a unit: 5s, 5m, 5h or 5d",
	    "2: replication.Timeout: 's' is not a duration (a number with s, m, h or d)",
	    "3: replication.RetryMax: '1w' is not a duration (a number with s, m, h or d)",
	    "4: replication.JobStallTimeout: '1.5m' is not a duration (a number with s, m, h or d)",
	    "5: backup.CheckFrequency: 31d is out of range, 1s to 30d");
}

T(types__check_frequency__takes_bare_minutes_and_warns_of_hours)
{
	struct conf *c = good("backup.CheckFrequency=60\n");

	assert_int_equal(c->check_frequency_ms, 3600000);
	assert_int_equal(problems.warnings.count, 0);
	conf_free(c);
	c = good("backup.CheckFrequency=25\n");
	assert_int_equal(problems.warnings.count, 0);
	conf_free(c);
	c = good("backup.CheckFrequency=24\n");
	assert_int_equal(c->check_frequency_ms, 24 * 60000);
	warned("1: backup.CheckFrequency: 24 without a unit means 24 minutes, not hours; write 24m or 24h");
	conf_free(c);
	c = good("backup.CheckFrequency=1h\n");
	assert_int_equal(problems.warnings.count, 0);
	conf_free(c);
	bad("backup.CheckFrequency=0\n", "1: backup.CheckFrequency: 0 is out of range, 1s to 30d");
}

T(types__hosts__may_be_addresses_in_brackets)
{
	struct conf *c =
	    good("replication.MasterHost=[2001:db8::1]\nreplication.ListenAddress=[::1]\nbackup.ClientIP1=::1\n"
		 "backup.ClientIP2=[fe80::1%eth0]\nbackup.ClientIP3=key-2.example.com\n");

	assert_string_equal(c->master_host, "2001:db8::1");
	assert_string_equal(c->listen_address, "::1");
	assert_string_equal(c->clones[0].host, "::1");
	assert_string_equal(c->clones[1].host, "fe80::1%eth0");
	assert_string_equal(c->clones[2].host, "key-2.example.com");
	assert_int_equal(c->clones[2].port, 2222);
	conf_free(c);
	c = good("replication.ListenAddress=any\n");
	assert_null(c->listen_address);
	conf_free(c);
	bad("replication.MasterHost=a b\nreplication.ListenAddress=localhost\nbackup.ClientIP1=h:22\n",
	    "1: replication.MasterHost: 'a b' is neither a host name nor an address",
	    "2: replication.ListenAddress: 'localhost' is not an IP address",
	    "3: backup.ClientIP1: 'h:22' is neither a host name nor an address");
}

T(types__paths__are_relative_to_the_file)
{
	struct conf *c =
	    good("keydb.Path=db/k.sqlite\nreplication.LogDir=/var/log/k\nreplication.auditLogName=a.log\n");

	assert_string_equal(c->keydb_path, "/nowhere/db/k.sqlite");
	assert_string_equal(c->audit_log, "/var/log/k/a.log");
	conf_free(c);
	c = good("replication.auditLogName=x/a.log\n");
	assert_string_equal(c->audit_log, "/nowhere/x/a.log");
	conf_free(c);
}

T(types__postgresql_and_pins__are_refused)
{
	bad("keydb.Path=postgresql://h/db\nbackup.TLSCertAlias=pkcs11:token=x?pin-value=1\n",
	    "1: keydb.Path: this version replicates SQLite databases; PostgreSQL is not supported yet",
	    "2: backup.TLSCertAlias: pin-value is a PIN in the configuration, which others read; pin-source=file:… "
	    "names "
	    "a file with it");
}

/* --- several properties --- */

T(clones__pairs__become_a_list)
{
	struct conf *c = good("backup.ClientPort2=3\nbackup.ClientIP2=b\nbackup.ClientIP1=a\n");

	assert_int_equal(c->clone_count, 2);
	assert_string_equal(c->clones[0].host, "a");
	assert_int_equal(c->clones[0].port, 2222);
	assert_string_equal(c->clones[1].host, "b");
	assert_int_equal(c->clones[1].port, 3);
	conf_free(c);
}

T(clones__gap_or_lone_port_or_too_many__is_refused)
{
	bad("backup.ClientIP1=a\nbackup.ClientIP3=c\nbackup.ClientPort9=1\nbackup.ClientIP21=x\nbackup.ClientIP0=x\n",
	    "2: backup.ClientIP3: there is no backup.ClientIP2; the numbers run from 1 without a gap",
	    "3: backup.ClientPort9: there is no backup.ClientIP9",
	    "4: backup.ClientIP21: there can be 20 clones, numbered from 1",
	    "5: backup.ClientIP0: there can be 20 clones, numbered from 1");
	bad("backup.ClientIP01=a\n", "1: backup.ClientIP01: no such property; did you mean backup.ClientIP01?");
}

T(clones__twenty__are_accepted)
{
	char text[2000] = "";
	struct conf *c;

	for (int i = 1; i <= 20; i++)
		sprintf(text + strlen(text), "backup.ClientIP%d=10.0.0.%d\nbackup.ClientPort%d=2222\n", i, i, i);
	c = good(text);
	assert_int_equal(c->clone_count, 20);
	assert_string_equal(c->clones[19].host, "10.0.0.20");
	conf_free(c);
}

T(clones__same_twice__is_refused)
{
	bad("backup.ClientIP1=A.example\nbackup.ClientIP2=a.example\n",
	    "2: backup.ClientIP2: is the same clone as backup.ClientIP1");
	conf_free(good("backup.ClientIP1=h\nbackup.ClientIP2=h\nbackup.ClientPort2=2223\n"));
}

T(roles__property_of_the_other__warns)
{
	struct conf *c =
	    good("replication.role=clone\nbackup.ClientIP1=a\nbackup.ClientIP2=b\nbackup.CheckFrequency=60\n");

	assert_int_equal(problems.warnings.count, 2);
	warned("2: backup.ClientIP1: has no effect on a clone");
	warned("4: backup.CheckFrequency: has no effect on a clone");
	conf_free(c);
	c = good("restore.ListenPort=2222\n");
	warned("1: restore.ListenPort: has no effect on a master");
	conf_free(c);
}

T(password__length__is_counted_in_bytes)
{
	bad("backup.EncryptionPassword=1234567\n", "1: backup.EncryptionPassword: has 7 bytes, at least 8 are needed");
	conf_free(good("backup.EncryptionPassword=\xc3\xa4\xc3\xa4\xc3\xa4\xc3\xa4\n"));
}

T(password__required__only_to_start_a_master)
{
	struct conf *c = NULL;

	assert_int_equal(load_as(&c, PROPS, "", CONF_START), KC_ECONF);
	assert_string_equal(err_text(KC_ECONF), PROPS ": backup.EncryptionPassword: is required on a master");
	conf_free(good(""));
	assert_int_equal(load_as(&c, PROPS, "replication.role=clone\n", CONF_START), KC_OK);
	assert_false(c->password_set);
	conf_free(c);
	assert_int_equal(load_as(&c, PROPS, "backup.ObfuscatedEncryptionPassword=kc1:AAAA\n", CONF_START), KC_OK);
	assert_true(c->password_set);
	assert_string_equal(c->sealed_password, "kc1:AAAA");
	conf_free(c);
}

T(password__of_another_product__is_named)
{
	struct conf *c;

	bad("backup.ObfuscatedEncryptionPassword=D4E2B0\n", "1: backup.ObfuscatedEncryptionPassword: was obfuscated by "
							    "another product and cannot be read here; write the "
							    "password itself as backup.EncryptionPassword");
	c = good("backup.ObfuscatedEncryptionPassword=D4E2B0\nbackup.EncryptionPassword=password\n");
	assert_int_equal(problems.warnings.count, 1);
	assert_null(c->sealed_password);
	conf_free(c);
	c = good("replication.role=clone\nbackup.ObfuscatedEncryptionPassword=D4E2B0\n");
	assert_int_equal(problems.warnings.count, 1);
	conf_free(c);
}

T(password__file_beside_another__is_refused)
{
	bad("backup.EncryptionPassword=password\nbackup.EncryptionPasswordFile=/x\n",
	    "2: backup.EncryptionPasswordFile: backup.EncryptionPassword is set as well; only one can be");
}

T(retry__minimum_above_maximum__is_refused)
{
	bad("replication.RetryMin=1h\n", "1: replication.RetryMax: is less than replication.RetryMin");
}

T(paths__that_must_exist__are_looked_for_at_start)
{
	struct conf *c = NULL;

	assert_int_equal(
	    load_as(&c, PROPS, "backup.EncryptionPasswordFile=pw\nkeydb.Path=k\nreplication.LogDir=/dev/null\n",
		CONF_START),
	    KC_ECONF);
	assert_int_equal(problems.errors.count, 3);
	assert_string_equal(problems.errors.items[0],
	    PROPS ":1: backup.EncryptionPasswordFile: /nowhere/pw: No such file or directory");
	assert_string_equal(problems.errors.items[1], PROPS ":2: keydb.Path: /nowhere/k: No such file or directory");
	assert_string_equal(problems.errors.items[2], PROPS ":3: replication.LogDir: /dev/null is not a directory");
	assert_int_equal(load_as(&c, PROPS, "replication.role=clone\nkeydb.Path=k\n", CONF_START), KC_OK);
	conf_free(c);
}

/* --- defaults --- */

T(defaults__are_what_the_manual_says)
{
	struct conf *c = good("");

	assert_int_equal(c->role, CONF_MASTER);
	assert_int_equal(c->master_listen_port, 1111);
	assert_int_equal(c->listen_port, 2222);
	assert_int_equal(c->tls_minimum, CONF_TLS_1_3);
	assert_int_equal(c->check_frequency_ms, 3600000);
	assert_int_equal(c->max_log_file_kb, 10000);
	assert_string_equal(c->audit_log, "/nowhere/log/replication_audit.log");
	assert_string_equal(c->master_key_file, "/nowhere/keystore/keydb.key");
	assert_string_equal(c->secrets_dir, "/nowhere/secrets");
	assert_string_equal(c->path, PROPS);
	conf_free(c);
}

T(defaults__of_the_systems_file__are_the_systems)
{
	struct conf *c = NULL;

	assert_int_equal(load_as(&c, SYSCONFDIR "/keyclone/keyclone.properties", "", 0), KC_OK);
	assert_string_equal(c->state_dir, LOCALSTATEDIR "/lib/keyclone/state");
	assert_string_equal(c->log_dir, LOCALSTATEDIR "/log/keyclone");
	assert_string_equal(c->run_dir, RUNSTATEDIR "/keyclone");
	assert_string_equal(c->keydb_path, LOCALSTATEDIR "/lib/keyclone/keydb.sqlite");
	conf_free(c);
}

T(default_path__explicit_then_environment_then_system)
{
	char *p = conf_default_path("x");

	assert_string_equal(p, "x");
	free(p);
	setenv("KEYCLONE_CONFIG", "/e", 1);
	p = conf_default_path(NULL);
	assert_string_equal(p, "/e");
	free(p);
	unsetenv("KEYCLONE_CONFIG");
	p = conf_default_path(NULL);
	assert_string_equal(p, SYSCONFDIR "/keyclone/keyclone.properties");
	free(p);
}

/* --- hand-over and dump --- */

static const char full[] =
    "replication.role=clone\nreplication.MasterHost=::1\nbackup.ClientIP1=h\nbackup.ClientPort1=7\n"
    "backup.EncryptionPassword=tops3cret\ntls.AuthorizedCNs=a;b c\nkeydb.Path=C:\\\\x\n"
    "backup.TLSCertAlias=\\u0020x\\n\\\\y\\u0020\nreplication.Timeout=90s\nbackup.KeyDerivationWork=15\n";

T(json__copy__is_the_same_without_secrets)
{
	struct conf *c = good(full), *copy = NULL;
	json_t *j = conf_public_json(c);
	char *text = json_dumps(j, 0), *a, *b;

	assert_null(strstr(text, "tops3cret"));
	assert_int_equal(conf_from_json(&copy, j), KC_OK);
	assert_true(copy->password_set);
	assert_null(copy->password);
	assert_int_equal(copy->warnings.count, c->warnings.count);
	assert_string_equal(copy->path, c->path);
	assert_memory_equal(copy->lines, c->lines, sizeof(c->lines));
	a = conf_dump(c, true);
	b = conf_dump(copy, true);
	assert_string_equal(a, b);
	free(a);
	free(b);
	free(text);
	json_decref(j);
	conf_free(c);
	conf_free(copy);
	j = json_pack("{s:s,s:{s:s},s:[]}", "path", PROPS, "values", "restore.ListenPort", "x", "clones");
	assert_int_equal(conf_from_json(&copy, j), KC_EFORMAT);
	json_decref(j);
}

T(where__of_a_property__is_its_line)
{
	struct conf *c = good("# a comment\n\nbackup.TLSCertAlias=x\n");
	char *set = conf_where(c, "backup.TLSCertAlias"), *unset = conf_where(c, "keystore.Dir");
	char *line = mem_xasprintf("%s:3: backup.TLSCertAlias", c->path),
	     *none = mem_xasprintf("%s: keystore.Dir", c->path);

	assert_string_equal(set, line);
	assert_string_equal(unset, none);
	free(set);
	free(unset);
	free(line);
	free(none);
	conf_free(c);
}

T(dump__parses_back__to_itself)
{
	static const char *const texts[] = { full, "", "replication.role=clone\n", "replication.ListenAddress=::\n" };

	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
		for (int all = 0; all < 2; all++) {
			struct conf *c = good(texts[i]), *again;
			char *a = conf_dump(c, all), *b;

			assert_null(strstr(a, "tops3cret"));
			again = good(a);
			again->password_set = c->password_set; /* the one thing a dump leaves out */
			b = conf_dump(again, all);
			assert_string_equal(a, b);
			free(a);
			free(b);
			conf_free(c);
			conf_free(again);
		}
}

T(get__values__are_as_written_and_secrets_are_not_given)
{
	struct conf *c = good(full);
	char *v = NULL;

	assert_int_equal(conf_get(&v, c, "replication.Timeout"), KC_OK);
	assert_string_equal(v, "90s");
	free(v);
	assert_int_equal(conf_get(&v, c, "backup.ClientPort1"), KC_OK);
	assert_string_equal(v, "7");
	free(v);
	assert_int_equal(conf_get(&v, c, "backup.ClientIP2"), KC_OK);
	assert_null(v);
	assert_int_equal(conf_get(&v, c, "backup.EncryptionPassword"), KC_EPERM);
	assert_int_equal(conf_get(&v, c, "backup.Timeout"), KC_EUSAGE);
	assert_int_equal(conf_get(&v, c, "rest.ListenPort"), KC_ENOENT);
	conf_free(c);
}

T(diff__changes__are_told_apart)
{
	struct conf *a = good("replication.StateDir=a\nbackup.CheckFrequency=60\nbackup.ClientIP1=h\n");
	struct conf *b =
	    good("replication.StateDir=b\nbackup.CheckFrequency=1h\nbackup.CompressionLevel=3\nbackup.ClientIP1=i\n");
	struct conf_list live, restart;

	conf_diff(&live, &restart, a, b);
	assert_int_equal(live.count, 2);
	assert_string_equal(live.items[0], "backup.CompressionLevel");
	assert_string_equal(live.items[1], "backup.ClientIPn");
	assert_int_equal(restart.count, 1);
	assert_string_equal(restart.items[0], "replication.StateDir");
	conf_list_fini(&live);
	conf_list_fini(&restart);
	conf_free(a);
	conf_free(b);
}

T(host_port__forms__are_told_apart)
{
	static const struct {
		const char *text, *host, *again;
		int port;
	} ok[] = {
		{ "a:1", "a", "a:1", 1 },
		{ "[::1]:2222", "::1", "[::1]:2222", 2222 },
		{ "::1", "::1", "[::1]", 0 },
		{ "[::1]", "::1", "[::1]", 0 },
		{ "10.0.0.5", "10.0.0.5", "10.0.0.5", 0 },
	};
	static const char *const wrong[] = { "", ":1", "a:0", "a:65536", "a:x", "a b:1", "[::1]x:1", "[::1", "a:" };

	for (size_t i = 0; i < sizeof(ok) / sizeof(ok[0]); i++) {
		char *host = NULL, *again;
		int port = -1;

		assert_int_equal(host_port_parse(&host, &port, ok[i].text), KC_OK);
		assert_string_equal(host, ok[i].host);
		assert_int_equal(port, ok[i].port);
		again = host_port_format(host, port);
		assert_string_equal(again, ok[i].again);
		free(again);
		free(host);
	}
	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
		char *host = NULL;
		int port;

		assert_int_equal(host_port_parse(&host, &port, wrong[i]), KC_EUSAGE);
	}
}

T(file__that_is_not_there__is_not_a_configuration_error)
{
	struct conf *c = NULL;

	assert_int_equal(conf_load(&c, "/nowhere/x.properties", 0, NULL), KC_ECONF);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(types__ranges__hold_at_both_ends),
		cmocka_unit_test(types__durations__need_a_unit),
		cmocka_unit_test(types__check_frequency__takes_bare_minutes_and_warns_of_hours),
		cmocka_unit_test(types__hosts__may_be_addresses_in_brackets),
		cmocka_unit_test(types__paths__are_relative_to_the_file),
		cmocka_unit_test(types__postgresql_and_pins__are_refused),
		cmocka_unit_test(clones__pairs__become_a_list),
		cmocka_unit_test(clones__gap_or_lone_port_or_too_many__is_refused),
		cmocka_unit_test(clones__twenty__are_accepted),
		cmocka_unit_test(clones__same_twice__is_refused),
		cmocka_unit_test(roles__property_of_the_other__warns),
		cmocka_unit_test(password__length__is_counted_in_bytes),
		cmocka_unit_test(password__required__only_to_start_a_master),
		cmocka_unit_test(password__of_another_product__is_named),
		cmocka_unit_test(password__file_beside_another__is_refused),
		cmocka_unit_test(retry__minimum_above_maximum__is_refused),
		cmocka_unit_test(paths__that_must_exist__are_looked_for_at_start),
		cmocka_unit_test(defaults__are_what_the_manual_says),
		cmocka_unit_test(defaults__of_the_systems_file__are_the_systems),
		cmocka_unit_test(default_path__explicit_then_environment_then_system),
		cmocka_unit_test(json__copy__is_the_same_without_secrets),
		cmocka_unit_test(where__of_a_property__is_its_line),
		cmocka_unit_test(dump__parses_back__to_itself),
		cmocka_unit_test(get__values__are_as_written_and_secrets_are_not_given),
		cmocka_unit_test(diff__changes__are_told_apart),
		cmocka_unit_test(host_port__forms__are_told_apart),
		cmocka_unit_test(file__that_is_not_there__is_not_a_configuration_error),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
