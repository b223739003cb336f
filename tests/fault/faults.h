/* SPDX-License-Identifier: Apache-2.0 */
/*
 * faults: one call of a system call fails: of our own code, "write", "pwrite", "read", "pread", "fsync", "rename" and
 * "open" (link with $(faults_ldflags)); or of SQLite, through its table of system calls: "sqlite pwrite", "sqlite
 * pread", "sqlite ftruncate", "sqlite open" and "sqlite unlink".
 */
#ifndef KC_TESTS_FAULTS_H
#define KC_TESTS_FAULTS_H

#include <stdbool.h>

extern int fault_error;	 /* errno of the call that fails */
extern bool fault_fired; /* it has, since fault_arm */

/* SQLite's calls can fail from now on. */
void faults_hook_sqlite(void);
/* The call of this name after `n` others fails, once. */
void fault_arm(const char *call, int n);
void fault_disarm(void);

#endif
