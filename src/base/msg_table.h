/* SPDX-License-Identifier: Apache-2.0 */
/*
 * msg_table: every message code with its text, cause and remedy. See msg.h for the ranges.
 *
 * M(id, code, text, cause, remedy). Rows are in the order of the manual page. Cause and remedy are plain sentences for
 * somebody who is tired: what happened, then what to type. `Backquotes` mark what is typed or found in a file.
 */
#ifndef KC_MSG_TABLE_H
#define KC_MSG_TABLE_H

/* clang-format off */

/* The original product's status codes. */
#define MSG_TABLE_STATUS(M)                                                                                          \
M(BACKED_UP, "CTGKM1304I", "All keys and certificates have been backed up.",                                         \
  "The newest replicated backup holds what the key database holds.", "Nothing.")                                     \
M(BACKUP_NEEDED, "CTGKM1305I", "There are keys or certificates that have not been backed up.",                       \
  "The key database was changed since the newest replicated backup, or there is none.",                              \
  "`keyclone replicate-now` on the master, or wait for its schedule (`keyclone status`). On a clone nothing but the "\
  "master's backups should change the database: `keyclone diverged list`.")                                          \
M(TASK_ALREADY_UP, "CTGKM2207W", "The keyclone replication task is already UP.",                                     \
  "The task was asked to start and is running.",                                                                     \
  "Nothing. `keyclone status` shows when it last replicated and when it will again.")                                \
M(TASK_STOPPED, "CTGKM2208I", "The keyclone replication task was stopped.",                                          \
  "An operator stopped the task. A push that was under way is finished; no new one begins, and this survives a "     \
  "restart of the daemon.",                                                                                          \
  "`keyclone start` when replication is to go on. Until then the clones grow old.")                                  \
M(TASK_STARTED, "CTGKM2209I", "The keyclone replication task was started.",                                          \
  "An operator started the task.", "Nothing.")                                                                       \
M(TASK_ALREADY_DOWN, "CTGKM2210W", "The keyclone replication task is already DOWN.",                                 \
  "The task was asked to stop and is not running.", "Nothing. `keyclone start` starts it again.")                    \
M(TASK_UP, "CTGKM2215I", "The keyclone replication task is UP.",                                                     \
  "The daemon runs and replicates (master) or waits for the master (clone).", "Nothing.")                            \
M(TASK_DOWN, "CTGKM2216I", "The keyclone replication task is DOWN.",                                                 \
  "An operator stopped the task with `keyclone stop`, and it stays stopped over restarts of the daemon.",            \
  "`keyclone start`. `keyclone audit --event task` shows who stopped it and when.")                                  \
M(NEXT_SCHEDULED, "CTGKM2217I", "The next scheduled replication is due.",                                            \
  "This is when the master next looks whether the key database has changed, by `backup.CheckFrequency` "         \
  "or, daily, `backup.DailyStartReplicationBackupTime`. Without a change nothing is sent. With `backup.OnChange` a " \
  "change does not wait for it.",                                                                                         \
  "Nothing. `keyclone replicate-now` does not wait for it.")                                                         \
M(LAST_COMPLETED, "CTGKM2218I", "The last completed replication.",                                                   \
  "On the master: when all clones had restored a generation. On a clone: when it last restored one.", "Nothing.")    \
M(NO_PREVIOUS, "CTGKM2220I", "No previous successful replications.",                                                 \
  "On the master: no generation has yet been restored by all clones. On a clone: it has restored none.",             \
  "On a new installation `keyclone replicate-now` on the master makes the first. Otherwise `keyclone status` on the "\
  "master names what is wrong with each clone.")                                                                     \
M(NONE_SCHEDULED, "CTGKM2221I", "No replication currently scheduled.",                                               \
  "On a clone always: the master decides. On a master the task is down.",                                            \
  "On a master, `keyclone start`.")

/* What a command or an operation ends with: one row for each result code (err.h). */
#define MSG_TABLE_RESULT(M)                                                                                          \
M(DONE, "KC0000I", "Done.", "The operation succeeded.", "Nothing.")                                                  \
M(FAILED, "KC0001E", "The operation failed.",                                                                        \
  "Something went wrong that has no code of its own; the message beside the code says what.",                        \
  "Read the message. `keyclone audit --failed` and the journal of the service (`journalctl -u keycloned`) show what "\
  "led to it.")                                                                                                      \
