/* SPDX-License-Identifier: MIT */
/* A device of the host's: what was asked once, when the plugin was loaded, and what is remembered for it. What ggml does
 * with it is device_slots.c's, buffer_type.c's and stream.c's. */
#ifndef GUEST_DEVICE_H
#define GUEST_DEVICE_H

#include "guest/graph_optimize.h"
#include "guest/host.h"
#include "guest/kept_store.h"
#include "guest/memo.h"
#include "guest/own_ggml.h"

struct device {
	struct abi_device object; /* ggml's, whose context this is */
	union abi_buft buft;      /* of its buffers; its context, likewise */
	union abi_buft shared_buft;
	struct host *host;
	char name[16], shared_name[24];
	char description[160];
	uint64_t buft_handle;              /* the host's name for the buffer type */
	size_t alignment, max_size;        /* of buffers, bytes */
	struct memo supports, alloc_sizes; /* the host's answers, by shape */
	struct kept_store kept;
	struct graph_optimizer optimizer;
	/* Its memory when it was last asked for. */
	_Atomic uint64_t last_free, last_total;
	/* The last tensor that no buffer can hold, to tell of when its memory is asked for; empty: none. */
	struct {
		pthread_mutex_t lock;
		char text[256];
	} refused;
};

static inline struct device *device_of(const struct abi_device *object)
{
	return object->context;
}

static inline struct device *device_of_buft(const union abi_buft *buft)
{
	return abi_buft_context(buft, own.api);
}

static inline struct session *device_session(const struct device *dev)
{
	return &dev->host->session;
}

/* Its name, from its variable or as ever; 0 or -errno and a line. */
int device_name_choose(struct device *dev, char *err, size_t err_size);
/* Asks the host about it; 0, or -errno and a line. */
int device_init(struct device *dev, struct host *host, char *err, size_t err_size);

#endif
