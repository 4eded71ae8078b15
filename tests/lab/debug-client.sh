# shellcheck shell=bash disable=SC2154
# SPDX-License-Identifier: GPL-2.0
#
# debug-client.sh - a part of debug.sh: clients of a recording's gdb server that do something wrong, or go away. The next one
# finds the machine as it was, or, when it was on its way, at a position like any other.
#
# Uses: tiny.zst, linux.zst, $middle

# serve LOG INSTRUCTION: a server that listens at $port; its process is $server.
serve()
{
	timeout 600 ttvm debug "$1" --to-instr "$2" --gdb 0 2>client.err &
	server=$!
	until port=$(sed -n 's/.*target remote 127.0.0.1:\([0-9]*\).*/\1/p' client.err) && [ -n "$port" ]; do
		kill -0 $server 2>/dev/null || return
		sleep 0.1
	done
}

connect()
{
	exec 3<>"/dev/tcp/127.0.0.1/$port"
}

hang_up()
{
	exec 3>&-
}

# packet CONTENT: in the protocol's frame.
packet()
{
	local sum=0 i byte
	for ((i = 0; i < ${#1}; i++)); do
		printf -v byte %d "'${1:i:1}"
		sum=$((sum + byte))
	done
	printf '$%s#%02x' "$1" $((sum & 255))
}

# take: the next packet of the server's, in $answer.
take()
{
	local sum
	answer='(nothing)'
	IFS= read -r -t 120 -d '#' -u 3 answer && IFS= read -r -t 10 -n 2 -u 3 sum || true
	answer=${answer#*\$}
	printf + >&3
}

ask()
{
	packet "$1" >&3
	take
}

# monitor COMMAND: what it prints, in $text.
monitor()
{
	text=
	ask "qRcmd,$(printf %s "$1" | xxd -p -c 256)"
	while [ "${answer:0:1}" = O ] && [ "$answer" != OK ]; do
		text+=$(printf %s "${answer:1}" | xxd -r -p)
		take
	done
}

# look: all that a client sees, in $seen; the position in $here.
look()
{
	monitor when
	here=$(sed -n 's/^instruction \([0-9]*\),.*/\1/p' <<<"$text")
	ask g
	seen="$here $answer"
	ask "m$(printf %x 0x100000),80"
	seen+=" $answer"
}

# same NAME: the client sees what it saw before.
same()
{
	local before=$seen
	look
	verdict "client/$1" "$([ ${#seen} -gt 1000 ] && [ "$seen" = "$before" ] || echo "at '${seen%% *}' instead of '${before%% *}'")"
}

# answers NAME PATTERN PACKET
answers()
{
	ask "$3"
	verdict "client/$1" "$([[ $answer =~ $2 ]] || echo "'${answer:0:100}' instead of '$2'")"
}

ip link set lo up
serve tiny.zst "$middle"
connect
look
verdict client/position "$([ "$here" = "$middle" ] || echo "at '$here'")"

answers unknown '^$' y
answers malformed 'E.a malformed packet' mzz
answers malformed-point 'E.a malformed packet' Z0,zz
answers malformed-resume 'E.a malformed packet' 'vCont;q'
answers malformed-monitor 'E.a malformed' qRcmd,7
answers no-such-register 'E.a malformed packet' pfff
answers no-such-memory '^E0e$' m7fff00000000,8
answers no-such-thread 'E.there is no thread 7' Hg7
answers write-memory 'E.the past cannot be changed' M100000,1:00
answers write-register 'E.the past cannot be changed' P0=0000000000000000
answers go-elsewhere 'E.the past cannot be changed' c100000
same after-wrong-packets

packet 'g' | tr g G >&3 # the checksum of another one
IFS= read -r -t 20 -n 1 -u 3 answer
verdict client/bad-checksum "$([ "$answer" = - ] || echo "'$answer'")"
# 20,000 times 'd', 0x64.
printf '$%20000s#%02x' '' $((20000 * 0x64 & 255)) | tr ' ' d >&3
take
verdict client/oversized "$([[ $answer == 'E.the packet is too long' ]] || echo "'${answer:0:100}'")"
same after-oversized

exec 4<>"/dev/tcp/127.0.0.1/$port"
IFS= read -r -t 20 -d '#' -u 4 answer || true
verdict client/second "$([[ $answer == *'E.another debugger is connected'* ]] || echo "'$answer'")"
exec 4>&-
same after-second

# Half a packet, an endless one, noise; then it hangs up.
{
	printf '$m0'
	printf '\003\003$$$$#zz+++---'
	head -c 100000 /dev/urandom
} >&3 2>/dev/null
hang_up
connect
same after-garbage
answers kill '^OK$' k
hang_up
status=0
wait $server || status=$?
verdict client/ends "$([ "$status" = 0 ] || echo "status $status: $(one_line client.err)")"

# ---- gone, or Ctrl-C, on the way back over a long stretch ----

# comes_again NAME START: it stands somewhere before START, and comes there again by another way.
comes_again()
{
	look
	verdict "client/$1/before" "$([ -n "$here" ] && [ "$here" -lt "$2" ] || echo "at '$here', from $2")"
	monitor "goto $((here / 2))"
	monitor "goto $here"
	same "$1/state"
}

start=$((length / 2))
serve linux.zst $start
connect
answers point '^OK$' Z1,1000,1
packet bc >&3
sleep 0.3
hang_up
connect
comes_again disconnect $start

monitor "goto $start"
answers point-again '^OK$' Z1,1000,1
{ packet bc && printf '\003'; } >&3
take
verdict client/interrupt "$([[ $answer == T02* ]] || echo "'$answer'")"
answers point-gone '^OK$' z1,1000,1
comes_again interrupt $start
ask k
hang_up
status=0
wait $server || status=$?
verdict client/ends-again "$([ "$status" = 0 ] || echo "status $status: $(one_line client.err)")"
