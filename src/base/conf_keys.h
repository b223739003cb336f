/* SPDX-License-Identifier: Apache-2.0 */
/*
 * conf_keys: the one table of every property. The rows make struct conf, the defaults, the parser, the checks, `config
 * show`, the sample files' test and the manual page's test. A new property is one row here, one line in each sample
 * file and one paragraph in keyclone.properties(5).
 *
 *   K(field, TYPE, name, default, system default, detail, min, max, role, flags, reload, help)
 *
 * field    member of struct conf
 * TYPE     what is written and what the member is:
 *            INT       int           decimal, min..max
 *            BOOL      bool          true, false
 *            ENUM      int           one of the words in `detail` ("a|b"), the member is its index
 *            DURATION  uint64_t      milliseconds; written as a number with s, m, h or d; min..max in seconds. With
 *                                    `detail` "m" a bare number is taken as minutes
 *            STR       char *        NULL where unset
 *            HOST      char *        a name or an address, without brackets
 *            ADDRESS   char *        an IP address; NULL (or the word "any") for any
 *            PATH      char *        absolute; a relative one is relative to the directory of the file
 *            LIST      struct conf_list   items between ';'
 *            SECRET    char *        in secret memory; never shown, dumped or handed over; min bytes
 * default  as it would be written; NULL: unset. "system default": the same for a file in SYSCONFDIR
 * role     M, C or MC: who uses it. In the file of the other role it is a warning
 * flags    F_REQ required (on a master)   F_DIR a directory   F_EXIST must exist where it is named in the file
 * reload   LIVE: taken over by `reload`   RESTART: `reload` says that it needs a restart
 *
 *   L(TYPE, name, detail, min, max, role, help)   a property whose feature this version lacks: its value is checked,
 *   and a warning says that it has no effect. A name that ends in ".*" stands for every name below it.
 *
 * The clones, backup.ClientIPn and backup.ClientPortn, are a list (struct conf_clone) and not rows; so are the
 * companion files, replication.File.NAME (struct conf_file).
 */
#ifndef KC_CONF_KEYS_H
#define KC_CONF_KEYS_H

#define CONF_CLONES_MAX	     20
#define CONF_CLIENT_IP	     "backup.ClientIP"
#define CONF_CLIENT_PORT     "backup.ClientPort"
#define CONF_CLIENT_PORT_NO  2222
#define CONF_PASSWORD_MIN    8 /* bytes */
#define CONF_FILE_STEM	     "replication.File."
#define CONF_FILES_MAX	     32
#define CONF_FILE_NAME_MAX   64		     /* bytes of NAME */
#define CONF_FILE_RESERVED   "MasterKeyFile" /* what keydb.MasterKeyFile is called in a backup */
#define CONF_PASSWORD_STRONG 12		     /* it guards the authority in the system backup */

#define CONF_STATE	 LOCALSTATEDIR "/lib/keyclone"
#define CONF_STATE_KEYDB CONF_STATE "/keydb.sqlite"
#define CONF_LOGS	 LOCALSTATEDIR "/log/keyclone"
#define CONF_RUN	 RUNSTATEDIR "/keyclone"

/* clang-format off */
#define CONF_KEYS(K, L) \
K(role, ENUM, "replication.role", "master", NULL, "master|clone", 0, 0, MC, 0, RESTART, \
  "what this machine is") \
K(master_listen_port, INT, "replication.MasterListenPort", "1111", NULL, "", 1, 65535, MC, 0, RESTART, \
  "master: listens here for reports and enrolment; clone: reports there") \
K(master_host, HOST, "replication.MasterHost", NULL, NULL, "", 0, 0, C, 0, LIVE, \
  "where to report, and who may push; unset: the pinned master") \
K(listen_address, ADDRESS, "replication.ListenAddress", NULL, NULL, "", 0, 0, MC, 0, RESTART, \
  "the address to listen on; unset: any") \
K(backup_dir, PATH, "replication.BackupDestDir", "backups", CONF_STATE "/backups", "", 0, 0, MC, F_DIR, RESTART, \
  "where backups are kept") \
