#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# programs.sh - in the test machine: run test programs and scripts that print their own result lines.
#
# usage: programs.sh NAME...
#
# Each must exit with 0, or with 77 when this machine cannot run it.

. ./lib.sh
for name; do
	status=0
	case $name in
	*.sh) timeout 600 bash "./$name" || status=$? ;;
	*) timeout 600 "./$name" || status=$? ;;
	esac >"$OUT/$name.out" 2>"$OUT/$name.err" </dev/null
	sed -n "s,^ok ,ok ${name%.sh}/,p; s,^not ok ,not ok ${name%.sh}/,p; s,^skipped ,skipped ${name%.sh}/,p; t" \
		"$OUT/$name.out"
	case $status in
	0) grep -q '^ok ' "$OUT/$name.out" || ok "$name" ;;
	77) skipped "$name" "$(one_line "$OUT/$name.err")$(one_line "$OUT/$name.out")" ;;
	*) grep -q '^not ok ' "$OUT/$name.out" ||
		not_ok "$name" "status $status: $(one_line "$OUT/$name.err")$(one_line "$OUT/$name.out")" ;;
	esac
done
