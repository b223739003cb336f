/* SPDX-License-Identifier: Apache-2.0 */
/* conf_check: rules over more than one property: the clones' numbers, roles, what is required, what must exist. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>

#include "command.h"
#include "conf_int.h"
#include "err.h"
#include "file.h"
#include "mem.h"

#define ROW(field) row_at(offsetof(struct conf, field))

static const struct conf_row *row_at(size_t offset)
{
	for (size_t i = 0; i < conf_row_count; i++)
		if (!conf_rows[i].later && conf_rows[i].offset == offset)
			return &conf_rows[i];
	abort();
}

static int line_of(const struct conf_ctx *x, const struct conf_row *row)
{
	return x->c->lines[row - conf_rows];
}

/* --- clones --- */

static void check_clones(struct conf_ctx *x)
{
	struct conf *c = x->c;
	int missing = 0;

	c->clones = mem_xcalloc(CONF_CLONES_MAX, sizeof(c->clones[0]));
	for (int n = 1; n <= CONF_CLONES_MAX; n++) {
		struct conf_clone clone = { .host = x->slots[n].host, .port = x->slots[n].port };

		if (x->slots[n].host_line == 0) {
			if (x->slots[n].port_line != 0)
				conf_note(x, true, x->slots[n].port_line, NULL, "%s%d: there is no %s%d",
				    CONF_CLIENT_PORT, n, CONF_CLIENT_IP, n);
			if (missing == 0)
				missing = n;
			continue;
		}
		if (missing != 0) {
			conf_note(x, true, x->slots[n].host_line, NULL,
			    "%s%d: there is no %s%d; the numbers run from 1 without a gap", CONF_CLIENT_IP, n,
			    CONF_CLIENT_IP, missing);
			missing = 0;
		}
		if (clone.host == NULL)
			continue;
		if (clone.port == 0)
			clone.port = CONF_CLIENT_PORT_NO;
		for (size_t i = 0; i < c->clone_count; i++)
			if (strcasecmp(c->clones[i].host, clone.host) == 0 && c->clones[i].port == clone.port)
				conf_note(x, true, x->slots[n].host_line, NULL, "%s%d: is the same clone as %s%zu",
				    CONF_CLIENT_IP, n, CONF_CLIENT_IP, i + 1);
		clone.host = mem_xstrdup(clone.host);
		c->clones[c->clone_count++] = clone;
	}
}

/* --- roles --- */

static void check_role(struct conf_ctx *x)
{
	bool master = x->c->role == CONF_MASTER;
	unsigned mine = master ? CONF_ON_MASTER : CONF_ON_CLONE;
	const char *reason = master ? "has no effect on a master" : "has no effect on a clone";

	for (size_t i = 0; i < conf_row_count; i++)
		if (x->c->lines[i] != 0 && (conf_rows[i].role & mine) == 0)
			conf_note(x, false, x->c->lines[i], conf_rows[i].name, "%s", reason);
	/* Once for the whole fleet. */
	for (int n = 1; !master && n <= CONF_CLONES_MAX; n++)
		if (x->slots[n].host_line != 0) {
			conf_note(x, false, x->slots[n].host_line, NULL, "%s%d: %s", CONF_CLIENT_IP, n, reason);
			break;
		}
}

/* --- the password --- */

static void check_sealed(struct conf_ctx *x)
{
	const struct conf_row *row = ROW(sealed_password);
	const char *sealed = x->c->sealed_password;
	bool fatal = x->c->role == CONF_MASTER && x->c->password == NULL && x->c->password_file == NULL;

	if (sealed == NULL || strncmp(sealed, CONF_SEALED_PREFIX, strlen(CONF_SEALED_PREFIX)) == 0)
		return;
	conf_note(x, fatal, line_of(x, row), row->name,
	    "was obfuscated by another product and cannot be read here; write the password itself as "
	    "backup.EncryptionPassword");
	mem_secret_free(x->c->sealed_password);
	x->c->sealed_password = NULL;
}

/* A bare name may be that of a credential that systemd hands to the service. */
static void find_credential(struct conf_ctx *x)
{
	const char *dir = getenv("CREDENTIALS_DIRECTORY");
	char *in_dir, *path;

	if (dir == NULL || dir[0] != '/' || x->c->password_file == NULL)
		return;
	in_dir = file_join(x->c->dir, file_basename(x->c->password_file));
	path = file_join(dir, file_basename(x->c->password_file));
	if (strcmp(in_dir, x->c->password_file) == 0 && file_exists(path)) {
		free(x->c->password_file);
		x->c->password_file = path;
		path = NULL;
	}
	free(in_dir);
	free(path);
}

