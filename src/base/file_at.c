/* SPDX-License-Identifier: Apache-2.0 */
/* file_at: a file or directory put in its place by its name in an open directory. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "err.h"
#include "file.h"

/* Of two different kinds rename replaces nothing. */
static bool in_the_way(int fromfd, const char *from, int tofd, const char *to)
{
	struct stat a, b;

	return fstatat(fromfd, from, &a, AT_SYMLINK_NOFOLLOW) == 0 && fstatat(tofd, to, &b, AT_SYMLINK_NOFOLLOW) == 0 &&
	       S_ISDIR(a.st_mode) != S_ISDIR(b.st_mode);
}

static int change_places(int fromfd, const char *from, int tofd, const char *to)
{
	int rc;

	if (renameat2(fromfd, from, tofd, to, RENAME_EXCHANGE) == 0)
		return file_remove_tree_at(fromfd, from);
	if (errno != EINVAL && errno != ENOSYS)
		return err_errno("%s: cannot be put in its place", to);
	rc = file_remove_tree_at(tofd, to);
	if (rc == KC_OK && renameat(fromfd, from, tofd, to) < 0)
		rc = err_errno("%s: cannot be put in its place", to);
	return rc;
}

int file_move_at(int fromfd, const char *from, int tofd, const char *to)
{
	if (in_the_way(fromfd, from, tofd, to))
		return change_places(fromfd, from, tofd, to);
	if (renameat(fromfd, from, tofd, to) < 0)
		return err_errno("%s: cannot be put in its place", to);
	return KC_OK;
}
