#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# deb.sh - the packages of `make deb`: built, looked at by lintian, installed in a clean Debian as docs/install.md says, used in
# the test machine by a user without rights, and purged.
#
# usage: tests/deb.sh FOLDER
#
# FOLDER gets the system that they are installed in, and what explains a failure. The module is built by dkms in there, for both
# kernels of the lab, rather than in the test machine, where a compiler takes minutes.

top=$(readlink -f "$(dirname "$(readlink -f "$0")")/..")
cd "$top" || exit 1
# shellcheck source=tests/lib.sh
. tests/lib.sh
work=$(readlink -f "$1")
root=$work/system
export PATH=$PATH:/usr/sbin:/sbin

# as_root COMMAND...: of this machine, or of a user namespace in which files can belong to anybody.
as_root()
{
	if [ "$(id -u)" = 0 ]; then
		"$@"
	else
		unshare --map-root-user --map-auto "$@"
	fi
}

# inside COMMAND...: in the system, as its root; stdin is empty.
inside()
{
	# shellcheck disable=SC2016 # for the shell that is started
	as_root unshare --mount --pid --fork --kill-child sh -c 'mount -t proc proc "$0/proc" && mount --rbind /dev "$0/dev" &&
		exec env -i PATH=/usr/sbin:/usr/bin HOME=/root LANG=C.UTF-8 DEBIAN_FRONTEND=noninteractive chroot "$0" "$@"' \
		"$root" "$@" </dev/null
}

# files: those of the system, but for what package tools keep for themselves: their logs, caches, lists and dkms's key.
files()
{
	as_root find "$root" \( -path "$root/debs" -o -path "$root/home" -o -path "$root/var/log" -o -path "$root/var/cache" -o \
		-path "$root/var/lib/dpkg" -o -path "$root/var/lib/apt" -o -path "$root/lib/modules/*/modules.*" -o \
		-path "$root/usr/lib/modules/*/modules.*" \) -prune -o -printf '%P\n' |
		grep -vE '^(var/lib/dkms/mok\.(key|pub)|etc/(group|gshadow|passwd|shadow|subgid|subuid)-)$' | sort
}

# line N: of the two that docs/install.md begins with.
line()
{
	sed -n '/^sudo apt install/,/^```/p' docs/install.md | sed -n "$1{s/ *#.*//;p}"
}

# ---- building ----

git status --porcelain >"$work/tree-before" 2>/dev/null
tools/deb >"$work/debs" 2>"$work/build" || {
	not_ok build "$(one_line "$work/build")"
	exit 1
}
git status --porcelain >"$work/tree-after" 2>/dev/null
verdict build "$([ "$(wc -l <"$work/debs")" = 2 ] || one_line "$work/debs")"
verdict build/tree-is-clean "$(diff "$work/tree-before" "$work/tree-after" | head -n 1)"
verdict build/no-root "$(grep -q '^Rules-Requires-Root: no' debian/control || echo "debian/control does not say so")"
lintian --allow-root --fail-on error,warning build/ttvm_*.deb build/ttvm-dkms_*.deb >"$work/lintian" 2>&1
verdict lintian "$(grep -v '^N:' "$work/lintian" | head -n 3)"
verdict readme "$([ "$(line 2)" ] && grep -qxF "$(line 1)" <(sed 's/ *#.*//' README.md) && grep -qxF "$(line 2)" README.md ||
	echo "README.md and docs/install.md do not begin with the same two lines")"

# ---- installing ----

clean=$(tools/lab/debian-root)
as_root rm -rf "$root"
mkdir "$root"
as_root tar -C "$root" --exclude './dev/*' --numeric-owner -xpf "$clean/root.tar"
# shellcheck disable=SC2016 # for the shell in there
inside sh -c 'useradd -m -s /bin/bash somebody && useradd -m -s /bin/bash outsider &&
	echo "somebody ALL=(ALL) NOPASSWD: ALL" >/etc/sudoers.d/somebody && echo "127.0.0.1 localhost $(hostname)" >/etc/hosts &&
	echo "APT::Get::Assume-Yes \"true\";" >/etc/apt/apt.conf.d/90test && mkdir /home/somebody/build' >"$work/users" 2>&1
