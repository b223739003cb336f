/* SPDX-License-Identifier: Apache-2.0 */
/* Unit tests of conf's edits: what stays as it was, what is refused, what a failing file system leaves behind. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/conf.h"
#include "base/err.h"
#include "base/file.h"
#include "base/mem.h"

#define T(name) static void name(void **state __attribute__((unused)))

static char dir[64], props[96], cfg[96];
static struct buf content;

static void put(const char *path, const char *text)
{
	assert_int_equal(file_replace(path, text, strlen(text), 0640), KC_OK);
}

static const char *get(const char *path)
{
	buf_fini(&content);
	buf_init(&content, 100000);
	assert_int_equal(file_read(&content, path), KC_OK);
	return buf_len(&content) > 0 ? buf_str(&content) : "";
}

/* Change (NULL: remove) one property. */
static int edit_one(const char *path, const char *name, const char *value, struct conf_problems *p)
{
	struct conf_change change = { .name = name, .value = value };
	int rc = conf_check_name(name);

	return rc < 0 ? rc : conf_edit(path, &change, 1, p);
}

static int set(const char *path, const char *name, const char *value)
{
	return edit_one(path, name, value, NULL);
}

/* --- properties --- */

T(props__set__keeps_comments_and_order)
{
	put(props, "# first\nreplication.role = clone\n\n! second\nreplication.MaxBackupNum: 3\n  restore.ListenPort "
		   "77\n# end\n");
	assert_int_equal(set(props, "replication.MaxBackupNum", "4"), KC_OK);
	assert_int_equal(set(props, "restore.ListenPort", "78"), KC_OK);
	assert_string_equal(get(props), "# first\nreplication.role = clone\n\n! second\nreplication.MaxBackupNum: 4\n  "
					"restore.ListenPort 78\n# end\n");
}

T(props__set_of_a_continued_value__replaces_all_of_it)
{
	put(props, "tls.AuthorizedCNs=a;\\\n    b;\\\n    c\nreplication.MaxBackupNum=3\n");
	assert_int_equal(set(props, "tls.AuthorizedCNs", "x"), KC_OK);
	assert_string_equal(get(props), "tls.AuthorizedCNs=x\nreplication.MaxBackupNum=3\n");
}

T(props__set_of_a_new_one__goes_under_its_comment_or_to_the_end)
{
	put(props, "# how often\n#backup.CheckFrequency=60\n\n# levels\n# "
		   "backup.CompressionLevel=1\nkeydb.Path=x\\\n#backup.Z\n");
	assert_int_equal(set(props, "backup.CheckFrequency", "5m"), KC_OK);
	assert_int_equal(set(props, "backup.CompressionLevel", "3"), KC_OK);
	assert_int_equal(set(props, "backup.TLSCertAlias", "a"), KC_OK);
	assert_string_equal(get(props),
	    "# how often\n#backup.CheckFrequency=60\nbackup.CheckFrequency=5m\n\n# levels\n"
	    "# backup.CompressionLevel=1\nbackup.CompressionLevel=3\nkeydb.Path=x\\\n#backup.Z\n"
	    "backup.TLSCertAlias=a\n");
}

T(props__set_at_the_end__does_not_join_the_last_line)
{
	put(props, "restore.ListenPort=77");
	assert_int_equal(set(props, "backup.TLSCertAlias", "a"), KC_OK);
	assert_string_equal(get(props), "restore.ListenPort=77\nbackup.TLSCertAlias=a\n");
	put(props, "restore.ListenPort=77\\");
	assert_int_equal(set(props, "backup.TLSCertAlias", "a"), KC_OK);
	assert_string_equal(get(props), "restore.ListenPort=77\\\n\nbackup.TLSCertAlias=a\n");
	put(props, "restore.ListenPort=77\\\n");
	assert_int_equal(set(props, "backup.TLSCertAlias", "a"), KC_OK);
	assert_string_equal(get(props), "restore.ListenPort=77\\\n\nbackup.TLSCertAlias=a\n");
	put(props, "");
	assert_int_equal(set(props, "backup.TLSCertAlias", "a"), KC_OK);
	assert_string_equal(get(props), "backup.TLSCertAlias=a\n");
	put(props, "backup.TLSCertAlias a\n");
	assert_int_equal(set(props, "backup.TLSCertAlias", ":b"), KC_OK);
	assert_string_equal(get(props), "backup.TLSCertAlias =:b\n");
	put(props, "backup.TLSCertAlias\n");
	assert_int_equal(set(props, "backup.TLSCertAlias", "a"), KC_OK);
	assert_string_equal(get(props), "backup.TLSCertAlias=a\n");
}

