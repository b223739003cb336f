/* SPDX-License-Identifier: Apache-2.0 */
/*
 * conf_edit: changes of a configuration file: locked, checked before they are written, in one step, with its mode and
 * owner kept. The lock is on the directory: the file itself is replaced.
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "conf_text.h"
#include "err.h"
#include "file.h"
#include "host.h"

struct edit {
	char *path; /* links resolved */
	const char *label;
	int lock;
	struct stat st;
	struct conf_text t;
	struct buf before;
};

static void edit_end(struct edit *e)
{
	conf_text_fini(&e->t);
	buf_fini(&e->before);
	if (e->lock >= 0)
		close(e->lock);
	free(e->path);
}

static int edit_begin(struct edit *e, const char *path)
{
	char *dir;
	int rc;

	*e = (struct edit){ .label = path, .lock = -1, .t.cfg = conf_is_cfg(path) };
	buf_init(&e->t.text, CONF_FILE_MAX);
	buf_init(&e->before, CONF_FILE_MAX);
	e->path = realpath(path, NULL);
	if (e->path == NULL)
		return err_errno("%s", path);
	dir = file_dirname(e->path);
	e->lock = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (e->lock < 0 || flock(e->lock, LOCK_EX) < 0)
		rc = err_errno("%s: cannot lock", dir);
	else if (stat(e->path, &e->st) < 0)
		rc = err_errno("%s", path);
	else
		rc = file_read(&e->t.text, e->path);
	free(dir);
	if (rc == KC_OK) {
		buf_put(&e->before, buf_data(&e->t.text), buf_len(&e->t.text));
		rc = buf_status(&e->before);
	}
	return rc;
}

/* A problem without "FILE:LINE: ", which an edit moves. */
static const char *bare(const char *note, const char *label)
{
	size_t n = strlen(label);

	if (strncmp(note, label, n) != 0)
		return note;
	note += n;
	if (*note == ':')
		note += 1 + strspn(note + 1, "0123456789");
	return note;
}

static bool contains(const struct conf_list *l, const char *note, const char *label)
{
	for (size_t i = 0; i < l->count; i++)
		if (strcmp(bare(l->items[i], label), bare(note, label)) == 0)
			return true;
	return false;
}

/* What is wrong now and was not before goes to `p`. KC_ECONF if an error is among it. */
static int edit_check(const struct edit *e, struct conf_problems *p)
{
	struct conf_problems old = CONF_PROBLEMS_EMPTY, new = CONF_PROBLEMS_EMPTY;
	struct conf *c = NULL;
	int rc = KC_OK;

	if (conf_load_text(&c, e->label, buf_data(&e->before), buf_len(&e->before), CONF_START, &old) == KC_OK)
		conf_free(c);
	if (conf_load_text(&c, e->label, buf_data(&e->t.text), buf_len(&e->t.text), CONF_START, &new) == KC_OK)
		conf_free(c);
	for (size_t i = 0; i < new.errors.count; i++) {
		if (contains(&old.errors, new.errors.items[i], e->label))
			continue;
		if (rc == KC_OK)
			rc = err_set(KC_ECONF, "%s", new.errors.items[i]);
		if (p != NULL)
			conf_list_add(&p->errors, new.errors.items[i]);
	}
	for (size_t i = 0; p != NULL && i < new.warnings.count; i++)
		if (!contains(&old.warnings, new.warnings.items[i], e->label))
			conf_list_add(&p->warnings, new.warnings.items[i]);
	conf_problems_fini(&old);
	conf_problems_fini(&new);
	return rc;
}

static int edit_judge(const struct edit *e, conf_judge_fn judge, struct conf_problems *p)
{
	struct conf *before = NULL, *after = NULL;
	size_t known = p->errors.count;

	(void)conf_load_text(&before, e->label, buf_data(&e->before), buf_len(&e->before), 0, NULL);
	if (conf_load_text(&after, e->label, buf_data(&e->t.text), buf_len(&e->t.text), 0, NULL) == KC_OK)
		judge(p, before, after);
	conf_free(before);
	conf_free(after);
	return p->errors.count > known ? err_set(KC_ECONF, "%s", p->errors.items[known]) : KC_OK;
}

static int edit_write(const struct edit *e)
{
	struct file_new f = FILE_NEW_EMPTY;
	struct stat st;
	int rc;

	if (buf_len(&e->t.text) == buf_len(&e->before) &&
	    memcmp(buf_data(&e->t.text), buf_data(&e->before), buf_len(&e->before)) == 0)
		return KC_OK;
	rc = file_new_begin(&f, e->path, e->st.st_mode & 07777);
	if (rc < 0)
		return rc;
	if (fstat(f.fd, &st) < 0)
		rc = err_errno("%s", e->path);
	else if ((st.st_uid != e->st.st_uid || st.st_gid != e->st.st_gid) &&
		 fchown(f.fd, e->st.st_uid, e->st.st_gid) < 0)
		rc = err_errno("%s: cannot keep its owner", e->path);
	else if (fchmod(f.fd, e->st.st_mode & 07777) < 0) /* a change of owner may have cleared bits */
		rc = err_errno("%s: cannot set the mode", e->path);
	if (rc < 0) {
		file_new_abort(&f);
		return rc;
	}
	file_new_write(&f, buf_data(&e->t.text), buf_len(&e->t.text));
	return file_new_commit(&f);
}

