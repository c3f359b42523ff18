/* SPDX-License-Identifier: MIT */
/*
 * Contexts and their commands. One of capset 10 is APIR's. One of capset 4 is APIR's where Venus is routed to it or
 * where there is no Venus; else it is made in the real library and its first command decides: APIR's handshake makes it
 * APIR's, and the blobs that the guest made before (the reply goes into one) are adopted, by their descriptors.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>

#include "doors/virgl/component.h"
#include "doors/virgl/door.h"
#include "doors/virgl/fences.h"
#include "doors/virgl/real.h"
#include "log/log.h"
#include "proto/apir_wire.h"
#include "proto/util.h"

/* A handshake of 0.2 is its header and two versions; ours may greet behind them. */
static bool is_handshake(const void *cmd, size_t size)
{
	const size_t plain = APIR_CMD_HEADER_SIZE + 2 * sizeof(uint32_t);
	struct apir_greeting g;
	int32_t head[2];

	if (size != plain && size != plain + sizeof g)
		return false;
	memcpy(head, cmd, sizeof head);
	if (head[0] != APIR_VENUS_TYPE_BASE + APIR_HANDSHAKE || head[1] != 0)
		return false;
	if (size == plain)
		return true;
	memcpy(&g, (const char *)cmd + plain, sizeof g);
	return g.magic == APIR_GREETING_MAGIC;
}

/* n bytes, or fewer where they end with NUL. */
static void name_copy(char out[64], uint32_t n, const char *name)
{
	snprintf(out, 64, "%.*s", (int)(n < 64 ? n : 63), name ? name : "");
}

static int context_create_ours(uint32_t ctx_id, uint32_t capset, uint32_t n, const char *name)
{
	struct virgl_context *c;
	char text[sizeof c->name];
	int err;

	if (!component_get())
		return ENOMEM;
	name_copy(text, n, name);
	err = apir_context_create(door.apir, ctx_id, text);
	if (err)
		return -err;
	c = door_context_add(ctx_id, capset, OWNER_APIR);
	if (!c) {
		apir_context_destroy(door.apir, ctx_id);
		return ENOMEM;
	}
	log_debug("context %u is of capset %u", ctx_id, capset);
	return 0;
}

int virgl_renderer_context_create_with_flags(uint32_t ctx_id, uint32_t flags, uint32_t n, const char *name)
{
	uint32_t capset = flags & VIRGL_CONTEXT_CAPSET_MASK;
	bool ours = capset == APIR_CAPSET_APIR;
	struct virgl_context *c;
	int err = EINVAL;

	fences_note_submit(0);
	door_lock();
	if (capset == APIR_CAPSET_VENUS)
		ours = !component_leaves_venus();
	c = door_context_find(ctx_id);
	if (c) /* a number is one context's, on either side */
		err = c->capset == capset ? 0 : EINVAL;
	else if (ours && ctx_id && flags == capset)
		err = context_create_ours(ctx_id, capset, n, name);
	door_unlock();
	if (ours || c || !real()->renderer_context_create_with_flags)
		return err;
	err = real()->renderer_context_create_with_flags(ctx_id, flags, n, name);
	if (err || capset != APIR_CAPSET_VENUS)
		return err;
	door_lock();
	c = door_context_add(ctx_id, capset, OWNER_UNDECIDED);
	if (c) {
		c->in_real = true;
		name_copy(c->name, n, name);
	}
	door_unlock();
	return 0;
}

int virgl_renderer_context_create(uint32_t ctx_id, uint32_t n, const char *name)
{
	bool ours;

	fences_note_submit(0);
	door_lock();
	ours = door_context_find(ctx_id);
	door_unlock();
	return !ours && real()->renderer_context_create ? real()->renderer_context_create(ctx_id, n, name) : EINVAL;
}

void virgl_renderer_context_destroy(uint32_t ctx_id)
{
	struct virgl_context *c;
	bool drop = false, ours;

	fences_note_submit(0);
	door_lock();
	ours = door_context_is_ours(ctx_id, &c);
	if (c) {
		drop = c->polled_alone;
		if (ours)
			apir_context_destroy(door.apir, ctx_id);
		door_context_leave(c);
	}
	door_unlock();
	if (ours) {
		fences_settle(ctx_id, drop);
		door_wake(); /* to see the worker off */
	}
	if (real()->renderer_context_destroy)
		real()->renderer_context_destroy(ctx_id);
}

/* The blob's memory, shared with the real library. 0 or -errno. */
static int blob_adopt(uint32_t ctx_id, uint32_t res_id)
{
	struct virgl_resource *r;
	uint32_t type = 0;
	int fd = -1, err;

	if (!real()->renderer_resource_export_blob || real()->renderer_resource_export_blob(res_id, &type, &fd))
		return -ENOTSUP;
	door_lock();
	r = door_resource_find(res_id);
	err = type == VIRGL_BLOB_FD_SHM && r ? apir_blob_adopt(door.apir, res_id, fd) : -ENOTSUP;
	if (!err) {
		r->kind = RES_ADOPTED;
		err = apir_blob_attach(door.apir, ctx_id, res_id);
	}
	door_unlock();
	if (fd >= 0)
		close(fd);
	return err;
}

