# SPDX-License-Identifier: GPL-2.0
#
# collect.jq - from the single measurements to medians and ratios: the content of build/bench.json.

def median: sort | if length == 0 then null elif length % 2 == 1 then .[length / 2 | floor]
	else (.[length / 2 - 1] + .[length / 2]) / 2 end;
def ratio($a; $b): if $a == null or $b == null or $b <= 0 then null else $a / $b end;

[inputs] as $all
| ($all | map(.work) | unique) as $works
| def of($work; $mode): $all | map(select(.work == $work and .mode == $mode));
  def seconds($work; $mode): of($work; $mode) | map(.seconds) | median;
  def logged($work; $what): of($work; "record") | map(.log[$what]) | median;
  def beyond($work; $mode): if $work == "boot" then null
	else (seconds($work; $mode) as $a | seconds("boot"; $mode) as $b
		| if $a == null or $b == null then null else $a - $b end) end;
  def paired($work; $a; $b): [range(1; 100) as $n
	| ratio((of($work; $a) | map(select(.n == $n)) | .[0].seconds); (of($work; $b) | map(select(.n == $n)) | .[0].seconds))
	| select(. != null)] | median;
  def host($work; $mode): of($work; $mode) | map(.host | select(. != null) | .host_user + .host_kernel) | median;
  def guest($work): of($work; "record") | map(.counts.instructions) | median;
  def host_percent($work; $mode): ratio(100 * host($work; $mode); guest($work));
  def host_percent_beyond_boot($work; $mode): if $work == "boot" or host("boot"; $mode) == null then null
	else ratio(100 * (host($work; $mode) - host("boot"; $mode)); guest($work) - guest("boot")) end;
  {
	machine: { cpu: $cpu, lab_kernel: $kernel },
	works: ($works | map(. as $w | {
		key: $w,
		value: {
			repeated: (of($w; "record") | length),
			plain_seconds: seconds($w; "plain"),
			record_seconds: seconds($w; "record"),
			replay_seconds: seconds($w; "replay"),
			record_per_plain: paired($w; "record"; "plain"),
			replay_per_record: paired($w; "replay"; "record"),
			beyond_boot: (if $w == "boot" then null else {
				record_per_plain: ratio(beyond($w; "record"); beyond($w; "plain")),
				replay_per_record: ratio(beyond($w; "replay"); beyond($w; "record")),
				event_bytes_per_second: ratio(logged($w; "event_bytes") - (logged("boot"; "event_bytes") // 0);
					beyond($w; "record")),
				raw_bytes_per_second: ratio(logged($w; "raw_bytes") - (logged("boot"; "raw_bytes") // 0);
					beyond($w; "record"))
			} end),
			log: {
				file_bytes: logged($w; "file_bytes"),
				raw_bytes_per_second: ratio(logged($w; "raw_bytes"); seconds($w; "record")),
				event_bytes_per_second: ratio(logged($w; "event_bytes"); seconds($w; "record"))
			},
			host_percent: (["plain", "record", "replay"] | map({ key: ., value: host_percent($w; .) })
				| from_entries),
			host_percent_beyond_boot: (["plain", "record", "replay"]
				| map({ key: ., value: host_percent_beyond_boot($w; .) }) | from_entries),
			counts: (of($w; "record") | .[0].counts),
			replay_counts: (of($w; "replay") | .[0].counts),
			qemu: (if of($w; "qemu-plain") == [] then null else {
				plain_seconds: seconds($w; "qemu-plain"),
				record_seconds: seconds($w; "qemu-record"),
				replay_seconds: seconds($w; "qemu-replay"),
				record_per_plain: paired($w; "qemu-record"; "qemu-plain"),
				replay_per_record: paired($w; "qemu-replay"; "qemu-record"),
				log_bytes_per_second: ratio(of($w; "qemu-record") | map(.log_bytes) | median;
					seconds($w; "qemu-record"))
			} end)
		}
	}) | from_entries),
	landing: ([20, 200, 2000] | map(. as $m | of("irq"; "margin\($m)")[0] | select(. != null)
		| { margin: $m, seconds, landings: .counts.landings, breakpoint_hits: .counts.breakpoint_hits,
		    alarms_late: .counts.alarms_late })),
	runs: $all
  }
