#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# deb.sh - in the test machine: ttvm as its packages installed it, used by users who are not root.
#
# usage: deb.sh 6.1|6.12
#
# Beside it: system.image, a Debian in which the packages are installed; it has the users somebody, who is in the group kvm, and
# outsider; on 6.12 all of the kernel's modules, on 6.1 ours only. line, the second line of docs/install.md; timer-storm, a tiny
# guest, which stands for that line's vmlinuz as well: Linux is the linux_* jobs' business. ttvm.ko is not loaded.

. ./lib.sh
kernel=$1
mkdir system
modprobe loop && mount -o loop system.image system || {
	not_ok "$kernel/system" "the image cannot be mounted"
	exit 1
}
for folder in dev proc sys; do
	mount --rbind /$folder system/$folder
done
mount -t tmpfs run system/run
mount -t tmpfs home system/home

# inside COMMAND...: as root of that system. by USER COMMAND: in a login shell of that user. Programs, for `expect`.
mkdir bin
cat >bin/inside <<END
#!/bin/sh
exec env -u LD_LIBRARY_PATH PATH=/usr/sbin:/usr/bin SYSTEMD_IGNORE_CHROOT=1 chroot "$PWD/system" "\$@"
END
cat >bin/by <<END
#!/bin/sh
exec "$PWD/bin/inside" su -l "\$1" -c "\$2"
END
chmod +x bin/*
PATH=$PWD/bin:$PATH

for user in somebody outsider; do
	mkdir system/home/$user
	cp timer-storm system/home/$user/
	inside chown -R $user: /home/$user
done
cp timer-storm system/home/somebody/vmlinuz
cp timer-storm system/home/somebody/initrd

# ---- the module comes with KVM, and udev gives it to the group ----

inside /lib/systemd/systemd-udevd --daemon >udevd.out 2>&1 || not_ok "$kernel/udev" "$(one_line udevd.out)"
if [ "$kernel" = 6.12 ]; then
	rmmod kvm_amd
	inside sh -c ': >/etc/modprobe.d/ttvm.conf; modprobe kvm_amd; rm /etc/modprobe.d/ttvm.conf'
	verdict $kernel/modprobe/masked "$([ ! -e /sys/module/ttvm ] || echo "ttvm.ko is loaded all the same")"
	rmmod kvm_amd
	inside modprobe kvm_amd >modprobe.out 2>&1
	verdict $kernel/modprobe/with-kvm "$([ -e /sys/module/ttvm ] || echo "loading kvm_amd does not load ttvm.ko; $(one_line modprobe.out)")"
fi
[ -e /sys/module/ttvm ] || insmod "system/lib/modules/$(uname -r)/updates/dkms/ttvm.ko" || not_ok "$kernel/insmod" "no module"
inside udevadm trigger --action=add --name-match=kvm --settle
inside udevadm settle
for device in kvm ttvm; do
	found=$(inside stat -c '%a %U:%G' /dev/$device 2>&1)
	verdict "$kernel/udev/$device" "$([ "$found" = '660 root:kvm' ] || echo "/dev/$device: $found")"
done

# ---- somebody in the group ----

verdict "$kernel/installed" "$([ "$(by somebody 'command -v ttvm')" = /usr/bin/ttvm ] || echo "ttvm is not the installed one")"
verdict "$kernel/not-root" "$([ "$(by somebody 'id -u')" != 0 ] || echo "it is root")"
expect "$kernel/record" 0 'recorded instr=' by somebody 'ttvm run timer-storm --mem 32M --console none --record=tiny.zst'
expect "$kernel/replay" 0 'verified instr=' by somebody 'ttvm verify tiny.zst'
expect "$kernel/quick-start" 0 'replayed instr=' by somebody "$(cat line)"
[ "$kernel" != 6.12 ] || expect $kernel/doctor 0 . by somebody 'ttvm doctor >&2'

# ---- others ----

run='ttvm run timer-storm --mem 32M --console none --record=tiny.zst'
join='joining the group kvm: sudo usermod -a -G kvm outsider; then log in again'
if [ "$kernel" = 6.1 ]; then
	expect $kernel/outsider 1 "/dev/kvm: permission denied; try $join" by outsider "$run"
	exit $((FAILED != 0))
fi
expect "$kernel/outsider/kvm" 1 "/dev/kvm: permission denied; try $join" by outsider "$run"
status=0
by outsider 'ttvm doctor' >doctor.out 2>&1 || status=$?
verdict "$kernel/outsider/doctor" "$([ "$status" = 1 ] && [ "$(grep -c "try: $join" doctor.out)" = 2 ] ||
	echo "status $status, or no next step for both devices: $(grep ' try: ' doctor.out)")"
chmod 666 /dev/kvm
expect "$kernel/outsider/ttvm" 1 "/dev/ttvm: permission denied; try $join" by outsider "$run"
expect "$kernel/outsider/without-recording" 0 'ran ' by outsider 'ttvm run timer-storm --mem 32M --console none'
expect "$kernel/old-session" 1 'try logging in again: this session began before' \
	inside setpriv --reuid somebody --regid somebody --clear-groups sh -c "cd /home/somebody && $run"
chown root:root /dev/ttvm
expect "$kernel/no-rule" 1 '/dev/ttvm: permission denied; try running as root; or let udev' by somebody "$run"
inside udevadm trigger /dev/ttvm
inside udevadm settle
expect "$kernel/rule-again" 0 'recorded instr=' by somebody "$run"
inside udevadm control --exit
[ "$FAILED" = 0 ]
