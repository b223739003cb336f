dnl SPDX-License-Identifier: Apache-2.0
dnl KC_TRY_FLAG(VAR, FLAG [, kind]): append FLAG to VAR if a program compiles and links with it, without a warning.
AC_DEFUN([KC_TRY_FLAG], [
  AC_MSG_CHECKING([whether $CC takes $2])
  kc_save_cflags=$CFLAGS; kc_save_ldflags=$LDFLAGS
  m4_if([$3], [ld], [LDFLAGS="$LDFLAGS $2"], [CFLAGS="$CFLAGS -Werror $2"])
  AC_LINK_IFELSE([AC_LANG_PROGRAM([[#include <stdio.h>]], [[char b[64]; snprintf(b, sizeof b, "%d", 1); return b[0] == 0;]])],
    [AC_MSG_RESULT([yes]); $1="$$1 $2"], [AC_MSG_RESULT([no])])
  CFLAGS=$kc_save_cflags; LDFLAGS=$kc_save_ldflags
])

AC_DEFUN([KC_WARNINGS], [
  for kc_flag in -Wall -Wextra -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Wold-style-definition -Wvla \
      -Wpointer-arith -Wwrite-strings -Wformat=2 -Wformat-nonliteral -Wundef -Wconversion -Wno-sign-conversion \
      -Wimplicit-fallthrough -Wno-missing-field-initializers; do
    KC_TRY_FLAG([WARN_CFLAGS], [$kc_flag])
  done
  AC_ARG_ENABLE([werror], [AS_HELP_STRING([--enable-werror], [warnings are errors])], [], [enable_werror=no])
  AS_IF([test "$enable_werror" = yes], [WARN_CFLAGS="$WARN_CFLAGS -Werror"])
  AC_SUBST([WARN_CFLAGS])
])

AC_DEFUN([KC_HARDENING], [
  AC_ARG_ENABLE([hardening], [AS_HELP_STRING([--disable-hardening], [no hardening flags])], [], [enable_hardening=yes])
  AS_IF([test "$enable_hardening" = yes -a "${with_sanitizer:-no}" = no -a "${enable_fuzz:-no}" = no], [
    for kc_flag in -fstack-protector-strong -fstack-clash-protection -fcf-protection -fPIE -ftrivial-auto-var-init=zero; do
      KC_TRY_FLAG([HARDENING_CFLAGS], [$kc_flag])
    done
    dnl _FORTIFY_SOURCE warns without optimisation: probed with the user's CFLAGS
    kc_fortify=; KC_TRY_FLAG([kc_fortify], [-U_FORTIFY_SOURCE -D_FORTIFY_SOURCE=2])
    AS_CASE([" $CFLAGS "], [*" -O"@<:@123s@:>@*], [HARDENING_CFLAGS="$HARDENING_CFLAGS $kc_fortify"])
    for kc_flag in -pie -Wl,-z,relro -Wl,-z,now -Wl,-z,noexecstack; do
      KC_TRY_FLAG([HARDENING_LDFLAGS], [$kc_flag], [ld])
    done
  ])
  AC_SUBST([HARDENING_CFLAGS])
  AC_SUBST([HARDENING_LDFLAGS])
])

AC_DEFUN([KC_PTHREAD], [
  PTHREAD_FLAGS=
  KC_TRY_FLAG([PTHREAD_FLAGS], [-pthread])
  AC_SUBST([PTHREAD_FLAGS])
])
