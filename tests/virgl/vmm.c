/* SPDX-License-Identifier: MIT */
/* See vmm.h. */
#include "tests/virgl/vmm.h"

#include <errno.h>
#include <poll.h>
#include <stdatomic.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "proto/apir_wire.h"
#include "proto/util.h"
#include "tests/support/process.h"

struct vmm vmm = { .lock = PTHREAD_MUTEX_INITIALIZER };
static uint32_t next_res = 1;

static void hear(uint32_t ctx, uint32_t ring, uint64_t fence)
{
	if (vmm.slow_us)
		usleep(vmm.slow_us);
	pthread_mutex_lock(&vmm.lock);
	if (vmm.n_heard < ARRAY_SIZE(vmm.heard))
		vmm.heard[vmm.n_heard++] = (struct heard){ ctx, ring, fence };
	vmm.told_by = pthread_self();
	pthread_mutex_unlock(&vmm.lock);
}

static void on_fence(void *cookie, uint32_t fence)
{
	if (cookie == &vmm)
		hear(0, 0, fence);
}

static void on_context_fence(void *cookie, uint32_t ctx, uint32_t ring, uint64_t fence)
{
	if (cookie == &vmm)
		hear(ctx, ring, fence);
}

bool vmm_start(int flags)
{
	static struct virgl_renderer_callbacks callbacks = {
		.version = 3,
		.write_fence = on_fence,
		.write_context_fence = on_context_fence,
	};

	vmm.n_heard = 0;
	vmm.polled = !(flags & VIRGL_FLAG_ASYNC_FENCES);
	return virgl_renderer_init(&vmm, flags, &callbacks) == 0;
}

void vmm_stop(void)
{
	virgl_renderer_cleanup(&vmm);
}

static bool heard(uint32_t ctx, uint32_t ring, uint64_t fence)
{
	bool found = false;

	pthread_mutex_lock(&vmm.lock);
	for (size_t i = 0; i < vmm.n_heard; i++)
		found |= vmm.heard[i].ctx == ctx && vmm.heard[i].ring == ring && vmm.heard[i].fence == fence;
	pthread_mutex_unlock(&vmm.lock);
	return found;
}

bool vmm_heard(uint32_t ctx, uint32_t ring, uint64_t fence, int timeout_ms)
{
	for (int waited = 0;; waited++) {
		if (vmm.polled)
			virgl_renderer_poll();
		if (heard(ctx, ring, fence))
			return true;
		if (waited >= timeout_ms)
			return false;
		usleep(1000);
	}
}

int vmm_blob(uint32_t ctx, uint64_t size, struct vmm_blob *b)
{
	struct virgl_renderer_resource_create_blob_args args = { .res_handle = next_res++,
		.ctx_id = ctx,
		.blob_mem = VIRGL_BLOB_MEM_HOST3D,
		.blob_flags = 1,
		.size = size };
	int err = virgl_renderer_resource_create_blob(&args);

	*b = (struct vmm_blob){ .res = args.res_handle };
	if (err)
		return err;
	virgl_renderer_ctx_attach_resource((int)ctx, (int)b->res);
	return virgl_renderer_resource_map(b->res, &b->ptr, &b->size);
}

void vmm_blob_drop(struct vmm_blob *b)
{
	if (b->ptr)
		virgl_renderer_resource_unmap(b->res);
	virgl_renderer_resource_unref(b->res);
	*b = (struct vmm_blob){ 0 };
}

int64_t vmm_command(uint32_t ctx, struct vmm_blob *reply, int32_t type, int32_t flags, const void *args, size_t size)
{
	_Atomic uint32_t *word = reply->ptr;
	uint32_t cmd[64] = { (uint32_t)type, (uint32_t)flags, reply->res };
	uint32_t code;

	if (size)
		memcpy(cmd + 3, args, size);
	atomic_store(word, 0);
	if (virgl_renderer_submit_cmd(cmd, (int)ctx, (int)(3 + size / 4)))
		return -1;
	for (int waited = 0; !(code = atomic_load(word)) && waited < PATIENCE_MS; waited++)
		usleep(1000);
	return (int64_t)code - 1;
}

int32_t vmm_devices(uint32_t ctx, struct vmm_blob *reply, int32_t base)
{
	const uint32_t version[2] = { 0, 2 };
	int32_t n;

	if (vmm_command(ctx, reply, base + APIR_HANDSHAKE, 0, version, sizeof version) != APIR_HANDSHAKE_MAGIC ||
		vmm_command(ctx, reply, base + APIR_LOADLIBRARY, 0, NULL, 0) != APIR_LOAD_OK ||
		vmm_command(ctx, reply, base + APIR_FORWARD, 1, NULL, 0) != APIR_FORWARD_OK)
		return -1;
	memcpy(&n, (char *)reply->ptr + sizeof(uint32_t), sizeof n);
	return n;
}

_Atomic uint32_t *vmm_beat(uint32_t ctx, struct vmm_blob *reply)
{
	const uint32_t offset = (uint32_t)reply->size - 64;
	const uint32_t args[] = { 0, 2, APIR_GREETING_MAGIC, reply->res, offset };
	uint32_t answer[3];

	if (vmm_command(ctx, reply, APIR_HANDSHAKE, 0, args, sizeof args) != APIR_HANDSHAKE_MAGIC)
		return NULL;
	memcpy(answer, (char *)reply->ptr + sizeof(uint32_t), sizeof answer);
	return answer[2] == APIR_GREETING_MAGIC ? (_Atomic uint32_t *)(void *)((char *)reply->ptr + offset) : NULL;
}

bool vmm_beats(const _Atomic uint32_t *word)
{
	uint32_t old = atomic_load(word);
	int waited;

	for (waited = 0; atomic_load(word) == old && waited < PATIENCE_MS; waited++)
		usleep(1000);
	return waited < PATIENCE_MS && atomic_load(word) != APIR_HEARTBEAT_GONE;
}

bool vmm_says_gone(const _Atomic uint32_t *word)
{
	for (int waited = 0; atomic_load(word) != APIR_HEARTBEAT_GONE && waited < PATIENCE_MS; waited++)
		usleep(1000);
	return atomic_load(word) == APIR_HEARTBEAT_GONE;
}

pid_t vmm_worker(void)
{
	return process_child(getpid(), "ggml-virtgpu-w");
}
