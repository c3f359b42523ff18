/* SPDX-License-Identifier: MIT */
/*
 * The workers' door: starts a worker for a VMM that may not start programs (a sandbox), and sees it off. A connection is
 * one worker. Which libraries it loads is this side's to say, whatever the VMM's configuration names.
 */
#ifndef DOORS_WORKERS_WORKERS_DOOR_H
#define DOORS_WORKERS_WORKERS_DOOR_H

struct workers_door_options {
	const char *worker; /* path of ggml-virtgpu-worker */
	char *const *fixed; /* "KEY=VALUE", NULL at the end: what the VMM can't change */
};

/* Serves one VMM's request until the worker has ended, the VMM hangs up, or stop_fd (-1: none) is readable. Takes
 * ownership of conn. 0, or -errno, which was logged. */
int workers_door_serve(int conn, int stop_fd, const struct workers_door_options *opt);

#endif
