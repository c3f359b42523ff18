/* SPDX-License-Identifier: MIT */
/*
 * A virglrenderer of the tests' own, for what the distribution's can't be made to do: blobs that can't be shared, a start
 * that fails once. Its contexts of capset 4 do nothing but count their commands. FAKE_VIRGL: "device" exports blobs as
 * device memory, "unsealable" as memory that takes no seals, "novenus" fails to start with Venus, "nostart" with
 * whatever.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "doors/virgl/virgl_api.h"

#define BLOBS 32

static struct {
	uint32_t id;
	int fd;
	uint64_t size;
	void *map;
} blobs[BLOBS];
static uint32_t commands;
static struct virgl_renderer_callbacks *callbacks;
static void *cookie_of_vmm;
static uint32_t pending[64];
static int n_pending;

static int is(const char *what)
{
	const char *mode = getenv("FAKE_VIRGL");

	return mode && !strcmp(mode, what);
}

void virgl_renderer_cleanup(void *cookie)
{
	(void)cookie;
	commands = 0;
}

/* As the real one does: what it calls when a start fails is its own exported function. */
int virgl_renderer_init(void *cookie, int flags, struct virgl_renderer_callbacks *cb)
{
	callbacks = cb;
	cookie_of_vmm = cookie;
	n_pending = 0;
	commands = 7;
	if (!is("nostart") && (!is("novenus") || !(flags & VIRGL_FLAG_VENUS)))
		return 0;
	virgl_renderer_cleanup(cookie);
	return commands ? -99 : -1; /* whoever took that call didn't clean up */
}

void virgl_renderer_get_cap_set(uint32_t set, uint32_t *version, uint32_t *size)
{
	*version = 0;
	*size = set == 4 ? 160 : 0;
}

void virgl_renderer_fill_caps(uint32_t set, uint32_t version, void *caps)
{
	(void)version;
	if (set == 4)
		memset(caps, 0x44, 160);
}

int virgl_renderer_context_create_with_flags(uint32_t ctx_id, uint32_t flags, uint32_t n, const char *name)
{
	(void)ctx_id;
	(void)n;
	(void)name;
	return (flags & VIRGL_CONTEXT_CAPSET_MASK) == 4 ? 0 : EINVAL;
}

int virgl_renderer_resource_create_blob(const struct virgl_renderer_resource_create_blob_args *args)
{
	for (int i = 0; i < BLOBS; i++) {
		if (blobs[i].id)
			continue;
		blobs[i].fd = memfd_create("fake", is("unsealable") ? 0 : MFD_ALLOW_SEALING);
		if (blobs[i].fd < 0 || ftruncate(blobs[i].fd, (off_t)args->size) < 0)
			return -ENOMEM;
		blobs[i].id = args->res_handle;
		blobs[i].size = args->size;
		return 0;
	}
	return -ENOMEM;
}

/* Fences of the global timeline are done when the test says so: by a command of context 99, whose word is their number. */
int virgl_renderer_create_fence(int fence_id, uint32_t ctx_id)
{
	(void)ctx_id;
	if (is("nofence"))
		return EINVAL;
	pending[n_pending++ % 64] = (uint32_t)fence_id;
	return 0;
}

static void fences_finish(uint32_t up_to)
{
	int n = n_pending;

	n_pending = 0;
	for (int i = 0; i < n; i++) {
		if (pending[i] <= up_to)
			callbacks->write_fence(cookie_of_vmm, pending[i]);
		else
			pending[n_pending++] = pending[i];
	}
}

/* Answers with the number of commands so far, which no real one does: see test_virgl.c. */
int virgl_renderer_submit_cmd(void *cmd, int ctx_id, int n_words)
{
	if (ctx_id == 99 && n_words == 1) {
		fences_finish(*(const uint32_t *)cmd);
		return 0;
	}
	commands++;
	return (int)commands;
}

void virgl_renderer_reset(void)
{
	n_pending = 0;
}

static int find(uint32_t id)
{
	for (int i = 0; i < BLOBS; i++) {
		if (blobs[i].id == id)
			return i;
	}
	return -1;
}

int virgl_renderer_resource_export_blob(uint32_t res_id, uint32_t *fd_type, int *fd)
{
	int i = find(res_id);

	if (i < 0)
		return EINVAL;
	*fd_type = is("device") ? 1 : VIRGL_BLOB_FD_SHM;
	*fd = dup(blobs[i].fd);
	return 0;
}

int virgl_renderer_resource_map(uint32_t res_id, void **map, uint64_t *size)
{
	int i = find(res_id);

	if (i < 0)
		return -EINVAL;
	*map = blobs[i].map = mmap(NULL, blobs[i].size, PROT_READ | PROT_WRITE, MAP_SHARED, blobs[i].fd, 0);
	*size = blobs[i].size;
	return 0;
}

int virgl_renderer_resource_unmap(uint32_t res_id)
{
	int i = find(res_id);

	if (i < 0 || !blobs[i].map)
		return -EINVAL;
	munmap(blobs[i].map, blobs[i].size);
	blobs[i].map = NULL;
	return 0;
}

void virgl_renderer_resource_unref(uint32_t res_id)
{
	int i = find(res_id);

	if (i < 0)
		return;
	close(blobs[i].fd);
	blobs[i].id = 0;
}
