# shellcheck shell=bash disable=SC2154
# SPDX-License-Identifier: GPL-2.0
#
# native.sh - `run --cpu host`: COMMAND on this very machine, for one whose `ttvm doctor` has nothing to say against it.
#
# Sourced by run, with its variables. It keeps run's contract (scratch folder, --in, --out, module, PATH, timeout) as far
# as a machine that is not thrown away afterwards allows: a module that was not loaded before is unloaded again.

# run_native COMMAND...: returns as run exits.
run_native()
{
	local scratch=$tmp/scratch name status=0 loaded=

	[ "$(id -u)" = 0 ] || lab_failed "--cpu host needs root"
	[ -e /dev/kvm ] || lab_failed "--cpu host: this machine has no /dev/kvm"
	mkdir -p "$scratch/out"
	for name in "${!names[@]}"; do
		cp -aH -- "${names[$name]}" "$scratch/$name"
	done
	if [ -n "$module" ] && [ ! -e /dev/ttvm ]; then
		insmod "$(module_for "$(uname -r)")" || lab_failed "ttvm.ko cannot be loaded here (see dmesg)"
		loaded=yes
	fi
	(cd "$scratch" && PATH=$top/build:$PATH exec timeout -k 5 "$timeout" "$@" </dev/null) || status=$?
	[ -z "$loaded" ] || rmmod ttvm || say "ttvm.ko stays loaded"
	[ -z "$out" ] || cp -a "$scratch/out/." "$out/"
	return "$status"
}
