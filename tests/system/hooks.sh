#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# hooks: commands after restores and for alerts: what they see, what they cannot do, how long they may take.
. "${TOP_SRCDIR:-.}/tests/system/functions.sh"
begin hooks sqlite3

allow_log 'clone .*: (unreachable|failed)'
allow_log 'AlertCommand failed'
allow_log 'AfterCommand failed'
allow_log 'alert: '

export SECRET_OF_THE_TEST=must-not-be-seen
make_master m
make_clone c1
kc m config set replication.RetryMin=1s replication.RetryMax=2s

cat >after.sh <<'SH'
#!/bin/bash
{
	env | sort
	printf 'arg=<%s>\n' "$@"
	printf 'umask=%s cwd=%s stdin=%s\n' "$(umask)" "$PWD" "$(readlink /proc/self/fd/0)"
	grep -E '^(NoNewPrivs|Seccomp):' /proc/self/status
	ls /proc/self/fd | tr '\n' ' '
} >"$1/after.$KEYCLONE_GENERATION.part"
mv "$1/after.$KEYCLONE_GENERATION.part" "$1/after.$KEYCLONE_GENERATION"
echo "hello from generation $KEYCLONE_GENERATION"
SH
cat >alert.sh <<'SH'
#!/bin/bash
echo "$KEYCLONE_ROLE $KEYCLONE_STATE $KEYCLONE_ALERT $KEYCLONE_SUBJECT" >>"$1"
SH
chmod 755 after.sh alert.sh

say "the configuration check names what cannot run"
kc c1 config set "restore.AfterCommand=/nowhere/program"
kc c1 config check >check.out 2>&1
grep -q 'restore.AfterCommand: /nowhere/program' check.out || fail "config check is silent"
chmod 757 after.sh
kc c1 config set "restore.AfterCommand=$T/after.sh"
kc c1 config check >check.out 2>&1
grep -q 'everybody can change it' check.out || fail "config check does not see the mode"
chmod 755 after.sh
expect 78 kc c1 config set "restore.AfterCommand=./after.sh" 2>/dev/null
expect 78 kc c1 config set "restore.AfterCommand=/bin/true 'open" 2>/dev/null

say "after a restore: arguments, environment, nothing else"
kc c1 config set "restore.AfterCommand=$T/after.sh '$T' \"two words\" \$HOME"
kc m key generate --count 3 >/dev/null
start_daemon c1
start_daemon m
kc m replicate-now >/dev/null
wait_for 20 "restore.AfterCommand" test -e after.1
grep -qx "arg=<two words>" after.1 || fail "quoted words: $(cat after.1)"
grep -qxF 'arg=<$HOME>' after.1 || fail "something was expanded"
grep -qx "umask=0077 cwd=/ stdin=/dev/null" after.1 || fail "umask, directory, stdin: $(cat after.1)"
equal "$(tail -n 1 after.1)" "0 1 2 3 " "descriptors (3 is that of ls)"
grep -q "^NoNewPrivs:.1$" after.1 || fail "it could gain privileges"
equal "$(grep '^Seccomp:' after.1)" "$(grep '^Seccomp:' /proc/self/status)" "the daemon's confinement reaches the command"
grep -qx "KEYCLONE_GENERATION=1" after.1
grep -qx "KEYCLONE_ROWS=3" after.1
grep -qx "KEYCLONE_DATABASE=$T/c1/keydb.sqlite" after.1
grep -qx "KEYCLONE_ROLE=clone" after.1
grep -qx "KEYCLONE_CONFIG=$T/c1/keyclone.properties" after.1
grep -q "^KEYCLONE_LINEAGE=[0-9a-f]\{32\}$" after.1
equal "$(sed -n 's/^\([A-Za-z_]*\)=.*/\1/p' after.1 | grep -v -E '^(KEYCLONE_[A-Z_]*|PATH|LANG|PWD|SHLVL|_|arg|umask)$' || true)" "" \
	"variables that have no business there"
wait_for 10 "its output in the log" grep -q 'restore.AfterCommand: | hello from generation 1' c1.log
kc c1 audit --event hook.end >audit.out
grep -q AfterCommand audit.out || fail "no record of its end"

