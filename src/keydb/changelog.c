/* SPDX-License-Identifier: Apache-2.0 */
/* changelog: the SQL of it. */
#include "keydb/changelog.h"

#define STRING(x) #x
#define NUMBER(x) STRING(x)

/* An empty log begins anywhere, with a row that names no key: one that was emptied, and has filled again, does not look
 * as if it went on where it was read last. */
#define BEGIN_ANYWHERE                                                                                \
	"INSERT INTO " CHANGELOG_TABLE "(seq, uuid) SELECT 1 + abs(random() % 4503599627370496), '' " \
	"WHERE NOT EXISTS (SELECT 1 FROM " CHANGELOG_TABLE ");"
/* A REPLACE deletes without these: who writes so is found when rows are counted. */
#define ADD(rows) BEGIN_ANYWHERE "INSERT INTO " CHANGELOG_TABLE "(uuid) " rows ";"
#define FORGET                                                                                \
	"DELETE FROM " CHANGELOG_TABLE " WHERE seq <= (SELECT max(seq) FROM " CHANGELOG_TABLE \
	") - " NUMBER(CHANGELOG_KEPT) ";"
#define TRIGGERS(kind, of, prefix)                                                                                     \
	"CREATE " kind "TRIGGER IF NOT EXISTS " prefix "_insert AFTER INSERT ON " of " BEGIN " ADD("VALUES(new.uuid)") \
	    FORGET "END;"                                                                                              \
		   "CREATE " kind "TRIGGER IF NOT EXISTS " prefix "_update AFTER UPDATE ON " of                        \
		   " BEGIN " ADD("SELECT old.uuid UNION SELECT new.uuid") FORGET                                       \
	    "END;"                                                                                                     \
	    "CREATE " kind "TRIGGER IF NOT EXISTS " prefix "_delete AFTER DELETE ON " of                               \
	    " BEGIN " ADD("VALUES(old.uuid)") FORGET "END;"

const char changelog_schema[] =
    "CREATE TABLE IF NOT EXISTS main." CHANGELOG_TABLE
    "(seq INTEGER PRIMARY KEY, uuid TEXT NOT NULL);" TRIGGERS("", CHANGELOG_OF, CHANGELOG_TABLE);

const char changelog_temporary[] = TRIGGERS("TEMP ", "main." CHANGELOG_OF, "temp_log");