static void check_password(struct conf_ctx *x, unsigned flags)
{
	const struct conf_row *file = ROW(password_file), *plain = ROW(password), *sealed = ROW(sealed_password);
	struct conf *c = x->c;
	struct stat st;

	check_sealed(x);
	find_credential(x);
	c->password_set = c->password != NULL || c->sealed_password != NULL || c->password_file != NULL;
	if (line_of(x, file) != 0 && (line_of(x, plain) != 0 || c->sealed_password != NULL))
		conf_note(x, true, line_of(x, file), file->name, "%s is set as well; only one can be",
		    line_of(x, plain) != 0 ? plain->name : sealed->name);
	if ((flags & CONF_START) && c->role == CONF_MASTER && line_of(x, plain) == 0 && line_of(x, sealed) == 0 &&
	    line_of(x, file) == 0)
		conf_note(x, true, 0, plain->name, "is required on a master");
	if ((flags & CONF_START) && c->password_file != NULL && stat(c->password_file, &st) == 0 &&
	    S_ISREG(st.st_mode) && (st.st_mode & 07) != 0)
		conf_note(x, false, line_of(x, file), file->name, "%s has mode %04o: everybody may read it",
		    c->password_file, (unsigned)st.st_mode & 07777);
}

/* --- paths --- */

static void check_windows(struct conf_ctx *x, const struct conf_row *row, const char *path)
{
	const char *name = file_basename(path);

	if (((name[0] | 0x20) >= 'a' && (name[0] | 0x20) <= 'z' && name[1] == ':' && name[2] == '\\') ||
	    strncmp(name, "\\\\", 2) == 0)
		conf_note(
		    x, false, line_of(x, row), row->name, "looks like a path of Windows; here it is the name %s", path);
}

static void check_path(struct conf_ctx *x, const struct conf_row *row, const char *path, unsigned flags)
{
	struct stat st;
	bool there = stat(path, &st) == 0;

	if (line_of(x, row) != 0)
		check_windows(x, row, path);
	if (!(flags & CONF_START))
		return;
	if (there && (row->flags & CONF_F_DIR) && !S_ISDIR(st.st_mode))
		conf_note(x, true, line_of(x, row), row->name, "%s is not a directory", path);
	if (there || !(row->flags & CONF_F_EXIST) || line_of(x, row) == 0)
		return;
	/* A clone's key database comes with its first restore. */
	if (row == ROW(keydb_path) && x->c->role == CONF_CLONE)
		return;
	conf_note(x, true, line_of(x, row), row->name, "%s: %s", path, strerror(errno));
}

void conf_resolve_log(struct conf *c, const char *log_dir)
{
	char *log = file_join(strchr(c->audit_log, '/') != NULL ? c->dir : log_dir, c->audit_log);

	free(c->audit_log);
	c->audit_log = log;
}

static void check_paths(struct conf_ctx *x, unsigned flags)
{
	struct conf *c = x->c;

	for (size_t i = 0; i < conf_row_count; i++) {
		const struct conf_row *row = &conf_rows[i];

		if (!row->later && row->type == CONF_PATH && *(char **)conf_member(c, row) != NULL)
			check_path(x, row, *(char **)conf_member(c, row), flags);
	}
	if (c->audit_log != NULL && c->log_dir != NULL) /* else it was said already */
		conf_resolve_log(c, c->log_dir);
}

/* --- commands --- */

/* A program that is not there, or that others may change, is a warning: replication works without it. */
static void check_command(struct conf_ctx *x, const struct conf_row *row, const char *text, unsigned flags)
{
	struct command command;
	char *path = NULL;
	int rc;

	if (text == NULL)
		return;
	if (command_parse(&command, text) < 0) {
		conf_note(x, true, line_of(x, row), row->name, "%s", err_text(KC_EFORMAT));
		return;
	}
	if (flags & CONF_START) {
		rc = command_find(&path, &command);
		if (rc == KC_OK)
			rc = command_check_safe(path);
		if (rc < 0)
			conf_note(x, false, line_of(x, row), row->name, "%s", err_text(rc));
	}
	free(path);
	command_fini(&command);
}

void conf_check(struct conf_ctx *x, unsigned flags)
{
	struct conf *c = x->c;
	const struct conf_row *max = ROW(retry_max_ms), *alias = ROW(tls_alias);

	check_clones(x);
	check_role(x);
	check_password(x, flags);
	check_paths(x, flags);
	check_command(x, ROW(after_command), c->after_command, flags);
	check_command(x, ROW(alert_command), c->alert_command, flags);
	conf_files_check(x);
	if (c->retry_min_ms > c->retry_max_ms)
		conf_note(x, true, line_of(x, max) != 0 ? line_of(x, max) : line_of(x, ROW(retry_min_ms)), max->name,
		    "is less than replication.RetryMin");
	if (c->tls_alias != NULL && strncmp(c->tls_alias, "pkcs11:", 7) == 0 &&
	    strstr(c->tls_alias, "pin-value=") != NULL)
		conf_note(x, true, line_of(x, alias), alias->name,
		    "pin-value is a PIN in the configuration, which others read; pin-source=file:… names a file with "
		    "it");
}
