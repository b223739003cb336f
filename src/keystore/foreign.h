/* SPDX-License-Identifier: Apache-2.0 */
/*
 * foreign: keystores of formats that are recognised and not read: Java's JKS and JCEKS, and the CMS key databases
 * (.kdb) of GSKit. Their own programs convert them.
 */
#ifndef KC_FOREIGN_H
#define KC_FOREIGN_H

#include <stddef.h>

/* "a Java keystore (JKS)", "a Java keystore (JCEKS)", "a CMS key database (kdb)"; NULL for everything else. A key
 * database is known by the name of its file, and by being none of what is read. */
const char *foreign_kind(const void *data, size_t size, const char *path);
/* The command that makes a PKCS#12 file of it, ready for a shell; NULL where foreign_kind() is. Heap. */
char *foreign_conversion(const void *data, size_t size, const char *path);

#endif
