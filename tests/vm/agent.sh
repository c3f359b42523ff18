#!/bin/sh
# SPDX-License-Identifier: MIT
# What a test's guest runs: commands that the host leaves in $WORK/guest as N.sh, each beside the others. Their output
# goes to N.out and N.err, and then their status to N.status. The file "stop" ends the guest.
set -eu
repo=$PWD
cd "$WORK/guest"
n=1
: >ready
while [ ! -e stop ]; do
	if [ -e $n.sh ]; then
		{
			code=0
			(cd "$repo" && exec timeout -k 5 270 sh "$WORK/guest/$n.sh") >$n.out 2>$n.err || code=$?
			echo $code >$n.new
			mv $n.new $n.status
		} &
		n=$((n + 1))
	else
		sleep 0.1
	fi
done
