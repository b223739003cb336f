dnl SPDX-License-Identifier: Apache-2.0
dnl KC_SQLITE_SESSION: changes of a database are carried as SQLite's session extension reads them; sqlite3.h declares it
dnl for those who ask, and not every library has it.
AC_DEFUN([KC_SQLITE_SESSION], [
  AC_DEFINE([SQLITE_ENABLE_SESSION], [1], [Declare what SQLite's session extension has.])
  AC_DEFINE([SQLITE_ENABLE_PREUPDATE_HOOK], [1], [Declare the hook that the session extension stands on.])
  AC_MSG_CHECKING([whether SQLite has the session extension])
  kc_save_libs=$LIBS; kc_save_cflags=$CFLAGS
  LIBS="$SQLITE_LIBS $LIBS"; CFLAGS="$CFLAGS $SQLITE_CFLAGS"
  AC_LINK_IFELSE([AC_LANG_PROGRAM([[#include <sqlite3.h>]], [[
      sqlite3_session *s = 0;
      sqlite3_preupdate_hook(0, 0, 0);
      sqlite3changeset_apply_v2_strm(0, 0, 0, 0, 0, 0, 0, 0, 0);
      return sqlite3session_create(0, "main", &s);]])],
    [AC_MSG_RESULT([yes])],
    [AC_MSG_RESULT([no])
     AC_MSG_ERROR([this SQLite was built without the session extension (SQLITE_ENABLE_SESSION and SQLITE_ENABLE_PREUPDATE_HOOK)])])
  LIBS=$kc_save_libs; CFLAGS=$kc_save_cflags
])
