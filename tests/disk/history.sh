#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# history.sh - on the host: what the history of a guest's disk holds. At every flush of the guest its file system is whole
# after the journal's replay, and its database is too, as after a power failure there.
#
# usage: history.sh BASE HISTORY EPOCHS: EPOCHS of them, evenly spread, the last one among them.

. tests/lib.sh
base=$1 history=$2 sample=$3
ttvm=$PWD/build/ttvm
dir=$(mktemp -d /tmp/ttvm-history.XXXXXX)
trap 'rm -rf "$dir"' EXIT
export PATH=$PATH:/usr/sbin:/sbin
partition="$dir/then?offset=1048576"

# whole EPOCH: what is wrong at its end, empty when nothing.
whole()
{
	rm -f "$dir"/then "$dir"/rows.db*
	"$ttvm" disk export "$history" --at "epoch:$1" --raw "$dir/then" >"$dir/log" 2>&1 ||
		{ echo "export: $(one_line "$dir/log")"; return; }
	e2fsck -y -E journal_only "$partition" >"$dir/log" 2>&1 # it never calls the rest of the file system clean
	e2fsck -fn "$partition" >"$dir/log" 2>&1 || { echo "e2fsck: $(one_line "$dir/log")"; return; }
	debugfs -f - "$partition" >"$dir/log" 2>&1 <<-END
		dump /root/rows.db $dir/rows.db
		dump /root/rows.db-journal $dir/rows.db-journal
	END
	[ -s "$dir/rows.db" ] || return # not created yet
	[ "$(sqlite3 "$dir/rows.db" 'pragma integrity_check' 2>&1)" = ok ] ||
		echo "sqlite3: $(sqlite3 "$dir/rows.db" 'pragma integrity_check' 2>&1 | head -n 1)"
}

cp --sparse=always "$base" "$dir/image"
cp "$history" "$dir/image.ttd"
history=$dir/image.ttd
last=$("$ttvm" disk log "$history" --json | jq '[.[] | select(.open | not) | .epoch] | max')
[ "$last" -ge 1 ] || { not_ok epochs "there are none"; exit 1; }
for ((i = 1; i <= sample; i++)); do
	epoch=$((last * i / sample))
	[ "$epoch" -ge 1 ] || continue
	verdict "epoch/$epoch" "$(whole "$epoch")"
done
[ "$FAILED" = 0 ]
