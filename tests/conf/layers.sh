#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# layers: each library of others has one place that includes it and calls it, and what is below never knows what is
# above. Includes are read from the sources, calls from the symbols of the objects where they are built.
set -eu -o pipefail

top=$(cd "${TOP_SRCDIR:-.}" && pwd)
built=$(cd "${TOP_BUILDDIR:-.}" && pwd)
cd "$top"
wrong=0

complain()
{
	printf '%s\n' "$*"
	wrong=1
}

mapfile -t sources < <(find src backup replication -name '*.[ch]' | sort)
[ "${#sources[@]}" -gt 100 ]

# Files that say PATTERN (in a line, comments apart) are of ALLOWED, a regular expression of paths.
only()
{
	local what=$1 pattern=$2 allowed=$3 file

	while IFS= read -r file; do
		grep -qE -- "^($allowed)\$" <<<"$file" || complain "$file: $what; only $allowed may"
	done < <(grep -lE -- "$pattern" "${sources[@]}" || true)
}

# --- monopolies, by include ---

only 'includes SQLite' '#include <sqlite3' 'backup/[a-z_]+_sqlite\.[ch]|src/keydb/(store\.h|waiting\.c)|src/daemon/state(_[a-z]+)?\.[ch]'
only 'includes zstd' '#include <zstd' 'backup/pack\.c'
only 'includes libarchive' '#include <archive(_entry)?\.h' 'backup/archive_[a-z]+\.[ch]'
only 'includes libsodium' '#include <sodium' \
	'src/base/(mem|base64)\.c|src/keystore/(secret|sign)\.c|backup/age_[a-z]+\.[ch]'
only 'includes libevent' '#include <event' 'src/base/loop\.c'
only 'includes libconfig' '#include <libconfig' 'src/base/conf_int\.h'
only 'includes seccomp' '#include <(seccomp|linux/seccomp|linux/landlock)' 'src/base/confine\.c'
only 'includes X.509' '#include <gnutls/(x509|pkcs11|pkcs12|pkcs7|abstract|x509-ext)\.h' 'src/keystore/[a-z0-9_]+\.[ch]'
only 'has the table of messages' '#include "(base/)?msg_table\.h"' 'src/base/msg\.[ch]'

# --- monopolies, by call ---

only 'renames' '\<(rename|renameat2?)\(' 'src/base/file(_at)?\.[ch]'
only 'starts another program' '\<(system|popen|execve?|execvp?e?|execlp?|posix_spawnp?)\(' 'src/daemon/(starter|hook_run)\.c'
only 'looks for its own clock' 'clock_gettime\(CLOCK_MONOTONIC' 'src/base/(clock|proc)\.c'
only 'copies without a bound' '\<(strcat|sprintf|vsprintf|gets|strtok|alloca)\(' 'none'

# Object files that refer to SYMBOLS are of ALLOWED. Only where there is nm and something is built.
calls_only()
{
	local what=$1 symbols=$2 allowed=$3 object

	while IFS= read -r object; do
		grep -qE -- "^($allowed)\$" <<<"$object" || complain "$object: $what; only $allowed may"
	done < <(awk -v symbols="^($symbols)" '$2 ~ symbols { print $1 }' <<<"$undefined" | sort -u)
}

# OBJECT SYMBOL, an object as FOLDER/NAME.o
undefined=''
if command -v nm > /dev/null && [ -e "$built/libbase.a" ]; then
	undefined=$(cd "$built" && find src backup replication -name '*.o' -print0 | xargs -0 nm -A 2> /dev/null |
		sed -n 's/^\([^:]*\): *U \([A-Za-z0-9_]*\).*/\1 \2/p')
