/* SPDX-License-Identifier: Apache-2.0 */
/* Unit tests of conf: the syntax of properties and of libconfig, names, several problems at once. */
#include "conf_load.h"

/* --- syntax --- */

T(props__three_separators__are_one)
{
	struct conf *c = good("backup.TLSCertAlias=a\nreplication.MaxBackupNum: 3\nrestore.ListenPort 77\n"
			      "replication.MaxLogFileNum \t = \t 9\n");

	assert_string_equal(c->tls_alias, "a");
	assert_int_equal(c->max_backup_num, 3);
	assert_int_equal(c->listen_port, 77);
	assert_int_equal(c->max_log_file_num, 9);
	conf_free(c);
}

T(props__second_separator__belongs_to_the_value)
{
	struct conf *c = good("backup.TLSCertAlias==a\nreplication.MasterHost = h\ntls.AuthorizedCNs:=:x;y=z\n");

	assert_string_equal(c->tls_alias, "=a");
	assert_int_equal(c->authorized_cns.count, 2);
	assert_string_equal(c->authorized_cns.items[0], "=:x");
	assert_string_equal(c->authorized_cns.items[1], "y=z");
	conf_free(c);
}

T(props__comments_and_blank_lines__are_skipped)
{
	struct conf *c =
	    good("# backup.CheckFrequency=bogus\n! also \\\n  \t\n\f\n  # and this \\\nreplication.MaxBackupNum=4");

	assert_int_equal(c->max_backup_num, 4);
	conf_free(c);
}

T(props__hash_and_equals_in_a_value__are_its_own)
{
	struct conf *c = good("backup.TLSCertAlias=a#b=c!d # e\n");

	assert_string_equal(c->tls_alias, "a#b=c!d # e");
	conf_free(c);
}

T(props__odd_backslashes__continue)
{
	struct conf *c = good("backup.TLSCertAlias=a\\\n   \t b\\\n\tc\nreplication.Max\\\n  BackupNum\\\n = \\\n 7\n");

	assert_string_equal(c->tls_alias, "abc");
	assert_int_equal(c->max_backup_num, 7);
	conf_free(c);
	c = good("backup.TLSCertAlias=a\\\\\nreplication.MaxBackupNum=8\n");
	assert_string_equal(c->tls_alias, "a\\");
	assert_int_equal(c->max_backup_num, 8);
	conf_free(c);
	c = good("backup.TLSCertAlias=a\\\\\\\nb\n");
	assert_string_equal(c->tls_alias, "a\\b");
	conf_free(c);
}

T(props__backslash_at_the_end_of_the_file__is_dropped)
{
	struct conf *c = good("backup.TLSCertAlias=a\\");

	assert_string_equal(c->tls_alias, "a");
	conf_free(c);
}

T(props__bom_and_crlf__are_read)
{
	struct conf *c =
	    good("\xef\xbb\xbf"
		 "replication.role=clone\r\nbackup.TLSCertAlias=x\\\r\n  y\r\n# c\r\nrestore.ListenPort=5\r\n");

	assert_int_equal(c->role, CONF_CLONE);
	assert_string_equal(c->tls_alias, "xy");
	assert_int_equal(c->listen_port, 5);
	conf_free(c);
}

T(props__line_numbers__count_every_line)
{
	bad("\xef\xbb\xbf# one\r\n\r\nbackup.TLSCertAlias=x\\\r\n  y\r\nrestore.ListenPort=0\r\n",
	    "5: restore.ListenPort: 0 is out of range, 1 to 65535");
}

T(props__escapes__are_those_we_name)
{
	struct conf *c = good("backup.TLSCertAlias=\\u00e4\\t\\n\\\\\\:\\=\\#\\!\\q\\ \\ud83d\\ude00\\u20AC.\n");

	assert_string_equal(c->tls_alias, "\xc3\xa4\t\n\\:=#\\!\\q\\ \xf0\x9f\x98\x80\xe2\x82\xac.");
	conf_free(c);
}

