#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
#
# disk-work.sh - what a Debian guest does on its disk in the disk tests: compiles, unpacks, inserts with fsync, downloads,
# deletes. It is /root/run of the image (tools/lab/guest-image --run); rows=N on the kernel's command line says how many
# rows it inserts.
#
# Every line that it prints depends on the disk or the network only, so that replays can be compared.

set -e
rows=200
read -r line </proc/cmdline
for word in $line; do
	case $word in
	rows=*) rows=${word#rows=} ;;
	esac
done

cat >hello.c <<'END'
#include <stdio.h>
int main(void) { return puts("compiled in the guest") < 0; }
END
gcc -O2 -o hello hello.c
./hello

# One transaction each: so many times a flush.
{
	echo 'create table if not exists t (n integer primary key, text text);'
	i=0
	while [ $i -lt "$rows" ]; do
		echo "insert or replace into t values ($i, 'row $i');"
		i=$((i + 1))
	done
} | sqlite3 rows.db
echo "rows: $(sqlite3 rows.db 'select count(*) from t')"

mkdir tree
tar -C /usr/include -cf - . | tar -C tree -xf -
sync
echo "tree: $(find tree -type f | wc -l) files"
rm -r tree

echo 'the text that somebody deletes' >precious
sync
if wget -q -O download http://10.0.2.2:8080/download; then
	echo "download: $(md5sum <download)"
fi
rm precious
sync
sqlite3 rows.db 'pragma integrity_check'