/* An undecided context speaks APIR: it becomes ours, or, where that can't be, the real library's. */
static int context_adopt(uint32_t ctx_id)
{
	struct virgl_context *c;
	uint32_t early[32], n = 0;
	bool created;
	int err;

	door_lock();
	for (size_t i = 0; i < door.n_resources && n < ARRAY_SIZE(early); i++) {
		const struct virgl_resource *r = &door.resources[i];

		if (r->id && r->kind == RES_EARLY && r->ctx_id == ctx_id)
			early[n++] = r->id;
	}
	c = door_context_find(ctx_id);
	err = component_get() ? apir_context_create(door.apir, ctx_id, c->name) : -ENOMEM;
	if (!err)
		c->owner = OWNER_APIR;
	door_unlock();
	created = !err;
	for (uint32_t i = 0; !err && i < n; i++)
		err = blob_adopt(ctx_id, early[i]);
	if (!err) {
		log_debug("context %u is of capset %u, beside Venus", ctx_id, APIR_CAPSET_VENUS);
		return 0;
	}
	if (created) /* else that was logged */
		log_error("context %u: its blobs can't be shared with a worker: %s: set VIRGL_ROUTE_VENUS_TO_APIR",
			ctx_id, strerror(-err));
	door_lock();
	if (door.apir)
		apir_context_destroy(door.apir, ctx_id);
	door_context_leave(door_context_find(ctx_id));
	door_unlock();
	return err;
}

/* Whose the command is, which decides an undecided context: 1: ours, 0: the real library's, -errno: nobody's. */
static int command_owner(uint32_t ctx_id, const void *cmd, size_t size)
{
	struct virgl_context *c;
	bool adopt = false, ours;
	int err = 0;

	door_lock();
	ours = door_context_is_ours(ctx_id, &c);
	if (c && !ours) {
		adopt = is_handshake(cmd, size);
		if (!adopt)
			door_context_leave(c);
	}
	door_unlock();
	if (adopt)
		err = context_adopt(ctx_id);
	return err ? err : ours || adopt;
}

static int submit_ours(uint32_t ctx_id, const void *cmd, size_t size)
{
	int err;

	door_lock();
	err = apir_submit(door.apir, ctx_id, 0, cmd, size);
	apir_kick(door.apir);
	door_unlock();
	fences_note_submit(ctx_id);
	return err ? EINVAL : 0;
}

int virgl_renderer_submit_cmd(void *cmd, int ctx_id, int n_words)
{
	int ours;

	fences_note_submit(0);
	if (n_words < 0)
		return EINVAL;
	ours = command_owner((uint32_t)ctx_id, cmd, (size_t)n_words * 4);
	if (ours < 0)
		return EINVAL;
	if (ours)
		return submit_ours((uint32_t)ctx_id, cmd, (size_t)n_words * 4);
	return real()->renderer_submit_cmd ? real()->renderer_submit_cmd(cmd, ctx_id, n_words) : EINVAL;
}

/* APIR's commands of a context run in order, so there is no fence to wait for. */
int virgl_renderer_submit_cmd2(void *cmd, int ctx_id, int n_words, uint64_t *fences, uint32_t n_fences)
{
	int ours;

	fences_note_submit(0);
	if (n_words < 0)
		return EINVAL;
	ours = command_owner((uint32_t)ctx_id, cmd, (size_t)n_words * 4);
	if (ours < 0 || (ours && n_fences))
		return EINVAL;
	if (ours)
		return submit_ours((uint32_t)ctx_id, cmd, (size_t)n_words * 4);
	return real()->renderer_submit_cmd2 ? real()->renderer_submit_cmd2(cmd, ctx_id, n_words, fences, n_fences)
	                                    : EINVAL;
}

void virgl_renderer_ctx_attach_resource(int ctx_id, int res_id)
{
	struct virgl_context *c;
	const struct virgl_resource *r;
	bool ours, pass = true;

	fences_note_submit(0);
	door_lock();
	ours = door_context_is_ours((uint32_t)ctx_id, &c);
	r = door_resource_find((uint32_t)res_id);
	if (r && r->kind != RES_EARLY)
		pass = r->kind == RES_ADOPTED && (!c || c->in_real);
	else
		ours = false;
	if (ours) {
		apir_blob_attach(door.apir, (uint32_t)ctx_id, (uint32_t)res_id);
		apir_kick(door.apir);
	}
	door_unlock();
	if (pass && real()->renderer_ctx_attach_resource)
		real()->renderer_ctx_attach_resource(ctx_id, res_id);
}

void virgl_renderer_ctx_detach_resource(int ctx_id, int res_id)
{
	struct virgl_context *c;
	const struct virgl_resource *r;
	bool ours, pass = true;

	fences_note_submit(0);
	door_lock();
	ours = door_context_is_ours((uint32_t)ctx_id, &c);
	r = door_resource_find((uint32_t)res_id);
	if (r && r->kind != RES_EARLY) {
		if (ours)
			apir_blob_detach(door.apir, (uint32_t)ctx_id, (uint32_t)res_id);
		pass = r->kind == RES_ADOPTED && (!c || c->in_real);
	}
	door_unlock();
	if (pass && real()->renderer_ctx_detach_resource)
		real()->renderer_ctx_detach_resource(ctx_id, res_id);
}