T(props__bom_and_crlf__are_kept)
{
	put(props, "\xef\xbb\xbf# x\r\nrestore.ListenPort=77\r\n");
	assert_int_equal(set(props, "restore.ListenPort", "78"), KC_OK);
	assert_int_equal(set(props, "backup.TLSCertAlias", "a"), KC_OK);
	assert_string_equal(get(props), "\xef\xbb\xbf# x\r\nrestore.ListenPort=78\r\nbackup.TLSCertAlias=a\r\n");
}

T(props__value__comes_back_as_it_was)
{
	static const char *const values[] = { "a b", " a ", "=x", ":", "#", "a\\u00e4", "a\\", "\\\\", "\t\n", "C:\\x",
		"\xc3\xa4", "a=b:c#d!e", "x\x01y" };
	struct conf *c = NULL;

	for (int i = 0; i < 2; i++)
		for (size_t k = 0; k < sizeof(values) / sizeof(values[0]); k++) {
			const char *path = i == 0 ? props : cfg;

			put(path, "");
			assert_int_equal(set(path, "backup.TLSCertAlias", values[k]), KC_OK);
			assert_int_equal(conf_load(&c, path, 0, NULL), KC_OK);
			assert_string_equal(c->tls_alias, values[k]);
			conf_free(c);
		}
	put(props, "");
	assert_int_equal(set(props, "keydb.MasterKeyFile", "C:\\new\\table \\u1234"), KC_OK);
	assert_string_equal(get(props), "keydb.MasterKeyFile=C:\\\\new\\\\table \\\\u1234\n");
	assert_int_equal(conf_load(&c, props, 0, NULL), KC_OK);
	assert_string_equal(file_basename(c->master_key_file), "C:\\new\\table \\u1234");
	conf_free(c);
	assert_int_equal(set(props, "keydb.MasterKeyFile", "a\nb"), KC_ECONF);
}

T(props__unset__takes_the_line_and_nothing_else)
{
	put(props, "# a\nrestore.ListenPort=77\n# b\nreplication.MaxBackupNum=\\\n  3\n# c\n");
	assert_int_equal(edit_one(props, "replication.MaxBackupNum", NULL, NULL), KC_OK);
	assert_int_equal(edit_one(props, "restore.ListenPort", NULL, NULL), KC_OK);
	assert_int_equal(edit_one(props, "replication.MaxLogFileNum", NULL, NULL), KC_OK);
	assert_string_equal(get(props), "# a\n# b\n# c\n");
}

/* --- refusals --- */

T(set__wrong_value__leaves_the_file)
{
	struct conf_problems p = CONF_PROBLEMS_EMPTY;

	put(props, "restore.ListenPort=77\n");
	assert_int_equal(edit_one(props, "restore.ListenPort", "70000", &p), KC_ECONF);
	assert_int_equal(p.errors.count, 1);
	assert_non_null(strstr(p.errors.items[0], ":1: restore.ListenPort: 70000 is out of range, 1 to 65535"));
	assert_int_equal(set(props, "restore.ListenPrt", "1"), KC_ECONF);
	assert_non_null(strstr(err_text(KC_ECONF), "did you mean restore.ListenPort?"));
	assert_int_equal(set(props, "backup.ClientIP3", "h"), KC_ECONF);
	assert_int_equal(set(props, "backup.EncryptionPasswordFile", "missing"), KC_ECONF);
	assert_string_equal(get(props), "restore.ListenPort=77\n");
	conf_problems_fini(&p);
}

