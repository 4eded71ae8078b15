#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# net.sh - in the test machine: a Linux guest on a user-mode network asks for an address, downloads from a server of the host, and
# serves something to the host through a port forward. The recording is replayed without that network, and its traffic
# is written to $OUT/net.pcap for the host to look at.
#
# Beside it: vmlinux, its modules failover, net_failover and virtio_net (.ko.xz), initrd, busybox (a static one).
#
# usage: net.sh REPLAYS

. ./lib.sh
replays=$1

# ---- the guest: the usual initrd with another /init on top ----

mkdir -p guest
cat >guest/init <<'END'
#!/bin/sh
mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t devtmpfs dev /dev
mount -t tmpfs tmp /tmp
cat >/tmp/dhcp <<'SCRIPT'
#!/bin/sh
if [ "$1" = bound ]; then
	ip addr add "$ip/24" dev "$interface"
	ip route add default via "$router"
	echo "dhcp: $ip router $router dns $dns"
fi
SCRIPT
chmod 755 /tmp/dhcp
for module in failover net_failover virtio_net; do
	insmod /$module.ko || poweroff -f
done
echo "mac: $(cat /sys/class/net/eth0/address)"
ip link set lo up
ip link set eth0 up
udhcpc -q -n -f -i eth0 -s /tmp/dhcp 2>/dev/null || echo "dhcp: failed"
wget -q -O /tmp/download http://10.0.2.2:8080/download || echo "wget: failed"
echo "download: $(md5sum </tmp/download)"
wget -q -O /dev/null http://10.0.2.2:8081/ 2>/dev/null || echo "nobody: refused"
echo "served by the guest" >/tmp/greeting
echo "listening"
nc -l -p 7 </tmp/greeting
echo "served"
poweroff -f
END
chmod 755 guest/init
for module in failover net_failover virtio_net; do
	./busybox unxz -c $module.ko.xz >guest/$module.ko
done
(cd guest && find . -type f | ../busybox cpio -o -H newc) >more.cpio 2>cpio.err
cat initrd more.cpio >net-initrd

# ---- the host ----

mkdir -p www
seq 1 200000 >www/download
sum=$(md5sum <www/download)
./busybox ip link set lo up 2>/dev/null
./busybox httpd -f -p 127.0.0.1:8080 -h www &
server=$!

# Keep connecting until the guest listens and answers.
{
	for ((tries = 0; tries < 1500; tries++)); do
		./busybox nc -w 5 127.0.0.1 8007 </dev/null >fetched 2>/dev/null
		[ ! -s fetched ] || break
		sleep 0.2
	done
} &
client=$!

timeout 400 ttvm run vmlinux --initrd net-initrd --append "$FAST_LINE" --mem 128M --net user,tcp:8007:7 --record=rec.log \
	--console rec.console </dev/null 2>rec.err
status=$?
kill $client $server 2>/dev/null
tr -d '\r' <rec.console >console

verdict record "$([ "$status" = 0 ] || echo "status $status: $(one_line rec.err)")"
verdict mac "$(grep -q '^mac: 52:54:00:74:74:00$' console || one_line console)"
verdict dhcp "$(grep -q '^dhcp: 10.0.2.15 router 10.0.2.2 dns 10.0.2.3$' console || one_line console)"
verdict download "$(grep -qF "download: $sum" console || echo "not $sum: $(one_line console)")"
verdict refused "$(grep -q '^nobody: refused$' console || one_line console)"
verdict forward "$(grep -q '^served by the guest$' fetched && grep -q '^served$' console || echo "got '$(cat fetched)'")"

# ---- again, with nobody there ----

for ((n = 0; n < replays; n++)); do
	timeout 400 ttvm replay rec.log >rep.console 2>rep.err </dev/null
	verdict "replay/$n" "$(cmp -s rec.console rep.console && grep -q ' replayed ' rep.err || one_line rep.err)"
done
timeout 400 ttvm trace rec.log --pcap "$OUT/net.pcap" --perfetto net.perfetto 2>trace.err </dev/null
verdict trace "$(grep -q 'traced frames=' trace.err || one_line trace.err)"
frames=$(field frames trace.err)
in=$(ttvm info rec.log --events --json | jq '[.event_list[] | select(.input == "net0")] | length')
verdict frames "$([ "${in:-0}" -gt 300 ] && [ "${frames:-0}" -gt $((in + 30)) ] || echo "$frames frames, $in of them to the guest")"
verdict timeline "$(jq -e --argjson n "${frames:-0}" '[.traceEvents[] | select(.args.bytes and (.name | test(" the guest$")))]
	| length == $n and ([.[].args.instr] | . == sort)' net.perfetto >/dev/null || one_line trace.err)"
echo "frames $frames in $in log $(stat -c %s rec.log) $(tail -n 1 rec.err)"
[ "$FAILED" = 0 ] || cp rec.console rec.err "$OUT/"
