#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# cli.sh - the ttvm command as its user meets it: help, exit statuses, messages for bad usage, JSON that parses.
#
# usage: tests/lab/cli.sh    on the host or in the test machine
#
# What needs a recording takes $LOG, or makes one: here if this machine can, else in the test machine.
# $TTVM names the command to test (build/ttvm of this checkout, else ttvm on PATH), $GUEST a tiny guest.

here=$(dirname "$(readlink -f "$0")")
for lib in "$here/lib.sh" "$here/../lib.sh"; do
	# shellcheck source=tests/lib.sh
	[ ! -e "$lib" ] || . "$lib"
done
top=$(readlink -f "$here/../..")
if [ -z "${TTVM-}" ]; then
	TTVM=ttvm
	[ ! -x "$top/build/ttvm" ] || TTVM=$top/build/ttvm
fi
tmp=$(mktemp -d)
trap 'rm -rf -- "$tmp"' EXIT
OUT=$tmp/out
mkdir -p "$OUT"
commands='run replay debug dump fork verify info trace profile pack unpack ctl doctor'

# ---- help ----

for command in $commands; do
	why=
	"$TTVM" "$command" --help >"$tmp/help" 2>"$tmp/err" || why="status $?"
	[ ! -s "$tmp/err" ] || why="something on stderr: $(one_line "$tmp/err")"
	head -n 1 "$tmp/help" | grep -q "^usage: ttvm $command" || why="no usage line: $(head -n 1 "$tmp/help")"
	grep -q '^Exit status: 0 ' "$tmp/help" || why="exit statuses are not named"
	[ "$(awk 'length > 100' "$tmp/help" | wc -l)" = 0 ] || why="a line is longer than 100 columns"
	verdict "help/$command" "$why"
	verdict "listed/$command" "$(grep -q "^\.BR $command .*ttvm.*-$command (1))" "$top/docs/man/ttvm.1" || echo "ttvm(1) lacks it")"

	# Every option of the help is in the manual page, and the other way round.
	page=$top/docs/man/ttvm-$command.1
	if [ -e "$page" ]; then
		grep -oE -- '--[a-z][a-z-]*' "$tmp/help" | sort -u >"$tmp/in-help"
		sed 's/\\-/-/g; s/\\f.//g' "$page" | awk 'tagged; { tagged = $0 == ".TP" }' |
			grep -oE -- '--[a-z][a-z-]*' | sort -u >"$tmp/in-page"
		difference=$(comm -3 "$tmp/in-help" "$tmp/in-page" | tr -s '\t\n' ' ')
		why=
		[ -z "$difference" ] || why="only one of page and help has $difference"
		verdict "man-page/$command" "$why"
	fi
done

"$TTVM" --help >"$tmp/help"
why=
for command in $commands; do
	grep -q "^  $command " "$tmp/help" || why="$command is not listed"
done
verdict help/all "$why"
"$TTVM" --version | grep -Eq '^ttvm [0-9]+\.[0-9]+' && why= || why="it says: $("$TTVM" --version 2>&1)"
verdict version "$why"

if [ -e "$top/Kconfig" ]; then
	why=
	while read -r option default; do
		grep -A 12 "^config ${option#CONFIG_}\$" "$top/Kconfig" | grep -q "^	default $default\$" ||
			why="$option: tools/config.h has another default than Kconfig"
	done < <(sed -n 's/^#define \(CONFIG_TTVM_[A-Z_]*\) \(.*\)/\1 \2/p' "$top/tools/config.h")
	verdict kconfig/defaults "$why"
fi

# ---- bad usage: status 1, and a message that names what is wrong ----

: >"$tmp/empty"
head -c 5000 /dev/zero >"$tmp/zeros"
expect usage/no-command 1 'usage: ttvm COMMAND' "$TTVM"
expect usage/unknown-command 1 "unknown command 'fly'" "$TTVM" fly
for command in $commands; do
	expect "usage/$command/unknown-option" 1 "ttvm $command --help" "$TTVM" "$command" --no-such-option
done
# bad_logs COMMAND OPTION...: what every command that takes a log says about those that are none.
bad_logs()
{
	expect "usage/$1/no-log" 1 'one log' "$TTVM" "$@"
	expect "usage/$1/two-logs" 1 'one log' "$TTVM" "$@" a b
	expect "usage/$1/missing-log" 1 'no-such-log.*No such file' "$TTVM" "$@" "$tmp/no-such-log"
	expect "usage/$1/empty-log" 4 'empty.*' "$TTVM" "$@" "$tmp/empty"
	expect "usage/$1/not-a-log" 4 'zeros.*not a ttvm log' "$TTVM" "$@" "$tmp/zeros"
}
for command in replay debug verify info profile; do
	bad_logs $command
