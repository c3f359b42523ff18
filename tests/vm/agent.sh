#!/bin/sh
# SPDX-License-Identifier: MIT
# What a test's guest runs: commands that the host leaves in $WORK/guest as N.sh, each beside the others. Their output
# goes to N.out and N.err, and then their status to N.status. The file "stop" ends the guest. $WORK is the host's, and the one
# place beside the repository that is; all else of the host's is a copy.
# Through pipes: writing to the share is slow, and llama.cpp ends without waiting for the thread that writes its log.
set -eu
repo=$PWD
mount -t 9p -o trans=virtio,version=9p2000.L,msize=512000 work "$WORK"
cd "$WORK/guest"

run() {
	code=0
	(cd "$repo" && exec timeout -k 5 270 sh "$WORK/guest/$1.sh") || code=$?
	echo $code >"/tmp/$1.status"
}

n=1
: >ready
while [ ! -e stop ]; do
	if [ -e $n.sh ]; then
		{
			{ run $n 2>&1 >&3 3>&- | cat >$n.err; } 3>&1 | cat >$n.out
			cp /tmp/$n.status $n.new
			mv $n.new $n.status
		} &
		n=$((n + 1))
	else
		sleep 0.1
	fi
done