M(FOUND, "KC0002W", "The check found something wrong.",                                                              \
  "A command that only looks (`status`, `audit --verify`, `config check`) did its work and found a fault. Its exit " \
  "status is 2.",                                                                                                    \
  "Each finding is on a line of its own; deal with those.")                                                          \
M(USAGE, "KC0064E", "The command was not understood.",                                                               \
  "A command, option or value does not exist, is missing, or does not go with the others. Nothing was done.",        \
  "`keyclone --help` lists the commands, `keyclone COMMAND --help` the options of one.")                             \
M(FORMAT, "KC0065E", "A file is not in the expected format.",                                                        \
  "The file is something else than the command takes: another kind of file, or made by a version or program that "   \
  "keyclone does not read. Nothing was changed.",                                                                    \
  "Check that the path is the one you meant. Backups are named `keyclone-…-full-….tar.zst.age` and begin with the "  \
  "line `age-encryption.org/v1`.")                                                                                   \
M(PASSWORD, "KC0066E", "Wrong password.",                                                                            \
  "The password does not open the file. A backup keeps the password that was in force when it was made; changing "   \
  "the configured password does not change old backups.",                                                            \
  "Give the password of that time with `--password-file`. Mind that a trailing newline is dropped, other blanks are "\
  "not. Without the password a backup cannot be opened by anybody.")                                                 \
M(DAMAGED, "KC0067E", "A file is damaged.",                                                                          \
  "A checksum or an authentication code does not match: bytes were changed after the file was written, by a failing "\
  "disk, a bad copy or somebody. Nothing was restored from it.",                                                     \
  "Use another backup (`keyclone backup list`, on the clones too: each keeps its own copies), and try it first with "\
  "`keyclone backup verify FILE`. If several files are damaged, look at the disk.")                                  \
M(TRUNCATED, "KC0068E", "A file ends too early.",                                                                    \
  "The end of the file is missing: a copy was interrupted or a disk was full. Nothing was restored from it.",        \
  "Copy it again from where it is whole, or use another (`keyclone backup list`).")                                  \
M(DAEMON, "KC0069E", "The daemon cannot be reached.",                                                                \
  "The command needs a running `keycloned` of the same configuration and nobody answered at its control socket "     \
  "within five seconds.",                                                                                            \
  "`systemctl status keycloned`, or start `keycloned -c FILE`. If it runs: is `-c` the same file, and may you open " \
  "`control.sock` in its `replication.RunDir`?")                                                                     \
M(SIGNATURE, "KC0070E", "A backup is not signed by the installation.",                                               \
  "The signature in the backup is missing or is not by the signing key that this machine has pinned. It was made by "\
  "another installation, or somebody who has the TLS certificate but not the signing key pretends to be the master. "\
  "Nothing was restored.",                                                                                           \
  "Find out which machine sent it (`keyclone audit --event receive`). If it is not your master, its certificate is " \
  "in wrong hands: replace it. If the master was set up anew, see KC0322E.")                                         \
M(FOREIGN, "KC0071E", "A backup belongs to another installation.",                                                   \
  "Its lineage is not the one that this machine has applied so far: it comes from another master.",                  \
  "Check the path and `keyclone backup list`. If you really want this content here, "                                \
  "`keyclone backup restore FILE --force`.")                                                                         \
M(CREATE, "KC0073E", "A file or directory cannot be created.",                                                       \
  "The directory does not exist or is not writable for the user that runs the command.",                             \
  "Look at the path in the message and at who owns its directory. keyclone never overwrites: give another name.")    \
M(PERMISSION, "KC0077E", "Not permitted.",                                                                           \
  "The user may not do this: a file's owner or mode forbids it, or the daemon does not take this request from you.", \
  "Run the command as root or as the user of the service (`sudo -u keyclone keyclone …`). Secrets must be mode 0600 "\
  "and belong to that user. On a clone, commands that change keys need `--force`, and what they make is lost or "    \
  "counted as divergence at the next restore.")                                                                      \
M(CONFIG, "KC0078E", "The configuration is wrong.",                                                                  \
  "A property is unknown, out of range, missing, or names something that does not exist. The daemon does not start " \
  "with it; a running one keeps the old configuration.",                                                             \
  "`keyclone config check` shows file, line, name and reason. Change it with `keyclone config set NAME=VALUE`, then "\
  "`keyclone reload`.")                                                                                              \
M(SYSTEM, "KC0101E", "The system refused an operation.",                                                             \
  "A call to the operating system failed; the message has its reason and the path.",                                 \
  "If the reason is `Input/output error`, look at the disk and at `dmesg`. The daemon tries again by itself.")       \
