/* SPDX-License-Identifier: MIT */
/*
 * Resources. The host blobs of APIR's contexts are memfds of ours, and the VMM maps them here; adopted ones stay the
 * real library's for the VMM, and are known to the workers as well. Nothing but blobs is ever ours.
 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>

#include "doors/virgl/door.h"
#include "doors/virgl/fences.h"
#include "doors/virgl/real.h"
#include "log/log.h"
#include "proto/apir_wire.h"
#include "proto/util.h"

#define MAX_WALLED (UINT64_C(1) << 40)
#define MAX_EARLY  16 /* blobs before a context's first command; APIR's guests make two */

static int create_ours(const struct virgl_renderer_resource_create_blob_args *args)
{
	struct virgl_resource *r;
	int err;

	if (args->blob_id || args->num_iovs || door_resource_find(args->res_handle))
		return -EINVAL;
	err = apir_blob_create(door.apir, args->res_handle, args->size);
	log_debug("blob %u of context %u, %llu bytes: %s", args->res_handle, args->ctx_id,
		(unsigned long long)args->size, strerror(-err));
	if (err)
		return err;
	r = door_resource_add(args->res_handle, RES_APIR);
	if (!r) {
		apir_blob_unref(door.apir, args->res_handle);
		return -ENOMEM;
	}
	apir_blob_fd(door.apir, args->res_handle, &r->size);
	return 0;
}

/* A blob of an undecided context, made by the real library; too many of them, and the context is the real library's. */
static void early_note(uint32_t ctx_id, uint32_t res_id)
{
	struct virgl_resource *r;
	unsigned n = 0;

	for (size_t i = 0; i < door.n_resources; i++)
		n += door.resources[i].id && door.resources[i].kind == RES_EARLY && door.resources[i].ctx_id == ctx_id;
	r = n < MAX_EARLY ? door_resource_add(res_id, RES_EARLY) : NULL;
	if (r)
		r->ctx_id = ctx_id;
	else
		door_context_leave(door_context_find(ctx_id));
}

int virgl_renderer_resource_create_blob(const struct virgl_renderer_resource_create_blob_args *args)
{
	struct virgl_context *c;
	bool ours, undecided;
	int err = -EINVAL;

	fences_note_submit(0);
	door_lock();
	ours = door_context_is_ours(args->ctx_id, &c) && args->blob_mem == VIRGL_BLOB_MEM_HOST3D;
	undecided = c && c->owner == OWNER_UNDECIDED && args->blob_mem == VIRGL_BLOB_MEM_HOST3D && !args->blob_id;
	if (ours)
		err = create_ours(args);
	door_unlock();
	if (ours || !real()->renderer_resource_create_blob)
		return err;
	err = real()->renderer_resource_create_blob(args);
	if (!err && undecided) {
		door_lock();
		early_note(args->ctx_id, args->res_handle);
		door_unlock();
	}
	return err;
}

void virgl_renderer_resource_unref(uint32_t res_id)
{
	struct virgl_resource *r;
	bool pass = true;

	fences_note_submit(0);
	door_lock();
	r = door_resource_find(res_id);
	if (r) {
		pass = r->kind != RES_APIR;
		if (r->kind != RES_EARLY)
			apir_blob_unref(door.apir, res_id);
		door_resource_remove(r);
	}
	door_unlock();
	if (pass && real()->renderer_resource_unref)
		real()->renderer_resource_unref(res_id);
}

/* Our own blob, or NULL: the real library's, or adopted. */
static struct virgl_resource *find_ours(uint32_t res_id)
{
	struct virgl_resource *r = door_resource_find(res_id);

	return r && r->kind == RES_APIR ? r : NULL;
}

/* At `addr`, or anywhere with NULL. */
static void *blob_map(const struct virgl_resource *r, void *addr)
{
	uint64_t size;
	int fd = apir_blob_fd(door.apir, r->id, &size);

	return mmap(addr, r->size, PROT_READ | PROT_WRITE, MAP_SHARED | (addr ? MAP_FIXED : 0), fd, 0);
}

