# SPDX-License-Identifier: MIT
# What runs in the guest: the measurements there, each round beside a native one on the host.
set -eu
export WORK MODEL THREADS PLUGIN
mount -t 9p -o trans=virtio,version=9p2000.L,msize=512000 work "$WORK"
demo/measure guest_cpu 1
for turn in 1 2 3; do
	demo/measure virtgpu $turn
	: >"$WORK/ask.$turn"
	while [ ! -e "$WORK/done.$turn" ]; do
		sleep 0.2
	done
done
