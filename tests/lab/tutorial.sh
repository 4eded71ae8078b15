#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# tutorial.sh - in the test machine: what docs/tutorial.md and README.md show of debugging happens when it is done.
#
# Beside it: session.awk, which executes documents, and these; vmlinux; initrd, the drivers and their sources for the
# tutorial; ledger-initrd, ledger.ko and ledger.c for README.md.
#
# usage: tutorial.sh

. ./lib.sh

# gdb as a user has it, but for what a terminal does; this system has no character sets but its own, which is an error.
export HOME=$PWD
printf '%s\n' 'set pagination off' 'set width 0' 'set charset ASCII' >.gdbinit

# headings DOCUMENT: those below which a session begins.
headings()
{
	awk '/^#+ / { heading = $0 }
		/^```/ { fenced = !fenced; first = fenced; next }
		first && /^(\$|\(gdb\)) / { print heading }
		{ first = 0 }' "$1" | uniq
}

# name_of HEADING: in small letters, with dashes.
name_of()
{
	sed 's/^#* //; s/.*/\L&/; s/ /-/g' <<<"$1"
}

# session DOCUMENT HEADING: results in NAME.out.
session()
{
	local name
	name=$(name_of "$2")
	timeout 1200 gawk -v name="$name" -v heading="$2" -f session.awk "$1" >"$name.out" 2>&1
}

# ---- a document that is wrong is noticed ----

cat >wrong.md <<'END'
## As it is
```
$ echo 'at 0xc0ffee01 [   12.345678] of 12345: one two three'
at 0xabcde001 [ 1.2] of 54321: one ... three
$ printf '%s\n' first second third 0xabcde001
first
third
0x00000000abcde001
$ gdb -q
(gdb) print 54321 + 1
$1 = 12346
(gdb) print/x 0xabcde001
$2 = 0xabcde001
$ echo back in the shell
back in the shell
```
## Another line
```
$ echo as it is
as it was
```
## Another order
```
$ printf '%s\n' first second
second
first
```
## Another small number
```
$ echo meter.c:42
meter.c:41
```
## Two numbers instead of one
```
$ echo 11111 22222
99999 99999
```
## Another number than before
```
$ echo 11111
99999
$ echo 22222
99999
```
## A command that fails
```
$ false
```
## A gdb that is not there
```
$ true
(gdb) print 1
$1 = 1
```
## A gdb that says something else
```
$ gdb -q
(gdb) print 1
$1 = 2
```
## No session
```
not a command
$ true
```
END
while read -r heading; do
	session wrong.md "$heading"
	name=$(name_of "$heading")
	if [ "$name" = as-it-is ]; then
		verdict control/as-it-is "$([ "$(grep -c '^ok as-it-is' as-it-is.out)" = 6 ] || one_line as-it-is.out)"
	else
		verdict "control/$name" "$(tail -n 1 "$name.out" | grep -q '^not ok' ||
			echo "not noticed: $(one_line "$name.out")")"
	fi
done < <(grep '^##' wrong.md)

# ---- all that the tutorial shows, and README.md's; at the same time, because one guest waits for a minute ----

mkdir readme
(cd readme && ln -s ../vmlinux ../ledger.ko ../ledger.c ../session.awk . && ln -s ../ledger-initrd initrd &&
	session ../README.md '## A wild write is found') &
mapfile -t shown < <(headings tutorial.md)
results=(readme/a-wild-write-is-found.out)
for heading in "${shown[@]}"; do
	session tutorial.md "$heading" &
	results+=("$(name_of "$heading").out")
done
wait
for result in "${results[@]}"; do
	cat "$result"
	! grep -q '^not ok' "$result" || FAILED=$((FAILED + 1))
	[ -s "$result" ] || not_ok "$result" "it took too long"
done
verdict all-of-them "$([ ${#shown[@]} -ge 3 ] || echo "only ${#shown[@]} sections of tutorial.md show a session")"
[ "$FAILED" = 0 ] || cp -- *.session readme/*.session *.out "$OUT"
[ "$FAILED" = 0 ]
