# SPDX-License-Identifier: GPL-2.0
#
# table.jq - the table that `make bench` prints, tab-separated.

def n($digits): if . == null then "-" else (. * pow(10; $digits) | round) / pow(10; $digits) | tostring end;
def kb: if . == null then "-" else . / 1000 | n(2) end;

["work", "plain s", "record s", "replay s", "record/plain", "replay/record", "beyond boot", "", "KB/s raw", "KB/s",
	"KB/s beyond boot"],
(.works | to_entries | sort_by(.key == "idle", .key != "boot")[] | .key as $w | .value | [
	$w, (.plain_seconds | n(2)), (.record_seconds | n(2)), (.replay_seconds | n(2)),
	(.record_per_plain | n(2)), (.replay_per_record | n(2)),
	(.beyond_boot.record_per_plain | n(2)), (.beyond_boot.replay_per_record | n(2)),
	(.log.raw_bytes_per_second | kb), (.log.event_bytes_per_second | kb), (.beyond_boot.event_bytes_per_second | kb)
], (select(.qemu) | .qemu | [
	"  QEMU rr", (.plain_seconds | n(2)), (.record_seconds | n(2)), (.replay_seconds | n(2)),
	(.record_per_plain | n(2)), (.replay_per_record | n(2)), "-", "-", (.log_bytes_per_second | kb), "-", "-"
])) | @tsv
