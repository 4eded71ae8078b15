#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# workflow.sh - in the test machine: the example workflow docs/examples/vm-test.yml, done as a runner does it: each job in a folder
# of its own, each step by `bash -e`, artifacts carried from one to the other.
#
# Beside it: plan/, what tests/workflow-plan made of it; vmlinux; passing and failing, initrds of guests whose test does so.

. ./lib.sh
here=$PWD
mkdir bin
printf '#!/bin/sh\n[ -e vmlinux ] && [ -e initrd ]\n' >bin/make
chmod +x bin/make
export PATH=$here/bin:$PATH

# workflow INITRD: runs all jobs in INITRD.d/JOB; INITRD.d/steps gets a line for each step that was done, with its status.
workflow()
{
	local initrd=$1 top=$here/$1.d job condition kind first second state=success before=success current='' status
	mkdir -p "$top/artifacts"
	while read -r job condition kind first second; do
		if [ "$kind" = job ]; then
			# A job that needs another sees how that one ended.
			before=success
			[ "$first" = - ] || before=$state
			state=success current=$job
			[ "$condition" = "$before" ] || current=
			mkdir -p "$top/$job"
			continue
		fi
		[ "$current" = "$job" ] && [ "$condition" = "$state" ] || continue
		status=0
		case $kind in
		checkout) ln -s "$here/vmlinux" "$top/$job/vmlinux" && ln -s "$here/$initrd" "$top/$job/initrd" ;;
		run) (cd "$top/$job" && timeout 300 bash -e "$here/plan/$first") >"$top/${first%.sh}.out" 2>&1 </dev/null ;;
		upload) cp -r "$top/$job/$second" "$top/artifacts/$first" ;;
		download) cp -r "$top/artifacts/$first" "$top/$job/$second" ;;
		esac || status=$?
		[ "$status" = 0 ] || state=failure
		echo "$job $kind $first $status" >>"$top/steps"
		[ "$status" = 0 ] || echo "$initrd: $job $first: status $status: $(one_line "$top/${first%.sh}.out")"
	done <"$here/plan/plan"
}

workflow passing
workflow failing
cat passing.d/steps failing.d/steps

verdict passing "$(grep -v ' 0$' passing.d/steps)"
verdict passing/keeps-nothing "$(ls passing.d/artifacts)"
verdict passing/replays-nothing "$(grep '^replay' passing.d/steps)"
verdict failing "$(grep '^record' failing.d/steps | grep -v ' 0$' | grep -qx 'record run record-2.sh 1' || echo "the recording step did not fail")"
verdict failing/keeps-recording "$([ -s failing.d/artifacts/recording/log.zst ] || echo "there is none")"
verdict failing/replays "$([ "$(grep -c '^replay .* 0$' failing.d/steps)" = "$(awk '$1 == "replay" && $3 != "job"' plan/plan | wc -l)" ] ||
	grep '^replay' failing.d/steps | grep -v ' 0$' || echo "not all steps were done")"
verdict failing/says-where "$(grep -qE '^at instruction [0-9]+: ttvm debug' failing.d/replay-2.out || one_line failing.d/replay-2.out)"
[ "$FAILED" = 0 ]