T(props__bad_unicode_escape__is_refused)
{
	bad("backup.TLSCertAlias=\\u12g4\n", "1: backup.TLSCertAlias: \\u needs four hexadecimal digits");
	bad("backup.TLSCertAlias=\\u12\n", "1: backup.TLSCertAlias: \\u needs four hexadecimal digits");
	bad("backup.TLSCertAlias=\\ud800x\n", "1: backup.TLSCertAlias: \\ud800 is not a character");
	bad("backup.TLSCertAlias=\\u0000\n", "1: backup.TLSCertAlias: \\u0000 is not a character");
}

T(props__windows_path__keeps_its_backslashes)
{
	struct conf *c = good("replication.BackupDestDir=C:\\IBM\\tools\\new\\u12\\\\\\\\x\n");

	assert_string_equal(c->backup_dir, "/nowhere/C:\\IBM\\tools\\new\\u12\\\\x");
	warned("1: replication.BackupDestDir: looks like a path of Windows; here it is the name "
	       "/nowhere/C:\\IBM\\tools\\new\\u12\\\\x");
	conf_free(c);
}

T(props__blanks_at_the_end__are_dropped_except_of_a_secret)
{
	struct conf *c = good("backup.TLSCertAlias=a b \t \nbackup.EncryptionPassword=pass word \n");

	assert_string_equal(c->tls_alias, "a b");
	assert_string_equal(c->password, "pass word ");
	conf_free(c);
}

T(props__not_utf8_or_zero__is_refused)
{
	struct conf *c = NULL;

	bad("backup.TLSCertAlias=\xe4\n", "1: backup.TLSCertAlias: is not UTF-8");
	bad("backup.TLSCertAlias=\xed\xa0\x80\n", "1: backup.TLSCertAlias: is not UTF-8");
	assert_int_equal(conf_load_text(&c, PROPS, "# x\na\0b", 7, 0, NULL), KC_ECONF);
	assert_string_equal(err_text(KC_ECONF), PROPS ":2: has a zero byte");
	c = good("backup.TLSCertAlias=\xc3\xa4\xf0\x9f\x98\x80\n");
	assert_string_equal(c->tls_alias, "\xc3\xa4\xf0\x9f\x98\x80");
	conf_free(c);
}

T(props__empty_value__means_unset)
{
	struct conf *c = good("backup.TLSCertAlias=\nreplication.MasterHost\nkeydb.Path = \n");

	assert_null(c->tls_alias);
	assert_null(c->master_host);
	assert_string_equal(c->keydb_path, "/nowhere/keydb.sqlite");
	conf_free(c);
	bad("replication.MaxBackupNum=\n", "1: replication.MaxBackupNum: has no value");
}

/* --- names --- */

T(names__unknown__suggest_the_nearest)
{
	bad("backup.CheckFrequenzy=60\n",
	    "1: backup.CheckFrequenzy: no such property; did you mean backup.CheckFrequency?");
	bad("CheckFrequency=60\n", "1: CheckFrequency: no such property; did you mean backup.CheckFrequency?");
	bad("replication.ListenPort=1\n",
	    "1: replication.ListenPort: no such property; did you mean restore.ListenPort?");
	bad("backup.clientip3=h\n", "1: backup.clientip3: no such property; did you mean backup.ClientIP3?");
	bad("Replication.Role=master\n", "1: Replication.Role: no such property; did you mean replication.role?");
	bad("a..b=1\n=2\n", "1: a..b: no such property", "2: : no such property");
	bad("tls.Foo=1\n", "1: tls.Foo: no such property");
	bad("backup.Bogus=1\n", "1: backup.Bogus: no such property");
	bad("restore.Port=1\n", "1: restore.Port: no such property; did you mean restore.ListenPort?");
	bad("backup.Port=1\n", "1: backup.Port: no such property; did you mean backup.ClientPort1?");
	bad("tls.CrlFiles=1\n", "1: tls.CrlFiles: no such property; did you mean tls.CRLFile?");
	bad("replication.file.x=1\n", "1: replication.file.x: no such property; did you mean replication.File.x?");
	bad("replication.File.=1\n", "1: replication.File.: no such property; did you mean replication.File.NAME?");
}

T(names__duplicate__is_refused_with_both_lines)
{
	bad("restore.ListenPort=1\n# x\nrestore.ListenPort=1\n",
	    "3: restore.ListenPort: is set twice; first in line 1");
}

