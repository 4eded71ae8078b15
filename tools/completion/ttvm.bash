# shellcheck shell=bash
# SPDX-License-Identifier: GPL-2.0
#
# Completion of the ttvm command for bash. Source it, or install it as
# /usr/share/bash-completion/completions/ttvm. Commands and options are asked of `ttvm ... --help`, so they are never stale.

# _ttvm_commands PROGRAM [disk]
_ttvm_commands()
{
	"$@" --help 2>/dev/null | sed -n '/^commands:$/,/^$/ s/^  \([a-z]*\) .*/\1/p'
}

# _ttvm_options PROGRAM COMMAND...
_ttvm_options()
{
	"$@" --help 2>/dev/null | sed -nE 's/^ +((-[a-zA-Z]), )?(--[a-z-]+).*/\2 \3/p'
}

# The commands of `ttvm disk`, the options of one of them, points in time, files.
_ttvm_disk()
{
	if [ "$COMP_CWORD" -eq 2 ]; then
		mapfile -t COMPREPLY < <(compgen -W "$(_ttvm_commands "${COMP_WORDS[0]}" disk) --help" -- "$cur")
		return
	fi
	case $prev in
	--socket | --pidfile | --raw | --with | --output | -o)
		mapfile -t COMPREPLY < <(compgen -f -- "$cur")
		return
		;;
	--port | --address | --partition | --last | --keep-epochs)
		return
		;;
	--keep)
		mapfile -t COMPREPLY < <(compgen -W "7d epochs: recordings marks" -- "$cur")
		return
		;;
	esac
	if [[ $cur == -* ]]; then
		mapfile -t COMPREPLY < <(compgen -W "$(_ttvm_options "${COMP_WORDS[0]}" disk "${COMP_WORDS[2]}")" -- "$cur")
	elif [ "$prev" = --at ] || { [ "$COMP_CWORD" -ge 4 ] && [[ ${COMP_WORDS[2]} == @(diff|branch) ]]; }; then
		mapfile -t COMPREPLY < <(compgen -W "base now epoch: mark: time: instr:" -- "$cur"; compgen -f -- "$cur")
	else
		mapfile -t COMPREPLY < <(compgen -f -- "$cur")
	fi
}

_ttvm()
{
	local cur prev command
	COMPREPLY=()
	cur=${COMP_WORDS[COMP_CWORD]}
	prev=${COMP_WORDS[COMP_CWORD - 1]}
	command=${COMP_WORDS[1]-}

	if [ "$COMP_CWORD" -eq 1 ]; then
		mapfile -t COMPREPLY < <(compgen -W "$(_ttvm_commands "${COMP_WORDS[0]}") --help --version" -- "$cur")
		return
	fi
	# --option=value comes as three words
	[ "$prev" != = ] || prev=${COMP_WORDS[COMP_CWORD - 2]}
	[ "$cur" != = ] || cur=
	if [ "$command" = disk ]; then
		_ttvm_disk
		return
	fi
	case $prev in
	--console)
		mapfile -t COMPREPLY < <(compgen -W "stdio none pty socket:" -- "$cur"; compgen -f -- "$cur")
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
	--on-disk-error)
		mapfile -t COMPREPLY < <(compgen -W "report pause" -- "$cur")
		return
		;;
	--net)
		mapfile -t COMPREPLY < <(compgen -W "user user,tcp: tap: none" -- "$cur")
		return
		;;
	--call-graph)
		mapfile -t COMPREPLY < <(compgen -W "fp" -- "$cur")
		return
		;;
	--mem | -m)
		mapfile -t COMPREPLY < <(compgen -W "256M 512M 1G 2G 4G" -- "$cur")
		return
		;;
	--initrd | --kernel | --firmware | --disk | -d | --stats | --record | --control | --gdb | --pcap | --perfetto | --output | -o | --symbols | --branch)
		mapfile -t COMPREPLY < <(compgen -f -- "$cur")
		return
		;;
	--append | --at-fork | --every | --timeout | --digest-every | --to-instr | --to-event | --walk | --checkpoint-space | --margin | --events | --to-mark)
		return
		;;
	esac
	if [ "$command" = ctl ] && [ "$COMP_CWORD" -eq 3 ]; then
		mapfile -t COMPREPLY < <(compgen -W "status pause resume mark stop" -- "$cur")
	elif [[ $cur == -* ]]; then
		mapfile -t COMPREPLY < <(compgen -W "$(_ttvm_options "${COMP_WORDS[0]}" "$command")" -- "$cur")
	elif [ "$command" != doctor ]; then
		mapfile -t COMPREPLY < <(compgen -f -- "$cur")
	fi
}

complete -o filenames -F _ttvm ttvm