done
bad_logs dump -o "$tmp/core"
for range in 5 5..3 x..5 ..0; do
	expect "usage/profile/to-instr=$range" 1 'not a range of instructions' "$TTVM" profile "$tmp/zeros" --to-instr "$range"
done
expect usage/profile/every 1 'every 0: not a number' "$TTVM" profile "$tmp/zeros" --every 0
expect usage/profile/call-graph 1 'only fp' "$TTVM" profile "$tmp/zeros" --call-graph dwarf
expect usage/profile/no-symbols 1 'no-such-file: No such file' "$TTVM" profile "$tmp/zeros" --symbols "$tmp/no-such-file"
expect usage/profile/not-symbols 1 'zeros: neither an ELF file nor a list' "$TTVM" profile "$tmp/zeros" --symbols "$tmp/zeros"
bad_logs trace --perfetto "$tmp/trace" --log-only
bad_logs trace --perfetto "$tmp/trace"
bad_logs trace --pcap "$tmp/trace"
expect usage/trace/no-output 1 'a file to write' "$TTVM" trace "$tmp/zeros"
expect usage/trace/frames-of-a-log 1 'frames .* are not in the log' "$TTVM" trace "$tmp/zeros" --log-only --pcap "$tmp/trace"
expect usage/trace/two-stdouts 1 'cannot both be stdout' "$TTVM" trace "$tmp/zeros" --perfetto - --pcap -
expect usage/dump/no-output 1 'a file to write' "$TTVM" dump "$tmp/zeros"
expect usage/dump/two-goals 1 'exclude each other' "$TTVM" dump -o "$tmp/core" --to-instr 1 --to-mark a "$tmp/zeros"
expect usage/dump/to-instr-word 1 'to-instr x.*not a number' "$TTVM" dump -o "$tmp/core" --to-instr x "$tmp/zeros"
verdict usage/dump/nothing-written "$(ls "$tmp"/core* 2>/dev/null)"
expect usage/doctor/argument 1 "unexpected argument 'x'" "$TTVM" doctor x
expect usage/run/no-guest 1 'no guest given' "$TTVM" run
expect usage/run/two-guests 1 'one guest only' "$TTVM" run a b
expect usage/run/missing-guest 1 'no-such-kernel.*No such file' "$TTVM" run "$tmp/no-such-kernel"
expect usage/run/empty-guest 1 'empty' "$TTVM" run "$tmp/empty"
expect usage/run/not-a-kernel 1 'zeros: neither a kernel .* nor a disk' "$TTVM" run "$tmp/zeros"
truncate -s 8192 "$tmp/blank"
expect usage/run/no-boot-sector 1 'blank: not a kernel, and not a disk that boots' "$TTVM" run "$tmp/blank"
expect usage/run/directory 1 "$tmp: neither a regular file" "$TTVM" run "$tmp"
expect usage/run/mem-word 1 'mem lots' "$TTVM" run --mem lots "$tmp/zeros"
expect usage/run/mem-small 1 'mem.*16M' "$TTVM" run --mem 1M "$tmp/zeros"
expect usage/run/gdb-record 1 'gdb: not with --record' "$TTVM" run --gdb 1234 --record="$tmp/no-log" "$tmp/zeros"
expect usage/run/gdb-wait 1 'gdb-wait: needs --gdb' "$TTVM" run --gdb-wait "$tmp/zeros"
expect usage/run/timeout 1 'timeout never' "$TTVM" run --timeout never "$tmp/zeros"
expect usage/run/on-log-error 1 'stop or continue' "$TTVM" run --on-log-error panic "$tmp/zeros"
expect usage/run/checkpoint-every 1 'checkpoint-every 0: not a number' "$TTVM" run --record="$tmp/no-log" --checkpoint-every 0 "$tmp/zeros"
expect usage/run/checkpoints-alone 1 'they need --record' "$TTVM" run --checkpoint-every 1 "$tmp/zeros"
expect usage/replay/to-instr-word 1 'to-instr x.*not a number' "$TTVM" replay --to-instr x "$tmp/zeros"
expect usage/replay/two-goals 1 'exclude each other' "$TTVM" replay --to-instr 1 --to-event 1 "$tmp/zeros"
expect usage/replay/walk-alone 1 'walk needs --to-instr' "$TTVM" replay --walk 3 "$tmp/zeros"
expect usage/verify/to-instr 1 'always goes to the end' "$TTVM" verify --to-instr 1 "$tmp/zeros"
for range in x 5-3 - 1-2-3; do
	expect "usage/info/events=$range" 1 'not a range' "$TTVM" info "--events=$range" "$tmp/zeros"