T(names__later_features__warn_once_each)
{
	struct conf *c = good("tls.ExternalCertDir=/etc/certs\n"
			      "rest.ListenPort=9443\n");

	assert_int_equal(problems.warnings.count, 1);
	assert_int_equal(c->warnings.count, 1);
	assert_string_equal(c->external_cert_dir, "/etc/certs");
	warned("2: rest.ListenPort: has no effect yet");
	conf_free(c);
}

T(values__full_frequency__takes_a_unit)
{
	bad("backup.FullFrequency=24\n", "1: backup.FullFrequency: '24' needs a unit: 24s, 24m, 24h or 24d");
}

T(values__schedule__are_checked)
{
	struct conf *c = good("backup.OnChange=true\nbackup.DailyStartReplicationBackupTime=7:05\n");

	assert_true(c->on_change);
	assert_string_equal(c->daily_backup, "7:05");
	conf_free(c);
	bad("backup.OnChange=maybe\nbackup.DailyStartReplicationBackupTime=24:00\n",
	    "1: backup.OnChange: 'maybe' is neither true nor false",
	    "2: backup.DailyStartReplicationBackupTime: '24:00' is not a time of day, HH:MM");
}

T(names__companion__needs_a_plain_name)
{
	bad("replication.File.1x=a\nreplication.File.a/b=a\nreplication.File.a.b=c\n",
	    "1: replication.File.1x: '1x' is not a name of a companion: a letter, then letters, digits, _ and -",
	    "2: replication.File.a/b: 'a/b' is not a name of a companion: a letter, then letters, digits, _ and -",
	    "3: replication.File.a.b: 'a.b' is not a name of a companion: a letter, then letters, digits, _ and -");
}

T(names__companion__is_a_list_by_name)
{
	struct conf *c = good("replication.File.token=/var/lib/softhsm/\nreplication.File.P12=k.p12\n");
	char *value;

	assert_int_equal(c->file_count, 2);
	assert_string_equal(c->files[0].name, "P12");
	assert_string_equal(c->files[1].name, "token");
	assert_string_equal(c->files[1].path, "/var/lib/softhsm");
	assert_int_equal(conf_get(&value, c, "replication.File.token"), KC_OK);
	assert_string_equal(value, "/var/lib/softhsm");
	free(value);
	assert_int_equal(conf_get(&value, c, "replication.File.none"), KC_OK);
	assert_null(value);
	conf_free(c);
	bad("replication.File.MasterKeyFile=a\n",
	    "1: replication.File.MasterKeyFile: is the name of keydb.MasterKeyFile, which is always a companion");
}

/* A companion that held our own folders would give every clone the master's identity, or restore itself. */
T(names__companion__keeps_apart_from_what_is_ours)
{
	static const char nested[] = "replication.File.a=t\nreplication.File.b=t/u\n";
	struct conf *c = NULL;
	static const char *const wrong[] = { "keystore", "keystore/x", "secrets/deep/er", "state", "keydb.sqlite",
		"backups/x", "keystore/keydb.key", ".", "..", "k.properties" };

	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
		char *text = mem_xasprintf("replication.File.x=%s\n", wrong[i]);
		int rc = conf_load_text(&c, "k.properties", text, strlen(text), 0, NULL);

		if (rc == KC_OK)
			print_error("taken: %s\n", wrong[i]);
		assert_int_equal(rc, KC_ECONF);
		free(text);
	}
	assert_int_equal(conf_load_text(&c, "k.properties", nested, strlen(nested), 0, NULL), KC_ECONF);
	assert_non_null(strstr(err_text(KC_ECONF), "replication.File.b: "));
}

T(names__every_error__is_reported_in_order)
{
	bad("bogus=1\nreplication.MaxBackupNum=1\nbackup.ClientIP2=h\nrestore.ListenPort=x\n",
	    "1: bogus: no such property", "2: replication.MaxBackupNum: 1 is out of range, 2 to 1000",
	    "3: backup.ClientIP2: there is no backup.ClientIP1; the numbers run from 1 without a gap",
	    "4: restore.ListenPort: 'x' is not a whole number");
	assert_non_null(strstr(err_text(KC_ECONF), "(and 3 more)"));
}

/* --- libconfig --- */

