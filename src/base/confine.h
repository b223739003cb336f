/* SPDX-License-Identifier: Apache-2.0 */
/*
 * confine: give up what the process will not need again: files by Landlock, system calls by seccomp.
 *
 * Both hold for the rest of the process and its children and need proc_harden() (no new privileges) first. Where the
 * kernel lacks one of them the process goes on without, and one warning says so. Everything opened before stays open.
 */
#ifndef KC_CONFINE_H
#define KC_CONFINE_H

#include <stdbool.h>

/*
 * Paths, NULL-terminated lists (NULL: none). All must exist. Name folders, not files: a rule belongs to the inode, and
 * a file that is replaced by rename has a new one.
 *   read_only   list, read
 *   read_write  also create (files, folders, sockets), write, truncate, rename within and between them, remove
 * Nothing may be executed. Folders can be opened and synced, as SQLite does after it made a journal.
 * system_files: also what the C library reads while it runs: resolver configuration, time zones, null and random
 * devices, its name service modules; those that do not exist are left out. (/etc/resolv.conf is allowed as a file where
 * it is one: if it is replaced, names resolve again after a restart. As a link into /run it follows.)
 *
 * TCP and local sockets are not restricted.
 */
struct confine_rules {
	const char *const *read_only;
	const char *const *read_write;
	bool system_files;
};
int confine_files(const struct confine_rules *f);

/* As if the kernel had this version of Landlock, for tests; it must not exceed confine_landlock_abi(). */
int confine_files_at_abi(const struct confine_rules *f, int abi);
int confine_landlock_abi(void); /* 0: not available */

/*
 * Deny (EPERM) what a network daemon never needs: executing programs, tracing and reading other processes, mounts and
 * namespaces, kernel modules, kexec, bpf, perf, key rings, userfaultfd, io_uring, changes of identity, time and
 * system, typing into the terminal it was started from. All threads. Forking and threads still work.
 */
int confine_syscalls(void);

/* No socket but a local one (EACCES otherwise), here and in all children: a process that holds secrets and serves
 * nobody cannot send them anywhere. */
int confine_network(void);

#endif
