#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# linux.sh - in the test machine: record a stock Debian guest doing mixed work, and replay it.
#
# usage: linux.sh RECORDINGS REPLAYS [FIRST]
#
# Recordings differ in what may matter: the kernel as ELF or bzImage, the stock or the fast command line, a busy machine
# or an idle one, the guest's memory. The guest takes entropy from virtio-rng, and ends with times, interrupt counts and
# random bytes. FIRST is the number of the first one. Each replay uses another margin, and must print the recorded console
# byte for byte and end with the recorded digest of registers, memory and devices. The first recording is verified, too.
# $OUT/table gets a line per recording.

. ./lib.sh
recordings=$1 replays=$2 first=${3:-0}
margins=('' 2 20 200 2000 20000)

# variant NUMBER: sets kernel, line, load and mem.
variant()
{
	kernel=vmlinux line=$FAST_LINE load='' mem=256M
	[ $(($1 / 2 % 2)) = 0 ] || line=$STOCK_LINE
	[ $(($1 % 5)) != 1 ] || load=yes
	[ $(($1 / 4 % 2)) = 0 ] || kernel=vmlinuz
	[ $(($1 % 3)) = 0 ] || mem=512M
}

busy()
{
	while :; do :; done
}

# recorded: what is wrong with the recording, empty when nothing.
record()
{
	local status=0
	timeout 400 ttvm run "$kernel" --initrd initrd --append "$line work=mixed witness=1" --mem "$mem" --record=rec.log \
		--console rec.console </dev/null 2>rec.err || status=$?
	[ "$status" = 0 ] || { echo "status $status: $(one_line rec.err)"; return; }
	grep -q '^ttvm: recorded instr=[0-9]* events=[0-9]* bytes=[0-9]* seconds=[0-9.]* digest=' rec.err ||
		{ echo "no last line: $(one_line rec.err)"; return; }
	grep -q 'work: mixed done' rec.console || echo "the guest did not do its work: $(one_line rec.console)"
}

# replay MARGIN: likewise.
replay()
{
	local status=0 key
	timeout 400 ttvm replay rec.log ${1:+--margin "$1"} >rep.console 2>rep.err </dev/null || status=$?
	[ "$status" = 0 ] || { echo "status $status: $(grep -m1 -i diverge rep.err) $(one_line rep.err)"; return; }
	cmp -s rec.console rep.console || { echo "another console: $(cmp rec.console rep.console 2>&1)"; return; }
	for key in instr events digest; do
		[ "$(field "$key" rec.err)" = "$(field "$key" rep.err)" ] ||
			echo "$key=$(field "$key" rep.err) instead of $(field "$key" rec.err)"
	done
}

keep()
{
	mkdir -p "$OUT/$1"
	mv rec.err rec.console rep.err rep.console "$OUT/$1/" 2>/dev/null
	[ "$(du -sm "$OUT" | cut -f1)" -gt 100 ] || cp rec.log "$OUT/$1/"
}

for ((i = first; i < first + recordings; i++)); do
	variant $i
	name=$i-$kernel-$([ "$line" = "$STOCK_LINE" ] && echo stock || echo fast)${load:+-busy}
	burner=
	if [ "$load" ]; then
		busy &
		burner=$!
	fi
	why=$(record)
	verdict "record/$name" "$why"
	good=0
	if [ -z "$why" ]; then
		for ((j = 0; j < replays; j++)); do
			margin=${margins[(i + j) % ${#margins[@]}]}
			why=$(replay "$margin")
			verdict "replay/$name/$j${margin:+-margin$margin}" "$why"
			if [ "$why" ]; then
				keep "$name-$j"
			else
				good=$((good + 1))
			fi
		done
		[ $i != "$first" ] ||
			EXPECT_TIMEOUT=400 expect "verify/$name" 0 '^ttvm: verified instr=' ttvm verify rec.log
	else
		keep "$name"
	fi
	[ -z "$burner" ] || { kill "$burner"; wait "$burner"; } 2>/dev/null
	echo "$name $mem $(field instr rec.err) $(field events rec.err) $(field seconds rec.err)" \
		"$good/$replays $(grep -c 'alarm came too late' rep.err)" >>"$OUT/table"
	rm -f rec.* rep.*
done
[ "$FAILED" = 0 ]
