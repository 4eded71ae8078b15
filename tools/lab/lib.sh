# shellcheck shell=bash
# SPDX-License-Identifier: GPL-2.0
#
# lib.sh - what the lab's scripts share: messages, the cache, and a private apt.
#
# The cache is $XDG_CACHE_HOME/ttvm (~/.cache/ttvm). An entry is built in a temporary folder beside its final name and
# renamed when complete, under a lock, so that it is either absent or whole and two runs never disturb each other.
# apt is used only to fetch: with a configuration of its own, whose mirror is the one that the machine itself uses, and
# with an empty package database. It neither needs root nor changes anything outside the cache.

LAB_CACHE=${XDG_CACHE_HOME:-$HOME/.cache}/ttvm

say()
{
	echo "${0##*/}: $*" >&2
}

die()
{
	say "$@"
	exit 1
}

# cache_lock NAME: serialises the builders of cache entry NAME until the shell ends. The lock is on descriptor 9: hand
# `9>&-` to anything that outlives the script.
cache_lock()
{
	mkdir -p "$LAB_CACHE/lock"
	exec 9>"$LAB_CACHE/lock/$1"
	flock 9
}

cache_unlock()
{
	exec 9>&-
}

# cache_keep ENTRY: marks the entry as used today, and drops those of its kind that nobody has used for two weeks. An
# entry's name is KIND-KEY, KEY being what hash_files printed.
cache_keep()
{
	touch -c "$1"
	find "$LAB_CACHE" -maxdepth 1 -name "$(basename "${1%-*}")-????????????????" -mtime +14 -exec rm -rf {} +
}

# hash_files FILE...: 16 hex digits that change with the content of any of the files.
hash_files()
{
	cat -- "$@" | sha256sum | cut -c1-16
}

# ---- apt ----

# Prints "MAIN SECURITY": the URIs from which this machine gets Debian itself and Debian's security updates. The second
# may be empty.
machine_mirrors()
{
	local codename
	# shellcheck source=/dev/null
	codename=$(. /etc/os-release && echo "${VERSION_CODENAME-}")
	[ -n "$codename" ] || die "/etc/os-release names no Debian release"
	# shellcheck disable=SC2016 # the $() are apt's
	apt-get indextargets --format '$(REPO_URI) $(RELEASE) $(COMPONENT)' 'Created-By: Packages' |
		awk -v codename="$codename" '
			$2 == codename && $3 == "main" && main == "" { main = $1 }
			$2 == codename "-security" && $3 == "main" && security == "" { security = $1 }
			END { print main, security }'
}

# apt_open SUITE...: makes a private apt for these Debian suites (bookworm, bookworm-security, trixie, ...), to be used
# as lab_apt_get and lab_apt_cache. Package lists are fetched when there are none, or by apt_refresh.
apt_open()
{
	local mirrors main security suite uri
	local keyring=/usr/share/keyrings/debian-archive-keyring.gpg

	[ -r "$keyring" ] || die "$keyring is missing: run tools/setup (package debian-archive-keyring)"
	mirrors=$(machine_mirrors)
	main=${mirrors%% *}
	security=${mirrors#* }
	[ -n "$main" ] || die "apt's sources name no mirror of Debian's main component for this machine's release"

	LAB_APT=$LAB_CACHE/apt/$(echo "$mirrors $*" | sha256sum | cut -c1-16)
	mkdir -p "$LAB_APT/lists/partial" "$LAB_APT/archives/partial" "$LAB_APT/sources.d"
	: >"$LAB_APT/status"
	: >"$LAB_APT/preferences"
	for suite; do
		uri=$main
		case $suite in
		*-security) uri=$security ;;
		esac
		[ -z "$uri" ] || echo "deb [signed-by=$keyring arch=amd64] $uri $suite main"
	done >"$LAB_APT/sources.new"
	mv "$LAB_APT/sources.new" "$LAB_APT/sources.list"

	LAB_APT_OPTIONS=(
		-o Dir::Etc::sourcelist="$LAB_APT/sources.list" -o Dir::Etc::sourceparts="$LAB_APT/sources.d"
		-o Dir::Etc::preferences="$LAB_APT/preferences" -o Dir::Etc::preferencesparts="$LAB_APT/sources.d"
		-o Dir::State::lists="$LAB_APT/lists" -o Dir::State::status="$LAB_APT/status"
		-o Dir::State::extended_states="$LAB_APT/extended_states"
		-o Dir::Cache="$LAB_APT" -o Dir::Cache::archives="$LAB_APT/archives"
		-o Dir::Cache::pkgcache= -o Dir::Cache::srcpkgcache=
		-o APT::Architecture=amd64 -o APT::Sandbox::User="$(id -un)" -o Acquire::Languages=none
		-o Acquire::Retries=3 -o Dpkg::Use-Pty=0
	)
	compgen -G "$LAB_APT/lists/*_Packages*" >/dev/null || apt_refresh
}

apt_refresh()
{
	lab_apt_get update -qq >&2 || die "could not fetch Debian's package lists (is the network there?)"
}

lab_apt_get()
{
	apt-get "${LAB_APT_OPTIONS[@]}" "$@"
}

lab_apt_cache()
{
	apt-cache "${LAB_APT_OPTIONS[@]}" "$@"
}

# apt_unpack ROOT PACKAGE[=VERSION]...: fetches the packages (not what they depend on) and unpacks them below ROOT.
# Their maintainer scripts do not run.
apt_unpack()
{
	local root=$1 debs deb
	shift
	debs=$(mktemp -d "$LAB_APT/debs.XXXXXX")
	if ! (cd "$debs" && lab_apt_get download -qq "$@" >&2); then
		# Package lists of last month may name files that the mirror has replaced since.
		apt_refresh
		(cd "$debs" && lab_apt_get download -qq "$@" >&2) || die "could not fetch $*"
	fi
	for deb in "$debs"/*.deb; do
		dpkg-deb --fsys-tarfile "$deb" | tar --keep-directory-symlink -C "$root" -xf - ||
			die "could not unpack ${deb##*/}"
	done
	rm -rf "$debs"
}

# ---- images ----

# ext4_image FOLDER FILE: an image of FOLDER for read-only use.
ext4_image()
{
	local kib
	kib=$(du -sk --apparent-size "$1" | cut -f1)
	PATH=$PATH:/usr/sbin:/sbin mke2fs -q -t ext4 -O ^has_journal -m 0 -b 4096 -d "$1" "$2" \
		$((kib + kib / 4 + 16384))K >/dev/null || die "mke2fs failed"
}