T(cfg__settings__are_the_dotted_names)
{
	struct conf *c = good_cfg(
	    "replication: { role = \"clone\"; MaxBackupNum = 3; MaxLogFileSize = 1000L; }\n"
	    "// c\nbackup = { TLSCertAlias = \"a\" \"b\"; ObfuscatedEncryptionPassword = \"kc1:\\x41\\\"\"; }\n"
	    "tls: { MinimumVersion = 1.2; AuthorizedCNs = [\"x\", \"y z\"]; }; /* end */\n");

	assert_int_equal(c->role, CONF_CLONE);
	assert_int_equal(c->max_backup_num, 3);
	assert_int_equal(c->max_log_file_kb, 1000);
	assert_string_equal(c->tls_alias, "ab");
	assert_string_equal(c->sealed_password, "kc1:A\"");
	assert_int_equal(c->tls_minimum, CONF_TLS_1_2);
	assert_int_equal(c->authorized_cns.count, 2);
	assert_string_equal(c->authorized_cns.items[1], "y z");
	conf_free(c);
}

T(cfg__problems__have_file_line_and_name)
{
	bad_cfg("replication:\n{\n  role = \"master\";\n  Bogus = 1;\n};\nbackup: { MaxBackupNum = 3;\n "
		"KeyDerivationWork = 99; };\n",
	    "4: replication.Bogus: no such property",
	    "6: backup.MaxBackupNum: no such property; did you mean replication.MaxBackupNum?",
	    "7: backup.KeyDerivationWork: 99 is out of range, 15 to 20");
	bad_cfg("backup: { CheckFrequency = 60; CheckFrequency = 61; };\n", "1: duplicate setting name");
	bad_cfg("backup: {\n CheckFrequency 60; };\n", "2: syntax error");
	bad_cfg("backup: {\n EncryptionPassword = \"abc", "2: a string has no end");
	bad_cfg("backup: {\n EncryptionPassword = 12345678; };", "2: backup.EncryptionPassword: is not a string");
	bad_cfg("backup: { TLSCertAlias = [\"a\"]; };", "1: backup.TLSCertAlias: must be one value");
	bad_cfg("@include \"x\"\n", "1: @include is not supported: one file for one daemon");
}

T(cfg__file_extension__chooses_the_syntax)
{
	assert_true(conf_is_cfg("/a/b.cfg"));
	assert_true(conf_is_cfg("b.CONF"));
	assert_false(conf_is_cfg("b.properties"));
	assert_false(conf_is_cfg("b"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(props__three_separators__are_one),
		cmocka_unit_test(props__second_separator__belongs_to_the_value),
		cmocka_unit_test(props__comments_and_blank_lines__are_skipped),
		cmocka_unit_test(props__hash_and_equals_in_a_value__are_its_own),
		cmocka_unit_test(props__odd_backslashes__continue),
		cmocka_unit_test(props__backslash_at_the_end_of_the_file__is_dropped),
		cmocka_unit_test(props__bom_and_crlf__are_read),
		cmocka_unit_test(props__line_numbers__count_every_line),
		cmocka_unit_test(props__escapes__are_those_we_name),
		cmocka_unit_test(props__bad_unicode_escape__is_refused),
		cmocka_unit_test(props__windows_path__keeps_its_backslashes),
		cmocka_unit_test(props__blanks_at_the_end__are_dropped_except_of_a_secret),
		cmocka_unit_test(props__not_utf8_or_zero__is_refused),
		cmocka_unit_test(props__empty_value__means_unset),
		cmocka_unit_test(names__unknown__suggest_the_nearest),
		cmocka_unit_test(names__duplicate__is_refused_with_both_lines),
		cmocka_unit_test(names__later_features__warn_once_each),
		cmocka_unit_test(values__full_frequency__takes_a_unit),
		cmocka_unit_test(values__schedule__are_checked),
		cmocka_unit_test(names__companion__needs_a_plain_name),
		cmocka_unit_test(names__companion__is_a_list_by_name),
		cmocka_unit_test(names__companion__keeps_apart_from_what_is_ours),
		cmocka_unit_test(names__every_error__is_reported_in_order),
		cmocka_unit_test(cfg__settings__are_the_dotted_names),
		cmocka_unit_test(cfg__problems__have_file_line_and_name),
		cmocka_unit_test(cfg__file_extension__chooses_the_syntax),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
