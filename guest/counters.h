/* SPDX-License-Identifier: MIT */
/*
 * What a program's connection to its host has taken so far: for whoever measures. The function is ggml's to find:
 *
 *	ggml_backend_virtgpu_counters_t read = (ggml_backend_virtgpu_counters_t)ggml_backend_reg_get_proc_address(
 *		ggml_backend_dev_backend_reg(dev), GGML_BACKEND_VIRTGPU_COUNTERS);
 *	struct ggml_backend_virtgpu_counters c = { .size = sizeof c };
 *
 *	if (read && read(dev, &c))
 *		...
 *
 * NULL: it is another's device, or an older plugin's. All of them count from the connection's start, by whichever thread or stream,
 * and are read at one moment. New ones come at the end.
 */
#ifndef GUEST_COUNTERS_H
#define GUEST_COUNTERS_H

#include <stdbool.h>
#include <stdint.h>

#define GGML_BACKEND_VIRTGPU_COUNTERS "ggml_backend_virtgpu_counters"

struct ggml_backend_device;

struct ggml_backend_virtgpu_counters {
	uint64_t size;          /* of this struct, as the caller knows it; then, of what was filled in: bytes */
	uint64_t by_door;       /* commands that went through the door, */
	uint64_t by_ring;       /* and past it */
	uint64_t command_bytes; /* of both, with what small writes write */
	uint64_t doorbells;     /* of those through the door: they only woke the host's worker */
	uint64_t blobs;     /* pieces of memory that were shared; the first command behind one goes through the door */
	uint64_t waits;     /* how often the program couldn't go on without an answer */
	uint64_t parked;    /* how often it slept for one, */
	uint64_t parked_ns; /* and for how long */
	uint64_t graphs;    /* computations that were asked for: */
	uint64_t graphs_again;   /* of these, such as the host was told that it knows already; */
	uint64_t graphs_written; /* and such as were written anew, */
	uint64_t nodes_written;  /* their nodes, */
	uint64_t graph_bytes;    /* and their bytes */
	uint64_t set_bytes;      /* of tensors, to the host */
	uint64_t get_bytes;      /* and from it */
};

/* dev: a device of this registry's. False: nothing can be read, in a forked child, or a signal handler within another call. */
typedef bool (*ggml_backend_virtgpu_counters_t)(
	struct ggml_backend_device *dev, struct ggml_backend_virtgpu_counters *out);

#endif
