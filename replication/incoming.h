/* SPDX-License-Identifier: Apache-2.0 */
/*
 * incoming: one backup file while it is received: `<name>.part`, which gets its name when it is whole and synced.
 *
 * The payload is written at the offset where it belongs, behind the header region; the header comes last. What the
 * file is, it says itself: the first 16 bytes of the payload are its file id, so that a partial file of an earlier
 * session is recognised without anything beside it. Its SHA-256 is counted along; that of a resumed beginning is
 * counted in steps of a few milliseconds, while new data is written already. A beginning that a crash of the machine
 * left with holes is found by the SHA-256 at the end, and dropped. Where the whole file is there already, with its
 * name, it is "resumed" at its end: nothing is written, its SHA-256 is compared (its restore failed, and is tried
 * again).
 */
#ifndef KC_INCOMING_H
#define KC_INCOMING_H

#include <stdbool.h>
#include <stdint.h>

#include "base/loop.h"
#include "replication/proto.h"

struct incoming;

/*
 * Begin or go on. `offer` is copied. KC_ENOSPC if the disk has less free than offer->room minus what is there: "…:
 * needs 500 bytes, 400 are free", and *have and *need say the same; KC_EEXIST if another backup has that name; else
 * KC_EPERM, KC_ESYS … Removes partial files of other backups that nobody has written to for an hour.
 */
int incoming_open(struct incoming **out, uint64_t *have, uint64_t *need, struct loop *l, const char *dir,
    const struct proto_offer *offer);

/* The next bytes of the payload. KC_ELIMIT over the offer's room; KC_ENOSPC with both figures; KC_ESYS. */
int incoming_write(struct incoming *in, const void *data, size_t n);

/* The end: compare size and SHA-256 (KC_ETRUNCATED, KC_EDAMAGED with both), put the header in front, sync, rename.
 * `done` comes once, from the loop, unless the incoming is freed before. It may free it. `end` is borrowed until then.
 */
typedef void (*incoming_done_fn)(int rc, void *arg);
/* Before that, where it is given: the file has all of its content, header included, and its partial name; from the next
 * turn on it is brought to disk and gets the other. Not of a file that had its name already. */
typedef void (*incoming_checked_fn)(void *arg);
void incoming_finish(
    struct incoming *in, const struct proto_end *end, incoming_checked_fn checked, incoming_done_fn done, void *arg);

/* Payload bytes that are written, and how many of them were there at incoming_open(). */
uint64_t incoming_size(const struct incoming *in);
uint64_t incoming_resumed(const struct incoming *in);
const char *incoming_path(const struct incoming *in); /* the final name */

/* Keeps the file, unless `remove`: it is of no use (wrong SHA-256, also of one that had its name already: damaged on
 * this disk, it would be in the way for ever), or in the way (disk full). If the helper thread syncs right now, waits
 * for it; what it was about to do is done here. NULL is a no-op. */
void incoming_free(struct incoming *in, bool remove);

#endif