static int edit_finish(struct edit *e, int rc, conf_judge_fn judge, struct conf_problems *p)
{
	if (rc == KC_OK)
		rc = edit_check(e, p);
	if (rc == KC_OK && judge != NULL)
		rc = edit_judge(e, judge, p);
	if (rc == KC_OK)
		rc = edit_write(e);
	edit_end(e);
	return rc;
}

int conf_edit_judged(
    const char *path, const struct conf_change *changes, size_t count, conf_judge_fn judge, struct conf_problems *p)
{
	struct edit e;
	int rc = edit_begin(&e, path);

	for (size_t i = 0; rc == KC_OK && i < count; i++)
		rc = conf_text_put(&e.t, changes[i].name, changes[i].value);
	return edit_finish(&e, rc, judge, p);
}

int conf_edit(const char *path, const struct conf_change *changes, size_t count, struct conf_problems *p)
{
	return conf_edit_judged(path, changes, count, NULL, p);
}

int conf_check_name(const char *name)
{
	const struct conf_row *row = conf_row_find(name);
	char *text;
	int rc = KC_OK;

	if (conf_is_secret(row))
		return err_set(KC_EUSAGE,
		    "%s: a secret is not given as an argument; use --password-file FILE (config set --password-file)",
		    name);
	if (row == NULL) {
		text = conf_unknown(name);
		rc = err_set(KC_ECONF, "%s: %s", name, text);
		free(text);
	}
	return rc;
}

/* --- the fleet --- */

static int fleet_of(struct conf **c, const struct edit *e, struct conf_problems *p)
{
	return conf_load_text(c, e->label, buf_data(&e->before), buf_len(&e->before), 0, p);
}

static size_t index_of(const struct conf *c, const char *host, int port)
{
	size_t i = 0;

	while (i < c->clone_count && (strcasecmp(c->clones[i].host, host) != 0 || c->clones[i].port != port))
		i++;
	return i;
}

static int about_clone(int code, const char *host, int port, const char *what)
{
	char *name = host_port_format(host, port);

	err_set(code, "%s %s", name, what);
	free(name);
	return code;
}

static int add_clone(struct edit *e, const struct conf *c, const char *host, int port)
{
	char name[40], number[16];
	int rc;

	if (index_of(c, host, port) < c->clone_count)
		return about_clone(KC_EEXIST, host, port, "is a clone already");
	if (c->clone_count == CONF_CLONES_MAX)
		return err_set(KC_ELIMIT, "there are %d clones already, the most there can be", CONF_CLONES_MAX);
	snprintf(name, sizeof(name), CONF_CLIENT_IP "%zu", c->clone_count + 1);
	rc = conf_text_put(&e->t, name, host);
	snprintf(name, sizeof(name), CONF_CLIENT_PORT "%zu", c->clone_count + 1);
	snprintf(number, sizeof(number), "%d", port);
	return rc < 0 ? rc : conf_text_put(&e->t, name, number);
}

int conf_clone_add(const char *path, const char *host, int port, struct conf_problems *p)
{
	struct conf *c = NULL;
	struct edit e;
	int rc = edit_begin(&e, path);

	if (rc == KC_OK)
		rc = fleet_of(&c, &e, p);
	if (rc == KC_OK)
		rc = add_clone(&e, c, host, port);
	conf_free(c);
	return edit_finish(&e, rc, NULL, p);
}

/* The settings of the others keep their lines and get the next lower number. */
static int remove_clone(struct edit *e, const struct conf *c, const char *host, int port)
{
	static const char *const stems[] = { CONF_CLIENT_IP, CONF_CLIENT_PORT };
	size_t i = index_of(c, host, port);
	int rc = KC_OK;

	if (i == c->clone_count)
		return about_clone(KC_ENOENT, host, port, "is not a clone");
	for (size_t k = 0; k < 2; k++)
		for (size_t n = i + 1; rc == KC_OK && n <= c->clone_count; n++) {
			char name[40], next[40];

			snprintf(name, sizeof(name), "%s%zu", stems[k], n);
			snprintf(next, sizeof(next), "%s%zu", strchr(stems[k], '.') + 1, n - 1);
			rc = n == i + 1 ? conf_text_put(&e->t, name, NULL) : conf_text_rename(&e->t, name, next);
		}
	return rc;
}

int conf_clone_remove(const char *path, const char *host, int port, struct conf_problems *p)
{
	struct conf *c = NULL;
	struct edit e;
	int rc = edit_begin(&e, path);

	if (rc == KC_OK)
		rc = fleet_of(&c, &e, p);
	if (rc == KC_OK)
		rc = remove_clone(&e, c, host, port);
	conf_free(c);
	return edit_finish(&e, rc, NULL, p);
}

/* --- the password --- */

int conf_replace_password(const char *path, const char *sealed)
{
	static const char plain[] = "backup.EncryptionPassword", name[] = "backup.ObfuscatedEncryptionPassword";
	struct edit e;
	int rc = edit_begin(&e, path);

	/* The plain one's line becomes the sealed one's, and an older sealed one goes. */
	if (rc == KC_OK && conf_text_has(&e.t, plain)) {
		rc = conf_text_put(&e.t, name, NULL);
		if (rc == KC_OK)
			rc = conf_text_supersede(&e.t, plain, name, sealed);
	} else if (rc == KC_OK) {
		rc = conf_text_put(&e.t, name, sealed);
	}
	return edit_finish(&e, rc, NULL, NULL);
}