T(set__secret__is_refused_and_names_the_option)
{
	put(props, "");
	assert_int_equal(set(props, "backup.EncryptionPassword", "password"), KC_EUSAGE);
	assert_non_null(strstr(err_text(KC_EUSAGE), "--password-file"));
	assert_int_equal(set(props, "backup.ObfuscatedEncryptionPassword", "kc1:x"), KC_EUSAGE);
	assert_string_equal(get(props), "");
}

T(set__errors_of_before__do_not_count)
{
	put(props, "bogus=1\nrestore.ListenPort=0\nreplication.MaxBackupNum=3\n");
	assert_int_equal(set(props, "replication.MaxBackupNum", "4"), KC_OK);
	assert_int_equal(set(props, "restore.ListenPort", "4"), KC_OK);
	assert_string_equal(get(props), "bogus=1\nrestore.ListenPort=4\nreplication.MaxBackupNum=4\n");
}

T(set__only_new_warnings__are_told)
{
	struct conf_problems p = CONF_PROBLEMS_EMPTY;

	put(props, "replication.role=clone\nbackup.OnChange=true\n");
	assert_int_equal(edit_one(props, "backup.CheckFrequency", "5", &p), KC_OK);
	assert_int_equal(p.warnings.count, 2);
	conf_problems_fini(&p);
}

/* --- mode, owner, links, failing files --- */

static void judge(struct conf_problems *p, const struct conf *before, const struct conf *after)
{
	char *where = conf_where(after, "restore.ListenPort");

	assert_int_equal(before->listen_port, 77);
	conf_list_add(after->listen_port == 79 ? &p->errors : &p->warnings, where);
	free(where);
}

T(set__judged__is_written_without_an_error)
{
	struct conf_problems p = CONF_PROBLEMS_EMPTY;
	struct conf_change change = { "restore.ListenPort", "79" };

	put(props, "# x\nreplication.role=clone\nrestore.ListenPort=77\n");
	assert_int_equal(conf_edit_judged(props, &change, 1, judge, &p), KC_ECONF);
	assert_int_equal(p.errors.count, 1);
	assert_string_equal(err_text(KC_ECONF), p.errors.items[0]);
	assert_non_null(strstr(p.errors.items[0], ":3: restore.ListenPort"));
	assert_string_equal(get(props), "# x\nreplication.role=clone\nrestore.ListenPort=77\n");
	change.value = "78";
	assert_int_equal(conf_edit_judged(props, &change, 1, judge, &p), KC_OK);
	assert_int_equal(p.warnings.count, 1);
	assert_string_equal(get(props), "# x\nreplication.role=clone\nrestore.ListenPort=78\n");
	conf_problems_fini(&p);
}