M(NO_ROOM, "KC0102E", "There is no room.",                                                                           \
  "A disk or a quota is full. What was being written is gone, what was there before is untouched.",                  \
  "Make room or enlarge the file system; `df -h` on the path in the message. Fewer backups are kept with a smaller " \
  "`replication.MaxBackupNum`. The daemon tries again by itself.")                                                   \
M(BUSY, "KC0103E", "Busy.",                                                                                          \
  "Something else is at work on the same thing: a replication, a restore, or a program that holds the key database.",\
  "Wait and try again; the daemon does so by itself. `keyclone status` shows a run under way.")                      \
M(NETWORK, "KC0104E", "The network failed.",                                                                         \
  "A connection could not be made, or broke. The message says where and how.",                                       \
  "Is the other machine up, `keycloned` running there (`keyclone status` on it), the port right and let through by " \
  "the firewalls? The master tries again by itself, and a broken transfer goes on where it stopped.")                \
M(TIMEOUT, "KC0105E", "The other side was silent for too long.",                                                     \
  "No byte came within `replication.Timeout`.",                                                                      \
  "See whether the other machine hangs or the network drops packets. On a very slow line raise "                     \
  "`replication.Timeout`. It is tried again by itself.")                                                             \
M(REFUSED, "KC0106E", "Refused.",                                                                                    \
  "The other side does not want this; its reason is in the message and in its own audit log.",                       \
  "`keyclone audit --failed` on both machines. What it most often is: certificates (KC0301E to KC0313E), a clone "   \
  "that has diverged (KC0210E), no room (KC0201E).")                                                                 \
M(PROTOCOL, "KC0107E", "The other side broke the protocol.",                                                         \
  "It sent something that is not allowed at that point, or is not keyclone at all. The session was ended.",          \
  "Check that address and port are those of a keyclone daemon of about the same version (first line of its log). If "\
  "it comes from a stranger, it is a port scan or worse: let only master and clones reach the ports.")               \
M(DIVERGED, "KC0108E", "The key database has rows that did not come from its master.",                               \
  "Somebody or some program wrote to this clone's key database. A restore would destroy those rows, so none is done.",\
  "`keyclone diverged list` on the clone shows them. If they are worth nothing: `keyclone diverged discard`, and the "\
  "next replication goes through. If they are keys in use, export them first and import them on the master.")        \
M(STALE, "KC0109E", "Older than what is there.",                                                                     \
  "A generation was offered, or is to be restored, that is not newer than the one that is applied.",                 \
  "Usually nothing: it has been overtaken. To go back on purpose, `keyclone backup restore FILE --force` on the "    \
  "master. If the master's own machine was rolled back (a restored virtual machine), its clones have keys that it lacks: "\
  "stop it, `keyclone promote` on a clone, `keyclone demote --master HOST:PORT` on the one that was rolled back.")     \
M(NOT_FOUND, "KC0110E", "Not found.",                                                                                \
  "The file, key, alias, certificate or clone in the message does not exist.",                                       \
  "Look at what there is: `keyclone key list`, `cert list`, `clone list`, `backup list`.")                           \
M(EXISTS, "KC0111E", "It exists already.",                                                                           \
  "Something of that name is there, and keyclone does not overwrite.",                                               \
  "Choose another name, or remove the old one first if you are sure.")                                               \
M(LOCKED, "KC0112E", "In use by another process.",                                                                   \
  "Another `keycloned` or a command holds the lock on this state; the message has its process id.",                  \
  "If a daemon runs, use it (`keyclone status`) or stop it first. Two daemons never share a state directory: give "  \
  "the second its own `replication.StateDir` and `replication.RunDir`.")                                             \
M(WORKER, "KC0113E", "The worker ended.",                                                                            \
  "The process that opens the key database died or was killed in the middle of a job, by an administrator, by the "  \
  "kernel for want of memory, or by a defect. The job failed as a whole; the database is as it was before or as it " \
  "was to be.",                                                                                                      \
  "It was started again and the job is retried. If it happens again: `journalctl -k` for `Out of memory`. The "      \
  "worker needs about 64 MB, and 128 MB more while a password is stretched (`backup.KeyDerivationWork` 17).")        \
M(CANCELED, "KC0114E", "Canceled.",                                                                                  \
  "The operation was stopped on request, or because the daemon ends.",                                               \
  "Nothing. What was pending goes on when the daemon is back.")                                                      \