done

# ---- doctor ----

status=0
"$TTVM" doctor >"$tmp/doctor" 2>"$tmp/err" || status=$?
failed=$(grep -c '^failed ' "$tmp/doctor")
why=
[ ! -s "$tmp/err" ] || why="something on stderr: $(one_line "$tmp/err")"
case $status in
0) [ "$failed" = 0 ] || why="status 0 with $failed failed checks" ;;
1) [ "$failed" != 0 ] || why="status 1 without a failed check" ;;
*) why="status $status" ;;
esac
verdict doctor/status "$why"
why=$(awk '/^(failed|warning) / { if ((getline line) <= 0 || line !~ /^ +try: ./) print "no next step for " $2 }' \
	"$tmp/doctor")
verdict doctor/next-steps "$why"
if command -v jq >/dev/null; then
	json_status=0
	"$TTVM" doctor --json >"$tmp/doctor.json" 2>"$tmp/err" || json_status=$?
	why=
	jq -e '(.usable | type) == "boolean" and (.checks | length) > 5
		and all(.checks[]; (.name | length) > 0 and (.detail | length) > 0
			and (.status == "ok" or .status == "warning" or .status == "failed")
			and ((.status == "ok") == (.next_step == "")))
		and .usable == (all(.checks[]; .status != "failed"))' "$tmp/doctor.json" >/dev/null ||
		why="unexpected JSON: $(one_line "$tmp/doctor.json")"
	[ "$json_status" = "$status" ] || why="status $json_status, without --json $status"
	verdict doctor/json "$why"
else
	skipped doctor/json "no jq here"
fi

# ---- info, on a real recording ----

# make_log FILE: record a tiny guest; what ttvm run said goes to FILE.run.
make_log()
{
	local guest=${GUEST-}
	[ -n "$guest" ] || for guest in "$here/guests/timer-storm" "$PWD/guests/timer-storm" \
		"$top/build/tests/guests/timer-storm"; do
		[ ! -e "$guest" ] || break
	done
	[ -e "$guest" ] || return 1
	if [ "$status" = 0 ]; then
		"$TTVM" run "$guest" --mem 32M --console none --record="$1" 2>"$1.run"
	elif [ -x "$top/tools/lab/run" ]; then
		# shellcheck disable=SC2016 # for the shell in the test machine
		"$top/tools/lab/run" --timeout 120 --in "$guest" --out "$tmp/lab" -- \
			sh -c 'exec ttvm run "$0" --mem 32M --console none --record=out/log 2>out/log.run' \
			"./${guest##*/}" && mv "$tmp/lab/log" "$1" && mv "$tmp/lab/log.run" "$1.run"
	else
		return 1
	fi
}

log=${LOG-}
if [ -z "$log" ]; then
	log=$tmp/log
	make_log "$log" || log=
fi
if [ -z "$log" ]; then
	skipped info "no recording: neither this machine nor tools/lab can make one"
	
# A KVM that is software only can be met on the host alone: no test machine has one.
if [ -e /sys/module/kvm_pvm ] && [ -r /dev/kvm ]; then
	expect software-kvm/run 1 '^ttvm: .*KVM' "$TTVM" run "$("$top/tools/lab/kernel" 6.12)/vmlinux" --console none
	"$TTVM" doctor --json >"$tmp/doctor" 2>/dev/null && status=0 || status=$?
	verdict software-kvm/doctor "$([ "$status" = 1 ] && jq -e '.checks[] | select(.name == "kvm-kind")
		| .status == "failed" and (.detail | test("software KVM"))' "$tmp/doctor" >/dev/null || echo "status $status, unexpected answer")"
else
	skipped software-kvm "this machine's KVM is not a software KVM (PVM), or there is none"
fi
exit $((FAILED != 0))
fi

why=
"$TTVM" info "$log" >"$tmp/info" 2>"$tmp/err" || why="status $?: $(one_line "$tmp/err")"
[ ! -s "$tmp/err" ] || why="something on stderr: $(one_line "$tmp/err")"
for word in log machine kernel 'command line' recorded ended digests instructions 'guest time' events bytes; do
	grep -q "^$word  *[^ ]" "$tmp/info" || why="nothing on $word"
done
verdict info/text "$why"
if [ -e "$log.run" ]; then
	why=
	grep -qE "^instructions +$(field instr "$log.run")\$" "$tmp/info" || why="other instructions than ttvm run"
	grep -qE "^events +$(field events "$log.run") " "$tmp/info" || why="other events than ttvm run"
	grep -qE "^bytes +$(field bytes "$log.run"):" "$tmp/info" || why="other bytes than ttvm run"
	grep -q " digest=$(field digest "$log.run")\$" "$tmp/info" || why="another digest than ttvm run"
	verdict info/agrees-with-run "$why"