fi
if [ -n "$undefined" ]; then
	calls_only 'calls SQLite' 'sqlite3_' 'backup/[a-z_]+_sqlite\.o|src/keydb/(keydb|row|store|waiting)\.o|src/daemon/state(_[a-z]+)?\.o'
	calls_only 'calls zstd' 'ZSTD_' 'backup/pack\.o'
	calls_only 'calls libarchive' 'archive_(read|write|entry)_' 'backup/archive_[a-z]+\.o'
	calls_only 'calls libsodium' 'crypto_|sodium_|randombytes' \
		'src/base/(mem|base64)\.o|src/keystore/(secret|sign)\.o|backup/age_[a-z]+\.o'
	calls_only 'calls libevent' 'event_|evtimer_|evutil_' 'src/base/loop\.o'
	calls_only 'calls libconfig' 'config_(init|read|write|root|setting|lookup|destroy)' 'src/base/conf(_[a-z]+)?\.o'
	calls_only 'calls seccomp' 'seccomp_' 'src/base/confine\.o'
	calls_only 'calls the X.509 API' 'gnutls_(x509|pkcs7|pkcs8|pkcs11|pkcs12|privkey|pubkey)_' 'src/keystore/[a-z0-9_]+\.o'
	calls_only 'calls the TLS API' \
		'gnutls_(init$|deinit$|handshake|record_|bye|alert_|alpn_|session_|credentials_|priority_|transport_)' \
		'replication/tls(_creds|_look|_psk)?\.o'
	calls_only 'renames' 'rename$|renameat' 'src/base/file(_at)?\.o'
	calls_only 'opens a network socket' 'connect$|bind$|getaddrinfo$' \
		'replication/conn(_[a-z]+)?\.o|src/base/(ipc|proc)\.o'
fi

# --- layers ---

# The folder of an include "a/b.h"; one without a folder is of the same.
includes()
{
	sed -n 's/^#include "\([^"]*\)".*/\1/p' "$1"
}

# FOLDER may include from the FOLDERS behind it.
layer()
{
	local folder=$1 file header from
	shift

	for file in "${sources[@]}"; do
		[ "${file%/*}" = "$folder" ] || continue
		while IFS= read -r header; do
			case $header in
			*/*) from=${header%/*} ;;
			*) continue ;;
			esac
			[ "$from" = "${folder#src/}" ] && continue
			grep -qw -- "$from" <<<"$*" || complain "$file: includes $header; only $* may be below"
		done < <(includes "$file")
	done
}

layer src/base
layer src/keystore base
layer src/keydb base keystore
layer backup base keystore
layer replication base keystore
layer src/daemon base keystore keydb backup replication
layer src/cli base keystore keydb backup daemon

# Libraries get values by parameter: only the programs know the configuration.
only 'includes the configuration' '#include "(base/)?conf(_int|_keys|_text)?\.h"' \
	'src/base/conf(_[a-z]+)?\.[ch]|src/(daemon|cli)/[a-z_]+\.[ch]'
# What the daemon and the command line share is a library of its own.
shared=$(sed -n '/^libdaemon_a_SOURCES/,/[^\\]$/p' src/daemon/Makefile.inc)
[ -n "$shared" ]
# Backups are blocking work, and replication never blocks on a database.
for file in "${sources[@]}"; do
	case $file in
	backup/*) ! grep -q '#include "base/loop\.h"' "$file" || complain "$file: includes the loop" ;;
	src/cli/*)
		while IFS= read -r header; do
			case $header in
			daemon/*) grep -qw -- "src/$header" <<<"$shared" ||
				complain "$file: includes $header, which belongs to the daemon alone" ;;
			esac
		done < <(includes "$file")
		;;
	esac
done

# --- each file ---

for file in "${sources[@]}"; do
	[ "$(head -n 1 "$file")" = '/* SPDX-License-Identifier: Apache-2.0 */' ] || complain "$file: no SPDX line"
	case $(sed -n 2p "$file") in
	'/*'*) ;;
	*) complain "$file: does not say what it is" ;;
	esac
	# A header that everybody needs everything of is no interface.
	case $file in
	*.h)
		n=$(includes "$file" | wc -l)
		[ "$n" -le 8 ] || complain "$file: includes $n headers of ours"
		grep -q '^#ifndef KC_' "$file" || complain "$file: no include guard KC_…"
		;;
	esac
done

echo "${#sources[@]} files, $(wc -l <<<"$undefined") references"
exit "$wrong"