M(LIMIT, "KC0115E", "Over a limit.",                                                                                 \
  "Something is larger or more than is allowed; both figures are in the message.",                                   \
  "If the input is right, it is not supported; if not, look where it came from.")                                    \
M(CERTIFICATE, "KC0116E", "A certificate cannot be used.",                                                           \
  "A certificate or key of the keystore or truststore is not fit for its purpose; the message says why.",            \
  "`keyclone cert list` and `keyclone cert show` show what there is. It must serve both as client and as server and "\
  "its private key must be there. `keyclone cert create` makes a new one, `keyclone cert import` brings one.")       \
M(NOT_YET, "KC0117E", "Not yet.",                                                                                    \
  "Something that this waits for has not happened yet.",                                                             \
  "Nothing; it is tried again by itself.")

/* Replication. */
#define MSG_TABLE_REPLICATION(M)                                                                                     \
M(CLONE_DISK_FULL, "KC0201E", "The clone has no room for the backup.",                                               \
  "The master said how much room the backup needs and the clone has less free in its `replication.BackupDestDir` or "\
  "beside its key database; both figures are in the message. Nothing was sent, nothing on the clone has changed.",   \
  "On the clone: `df -h` on those folders, make room, or set a smaller `replication.MaxBackupNum` and "              \
  "`keyclone reload`. The master tries again by itself; `keyclone replicate-now --clone HOST:PORT` does so at once.")\
M(OFFER_DECLINED, "KC0202W", "The clone declined the offer.",                                                        \
  "The clone does not take this generation now; its reason is in the message (busy with another, older than what it "\
  "has, another lineage, stopped).",                                                                                 \
  "Mostly nothing: the master offers again. If it repeats, `keyclone status` and `keyclone audit --failed` on the "  \
  "clone.")                                                                                                          \
M(CLONE_UNREACHABLE, "KC0203W", "The clone cannot be reached.",                                                      \
  "No connection to the clone's address and port could be made.",                                                    \
  "On the clone: `systemctl status keycloned`, and is `restore.ListenPort` the port that `keyclone clone list` on "  \
  "the master has? Between them: firewalls. The clone catches up by itself once it answers.")                        \
M(TRANSFER_BROKEN, "KC0204W", "A transfer was interrupted.",                                                         \
  "The connection broke while a backup was being sent. The clone keeps what it has and goes on from there.",         \
  "Nothing, unless it repeats: then look at the network between the two.")                                           \
M(TRANSFER_CORRUPT, "KC0205E", "A backup arrived damaged.",                                                          \
  "Size or SHA-256 of what the clone stored is not what the master sent. The file was thrown away.",                 \
  "It is sent again. If it repeats, the clone's disk or memory is failing.")                                         \
M(RESTORE_FAILED, "KC0206E", "The clone could not restore.",                                                         \
  "The backup is on the clone, but restoring it failed; the key database is as it was before. The message has the "  \
  "reason.",                                                                                                         \
  "Look up the reason's own code and `keyclone audit --failed` on the clone. The master tries again by itself.")     \
M(DATABASE_LOCKED, "KC0207E", "The key database is locked.",                                                         \
  "Another program held a lock on the key database for longer than keyclone waits, usually a long transaction or a " \
  "tool (`sqlite3`, a backup script) that was left open.",                                                           \
  "`fuser -v PATH` shows who has it open. It is tried again by itself; nothing was changed.")                        \
M(INTERRUPTED, "KC0208W", "Interrupted by a crash or power failure.",                                                \
  "The daemon, its worker or the machine went down in the middle of this. The record closes what had been begun; "   \
  "the start that wrote it has looked what was done, and finished or undid the rest.",                               \
  "Nothing. If it repeats without a power failure, see the journal for what killed the daemon.")                     \
M(RUN_HELD, "KC0230W", "A replication run is held.",                                                                 \
  "The key database lacks more rows of a table than `backup.MaxDeletePercent` allows, compared with what was "       \
  "replicated last. Nothing is sent: the clones, and the backups, still have those rows.",                           \
  "`keyclone status` says which table, and how many of how many. Where it is meant: `keyclone replicate-now "        \
  "--allow-deletes`, once. Where it is not: bring the rows back (`keyclone backup restore FILE --merge` adds what is "\
  "missing); the hold then ends by itself.")                                                                         \
