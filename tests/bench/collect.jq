# SPDX-License-Identifier: GPL-2.0
#
# collect.jq - from the single measurements to medians and ratios: the content of build/bench.json.

def median: sort | if length == 0 then null elif length % 2 == 1 then .[length / 2 | floor]
	else (.[length / 2 - 1] + .[length / 2]) / 2 end;
def ratio($a; $b): if $a == null or $b == null or $b <= 0 then null else $a / $b end;

[inputs] as $all
| ($all | map(select(.disk == null and .work != "disk") | .work) | unique) as $works
| ($all | map(select(.disk != null) | .work) | unique) as $disk_works
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
  # Works on a disk: what lies between the first and the last request, and counts beyond those of work `disk`.
  def taken($work; $mode): of($work; $mode) | map(.disk.seconds) | median;
  def paired_disk($work; $a; $b): [range(1; 100) as $n
	| ratio((of($work; $a) | map(select(.n == $n)) | .[0].disk.seconds);
		(of($work; $b) | map(select(.n == $n)) | .[0].disk.seconds))
	| select(. != null)] | median;
  def of_record($work; f): of($work; "record") | map(f) | median;
  def beyond_disk($work; f): of_record($work; f) - of_record("disk"; f);
  def disk_work($work): of($work; "record")[0].disk as $d | {
	repeated: (of($work; "record") | length),
	requests: $d.requests,
	bytes: $d.bytes,
	mb_per_second: (["raw", "plain", "record", "replay"]
		| map({ key: ., value: ratio($d.bytes / 1e6; taken($work; .)) }) | from_entries),
	throughput_of_raw: (of($work; "pair") | map(ratio(.disk.guest_seconds[0]; .disk.guest_seconds[1])) | median),
	record_per_plain: paired_disk($work; "record"; "plain"),
	replay_per_record: paired_disk($work; "replay"; "record"),
	history_per_byte: (if ($work | test("read")) then null else of_record($work; .disk.history_bytes) / $d.bytes end),
	log_bytes_per_mb: {
		raw: (beyond_disk($work; .log.raw_bytes) / ($d.bytes / 1e6)),
		compressed: (beyond_disk($work; .log.event_bytes) / ($d.bytes / 1e6))
	},
	per_request: {
		host_instructions: (["raw", "plain", "record", "replay"]
			| map({ key: ., value: ((host($work; .) - host("disk"; .)) / $d.requests) }) | from_entries),
		guest_instructions: (beyond_disk($work; .counts.instructions) / $d.requests),
		vm_exits: (beyond_disk($work; .counts.vm_exits) / $d.requests),
		tsc_reads: (beyond_disk($work; .counts.rdtsc) / $d.requests),
		events: (beyond_disk($work; .counts.events) / $d.requests)
	},
	qemu: (if of($work; "qemu-record") == [] then null else of($work; "qemu-record")[0].disk.bytes as $b | {
		mb_per_second: (["plain", "record", "replay"]
			| map({ key: ., value: ratio($b / 1e6; taken($work; "qemu-" + .)) }) | from_entries),
		record_per_plain: paired_disk($work; "qemu-record"; "qemu-plain"),
		replay_per_record: paired_disk($work; "qemu-replay"; "qemu-record"),
		log_bytes_per_mb: (def log($w): of($w; "qemu-record") | map(.log_bytes) | median;
			if log("boot") then ratio(log($work) - log("boot"); $b / 1e6) else null end)
	} end)
  };
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
	disk: ($disk_works | map({ key: ., value: disk_work(.) }) | from_entries),
	history: $history[0],
	landing: ([20, 200, 2000] | map(. as $m | of("irq"; "margin\($m)")[0] | select(. != null)
		| { margin: $m, seconds, landings: .counts.landings, breakpoint_hits: .counts.breakpoint_hits,
		    alarms_late: .counts.alarms_late })),
	runs: $all
  }
