# SPDX-License-Identifier: GPL-2.0
#
# disk.jq - the table of the works on a disk that `make bench` prints, tab-separated; nothing when there are none.

def n($digits): if . == null then "-" else (. * pow(10; $digits) | round) / pow(10; $digits) | tostring end;
def order: . as $w | ["seqread", "seqwrite", "randread", "randwrite", "fsync"] | index($w);

if .disk == {} then empty else
	["work", "raw MB/s", "plain", "record", "replay", "plain/raw", "record/plain", "replay/record", "log B/MB raw",
		"log B/MB", "history B/B"],
	(.disk | to_entries | sort_by(.key | order)[] | .key as $w | .value | [
		$w, (.mb_per_second | .raw, .plain, .record, .replay | n(1)),
		(.throughput_of_raw | n(2)), (.record_per_plain | n(2)), (.replay_per_record | n(2)),
		(.log_bytes_per_mb | .raw, .compressed | n(0)), (.history_per_byte | n(4))
	], (select(.qemu) | .qemu | [
		"  QEMU rr", "-", (.mb_per_second | .plain, .record, .replay | n(1)), "-",
		(.record_per_plain | n(2)), (.replay_per_record | n(2)), "-", (.log_bytes_per_mb | n(0)), "-"
	]))
end | @tsv