as_root cp build/ttvm_*.deb build/ttvm-dkms_*.deb "$root/home/somebody/build/"
files >"$work/files-before"
# shellcheck disable=SC2016 # dpkg's
inside dpkg-query -W -f '${Package}\n' >"$work/packages-before"

status=0
inside su -l somebody -c "$(line 1)" >"$work/install" 2>&1 || status=$?
verdict install "$([ "$status" = 0 ] || one_line "$work/install")"
for kernel in 6.1 6.12; do
	release=$(cat "$(tools/lab/kernel $kernel)/release")
	module=$root/lib/modules/$release/updates/dkms/ttvm.ko
	if [ -e "$module.xz" ]; then # as the kernel's own are
		xz -dc "$module.xz" >"$work/ttvm.ko"
		module=$work/ttvm.ko
	fi
	why=
	inside dkms status ttvm 2>&1 | grep -q "^ttvm.*$release.*: installed" || why="dkms: $(inside dkms status ttvm 2>&1 | tr '\n' ' ')"
	if [ ! -e "$module" ]; then
		why="no module; $(one_line "$root"/var/lib/dkms/ttvm/*/build/make.log)"
	else
		modinfo -F vermagic "$module" | grep -q "^$release " || why="it is for $(modinfo -F vermagic "$module")"
		[ "$(modinfo -F version "$module")" = "$(sed -n 's/^VERSION := //p' Makefile)" ] || why="its version is $(modinfo -F version "$module")"
		[ "$(modinfo -F signer "$module")" = "DKMS module signing key" ] || why="it is not signed by dkms"
	fi
	verdict "dkms/$kernel" "$why"
done
verdict manual "$(comm -3 <(cd docs/man && ls) <(cd "$root/usr/share/man/man1" 2>/dev/null && basename -s .gz -a ttvm*) | head -n 3)"
verdict group "$(inside id -nG somebody | grep -qw kvm || echo "the user is in the groups $(inside id -nG somebody)")"

# ---- using: its image without what takes most of the room ----

as_root cp -al "$root" "$work/slim"
as_root rm -rf "$work"/slim/{debs,boot,usr/src,usr/include,usr/lib/gcc,usr/share/perl,usr/share/zoneinfo,var/cache,var/lib/dkms,var/lib/apt}
as_root bash -c '. tools/lab/lib.sh; ext4_image "$1" "$2"' bash "$work/slim" "$work/system.image"
as_root rm -rf "$work/slim"
line 2 >"$work/line"
for kernel in 6.12 6.1; do
	status=0
	tools/lab/run --no-module --kernel $kernel --mem 3G --timeout "${TTVM_TEST_TIMEOUT:-1500}" --console "$work/console-$kernel" \
		--out "$work/out" --in tests/lib.sh --in tests/lab/deb.sh --in build/tests/guests/timer-storm --in "$work/system.image" \
		--in "$work/line" -- bash deb.sh $kernel >"$work/lab-$kernel" || status=$?
	cat "$work/lab-$kernel"
	grep -q '^ok' "$work/lab-$kernel" && { [ "$status" = 0 ] || grep -q '^not ok' "$work/lab-$kernel"; } ||
		not_ok "used/$kernel" "status $status"
done
rm -f "$work/system.image"

# ---- purging ----

# shellcheck disable=SC2016 # dpkg's
{
	inside apt-get purge ttvm ttvm-dkms && inside apt-get autoremove --purge
} >"$work/purge" 2>&1
files >"$work/files-after"
# shellcheck disable=SC2016 # dpkg's
inside dpkg-query -W -f '${Package}\n' >"$work/packages-after"
verdict purge "$(diff "$work/packages-before" "$work/packages-after" | grep '^[<>]' | head -n 3)"
verdict purge/files "$(diff "$work/files-before" "$work/files-after" | grep '^[<>]' | head -n 3)"
as_root touch "$root/usr/lib/udev/rules.d/left-behind"
verdict purge/negative "$(files | diff "$work/files-before" - | grep -q 'left-behind' || echo "a file that stays is not noticed")"
as_root rm -rf "$root"
[ "$FAILED" = 0 ]
