/* SPDX-License-Identifier: Apache-2.0 */
/*
 * proto_members: the members of each control body, one row each: name, type, who has to send it, where it is in struct
 * proto_msg. proto_body.c decodes and encodes by them. For no one else.
 */
#ifndef KC_PROTO_MEMBERS_H
#define KC_PROTO_MEMBERS_H

#include "proto.h"

/* What every JSON parser keeps exactly. */
#define INT_MAX_JSON 9007199254740991u

enum kind {
	TEXT,  /* for people: UTF-8, control characters become '?', cut when too long */
	TOKEN, /* printable ASCII without blanks */
	FILENAME,
	HEX, /* exactly size - 1 lower-case digits */
	INT,
	BOOL,
	ENUM,
	BASE64, /* bytes, their number at `count` */
	LIST,	/* of texts, their number at `count` */
	FORKS,	/* a struct lineage_list: [{"lineage", "fork"}, …] */
};

enum need { OPTIONAL = 0, BY_MASTER = PROTO_MASTER, BY_CLONE = PROTO_CLONE, REQUIRED = PROTO_MASTER | PROTO_CLONE };

struct member {
	const char *name;
	enum kind kind;
	unsigned need;		  /* enum need */
	size_t at, size;	  /* in struct proto_msg; of a LIST: the size of one text */
	size_t count;		  /* where the number is: of BASE64 (size_t), of LIST (unsigned) */
	uint64_t min, max;	  /* of INT; of LIST: the most texts */
	const char *const *names; /* of ENUM, from 1 */
};

/* The rows of a type, closed by one without a name; NULL: it has no body. */
const struct member *proto_members(uint8_t type);
const char *proto_role_name(enum proto_role role);

#endif