say "a failure is said and audited, and delays nothing"
kc c1 config set "restore.AfterCommand=/bin/sh -c 'echo so it is; exit 3'"
kc c1 reload >/dev/null
kc m key generate >/dev/null
kc m replicate-now >/dev/null
wait_for 10 "the failure" grep -q 'AfterCommand failed (generation 2): it ended with exit status 3' c1.log
kc c1 --json audit --event hook.end --failed >audit.out
grep -q 'it said: so it is' audit.out || fail "the audit lacks what it said"

say "one that hangs is ended with its children when the daemon ends, and runs again"
kc c1 config set "restore.AfterCommand=/bin/sh -c 'echo \$KEYCLONE_GENERATION >>$T/hung; sleep 977 & echo \$! >$T/child; wait'"
kc c1 reload >/dev/null
kc m key generate >/dev/null
kc m replicate-now >/dev/null
wait_for 10 "the command that hangs" test -s child
kc m key generate >/dev/null
kc m replicate-now >/dev/null || fail "a command that hangs delays replication"
same_keys m c1
stop_daemon c1
wait_for 10 "the end of its child" sh -c "! kill -0 $(cat child) 2>/dev/null"
rm child
start_daemon c1
wait_for 10 "the command once more" grep -qx 4 hung
wait_for 10 "its child" test -s child
kc c1 config set "restore.AfterCommand=/bin/true"

say "a clone that is down is an alert at the second failure, and once"
no_alerts()
{
	kc m --json status >status.json || return 1
	python3 -c 'import json; assert json.load(open("status.json"))["alerts"] == []'
}
wait_for 20 "the end of all alerts" no_alerts
kc m config set "replication.AlertCommand=$T/alert.sh $T/alerts.m"
kc m reload >/dev/null
stop_daemon c1
wait_for 20 "the alert" grep -q "master raised clone.unreachable 127.0.0.1:" alerts.m
status=0
kc m --json status >status.json || status=$?
equal "$status" 2 "status with a clone that is down"
python3 -c 'import json; a = json.load(open("status.json"))["alerts"]; assert len(a) == 1 and a[0]["alert"] == "clone.unreachable", a'
kc m status >status.out || true
grep -q '^ALERT since .*: clone 127.0.0.1:[0-9]* cannot be reached' status.out || fail "status says nothing"
stop_daemon m
start_daemon m
start_daemon c1
wait_for 20 "the end of the alert" grep -q "master cleared clone.unreachable" alerts.m
equal "$(grep -c raised alerts.m)" 1 "how often it was told, over a restart"
no_alerts

say "a program where the daemon writes is not run"
cp alert.sh c1/state/alert.sh
chmod 755 c1/state/alert.sh
kc c1 config set "replication.AlertCommand=$T/c1/state/alert.sh $T/alerts.c1" replication.MaxSilence=1s
kc c1 reload >/dev/null
stop_daemon m
wait_for 20 "the refusal" grep -q 'AlertCommand failed (master.silent raised): .*the daemon writes there' c1.log
[ ! -e alerts.c1 ] || fail "it was run"

say "a silent master"
kc c1 config set "replication.AlertCommand=$T/alert.sh $T/alerts.c1"
kc c1 reload >/dev/null
start_daemon m
wait_for 20 "the master to be heard" grep -q 'clone cleared master.silent' alerts.c1
stop_daemon m
wait_for 20 "silence" grep -q 'clone raised master.silent' alerts.c1

say "a certificate near its end, and another in its place"
stop_daemon c1
kc m cert create --alias short --cn 127.0.0.1 --san 127.0.0.1 --days 20 >/dev/null
kc m config set backup.TLSCertAlias=short
start_daemon m
wait_for 20 "the alert" grep -qx 'master raised certificate.expiring this machine (short)' alerts.m
kc m audit --event cert.expiring >audit.out
grep -q 'ends at' audit.out || fail "no record of it"
kc m config set backup.TLSCertAlias=ssl_cert
kc m reload >/dev/null
wait_for 20 "the end of it" grep -qx 'master cleared certificate.expiring this machine (short)' alerts.m

finish