M(CLONE_DIVERGED, "KC0210E", "The clone has diverged.",                                                              \
  "The clone's key database holds rows that did not come from the master (somebody wrote to it). It refuses "        \
  "restores, so that no key is lost.",                                                                               \
  "On the clone: `keyclone diverged list`, then either bring those keys to the master or `keyclone diverged discard`."\
  " Then `keyclone replicate-now` on the master.")                                                                   \
M(LINEAGE_CHANGED, "KC0211E", "The clone follows another master.",                                                   \
  "The clone has applied generations of another lineage than the one that is offered.",                              \
  "Is the clone listed on two masters (`keyclone clone list` on each)? Remove it from one. A clone is made the "     \
  "master in place of a lost one with `keyclone promote`, never by a new `init`: then the others follow.")           \
M(SCHEMA_MISMATCH, "KC0212E", "The clone's database cannot take the backup.",                                        \
  "The database on the clone is of another kind, or cannot be rebuilt with the master's page size or encoding.",     \
  "Check `keydb.Path` on the clone: it should name the same application's database, or a file that does not exist "  \
  "yet.")                                                                                                            \
M(COMPANION_MISSING, "KC0213E", "A companion file has no place on the clone.",                                       \
  "The backup carries a file whose name the clone's configuration does not map to a path.",                          \
  "On the clone: `keyclone config check`, then `keyclone config set` the path it names.")                            \
M(NO_PROGRESS, "KC0214E", "The worker made no progress and was ended.",                                              \
  "For `replication.JobStallTimeout` the worker neither read nor wrote. There is no limit on how long a job may take"\
  " as a whole.",                                                                                                    \
  "The disk or a network file system hangs (`dmesg`), or the limit is too small for it. The job is tried again.")    \
M(SNAPSHOT_DAMAGED, "KC0215E", "The key database is damaged.",                                                       \
  "SQLite's own check of the snapshot found errors. It is not sent, so that sound clones stay sound.",               \
  "Stop what writes to the database. `sqlite3 PATH 'PRAGMA integrity_check'` shows the extent. The clones and "      \
  "`keyclone backup list` have the last sound state: `keyclone backup restore FILE`.")                               \
M(DATABASE_ACCESS, "KC0216E", "The key database may not be opened as it must be.",                                   \
  "The daemon's worker must run as the owner of the key database, or the database must be mode 0660 in a set-gid "   \
  "folder of a common group. Otherwise one of the two programs would lock the other out.",                           \
  "Run the service as the database's owner (`User=` in `systemctl edit keycloned`), or: a common group, "            \
  "`chgrp GROUP` and `chmod 2770` on the folder, `chmod 0660` on the database.")                                     \
M(NOT_REPORTED, "KC0217W", "The master could not be told of a restore.",                                             \
  "The clone restored, but its report did not reach the master's `replication.MasterListenPort`. It is kept on disk "\
  "and sent until the master takes it.",                                                                             \
  "If it stays so: is that port open from the clone to the master, and is it the same number on both?")              \
M(REPORT_UNKNOWN, "KC0218W", "A report was not accepted.",                                                           \
  "A machine reported a restore with a receipt that the master did not give it, or for an offer that is no more.",   \
  "Once, after the master was restored or its state lost: nothing. Repeatedly: find out who sends it.")              \
M(CLOCK_OFFSET, "KC0219W", "The clocks differ.",                                                                     \
  "Master and clone do not agree on the time. Replication goes by numbers, not by time, and goes on; certificates "  \
  "and logs suffer.",                                                                                                \
  "Set up time synchronisation on both (`timedatectl`).")                                                            \
M(STRANGER, "KC0220W", "A stranger was refused.",                                                                    \
  "Somebody who is not a peer connected to a replication port. Repetitions within a minute are one record.",         \
  "Let only master and clones reach `replication.MasterListenPort` and `restore.ListenPort`.")                       \
M(FENCED, "KC0221E", "This master was replaced by another.",                                                         \
  "A clone was promoted, and the clones that follow it take nothing any more from the master it came from. That is " \
  "so for good; what this master made since then is on no clone that follows the new one.",                          \
  "On this machine: `keyclone demote --master HOST:PORT` with the address of the new master; the message names it "  \
  "where the clone knows it. Rows that only this machine has are kept and listed then (`keyclone diverged list`). "  \
  "FAILOVER in keyclone(1) has all of it.")                                                                          \