T(file__mode_and_link__are_kept)
{
	char link[96];
	struct stat st;

	snprintf(link, sizeof(link), "%s/link.properties", dir);
	put(props, "restore.ListenPort=77\n");
	chmod(props, 0644);
	assert_int_equal(symlink("k.properties", link), 0);
	assert_int_equal(set(link, "restore.ListenPort", "78"), KC_OK);
	assert_string_equal(get(props), "restore.ListenPort=78\n");
	assert_int_equal(lstat(link, &st), 0);
	assert_true(S_ISLNK(st.st_mode));
	assert_int_equal(stat(props, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0644);
	unlink(link);
}

T(file__owner__is_kept)
{
	struct stat st;

	if (geteuid() != 0)
		skip();
	put(props, "restore.ListenPort=77\n");
	assert_int_equal(chown(props, 1234, 4321), 0);
	assert_int_equal(set(props, "restore.ListenPort", "78"), KC_OK);
	assert_int_equal(stat(props, &st), 0);
	assert_int_equal(st.st_uid, 1234);
	assert_int_equal(st.st_gid, 4321);
}

static int count_files(void)
{
	DIR *d = opendir(dir);
	int n = 0;

	assert_non_null(d);
	while (readdir(d) != NULL)
		n++;
	closedir(d);
	return n;
}

T(file__that_cannot_be_written__stays_and_leaves_no_litter)
{
	char long_name[300], path[400];
	int before;

	/* As root a mode does not stop us; a name for which no temporary one fits does. */
	memset(long_name, 'a', 250);
	long_name[250] = '\0';
	snprintf(path, sizeof(path), "%s/%s", dir, long_name);
	put(props, "backup.EncryptionPassword=password\n");
	assert_int_equal(rename(props, path), 0);
	before = count_files();
	assert_true(set(path, "restore.ListenPort", "78") < 0);
	assert_true(conf_replace_password(path, "kc1:sealed") < 0);
	assert_string_equal(get(path), "backup.EncryptionPassword=password\n");
	assert_int_equal(count_files(), before);
	unlink(path);
	assert_int_equal(set(path, "restore.ListenPort", "78"), KC_ENOENT);
}

/* --- the fleet --- */

T(clones__added__stay_together)
{
	put(props, "backup.ClientIP1=a\nbackup.ClientPort1=1\n# the rest\nrestore.ListenPort=77\n");
	assert_int_equal(conf_clone_add(props, "::1", 2222, NULL), KC_OK);
	assert_int_equal(conf_clone_add(props, "c", 3, NULL), KC_OK);
	assert_string_equal(get(props),
	    "backup.ClientIP1=a\nbackup.ClientPort1=1\nbackup.ClientIP2=::1\nbackup.ClientPort2=2222\n"
	    "backup.ClientIP3=c\nbackup.ClientPort3=3\n# the rest\nrestore.ListenPort=77\n");
	assert_int_equal(conf_clone_add(props, "C", 3, NULL), KC_EEXIST);
	assert_int_equal(conf_clone_add(props, "no such host", 3, NULL), KC_ECONF);
}

T(clones__first__comes_under_the_sample_and_not_into_it)
{
	put(props, "# clones\n#backup.ClientIP1=10.0.0.5\n#backup.ClientPort1=2222\n\nrestore.ListenPort=77\n");
	assert_int_equal(conf_clone_add(props, "a", 1, NULL), KC_OK);
	assert_string_equal(get(props),
	    "# clones\n#backup.ClientIP1=10.0.0.5\n#backup.ClientPort1=2222\nbackup.ClientIP1=a\n"
	    "backup.ClientPort1=1\n\nrestore.ListenPort=77\n");
}

T(clones__there_already__are_named_as_they_are_given)
{
	put(props, "backup.ClientIP1=::1\nbackup.ClientPort1=1\n");
	assert_int_equal(conf_clone_add(props, "::1", 1, NULL), KC_EEXIST);
	assert_string_equal(err_text(KC_EEXIST), "[::1]:1 is a clone already");
	assert_int_equal(conf_clone_remove(props, "::1", 2, NULL), KC_ENOENT);
	assert_string_equal(err_text(KC_ENOENT), "[::1]:2 is not a clone");
}

T(clones__twenty_first__is_refused)
{
	char host[16];

	put(props, "");
	for (int i = 0; i < 20; i++) {
		snprintf(host, sizeof(host), "h%d", i);
		assert_int_equal(conf_clone_add(props, host, 2222, NULL), KC_OK);
	}
	assert_int_equal(conf_clone_add(props, "one-more", 2222, NULL), KC_ELIMIT);
}

T(clones__removed__numbers_close_up)
{
	put(props, "# a\nbackup.ClientIP1=a\n# b\nbackup.ClientIP2=b\nbackup.ClientPort2=2\n# c\n  backup.ClientIP3 "
		   "c\nbackup.ClientPort3: 3\n");
	assert_int_equal(conf_clone_remove(props, "b", 2, NULL), KC_OK);
	assert_string_equal(
	    get(props), "# a\nbackup.ClientIP1=a\n# b\n# c\n  backup.ClientIP2 c\nbackup.ClientPort2: 3\n");
	assert_int_equal(conf_clone_remove(props, "a", 2222, NULL), KC_OK);
	assert_int_equal(conf_clone_remove(props, "a", 2222, NULL), KC_ENOENT);
	assert_string_equal(get(props), "# a\n# b\n# c\n  backup.ClientIP1 c\nbackup.ClientPort1: 3\n");
	put(cfg, "backup:\n{\n  ClientIP1 = \"a\"; // one\n  ClientIP2 = \"b\"; // two\n};\n");
	assert_int_equal(conf_clone_remove(cfg, "a", 2222, NULL), KC_OK);
	assert_string_equal(get(cfg), "backup:\n{\n   // one\n  ClientIP1 = \"b\"; // two\n};\n");
}

/* --- the password --- */

T(password__sealed__takes_the_place_of_the_plain)
{
	put(props, "# p\nbackup.EncryptionPassword = top \\\n secret\n# q\nrestore.ListenPort=77\n");
	assert_int_equal(conf_replace_password(props, "kc1:AbC="), KC_OK);
	assert_string_equal(
	    get(props), "# p\nbackup.ObfuscatedEncryptionPassword=kc1:AbC=\n# q\nrestore.ListenPort=77\n");
	assert_int_equal(conf_replace_password(props, "kc1:new"), KC_OK);
	assert_string_equal(
	    get(props), "# p\nbackup.ObfuscatedEncryptionPassword=kc1:new\n# q\nrestore.ListenPort=77\n");
}

T(password__plain_beside_an_old_sealed_one__replaces_it)
{
	put(props, "backup.ObfuscatedEncryptionPassword=kc1:old\nreplication.role=master\r\nbackup.EncryptionPassword="
		   "topsecret");
	assert_int_equal(conf_replace_password(props, "kc1:new"), KC_OK);
	assert_string_equal(get(props), "replication.role=master\r\nbackup.ObfuscatedEncryptionPassword=kc1:new");
}

T(password__in_libconfig__is_sealed_too)
{
	put(cfg, "backup: { CheckFrequency = 60; EncryptionPassword = \"top\" \"secret\"; /* p */ };\n");
	assert_int_equal(conf_replace_password(cfg, "kc1:AbC="), KC_OK);
	assert_string_equal(
	    get(cfg), "backup: { CheckFrequency = 60; ObfuscatedEncryptionPassword = \"kc1:AbC=\"; /* p */ };\n");
}

/* --- libconfig --- */

T(cfg__set__keeps_comments_and_layout)
{
	put(cfg, "# top\nreplication:\n{\n    role = \"clone\"; // a clone\n    MaxBackupNum = 3\n};\nrestore: { "
		 "ListenPort = 77; }\n");
	assert_int_equal(set(cfg, "replication.MaxBackupNum", "4"), KC_OK);
	assert_int_equal(set(cfg, "replication.MasterHost", "m\"x"), KC_ECONF);
	assert_int_equal(set(cfg, "replication.MasterHost", "m"), KC_OK);
	assert_int_equal(set(cfg, "restore.ListenPort", "78"), KC_OK);
	assert_int_equal(set(cfg, "replication.File.token", "/t"), KC_OK);
	assert_int_equal(set(cfg, "tls.MinimumVersion", "1.2"), KC_OK);
	assert_string_equal(get(cfg), "# top\nreplication:\n{\n    role = \"clone\"; // a clone\n    MaxBackupNum = 4\n"
				      "    MasterHost = \"m\";\n    File: { token = \"/t\"; };\n};\n"
				      "restore: { ListenPort = 78; }\ntls: { MinimumVersion = \"1.2\"; };\n");
	assert_int_equal(set(cfg, "restore.AfterCommand", "/bin/true"), KC_OK);
	assert_int_equal(set(cfg, "backup.OnChange", "true"), KC_OK);
	assert_non_null(strstr(get(cfg), "restore: { ListenPort = 78; AfterCommand = \"/bin/true\"; }\n"));
	assert_non_null(strstr(get(cfg), "backup: { OnChange = true; };\n"));
	assert_int_equal(set(cfg, "backup.TLSCertAlias", "x"), KC_OK);
	assert_non_null(strstr(get(cfg), "backup: { OnChange = true; TLSCertAlias = \"x\"; };\n"));
}

T(cfg__unset__takes_its_line)
{
	put(cfg, "replication:\n{\n    role = \"clone\";\n    MaxBackupNum = 3;\n};\nrestore: { ListenPort = 77; }\n");
	assert_int_equal(edit_one(cfg, "replication.MaxBackupNum", NULL, NULL), KC_OK);
	assert_int_equal(edit_one(cfg, "restore.ListenPort", NULL, NULL), KC_OK);
	assert_string_equal(get(cfg), "replication:\n{\n    role = \"clone\";\n};\nrestore: {  }\n");
}

T(cfg__broken_file__is_not_touched)
{
	put(cfg, "replication: { role = \"clone\"\n");
	assert_int_equal(set(cfg, "replication.MaxBackupNum", "4"), KC_ECONF);
	assert_string_equal(get(cfg), "replication: { role = \"clone\"\n");
}

static int setup(void **state)
{
	(void)state;
	strcpy(dir, "/tmp/kc-test-conf.XXXXXX");
	if (mem_init() < 0 || mkdtemp(dir) == NULL)
		return -1;
	snprintf(props, sizeof(props), "%s/k.properties", dir);
	snprintf(cfg, sizeof(cfg), "%s/k.cfg", dir);
	buf_init(&content, 100000);
	/* A master without a password has an error before and after, which does not count. */
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	buf_fini(&content);
	return file_remove_tree(dir) == KC_OK ? 0 : -1;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(props__set__keeps_comments_and_order),
		cmocka_unit_test(props__set_of_a_continued_value__replaces_all_of_it),
		cmocka_unit_test(props__set_of_a_new_one__goes_under_its_comment_or_to_the_end),
		cmocka_unit_test(props__set_at_the_end__does_not_join_the_last_line),
		cmocka_unit_test(props__bom_and_crlf__are_kept),
		cmocka_unit_test(props__value__comes_back_as_it_was),
		cmocka_unit_test(props__unset__takes_the_line_and_nothing_else),
		cmocka_unit_test(set__wrong_value__leaves_the_file),
		cmocka_unit_test(set__secret__is_refused_and_names_the_option),
		cmocka_unit_test(set__errors_of_before__do_not_count),
		cmocka_unit_test(set__only_new_warnings__are_told),
		cmocka_unit_test(set__judged__is_written_without_an_error),
		cmocka_unit_test(file__mode_and_link__are_kept),
		cmocka_unit_test(file__owner__is_kept),
		cmocka_unit_test(file__that_cannot_be_written__stays_and_leaves_no_litter),
		cmocka_unit_test(clones__added__stay_together),
		cmocka_unit_test(clones__first__comes_under_the_sample_and_not_into_it),
		cmocka_unit_test(clones__there_already__are_named_as_they_are_given),
		cmocka_unit_test(clones__twenty_first__is_refused),
		cmocka_unit_test(clones__removed__numbers_close_up),
		cmocka_unit_test(password__sealed__takes_the_place_of_the_plain),
		cmocka_unit_test(password__plain_beside_an_old_sealed_one__replaces_it),
		cmocka_unit_test(password__in_libconfig__is_sealed_too),
		cmocka_unit_test(cfg__set__keeps_comments_and_layout),
		cmocka_unit_test(cfg__unset__takes_its_line),
		cmocka_unit_test(cfg__broken_file__is_not_touched),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
