#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# completion.sh - bash, zsh and fish complete every command, and every option of every command, and nothing else.
#
# usage: tests/completion.sh TTVM SHARE [ZSH-FOLDER]
#
# SHARE is the folder share/ of an installed TTVM. What is right is what `ttvm --help` and `ttvm COMMAND --help` list; each
# shell is asked as it would ask itself when a user presses the key.

top=$(readlink -f "$(dirname "$(readlink -f "$0")")/..")
# shellcheck source=tests/lib.sh
. "$top/tests/lib.sh"
TTVM=$(readlink -f "$1") share=$(readlink -f "$2") zsh_folder=${3:-$2/share/zsh/site-functions}
[ -d "$zsh_folder" ] || zsh_folder=$share/zsh/site-functions
tmp=$(mktemp -d)
trap 'rm -rf -- "$tmp"' EXIT
export LC_ALL=C.UTF-8 XDG_CONFIG_HOME=$tmp XDG_DATA_HOME=$tmp XDG_CACHE_HOME=$tmp
cd "$tmp" || exit 1

# by_bash TTVM WORD...: what bash offers for the last of the words, one in a line; so for the others.
by_bash()
{
	# shellcheck disable=SC2016 # for the bash that is started
	bash --norc -c '. "$1"
		shift
		COMP_WORDS=("$@")
		COMP_CWORD=$(($# - 1))
		_ttvm
		printf "%s\n" "${COMPREPLY[@]}"' bash "$share/bash-completion/completions/ttvm" "$@"
}

# compinit has to find the function by the name of the command; what it offers goes through _describe and compadd.
by_zsh()
{
	# shellcheck disable=SC2016 # for zsh
	zsh -f -c 'fpath=("$1" $fpath)
		shift
		autoload -Uz compinit
		compinit -D -u
		_describe() { print -rl -- ${${(P)@[-1]}%%:*}; }
		compadd() { :; }
		_files() { :; }
		words=("$@")
		CURRENT=$#
		$_comps[ttvm]' zsh "$zsh_folder" "$@"
}

by_fish()
{
	# shellcheck disable=SC2016 # for fish
	PATH=$(dirname "$1"):$PATH fish --no-config -c 'set -p fish_complete_path $argv[1]
		complete -C (string join " " -- ttvm $argv[3..])' -- "$share/fish/vendor_completions.d" "$@" | cut -f1
}

# The two tables, read in another way than the completions do.
commands_of()
{
	"$@" --help | awk '/^$/ { inside = 0 } inside { print $1 } $0 == "commands:" { inside = 1 }' | sort
}
options_of()
{
	"$@" --help | awk '$1 ~ /^-/ { for (i = 1; i <= 2 && $i ~ /^-/; i++) { sub(/(,|=|\[).*/, "", $i); print $i } }' | sort
}

# differs SHELL TABLE WORD...: says how what that shell offers for the last word differs from the file TABLE.
differs()
{
	local shell=$1 table=$2 difference
	shift 2
	"by_$shell" "$@" 2>"$tmp/err" | sort >"$tmp/offered"
	[ "${*: -1}" = - ] || sed -i '/^-/d' "$tmp/offered"
	difference=$(comm -3 "$table" "$tmp/offered" | tr -s '\t\n' '  ')
	[ -z "$difference" ] || echo "$shell for '${*:2}': only one of help and completion has $difference $(one_line "$tmp/err")"
}

# compare SHELL PROGRAM: all that is wrong in that shell.
compare()
{
	local shell=$1 program=$2 command
	commands_of "$program" >"$tmp/commands"
	commands_of "$program" disk >"$tmp/disk-commands"
	differs "$shell" "$tmp/commands" "$program" ''
	differs "$shell" "$tmp/disk-commands" "$program" disk ''
	while read -r command; do
		# shellcheck disable=SC2086 # disk has two words
		options_of "$program" $command >"$tmp/options"
		[ "$command" = disk ] || differs "$shell" "$tmp/options" "$program" $command -
	done < <(cat "$tmp/commands"; sed 's/^/disk /' "$tmp/disk-commands")
}

verdict tables "$([ "$(commands_of "$TTVM" | wc -l)" -ge 12 ] && [ "$(options_of "$TTVM" run | wc -l)" -ge 25 ] &&
	[ "$(commands_of "$TTVM" disk | wc -l)" -ge 11 ] || echo "commands or options are missing in the help")"

# A program that has one option and one command more, whose help puts it differently for those who ask for the tables.
mkdir other
cat >other/ttvm <<END
#!/bin/sh
"$TTVM" "\$@" | sed 's/^  doctor .*/&\n  teapot   short and stout/; s/^  -h, --help .*/&\n  -s, --spout N  its spout: N/'
END
chmod +x other/ttvm

for shell in bash zsh fish; do
	verdict "$shell" "$(compare $shell "$TTVM" | head -n 3)"
done
for shell in bash zsh fish; do
	{ "by_$shell" "$tmp/other/ttvm" '' && "by_$shell" "$tmp/other/ttvm" run -; } 2>/dev/null | grep -xe teapot -e -s -e --spout |
		sort | tr '\n' ' ' >asked
	verdict "$shell/asks-the-program" "$([ "$(cat asked)" = '--spout -s teapot ' ] || echo "of its new words it offers: $(cat asked)")"
	# The comparison itself: with the tables of the other program, it must complain.
	options_of "$tmp/other/ttvm" run >options
	verdict "$shell/negative" "$(differs $shell options "$TTVM" run - | grep -q -e '--spout' || echo "a missing option is not noticed")"
done
[ "$FAILED" = 0 ]
