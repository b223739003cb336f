dnl SPDX-License-Identifier: Apache-2.0
dnl --with-sanitizer=address,undefined  --enable-coverage  --enable-fuzz
AC_DEFUN([KC_SANITIZER], [
  AC_ARG_WITH([sanitizer], [AS_HELP_STRING([--with-sanitizer=LIST], [e.g. address,undefined or thread])],
    [], [with_sanitizer=no])
  AS_IF([test "$with_sanitizer" != no], [
    kc_san="-fsanitize=$with_sanitizer -fno-sanitize-recover=all -fno-omit-frame-pointer -g"
    KC_TRY_FLAG([SANITIZER_FLAGS], [$kc_san])
    AS_IF([test -z "$SANITIZER_FLAGS"], [AC_MSG_ERROR([$CC does not do -fsanitize=$with_sanitizer])])
    AC_DEFINE([KC_WITH_SANITIZER], [1], [Built with a sanitizer: it needs ptrace and huge mappings])
  ])
  AC_SUBST([SANITIZER_FLAGS])
  AM_CONDITIONAL([WITH_SANITIZER], [test "$with_sanitizer" != no])
])

AC_DEFUN([KC_COVERAGE], [
  AC_ARG_ENABLE([coverage], [AS_HELP_STRING([--enable-coverage], [instrument for gcov])], [], [enable_coverage=no])
  AS_IF([test "$enable_coverage" = yes], [COVERAGE_FLAGS="--coverage -O0"])
  AC_SUBST([COVERAGE_FLAGS])
])

AC_DEFUN([KC_FUZZ], [
  AC_ARG_ENABLE([fuzz], [AS_HELP_STRING([--enable-fuzz], [link the fuzz targets with libFuzzer (clang)])], [], [enable_fuzz=no])
  AS_IF([test "$enable_fuzz" = yes], [
    KC_TRY_FLAG([FUZZ_CFLAGS], [-fsanitize=fuzzer-no-link,address,undefined])
    FUZZ_LDFLAGS="-fsanitize=fuzzer,address,undefined"
    AS_IF([test -z "$FUZZ_CFLAGS"], [AC_MSG_ERROR([--enable-fuzz needs clang with libFuzzer])])
    AC_DEFINE([KC_WITH_SANITIZER], [1])
  ])
  AC_SUBST([FUZZ_CFLAGS])
  AC_SUBST([FUZZ_LDFLAGS])
  AM_CONDITIONAL([WITH_FUZZ], [test "$enable_fuzz" = yes])
])