M(PEER_LOG_CUT, "KC0222W", "The audit log of the other side was cut short.",                                         \
  "Its newest record has a lower number than it had, or another hash: records that were there are gone, or were "    \
  "written anew. A machine that was set up anew, or put back from a copy, looks the same.",                          \
  "Was it? Then nothing: it is said once. Otherwise somebody has been at that machine: `keyclone audit --verify` there.")\
M(NEED_FULL, "KC0223E", "The changes alone cannot be taken.",                                                        \
  "What the master sent is what changed since the backup before, and the key database here is not in the state "     \
  "that it changes, or cannot be changed row by row; the message names the table. Nothing was changed.",             \
  "Nothing: the whole key database follows.")

/* Peers, TLS and certificates. */
#define MSG_TABLE_PEER(M)                                                                                            \
M(PEER_NO_CERTIFICATE, "KC0301E", "The peer has no certificate.",                                                    \
  "A TLS client connected without a certificate. Both sides must have one.",                                         \
  "If it is one of yours: `keyclone cert list` there; `backup.TLSCertAlias` must name an alias with a key.")         \
M(PEER_EXPIRED, "KC0302E", "The peer's certificate has expired.",                                                    \
  "Its end date is past by the clock of the machine that refused it; the message names both.",                       \
  "First see whether that clock is right (`timedatectl`). Then give the peer another one: `keyclone cert renew --from "\
  "DIR` there where its certificates come as files; where the own authority made it, `keyclone enroll token` on the "\
  "master and `keyclone enroll join` on the clone, which keeps its data and its place. A shared one is made anew on "\
  "the master, carried over with `cert export` and `cert import --replace`, and taken with `keyclone reload`.")      \
M(PEER_NOT_YET_VALID, "KC0303E", "The peer's certificate is not valid yet.",                                         \
  "Its start date is in the future by the clock of the machine that refused it. Almost always a clock is wrong.",    \
  "`timedatectl` on both machines.")                                                                                 \
M(PEER_UNKNOWN_AUTHORITY, "KC0304E", "The peer's certificate is of an unknown authority.",                           \
  "Nothing in the truststore vouches for it.",                                                                       \
  "If the peer is yours: `keyclone cert export --alias ALIAS` there, and here `keyclone trust add FILE` with the "   \
  "certificate of its authority, then `keyclone reload`.")                                                           \
M(PEER_OTHER_HOST, "KC0305E", "The peer's certificate is for another host.",                                         \
  "Neither its names nor its common name are those that this machine expects at that address.",                      \
  "Compare `keyclone clone list` (master) or `replication.MasterHost` (clone) with the names in the certificate "    \
  "(`keyclone cert show` on the peer). Use that name, make a certificate with the right `--san`, or list its common "\
  "name in `tls.AuthorizedCNs`.")                                                                                    \
M(PEER_WRONG_USE, "KC0306E", "The peer's certificate is not for this use.",                                          \
  "Its extended key usage lacks client or server authentication. Each machine is both.",                             \
  "`keyclone cert create` makes certificates with both; ask your authority for `serverAuth` and `clientAuth`.")      \
M(PEER_WRONG_ROLE, "KC0307E", "The peer's certificate has the wrong role.",                                          \
  "The installation's authority issued it for a clone, and it was used to act as a master, or the other way round.", \
  "If nobody copied certificates between machines on purpose, one was stolen: find out from the address in the audit"\
  " record, and replace the certificate.")                                                                           \
M(PEER_REVOKED, "KC0308E", "The peer's certificate is revoked.",                                                     \
  "Its authority has taken it back: it is on a list in `tls.CRLFile`, or on that of the installation's authority "   \
  "(`keyclone cert revoke`, `keyclone clone remove`). The message says since when.",                                 \
  "If the machine is to stay: give it a new certificate. If not, and it is a clone of this master: `keyclone clone " \
  "remove HOST:PORT`. Somebody who has its key may be trying: see the address in the audit record.")                 \
M(PEER_TLS_VERSION, "KC0309E", "The peer's TLS version is too old.",                                                 \
  "It does not speak the version that `tls.MinimumVersion` asks for (1.3 unless configured).",                       \
  "Update the peer. Only if that is impossible: `keyclone config set tls.MinimumVersion=1.2` on this side.")         \
M(PEER_NOT_TLS, "KC0310E", "The peer does not speak TLS.",                                                           \
  "What came is not a TLS handshake: a port scan, a monitoring probe or another program.",                           \
  "Let monitoring ask `keyclone status` instead. Let only master and clones reach the port.")                        \
