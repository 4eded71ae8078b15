# shellcheck shell=bash disable=SC2154
# SPDX-License-Identifier: GPL-2.0
#
# debug-model.sh - a part of debug.sh: what gdb shows in a recording, against a model (debug-model.py), and accesses that one
# would count wrongly.
#
# Uses: tiny.zst, $middle, $mixes

# address FILE INSTRUCTION: where this instruction stands first.
address()
{
	objdump -d "$1" | sed -n "s/^ *\([0-9a-f]*\):.*$2.*/0x\1/p" | head -n 1
}

# ---- random mixes of commands: this guest calls functions, has page faults, REP instructions and interrupts ----

seed=$RANDOM
status=0
MODEL_ANCHOR=$(address guests/page-fault 'rep stos') MODEL_BEFORE=100 MODEL_BEHIND=100 MODEL_MIXES=$mixes MODEL_SEED=$seed \
	MODEL_WORDS=$(nm guests/page-fault | awk '$3 ~ /^(sum|faults|write_faults)$/ { printf "%s ", $1 }') \
	timeout 1200 ttvm debug tiny.zst --to-instr "$middle" -- "${GDB[@]}" -x debug-model.py guests/page-fault >model.gdb 2>&1 \
	</dev/null || status=$?
verdict model/session "$([ "$status" = 0 ] || echo "status $status: $(one_line model.gdb)")"
# What gdb prints itself may stand before.
verdict model/commands "$(grep -Eq "model: mixes=$mixes commands=($((4 * mixes))|$((4 * mixes + 2))) wrong=0" model.gdb ||
	echo "seed $seed: $(grep -o 'wrong: .*' model.gdb | head -n 2 | tr '\n' ' ' | cut -c1-400)")"
# Two commands more where the stretch has such a place.
if grep -q 'delivery: found' model.gdb; then
	ok model/delivery
else
	skipped model/delivery "no exception of the stretch changes the watched word"
fi
says model control 'control: noticed 5 of 5'
[ "$FAILED" = 0 ] || cp model.gdb tiny.zst "$OUT/"

# ---- a word that a REP instruction writes on its way: the whole instruction is one step, or two with an interrupt in it ----

record rep.zst guests/rep --mem 32M
in_gdb rep rep.zst <<END
hbreak *$(address guests/rep 'rep movsb')
continue
delete
set \$word = 0x$(nm guests/rep | awk '$3 == "target" { print $1 }') + 0x20000
watch *(long *) \$word
continue
monitor when
printf "value %lx\n", *(long *) \$word
reverse-continue
monitor when
printf "before %lx\n", *(long *) \$word
stepi
monitor when
printf "value %lx\n", *(long *) \$word
reverse-stepi
continue
monitor when
END
mapfile -t at < <(positions rep)
verdict rep/count "$([ ${#at[@]} = 4 ] || echo "${#at[@]} positions: $(one_line rep.gdb)")"
verdict rep/back "$([ "${at[1]}" = $((at[0] - 1)) ] && [ "${at[2]}" = "${at[0]}" ] || echo "${at[*]}")"
verdict rep/forward "$([ "${at[3]}" = "${at[0]}" ] || echo "${at[*]}")"
verdict rep/value "$([ "$(grep -c '^value' rep.gdb)" = 2 ] && [ "$(grep '^value' rep.gdb | sort -u | wc -l)" = 1 ] &&
	[ "$(sed -n 's/^value //p; s/^before //p' rep.gdb | sort -u | wc -l)" = 2 ] || one_line rep.gdb)"
