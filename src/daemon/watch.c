/* SPDX-License-Identifier: Apache-2.0 */
/* watch: see watch.h. */
#include "watch.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <unistd.h>

#include "base/err.h"
#include "base/file.h"
#include "base/mem.h"

#define WANTED \
	(IN_MODIFY | IN_CREATE | IN_DELETE | IN_MOVED_TO | IN_MOVED_FROM | IN_DELETE_SELF | IN_MOVE_SELF | IN_ONLYDIR)

struct watch {
	struct loop_fd *watch;
	struct watch_events events;
	void *arg;
	char *name; /* of the database in its folder */
	int fd;
};

static bool is_ours(const struct watch *w, const char *name)
{
	size_t n = strlen(w->name);

	if (strncmp(name, w->name, n) != 0)
		return false;
	return name[n] == '\0' || strcmp(name + n, "-wal") == 0 || strcmp(name + n, "-journal") == 0;
}

static void on_readable(int fd, int events, void *arg)
{
	_Alignas(struct inotify_event) char buf[16384];
	struct watch *w = arg;
	const char *lost = NULL;
	bool changed = false;
	ssize_t n;

	(void)events;
	while ((n = read(fd, buf, sizeof(buf))) > 0) {
		const struct inotify_event *e;

		for (char *p = buf; p < buf + n; p += sizeof(*e) + e->len) {
			e = (const struct inotify_event *)p;
			if ((e->mask & (IN_IGNORED | IN_DELETE_SELF | IN_MOVE_SELF | IN_UNMOUNT)) != 0)
				lost = "its folder was moved or removed";
			else if ((e->mask & IN_Q_OVERFLOW) != 0 || (e->len > 0 && is_ours(w, e->name)))
				changed = true;
		}
	}
	if (n < 0 && errno != EAGAIN && errno != EINTR)
		lost = strerror(errno);
	if (lost != NULL) {
		loop_fd_want(w->watch, 0);
		w->events.lost(lost, w->arg);
	} else if (changed) {
		w->events.changed(w->arg);
	}
}

int watch_new(struct watch **out, struct loop *l, const char *database, const struct watch_events *events, void *arg)
{
	struct watch *w;
	const char *name = strrchr(database, '/');
	char *dir = file_dirname(database);
	int fd = inotify_init1(IN_NONBLOCK | IN_CLOEXEC), rc = KC_OK;

	if (fd < 0)
		rc = err_errno("inotify");
	else if (inotify_add_watch(fd, dir, WANTED) < 0)
		rc = err_errno("%s: cannot be watched", dir);
	free(dir);
	if (rc < 0) {
		if (fd >= 0)
			close(fd);
		return rc;
	}
	w = mem_xalloc(sizeof(*w));
	w->fd = fd;
	w->events = *events;
	w->arg = arg;
	w->name = mem_xstrdup(name != NULL ? name + 1 : database);
	w->watch = loop_fd_new(l, fd, on_readable, w);
	loop_fd_want(w->watch, LOOP_READ);
	*out = w;
	return KC_OK;
}

void watch_free(struct watch *w)
{
	if (w == NULL)
		return;
	loop_fd_free(w->watch);
	close(w->fd);
	free(w->name);
	free(w);
}