M(PEER_NOT_KEYCLONE, "KC0311E", "The peer does not speak keyclone/1.",                                               \
  "TLS works, but the protocol was not agreed upon: another program, or an incompatible version of keyclone.",       \
  "Check address, port and versions (`keycloned --version` on both).")                                               \
M(PEER_NOT_AUTHORIZED, "KC0312E", "The peer is not authorised.",                                                     \
  "Its certificate is good, but it is not one of ours: the host is not in the fleet and its common name is not in "  \
  "`tls.AuthorizedCNs`.",                                                                                            \
  "On the master, `keyclone clone add HOST:PORT` if it should be a clone.")                                          \
M(PEER_REFUSED_US, "KC0313E", "The peer refused our certificate.",                                                   \
  "The handshake was ended by the other side. TLS does not say much; its own audit log does.",                       \
  "On the other machine: `keyclone audit --event peer --failed`.")                                                   \
M(CERT_EXPIRES_SOON, "KC0320W", "A certificate ends soon.",                                                          \
  "This machine's certificate, a trusted one or a peer's is near its end; when it is past, replication with it stops. "\
  "It is said 60, 30, 15, 7, 3 and 1 days before.",                                                                  \
  "What the own authority made is renewed by itself: look for a warning that says why not, or try `keyclone cert "   \
  "renew`. One that comes as files: put the new set into `tls.ExternalCertDir`, or `keyclone cert renew --from DIR`. "\
  "A shared one: `keyclone cert rotate`. A trusted authority: `keyclone cert rotate` where it is the own one, else " \
  "`keyclone trust add` of its successor on each machine, then `keyclone reload`.")                                  \
M(CERT_EXPIRED, "KC0321E", "A certificate has expired.",                                                             \
  "This machine's certificate, a trusted one or a peer's is past its end; nobody takes it any more.",                \
  "Another one, on the machine whose it is: `keyclone cert renew --from DIR`, or `cert create` or `cert import` and "\
  "`keyclone reload`; set `backup.TLSCertAlias` if the alias is new.")                                               \
M(OTHER_SIGNER, "KC0322E", "The backup is signed by another key.",                                                   \
  "This clone has pinned the signing key of the installation with its first backup, and this backup was signed with "\
  "another. It was not restored.",                                                                                   \
  "If the master was not set up anew, somebody else sent it: see KC0070E. If it was, on purpose: this clone starts "  \
  "anew too (`keyclone init clone` in a new folder, with the same `keydb.Path`).")

/* Enrolment. */
#define MSG_TABLE_ENROLL(M)                                                                                          \
M(TOKEN_UNKNOWN, "KC0331E", "The token is not valid here.",                                                          \
  "Somebody tried to enrol a clone with a token that this master does not have: it was used, has expired or was "    \
  "revoked, or another master made it.",                                                                             \
  "If a clone is to join: `keyclone enroll token` here, and `keyclone enroll join` with the new token there. "       \
  "`keyclone enroll list` shows which tokens are valid. If nobody of you did it: a stranger tries tokens that he "   \
  "has found; they are worth nothing.")                                                                              \
M(TOKEN_WRONG, "KC0332E", "The secret of the token is wrong.",                                                       \
  "Somebody named a valid token and did not know its secret: he has seen the session of the one who has it, or "     \
  "guesses. Guessing is hopeless: the secret has 256 bits.",                                                         \
  "If it was yours: give the clone the whole token, as `keyclone enroll token` printed it. If it was not: "          \
  "`keyclone enroll revoke` and a new token cost nothing, and only clones need to reach the master's port.")         \
M(TOKEN_MANY, "KC0333E", "Too many wrong tokens came from that address.",                                            \
  "Ten tokens from one address were wrong within a minute. Until the minute is over none from there is looked at, "  \
  "not even a right one.",                                                                                           \
  "Wait a minute. If it goes on, and is none of yours, keep that address from the master's port.")                   \
M(TOKEN_REFUSED, "KC0334E", "A clone was not enrolled.",                                                             \
  "The token was right, but what the clone asked for could not be done; the message beside the code says why. The "  \
  "token was not used up.",                                                                                          \
  "Do what the message says, then `keyclone enroll join` with the same token again.")

/* Backups and restores by hand. */
#define MSG_TABLE_BACKUP(M)                                                                                          \
M(WOULD_LOSE_ROWS, "KC0401E", "The restore would lose rows.",                                                        \
  "The live key database has rows that the backup lacks: keys made after it. They are listed; nothing was changed.", \
  "`--merge` adds what is missing and keeps everything that is there; that is mostly what is wanted. `--discard` "    \
  "makes the database equal to the backup and destroys those rows, after a safety backup.")                          \
