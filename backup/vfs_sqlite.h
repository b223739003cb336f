/* SPDX-License-Identifier: Apache-2.0 */
/*
 * vfs_sqlite: SQLite's own VFS in larger pieces.
 *
 * SQLite writes page by page, in write-ahead logs twice a page, and a full restore or a snapshot is made of nothing but
 * pages in a row: most of its time went into system calls. Here writes to consecutive places wait in memory until
 * there are VFS_PIECE bytes of them, or until anybody could see the difference: a read, a sync, any lock that is
 * released, the write-ahead log's index being published, the end. What is durable when, and who sees what, is as
 * before. A write that fails late is reported by the next write, truncation or sync, at the latest by that of the
 * commit or of the checkpoint; until then every read fails, too.
 *
 * Of a database opened as immutable, reads in a row are read ahead.
 *
 * See "The OS Interface or VFS" and "Write-Ahead Logging" in SQLite's documentation.
 */
#ifndef KC_BACKUP_VFS_SQLITE_H
#define KC_BACKUP_VFS_SQLITE_H

/* Bytes that wait at most, for each file: more than the largest page, and less than 128 KiB, of which SQLite's own VFS
 * writes and reads nothing at all. */
#define VFS_PIECE (124u << 10)

/* The name for sqlite3_open_v2(); registered with the first call, from any thread. NULL: cannot be registered, and
 * SQLite's own is used. */
const char *vfs_name(void);

#endif
