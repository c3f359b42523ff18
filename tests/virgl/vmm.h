/* SPDX-License-Identifier: MIT */
/*
 * A VMM that knows virglrenderer's interface and nothing else: it plays the guest's part too. What it is linked with,
 * ours alone or ours in front of the real library, is the test's choice.
 */
#ifndef TESTS_VIRGL_VMM_H
#define TESTS_VIRGL_VMM_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "doors/virgl/virgl_api.h"

#define PATIENCE_MS 20000

struct heard {
	uint32_t ctx; /* 0: the global timeline */
	uint32_t ring;
	uint64_t fence;
};

struct vmm {
	pthread_mutex_t lock;
	struct heard heard[4096]; /* fences, as they were reported */
	size_t n_heard;
	pthread_t told_by; /* the thread of the last report */
	bool polled;
	unsigned slow_us; /* that a report takes */
};

extern struct vmm vmm;

/* Starts the renderer with more flags; false: it refused. With VIRGL_FLAG_ASYNC_FENCES reports come by themselves, else
 * from vmm_heard()'s polls. */
bool vmm_start(int flags);
void vmm_stop(void);
/* Whether the fence has been reported within the time; ctx 0: of the global timeline. */
bool vmm_heard(uint32_t ctx, uint32_t ring, uint64_t fence, int timeout_ms);

/* A guest's blob, attached to its context and mapped. 0, or what the renderer answered. */
struct vmm_blob {
	uint32_t res;
	void *ptr;
	uint64_t size;
};
int vmm_blob(uint32_t ctx, uint64_t size, struct vmm_blob *b);
void vmm_blob_drop(struct vmm_blob *b);

/* Sends an APIR command of `type` with its arguments, waits for the reply word: the code, or -1. */
int64_t vmm_command(uint32_t ctx, struct vmm_blob *reply, int32_t type, int32_t flags, const void *args, size_t size);
/* Handshake, the library, one question about the device: how many devices it has. */
int32_t vmm_devices(uint32_t ctx, struct vmm_blob *reply, int32_t type_base);
/* A handshake that asks for a heartbeat: the guest's word of it, NULL: there is none. */
_Atomic uint32_t *vmm_beat(uint32_t ctx, struct vmm_blob *reply);
/* Whether the word beats, and whether it comes to say that the host is gone, within PATIENCE_MS. */
bool vmm_beats(const _Atomic uint32_t *word);
bool vmm_says_gone(const _Atomic uint32_t *word);
/* The newest worker. */
pid_t vmm_worker(void);

#endif