int virgl_renderer_resource_map(uint32_t res_id, void **map, uint64_t *size)
{
	struct virgl_resource *r;
	int err = -EINVAL;
	void *at;

	door_lock();
	r = find_ours(res_id);
	if (r && !r->map && range_ok(door.walled, r->size, MAX_WALLED)) {
		at = blob_map(r, NULL);
		err = at == MAP_FAILED ? -errno : 0;
		if (!err) {
			*map = r->map = at;
			*size = r->size;
		}
	}
	door_unlock();
	if (r || !real()->renderer_resource_map)
		return err;
	return real()->renderer_resource_map(res_id, map, size);
}

/* The mapping is the VMM's: it replaces it when it is done. */
int virgl_renderer_resource_map_fixed(uint32_t res_id, void *addr)
{
	const struct virgl_resource *r;
	int err = -EOPNOTSUPP;

	door_lock();
	r = find_ours(res_id);
	if (r)
		err = !addr ? -EINVAL : blob_map(r, addr) == MAP_FAILED ? -errno : 0;
	door_unlock();
	if (r || !real()->renderer_resource_map_fixed)
		return err;
	return real()->renderer_resource_map_fixed(res_id, addr);
}

int virgl_renderer_resource_unmap(uint32_t res_id)
{
	struct virgl_resource *r;
	int err = -EINVAL;

	door_lock();
	r = find_ours(res_id);
	if (r && r->map) {
		munmap(r->map, r->size);
		r->map = NULL;
		err = 0;
	}
	door_unlock();
	if (r || !real()->renderer_resource_unmap)
		return err;
	return real()->renderer_resource_unmap(res_id);
}

int virgl_renderer_resource_get_map_info(uint32_t res_id, uint32_t *info)
{
	bool ours;

	door_lock();
	ours = find_ours(res_id);
	door_unlock();
	if (ours) {
		*info = VIRGL_MAP_CACHED;
		return 0;
	}
	return real()->renderer_resource_get_map_info ? real()->renderer_resource_get_map_info(res_id, info) : -EINVAL;
}

int virgl_renderer_resource_export_blob(uint32_t res_id, uint32_t *fd_type, int *fd)
{
	uint64_t size;
	int err = EINVAL;
	bool ours;

	door_lock();
	ours = find_ours(res_id);
	if (ours) {
		*fd = fcntl(apir_blob_fd(door.apir, res_id, &size), F_DUPFD_CLOEXEC, 0);
		*fd_type = VIRGL_BLOB_FD_SHM;
		err = *fd < 0 ? errno : 0;
	}
	door_unlock();
	if (ours || !real()->renderer_resource_export_blob)
		return err;
	return real()->renderer_resource_export_blob(res_id, fd_type, fd);
}

/* A VMM asks about every blob that it makes; ours are no pictures. */
static bool info_ours(uint32_t res_id, struct virgl_renderer_resource_info *info)
{
	bool ours;

	door_lock();
	ours = find_ours(res_id);
	door_unlock();
	if (ours)
		*info = (struct virgl_renderer_resource_info){ .handle = res_id, .fd = -1 };
	return ours;
}

int virgl_renderer_resource_get_info(int res_id, struct virgl_renderer_resource_info *info)
{
	if (info && info_ours((uint32_t)res_id, info))
		return 0;
	return real()->renderer_resource_get_info ? real()->renderer_resource_get_info(res_id, info) : EINVAL;
}

int virgl_renderer_resource_get_info_ext(int res_id, struct virgl_renderer_resource_info_ext *info)
{
	struct virgl_renderer_resource_info base;

	if (info && info_ours((uint32_t)res_id, &base)) {
		*info = (struct virgl_renderer_resource_info_ext){ .version = info->version, .base = base };
		return 0;
	}
	return real()->renderer_resource_get_info_ext ? real()->renderer_resource_get_info_ext(res_id, info) : EINVAL;
}
