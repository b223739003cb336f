/* SPDX-License-Identifier: Apache-2.0 */
/*
 * conf_int: between the conf*.c files and their tests.
 *
 *     text --conf_props/conf_cfg--> items (where what is written) --conf_tree--> config_t --conf.c--> struct conf
 *
 * Secrets never enter the tree: they go from the text into secret memory, and the tree holds an empty string.
 */
#ifndef KC_CONF_INT_H
#define KC_CONF_INT_H

#include <libconfig.h>

#include "buf.h"
#include "conf.h"

#define CONF_FILE_MAX (1024u * 1024)

/* --- the rows (conf_table.c) --- */

enum conf_type {
	CONF_INT,
	CONF_BOOL,
	CONF_ENUM,
	CONF_DURATION,
	CONF_STR,
	CONF_HOST,
	CONF_ADDRESS,
	CONF_PATH,
	CONF_LIST,
	CONF_SECRET
};
enum { CONF_ON_MASTER = 1, CONF_ON_CLONE = 2 };
enum { CONF_F_REQ = 1, CONF_F_DIR = 2, CONF_F_EXIST = 4 };

struct conf_row {
	const char *name;
	enum conf_type type;
	const char *def, *sysdef, *detail;
	int64_t min, max;
	unsigned role, flags;
	bool live, later;
	size_t offset; /* of the member in struct conf, where not `later` */
	const char *help;
};
extern const struct conf_row conf_rows[];
extern const size_t conf_row_count;

/* The row of a name (of "rest.*" for "rest.ListenPort"), NULL if there is none. A clone's properties have the two rows
 * conf_row_ip and conf_row_port. */
const struct conf_row *conf_row_find(const char *name);
extern const struct conf_row conf_row_ip, conf_row_port;
/* The row of every replication.File.NAME. */
extern const struct conf_row conf_row_file;
static inline const char *conf_file_name(const char *property)
{
	return property + sizeof(CONF_FILE_STEM) - 1;
}
/* Appends a companion (copies), in the order of names. */
void conf_file_add(struct conf *c, const char *name, const char *path);
const struct conf_file *conf_file_find(const struct conf *c, const char *name); /* NULL: none */
void conf_files_fini(struct conf *c);
bool conf_files_same(const struct conf *a, const struct conf *b);
json_t *conf_files_json(const struct conf *c); /* {name: path}, new reference */
int conf_files_from_json(struct conf *c, const json_t *files);
/* KC_ECONF with the bare reason where the NAME of a companion, replication.File.NAME, is none. */
int conf_name_check(const char *name);
/* n of backup.ClientIPn or backup.ClientPortn, -1 for another name; *port says which of the two. Numbers over
 * CONF_CLONES_MAX are returned as they are. */
int conf_client_number(bool *port, const char *name);
/* "no such property", with the known name that is nearest to this one, if one is near. Heap. */
char *conf_unknown(const char *name);
static inline bool conf_is_secret(const struct conf_row *row)
{
	return row != NULL && row->type == CONF_SECRET;
}
static inline void *conf_member(const struct conf *c, const struct conf_row *row)
{
	return (char *)(uintptr_t)c + row->offset;
}

/* --- values (conf_value.c) --- */

union conf_any {
	int num;
	bool yes;
	uint64_t ms;
	char *text;
	struct conf_list list;
};
/* Parse `text` into *out, which is a member of the row's type. `dir`: what a relative path is relative to. KC_ECONF
 * with the bare reason. */
int conf_value_parse(void *out, const struct conf_row *row, const char *text, const char *dir);
/* As it would be written, heap; NULL where unset. Not for secrets. */
char *conf_value_format(const struct conf_row *row, const void *member);
void conf_value_fini(const struct conf_row *row, void *member);
bool conf_utf8_ok(const char *s);

/* --- where things are in a file --- */

enum conf_item_kind { CONF_ITEM_VALUE, CONF_ITEM_GROUP };
struct conf_item {
	enum conf_item_kind kind;
	char *name; /* dotted */
	int line;
	size_t start, end;   /* the whole setting: properties: with its line end; libconfig: with its terminator */
	size_t vstart, vend; /* the value as written; of a group: behind its opening and before its closing brace */
};
struct conf_items {
	struct conf_item *v;
	size_t count;
};
struct conf_item *conf_items_add(struct conf_items *l, enum conf_item_kind kind, const char *name, size_t n);
struct conf_item *conf_items_find(const struct conf_items *l, const char *name);
void conf_items_fini(struct conf_items *l);

bool conf_is_cfg(const char *path); /* libconfig syntax, by the extension */

/* Properties (conf_props.c). */
void conf_props_scan(struct conf_items *items, const char *text, size_t size);
/* The value of an item, decoded onto `out`. KC_ECONF with the bare reason. */
int conf_props_decode(struct buf *out, const char *text, const struct conf_item *item, const struct conf_row *row);
/* The way back onto `out`. KC_ECONF: cannot be written. */
int conf_props_encode(struct buf *out, const char *value, const struct conf_row *row);

/* libconfig (conf_cfg.c). KC_ECONF with the bare reason and *line where the text does not parse. */
int conf_cfg_scan(struct conf_items *items, int *line, const char *text, size_t size);
/* The value of an item that is a string. KC_ECONF: it is not one. */
int conf_cfg_decode(struct buf *out, const char *text, const struct conf_item *item);
int conf_cfg_encode(struct buf *out, const char *value, const struct conf_row *row);

/* --- loading --- */

struct conf_note {
	bool error;
	int line;
	char *text;
};
struct conf_ctx {
	const char *file; /* as the user wrote it, for messages */
	struct conf *c;
	config_t tree;
	struct conf_note *notes;
	size_t note_count;
	char *secrets[CONF_ROWS_MAX]; /* secret memory */
	struct {
		int host_line, port_line;
		char *host;
		int port;
	} slots[CONF_CLONES_MAX + 1];
	int file_lines[CONF_FILES_MAX]; /* of c->files, by index */
};
void conf_note(struct conf_ctx *x, bool error, int line, const char *name, const char *fmt, ...)
    __attribute__((format(printf, 5, 6)));

/* A companion in the file; and whether they keep apart from each other and from what is ours (conf_file.c). */
void conf_file_take(struct conf_ctx *x, const char *property, int line, const char *text);
void conf_files_check(struct conf_ctx *x);

/* Fill x->tree and x->secrets from the text (conf_tree.c). What is wrong becomes notes. False: it does
 * not parse at all, and nothing is known of what it says. */
bool conf_tree_read(struct conf_ctx *x, const char *text, size_t size);
/* Every leaf in order: its dotted name, its line, its value as text (NULL: neither scalar nor list of scalars). */
typedef void (*conf_leaf_fn)(struct conf_ctx *x, const char *name, int line, const char *text);
void conf_tree_walk(struct conf_ctx *x, conf_leaf_fn fn);

/* What needs more than one property (conf_check.c). */
void conf_check(struct conf_ctx *x, unsigned flags);

/* Make audit_log absolute: a bare name is in `log_dir`. */
void conf_resolve_log(struct conf *c, const char *log_dir);

/* A configuration of defaults for a file of this name (conf.c). */
struct conf *conf_new(const char *path);
#endif
