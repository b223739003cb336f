/* SPDX-License-Identifier: Apache-2.0 */
/* init_text: the properties file of a new master or clone, with the comments that a first reader needs. */
#include <string.h>

#include "base/buf.h"
#include "base/conf_int.h"
#include "base/mem.h"
#include "init.h"

static void put(struct buf *b, const char *name, const char *value)
{
	buf_putf(b, "%s=", name);
	conf_props_encode(b, value, conf_row_find(name));
	buf_put_u8(b, '\n');
}

static void put_master(struct buf *b, const struct init *in)
{
	buf_put_str(b, "# keyclone: a master. Every property: keyclone.properties(5).\n"
		       "# After a change: keyclone config check, then reload or restart keycloned.\n"
		       "replication.role=master\n\n"
		       "# Clones report here.\n");
	buf_putf(b, "replication.MasterListenPort=%d\n\n", in->port);
	buf_put_str(b,
	    "# The clones, numbered from 1 (or: keyclone clone add HOST:PORT). Without any, backups are made\n"
	    "# and kept here only.\n"
	    "#backup.ClientIP1=10.0.0.5\n#backup.ClientPort1=2222\n\n"
	    "# How often the key database is looked at for changes: minutes, or a number with s, m, h or d.\n"
	    "# Or, instead, daily at a local time of day: backup.DailyStartReplicationBackupTime=23:00\n"
	    "backup.CheckFrequency=60\n\n"
	    "# Besides, replicate as soon as it changes.\n"
	    "backup.OnChange=true\n\n"
	    "# Full backups kept.\n"
	    "replication.MaxBackupNum=10\n\n");
}

static void put_clone(struct buf *b, const struct init *in)
{
	char number[16];

	buf_put_str(b, "# keyclone: a clone. Every property: keyclone.properties(5).\n"
		       "# After a change: keyclone config check, then reload or restart keycloned.\n"
		       "replication.role=clone\n\n"
		       "# The master pushes backups to this port.\n");
	buf_putf(b, "restore.ListenPort=%d\n\n", in->port);
	buf_put_str(b,
	    "# The master: who may push, and where this clone reports. Without a host, the first master whose\n"
	    "# certificate and signature are right.\n");
	if (in->master_host != NULL)
		put(b, "replication.MasterHost", in->master_host);
	else
		buf_put_str(b, "#replication.MasterHost=10.0.0.1\n");
	snprintf(number, sizeof(number), "%d", in->master_port);
	put(b, "replication.MasterListenPort", number);
	buf_put_str(b, "\n# Full backups kept.\nreplication.MaxBackupNum=10\n\n");
}

char *init_text(const struct init *in)
{
	struct buf b;
	char *text;

	buf_init(&b, 65536);
	if (in->master)
		put_master(&b, in);
	else
		put_clone(&b, in);
	buf_put_str(&b, "# The key database that is replicated: any SQLite database; this one is built in.\n");
	if (in->keydb != NULL)
		put(&b, "keydb.Path", in->keydb);
	else
		buf_put_str(&b, "#keydb.Path=keydb.sqlite\n");
	buf_put_str(&b, "\n# The certificate in keystore/ that this machine shows.\n");
	if (in->alias != NULL)
		put(&b, "backup.TLSCertAlias", in->alias);
	else
		buf_put_str(&b, "#backup.TLSCertAlias=ssl_cert\n");
	if (in->external != NULL) {
		buf_put_str(&b, "\n# Watched for the next one.\n");
		put(&b, "tls.ExternalCertDir", in->external);
	}
	if (in->sealed != NULL) {
		buf_put_str(
		    &b, "\n# The password of backups, sealed. A new one: keyclone config set --password-file FILE\n");
		buf_putf(&b, "backup.ObfuscatedEncryptionPassword=%s\n", in->sealed);
	}
	text = mem_xstrdup(buf_str(&b));
	buf_fini(&b);
	return text;
}
