/* SPDX-License-Identifier: Apache-2.0 */
/*
 * audit_events: the closed table of everything that is audited. An event that is not here cannot be written, and a
 * name here never changes its meaning: programs outside read them.
 *
 * A(constant, name in the log)
 */
#ifndef KC_AUDIT_EVENTS_H
#define KC_AUDIT_EVENTS_H

/* clang-format off */
#define AUDIT_EVENTS(A)                                       \
	A(AUDIT_DAEMON_START,      "daemon.start")            \
	A(AUDIT_DAEMON_STOP,       "daemon.stop")             \
	A(AUDIT_TASK_START,        "task.start")              \
	A(AUDIT_TASK_STOP,         "task.stop")               \
	A(AUDIT_TASK_REMIND,       "task.remind")             \
	A(AUDIT_CONFIG_CHANGE,     "config.change")           \
	A(AUDIT_CONFIG_RELOAD,     "config.reload")           \
	A(AUDIT_PASSWORD_SEAL,     "password.seal")           \
	A(AUDIT_REPLICATION_START, "replication.start")       \
	A(AUDIT_REPLICATION_END,   "replication.end")         \
	A(AUDIT_RUN_HELD,          "run.held")                \
	A(AUDIT_BACKUP_CREATE,     "backup.create")           \
	A(AUDIT_BACKUP_DELETE,     "backup.delete")           \
	A(AUDIT_BACKUP_VERIFY,     "backup.verify")           \
	A(AUDIT_BACKUP_RESTORE,    "backup.restore")          \
	A(AUDIT_PUSH_START,        "push.start")              \
	A(AUDIT_PUSH_END,          "push.end")                \
	A(AUDIT_RECEIVE_START,     "receive.start")           \
	A(AUDIT_RECEIVE_END,       "receive.end")             \
	A(AUDIT_RESTORE_START,     "restore.start")           \
	A(AUDIT_RESTORE_END,       "restore.end")             \
	A(AUDIT_RESTORE_POSTPONE,  "restore.postpone")        \
	A(AUDIT_REPORT_SEND,       "report.send")             \
	A(AUDIT_REPORT_RECEIVE,    "report.receive")          \
	A(AUDIT_CLONE_ADDED,       "clone.added")             \
	A(AUDIT_CLONE_REMOVED,     "clone.removed")           \
	A(AUDIT_CLONE_HELD,        "clone.held")              \
	A(AUDIT_CLONE_RESUMED,     "clone.resumed")           \
	A(AUDIT_CLONE_DIVERGED,    "clone.diverged")          \
	A(AUDIT_CLONE_DISCARDED,   "clone.discarded")         \
	A(AUDIT_PROMOTE,           "promote")                 \
	A(AUDIT_DEMOTE,            "demote")                  \
	A(AUDIT_ALERT_RAISE,       "alert.raise")             \
	A(AUDIT_ALERT_CLEAR,       "alert.clear")             \
	A(AUDIT_HOOK_START,        "hook.start")              \
	A(AUDIT_HOOK_END,          "hook.end")                \
	A(AUDIT_CERT_CREATE,       "cert.create")             \
	A(AUDIT_CERT_REQUEST,      "cert.request")            \
	A(AUDIT_CERT_IMPORT,       "cert.import")             \
	A(AUDIT_CERT_EXPORT,       "cert.export")             \
	A(AUDIT_CERT_REMOVE,       "cert.remove")             \
	A(AUDIT_CERT_ROTATE,       "cert.rotate")             \
	A(AUDIT_CERT_RENEW,        "cert.renew")              \
	A(AUDIT_CERT_EXPIRING,     "cert.expiring")           \
	A(AUDIT_CERT_REVOKE,       "cert.revoke")             \
	A(AUDIT_TRUST_ADD,         "trust.add")               \
	A(AUDIT_TRUST_REMOVE,      "trust.remove")            \
	A(AUDIT_ENROLL_TOKEN,      "enroll.token")            \
	A(AUDIT_ENROLL_REVOKE,     "enroll.revoke")           \
	A(AUDIT_ENROLL_JOIN,       "enroll.join")             \
	A(AUDIT_PEER_LOG_CUT,      "peer.log-cut")            \
	A(AUDIT_PEER_REFUSED,      "peer.refused")            \
	A(AUDIT_KEY_GENERATE,      "key.generate")            \
	A(AUDIT_KEY_IMPORT,        "key.import")              \
	A(AUDIT_KEY_EXPORT,        "key.export")              \
	/* a key handed out by a clone */                     \
	A(AUDIT_KEY_SERVE,         "key.serve")               \
	A(AUDIT_KEY_SET_STATE,     "key.set-state")           \
	A(AUDIT_KEY_DESTROY,       "key.destroy")             \
	A(AUDIT_KEY_RELEASE,       "key.release")             \
	/* a line cut short by a crash was closed; its hash is this record's prev */ \
	A(AUDIT_AUDIT_REPAIR,      "audit.repair")            \
	/* records are missing at the end that were there when the daemon ended */ \
	A(AUDIT_AUDIT_CUT,         "audit.cut")
/* clang-format on */

#endif
