#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# setup.sh: install what `make bench` compares keyclone with, and measures with, from Debian 12. Run as root.
#
# None of it is started: policy-rc.d says no to package scripts meanwhile, and the bench starts daemons of its own, on loopback,
# with configurations of its own. What policy there was stays as it was.
set -eu
packages="python3 sqlite3 sqlite3-tools zstd rsync openssh-server openssh-client socat openssl strace gnuplot-nox
	krb5-kdc krb5-admin-server krb5-kpropd krb5-user"
policy=/usr/sbin/policy-rc.d
made=

end()
{
	[ -z "$made" ] || rm -f "$policy"
}
trap end EXIT
trap 'exit 1' HUP INT TERM

if [ ! -e "$policy" ]; then
	made=1
	printf '#!/bin/sh\nexit 101\n' >"$policy"
	chmod 755 "$policy"
fi
install()
{
	# shellcheck disable=SC2086
	DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends $packages
}
# The lists may be missing or too old: once more with new ones.
install || { apt-get update -q && install; }