K(max_backup_num, INT, "replication.MaxBackupNum", "10", NULL, "", 2, 1000, MC, 0, LIVE, \
  "full backups kept, with their increments") \
K(log_dir, PATH, "replication.LogDir", "log", CONF_LOGS, "", 0, 0, MC, F_DIR, RESTART, \
  "where the audit log is kept") \
K(audit_log, STR, "replication.auditLogName", "replication_audit.log", NULL, "", 0, 0, MC, 0, RESTART, \
  "the audit log; a bare name is in LogDir") \
K(max_log_file_kb, INT, "replication.MaxLogFileSize", "10000", NULL, "KB", 10, 1048576, MC, 0, LIVE, \
  "the audit log is rotated above this size, in KB") \
K(max_log_file_num, INT, "replication.MaxLogFileNum", "10", NULL, "", 2, 100, MC, 0, LIVE, \
  "audit log files kept") \
K(state_dir, PATH, "replication.StateDir", "state", CONF_STATE "/state", "", 0, 0, MC, F_DIR, RESTART, \
  "where the state database is kept") \
K(run_dir, PATH, "replication.RunDir", "run", CONF_RUN, "", 0, 0, MC, F_DIR, RESTART, \
  "where the control socket and the lock are made") \
K(local_tables, LIST, "replication.LocalTables", NULL, NULL, "", 0, 0, C, 0, RESTART, \
  "tables that the clone's own application writes") \
K(rewritten_files, LIST, "replication.RewrittenFiles", "*/token.object", NULL, "", 0, 0, C, 0, RESTART, \
  "companion files that the clone's own application rewrites by using them, NAME/PATTERN") \
K(password, SECRET, "backup.EncryptionPassword", NULL, NULL, "", CONF_PASSWORD_MIN, 0, MC, F_REQ, LIVE, \
  "the password of backups; sealed when it is first read, into backup.ObfuscatedEncryptionPassword") \
K(sealed_password, SECRET, "backup.ObfuscatedEncryptionPassword", NULL, NULL, "", 1, 0, MC, 0, LIVE, \
  "the sealed password; never edited by hand") \
K(password_file, PATH, "backup.EncryptionPasswordFile", NULL, NULL, "", 0, 0, MC, F_EXIST, LIVE, \
  "a file with the password, instead of both") \
K(check_frequency_ms, DURATION, "backup.CheckFrequency", "60", NULL, "m", 1, 2592000, M, 0, LIVE, \
  "how often the key database is looked at for changes; minutes, or a duration") \
K(on_change, BOOL, "backup.OnChange", "false", NULL, "", 0, 0, M, 0, LIVE, \
  "replicate as soon as the database changes, besides the schedule") \
K(daily_backup, STR, "backup.DailyStartReplicationBackupTime", NULL, NULL, "HH:MM", 0, 0, M, 0, LIVE, \
  "a local time of day to look for changes, instead of every CheckFrequency") \
K(full_frequency_ms, DURATION, "backup.FullFrequency", "24h", NULL, "0", 0, 31536000, M, 0, LIVE, \
  "how often a full backup is made; increments in between; 0: every backup is one") \
K(compression_level, INT, "backup.CompressionLevel", "1", NULL, "", 1, 19, M, 0, LIVE, \
  "level of zstd") \
K(key_derivation_work, INT, "backup.KeyDerivationWork", "17", NULL, "", 15, 20, M, 0, LIVE, \
  "log2 of scrypt's N; scrypt takes 128*8*2^n bytes of memory") \
K(max_delete_percent, INT, "backup.MaxDeletePercent", "20", NULL, "%", 0, 100, M, 0, LIVE, \
  "a run that would delete more of a table's rows, and at least ten, is held; 0: none is") \
K(tls_alias, STR, "backup.TLSCertAlias", NULL, NULL, "", 0, 0, MC, 0, LIVE, \
  "the certificate of this machine; unset: the only alias with a key") \
