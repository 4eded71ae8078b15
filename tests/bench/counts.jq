# SPDX-License-Identifier: GPL-2.0
#
# counts.jq - where the time goes: VM exits per second of the recorded run by reason (AMD's exit codes; 0xf0 stands for
# nested page faults, 0xff for any other), events, what a request to a disk takes, and what landings cost.

def names: {
	"0x10": "cr-read", "0x40": "exceptions", "0x41": "#DB", "0x4e": "#PF", "0x60": "host interrupt", "0x61": "NMI",
	"0x64": "interrupt window", "0x6e": "RDTSC", "0x72": "CPUID", "0x78": "HLT", "0x79": "INVLPG", "0x7b": "port I/O",
	"0x7c": "MSR", "0x87": "RDTSCP", "0xf0": "memory", "0xff": "other" };
def tenths: if . == null then "-" else . * 10 | round / 10 end;
def hundredths: . * 100 | round / 100;
def three: "plain \(.plain | tenths), record \(.record | tenths), replay \(.replay | tenths)";
def per_second($s): if $s > 0 then . / $s | round else . end;

"exits per second of the recorded run, by reason:",
(.works | to_entries[] | .value.record_seconds as $s | "  \(.key): " + ([.value.counts.exits_by_reason // {} | to_entries
	| sort_by(-.value)[] | select(.value / $s >= 1) | "\(names[.key] // .key) \(.value | per_second($s))"] | join(", "))
	+ "; events \(.value.counts.events | per_second($s)), instructions per exit \(
		if .value.counts.vm_exits > 0 then .value.counts.instructions / .value.counts.vm_exits | round else 0 end)"),
"the host's work, instructions in percent of the guest's:",
(.works | to_entries[] | "  \(.key): \(.value.host_percent | three)" + (if .value.host_percent_beyond_boot.plain == null then ""
	else "; beyond boot: \(.value.host_percent_beyond_boot | three)" end)),
(if .disk == {} then empty else
	"a request of 4 KiB to a disk, in instructions:",
	(.disk | to_entries[] | .value.per_request as $r | "  \(.key): the guest\u0027s \($r.guest_instructions | round), the host\u0027s: raw \(
		$r.host_instructions.raw | round), \($r.host_instructions | map_values(round) | three), so record/plain is \(
		$r | (.guest_instructions + .host_instructions.record) / (.guest_instructions + .host_instructions.plain) | hundredths
		); VM exits \($r.vm_exits | tenths), TSC reads \($r.tsc_reads | tenths), events \($r.events | tenths)")
end),
(.history | select(.) | "a history of \(.writes) writes: opened at \(.points) random points, the slowest in \(.slowest_seconds) s"),
(if (.landing | length) > 1 then
	"landing (irq, by the alarm's margin in branches):",
	(.landing[] | "  margin \(.margin): \(.seconds * 100 | round / 100) s, \(.landings) landings, \(
		.breakpoint_hits) breakpoint hits on the way, \(.alarms_late) alarms late"),
	(.landing | .[0] as $a | .[-1] as $b | ($b.breakpoint_hits - $a.breakpoint_hits) as $hits
		| if $hits > 0 then "  a breakpoint hit costs \((($b.seconds - $a.seconds) / $hits * 1e6) * 10 | round / 10) us"
		  else empty end)
else empty end)