fi
events=$(sed -n 's/^events  *\([0-9]*\) .*/\1/p' "$tmp/info")
"$TTVM" info --events "$log" | grep -cE '^[0-9]+ (sync|input|digest|end) ' >"$tmp/count"
why=
[ "$(cat "$tmp/count")" = "$events" ] || why="$(cat "$tmp/count") lines for $events events"
"$TTVM" info --events "$log" | tail -n 1 | grep -qE "^$((events - 1)) end .* how=" || why="the last event is no end"
verdict info/events "$why"
why=
for range in 3-5:3 -4:5 "$((events - 2))-:2" 7:1 "$events-:0"; do
	n=$("$TTVM" info --events="${range%:*}" "$log" | grep -cE '^[0-9]+ [a-z]+ .*exits=')
	[ "$n" = "${range#*:}" ] || why="--events=${range%:*} lists $n events"
done
verdict info/event-range "$why"
# shellcheck disable=SC2016 # for the shell that is started
expect info/full-disk 1 'could not be written' sh -c '"$0" info "$1" >/dev/full' "$TTVM" "$log"
if command -v jq >/dev/null; then
	why=
	"$TTVM" info --json "$log" | jq -e --argjson n "$events" '.status == "clean" and .events == $n
		and .instructions > 0 and .machine.memory > 0 and (.machine.command_line | type) == "string"
		and (.digests.digest | length) == 16 and .bytes.file > 0 and (.ended.how | length) > 0' \
		>/dev/null || why="unexpected: $("$TTVM" info --json "$log" | head -c 300)"
	verdict info/json "$why"
	why=
	"$TTVM" info --json --events "$log" | jq -e --argjson n "$events" '(.event_list | length) == $n
		and .event_list[0].number == 0 and .event_list[-1].kind == "end"' >/dev/null || why="unexpected"
	"$TTVM" info --json --events="$events-" "$log" | jq -e '.event_list == []' >/dev/null ||
		why="an empty range is not an empty array"
	verdict info/json-events "$why"
else
	skipped info/json "no jq here"
fi

if command -v jq >/dev/null; then
	why=
	"$TTVM" trace "$log" --log-only --perfetto - 2>"$tmp/err" | jq -e --argjson n "$events" '
		[.traceEvents[] | select(.args.event and .tid == 3)] | length == $n and ([.[].ts] | . == sort)
			and .[-1].name == "end"' >/dev/null || why="unexpected: $(one_line "$tmp/err")"
	verdict trace/log-only "$why"
fi

# A log that is cut is recovered; a log with a wrong byte in its middle is damaged.
size=$(stat -c %s "$log")
for bytes in 400 4000 40000; do
	head -c $((size - bytes)) "$log" >"$tmp/cut"
	"$TTVM" info "$tmp/cut" 2>/dev/null | grep -q '^ended *unknown' && break
done
expect info/cut 0 'cut.*recovered' "$TTVM" info "$tmp/cut"
why=
"$TTVM" info "$tmp/cut" 2>/dev/null | grep -qE '^instructions +at least' || why="instructions are not marked as uncertain"
verdict info/cut-text "$why"
cp "$log" "$tmp/wrong"
# The first frame of events: behind the header sections, so right after the middle of what is not events.
offset=$("$TTVM" info "$log" | sed -n 's/.* \([0-9]*\) of header and trailer.*/\1/p')
printf '\377\377\377\377' | dd of="$tmp/wrong" bs=1 seek=$((offset + 60)) conv=notrunc 2>/dev/null
expect info/damaged 4 'damaged' "$TTVM" info "$tmp/wrong"
head -c 20 "$log" >"$tmp/stub"
expect info/stub 4 'stub' "$TTVM" info "$tmp/stub"

# A KVM that is software only can be met on the host alone: no test machine has one.
if [ -e /sys/module/kvm_pvm ] && [ -r /dev/kvm ]; then
	expect software-kvm/run 1 '^ttvm: .*KVM' "$TTVM" run "$("$top/tools/lab/kernel" 6.12)/vmlinux" --console none
	"$TTVM" doctor --json >"$tmp/doctor" 2>/dev/null && status=0 || status=$?
	verdict software-kvm/doctor "$([ "$status" = 1 ] && jq -e '.checks[] | select(.name == "kvm-kind")
		| .status == "failed" and (.detail | test("software KVM"))' "$tmp/doctor" >/dev/null || echo "status $status, unexpected answer")"
else
	skipped software-kvm "this machine's KVM is not a software KVM (PVM), or there is none"
fi
exit $((FAILED != 0))