M(NO_PASSWORD, "KC0402E", "No backup password is configured.",                                                       \
  "Backups are always encrypted, and the configuration has no password for them.",                                   \
  "`backup.EncryptionPassword=…` in the properties file (it is replaced by a sealed value at the first start), or "  \
  "`backup.EncryptionPasswordFile`.")                                                                                \
M(PASSWORD_UNSEAL, "KC0403E", "The sealed password cannot be opened.",                                               \
  "`backup.ObfuscatedEncryptionPassword` was sealed on another machine or by the original product, or `seal.key` in "\
  "the secrets directory was replaced.",                                                                             \
  "Put `backup.EncryptionPassword=…` into the properties file in its place; it is sealed again at the next start. "  \
  "Old backups keep their old password.")                                                                            \
M(RETENTION_FAILED, "KC0404W", "An old backup could not be deleted.",                                                \
  "More backups than `replication.MaxBackupNum` are kept, because removing one failed.",                             \
  "Look at owner and mode of the backup directory.")                                                                 \
M(HEADER_MISSING, "KC0405E", "The clone cannot open a stored backup.",                                               \
  "What this clone needs to open the file with its own key is not in its state (it was lost or is of another file).",\
  "The master sends it again at the next replication. By hand: `keyclone backup restore FILE` with the password.")

/* The service itself. */
#define MSG_TABLE_SERVICE(M)                                                                                         \
M(PORT_IN_USE, "KC0501E", "A port is in use.",                                                                       \
  "Another program, or another keycloned, listens there.",                                                           \
  "`ss -ltnp` shows who. Change `replication.MasterListenPort` or `restore.ListenPort`, on the other side too.")     \
M(AUDIT_UNWRITABLE, "KC0502E", "The audit log cannot be written.",                                                   \
  "What cannot be recorded is not done: the operation was refused. The disk is full, or the log's directory is not " \
  "writable for the service.",                                                                                       \
  "`df -h` and `ls -ld` on `replication.LogDir`. It goes on by itself once it can be written.")                      \
M(AUDIT_TORN, "KC0503W", "A line of the audit log was cut short.",                                                   \
  "A crash or a full disk interrupted the writing of one record. The line was closed and the chain goes on.",        \
  "Nothing. `keyclone audit --verify` counts such lines apart from tampering.")                                      \
M(AUDIT_TAMPERED, "KC0504E", "The audit log is not what was written.",                                               \
  "A record was edited, removed or reordered after it was written: the chain of hashes does not fit at the place "   \
  "that `keyclone audit --verify` names, or records are missing that the state database knows of.",                  \
  "Keep the files as they are, copy them elsewhere, and compare with the other machines' logs, which hold the other "\
  "half of every replication. Find out who can write to `replication.LogDir`.")                                      \
M(NOT_CONFINED, "KC0505W", "The daemon is not confined.",                                                            \
  "The kernel lacks Landlock or seccomp, or they are switched off. Everything works, with one wall less.",           \
  "A kernel of 5.19 or later with `landlock` in its `lsm=` list.")                                                   \
M(HOOK_FAILED, "KC0520E", "A command of the operator failed.",                                                       \
  "`restore.AfterCommand` or `replication.AlertCommand` could not be run, ended with another status than 0, or took "\
  "longer than a minute. Replication itself is not affected.",                                                       \
  "`keyclone audit --event hook.end` says why, the daemon's log has its first lines of output. It runs without a "   \
  "shell, as the service's user, with an environment of its own: see keyclone.properties(5).")                       \
M(MASTER_SILENT, "KC0521W", "The master is silent.",                                                                 \
  "This clone has not heard its master for longer than `replication.MaxSilence`: the master or its daemon is down, " \
  "or cannot reach this clone.",                                                                                     \
  "`keyclone check` here and on the master. If the master is lost: `keyclone promote` on one clone.")

#define MSG_TABLE(M)             \
	MSG_TABLE_STATUS(M)      \
	MSG_TABLE_RESULT(M)      \
	MSG_TABLE_REPLICATION(M) \
	MSG_TABLE_PEER(M)        \
	MSG_TABLE_ENROLL(M)      \
	MSG_TABLE_BACKUP(M)      \
	MSG_TABLE_SERVICE(M)

/* clang-format on */

#endif