K(release_keys, BOOL, "backup.ReleaseKeysOnSuccessfulBackup", "false", NULL, "", 0, 0, M, 0, LIVE, \
  "new keys of the built-in database are held until a backup has them") \
K(listen_port, INT, "restore.ListenPort", "2222", NULL, "", 1, 65535, C, 0, RESTART, \
  "where the clone listens for its master") \
K(restore_time, STR, "restore.DailyStartReplicationRestoreTime", NULL, NULL, "HH:MM", 0, 0, C, 0, LIVE, \
  "a time of day for restores; unset: at once") \
K(after_command, STR, "restore.AfterCommand", NULL, NULL, "command", 0, 0, C, 0, LIVE, \
  "a command that runs after each restore, without a shell") \
K(alert_command, STR, "replication.AlertCommand", NULL, NULL, "command", 0, 0, MC, 0, LIVE, \
  "a command that runs when something needs attention, and when it is over") \
K(max_silence_ms, DURATION, "replication.MaxSilence", NULL, NULL, "", 1, 31536000, C, 0, LIVE, \
  "alert when the master was not heard for so long; unset: twice its interval, at least 10m") \
K(retry_min_ms, DURATION, "replication.RetryMin", "5s", NULL, "", 1, 86400, MC, 0, LIVE, \
  "the first pause before another try") \
K(retry_max_ms, DURATION, "replication.RetryMax", "10m", NULL, "", 1, 604800, MC, 0, LIVE, \
  "the longest pause before another try") \
K(timeout_ms, DURATION, "replication.Timeout", "60s", NULL, "", 1, 86400, MC, 0, LIVE, \
  "how long a peer may be silent") \
K(job_stall_timeout_ms, DURATION, "replication.JobStallTimeout", "10m", NULL, "", 1, 604800, MC, 0, LIVE, \
  "how long the worker may make no progress") \
K(keydb_path, PATH, "keydb.Path", "keydb.sqlite", CONF_STATE_KEYDB, "", 0, 0, MC, F_EXIST, RESTART, \
  "the key database") \
K(master_key_file, PATH, "keydb.MasterKeyFile", "keystore/keydb.key", CONF_STATE "/keystore/keydb.key", "", 0, 0, MC, 0, \
  RESTART, "wraps key material in the built-in key database; replicated with it") \
K(keystore_dir, PATH, "keystore.Dir", "keystore", CONF_STATE "/keystore", "", 0, 0, MC, F_DIR, RESTART, \
  "certificates with their private keys") \
K(secrets_dir, PATH, "keystore.SecretsDir", "secrets", CONF_STATE "/secrets", "", 0, 0, MC, F_DIR, RESTART, \
  "the secrets of backups: identity, signing key, authority, the key that seals the password") \
K(truststore_dir, PATH, "truststore.Dir", "truststore", CONF_STATE "/truststore", "", 0, 0, MC, F_DIR, RESTART, \
  "certificates that are trusted") \
K(tls_minimum, ENUM, "tls.MinimumVersion", "1.3", NULL, "1.2|1.3", 0, 0, MC, 0, LIVE, \
  "the oldest TLS version that is spoken") \
K(authorized_cns, LIST, "tls.AuthorizedCNs", NULL, NULL, "", 0, 0, MC, 0, LIVE, \
  "common names that may be our peer, between ';'") \
K(max_cert_years, INT, "cert.MaximumYears", "50", NULL, "", 1, 50, MC, 0, LIVE, \
  "how many years a certificate that is made or imported here may be valid") \
K(crl_file, PATH, "tls.CRLFile", NULL, NULL, "", 0, 0, MC, F_EXIST, RESTART, \
  "revocation lists; read again whenever the file changes") \
K(external_cert_dir, PATH, "tls.ExternalCertDir", NULL, NULL, "", 0, 0, MC, 0, RESTART, \
  "a directory watched for a renewed certificate with its key") \
L(STR, "rest.*", "", 0, 0, MC, \
  "the HTTPS gateway")
/* clang-format on */

#endif
