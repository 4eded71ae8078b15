# shellcheck shell=bash
# SPDX-License-Identifier: GPL-2.0
#
# Completion of the ttvm command for bash. Source it, or install it as
# /usr/share/bash-completion/completions/ttvm. The options are asked of `ttvm COMMAND --help`, so they are never stale.

_ttvm_options()
{
	"$1" "$2" --help 2>/dev/null | grep -oE -- '--[a-z][a-z-]*' | sort -u
}

_ttvm()
{
	local cur prev command
	COMPREPLY=()
	cur=${COMP_WORDS[COMP_CWORD]}
	prev=${COMP_WORDS[COMP_CWORD - 1]}
	command=${COMP_WORDS[1]-}

	if [ "$COMP_CWORD" -eq 1 ]; then
		mapfile -t COMPREPLY < <(compgen -W "run replay verify info doctor --help --version" -- "$cur")
		return
	fi
	# --option=value comes as three words
	[ "$prev" != = ] || prev=${COMP_WORDS[COMP_CWORD - 2]}
	[ "$cur" != = ] || cur=
	case $prev in
	--console)
		mapfile -t COMPREPLY < <(compgen -W "stdio none" -- "$cur"; compgen -f -- "$cur")
		return
		;;
	--cpu-model)
		mapfile -t COMPREPLY < <(compgen -W "x86-64-v2 x86-64-v3" -- "$cur")
		return
		;;
	--on-log-error)
		mapfile -t COMPREPLY < <(compgen -W "stop continue" -- "$cur")
		return
		;;
	--mem | -m)
		mapfile -t COMPREPLY < <(compgen -W "256M 512M 1G 2G 4G" -- "$cur")
		return
		;;
	--initrd | --stats | --record)
		mapfile -t COMPREPLY < <(compgen -f -- "$cur")
		return
		;;
	--append | --timeout | --digest-every | --to-instr | --to-event | --walk | --margin | --events)
		return
		;;
	esac
	if [[ $cur == -* ]]; then
		mapfile -t COMPREPLY < <(compgen -W "$(_ttvm_options "${COMP_WORDS[0]}" "$command")" -- "$cur")
	elif [ "$command" != doctor ]; then
		mapfile -t COMPREPLY < <(compgen -f -- "$cur")
	fi
}

complete -o filenames -F _ttvm ttvm
