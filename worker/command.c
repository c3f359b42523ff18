/* SPDX-License-Identifier: MIT */
/*
 * See command.h. A reply is put together in private memory, copied behind the reply word, and then published by
 * the word itself; the guest waits for that.
 */
#include "worker/command.h"

#include <dlfcn.h>
#include <inttypes.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

#include "backend/apir_backend.h"
#include "log/log.h"
#include "platform/word.h"
#include "proto/apir_wire.h"
#include "proto/cursor.h"
#include "worker/blobs.h"
#include "worker/heartbeat.h"
#include "worker/inbox.h"
#include "worker/settings.h"

static struct {
	uint32_t (*initialize)(uint32_t, struct apir_callbacks *);
	void (*deinit)(uint32_t);
	uint32_t (*dispatcher)(
		uint32_t, struct apir_callbacks *, uint32_t, char *, const char *, char *, const char *, char **);
	bool ready;
	bool greeted; /* a heartbeat word is kept */
} library;
static bool guest_is_ours;

/* Ours beside the hypervisor's keys: "apir.blob.<res_id>.size", so that the library can check ranges, ".serial", and
 * "apir.blobs.dropped", so that it knows whether a blob is still the one that it was. */
static bool blob_config(const char *key, uint64_t *value)
{
	uint32_t res_id;
	int end = 0;

	if (!strcmp(key, "apir.blobs.dropped")) {
		*value = blobs_dropped();
		return true;
	}
	if (sscanf(key, "apir.blob.%" SCNu32 "%n", &res_id, &end) != 1)
		return false;
	if (!strcmp(key + end, ".size"))
		return blob_ptr(res_id, value) != NULL;
	return !strcmp(key + end, ".serial") && blob_serial(res_id, value);
}

static const char *callback_config(uint32_t ctx_id, const char *key)
{
	static char text[24];
	uint64_t value;

	(void)ctx_id;
	if (strncmp(key, "apir.blob", strlen("apir.blob")) != 0)
		return settings_get(key);
	if (!blob_config(key, &value))
		return NULL;
	snprintf(text, sizeof text, "%" PRIu64, value);
	return text;
}

static void *callback_shmem(uint32_t ctx_id, uint32_t res_id)
{
	(void)ctx_id;
	return blob_ptr(res_id, NULL);
}

static struct apir_callbacks callbacks = { callback_config, callback_shmem };

static uint32_t handshake(struct cursor *in, struct cursor *out)
{
	uint32_t major, minor;
	struct apir_greeting g;
	struct apir_ring_offer ring;
	uint64_t size;
	char *blob;

	if (!cursor_read_u32(in, &major) || !cursor_read_u32(in, &minor))
		return 0;
	log_debug("handshake: the guest speaks %" PRIu32 ".%" PRIu32, major, minor);
	if (!cursor_write_u32(out, APIR_PROTOCOL_MAJOR) || !cursor_write_u32(out, APIR_PROTOCOL_MINOR))
		return 0;
	guest_is_ours = cursor_read(in, &g, sizeof g) && g.magic == APIR_GREETING_MAGIC;
	if (!guest_is_ours)
		return APIR_HANDSHAKE_MAGIC;
	blob = blob_ptr(g.res_id, &size);
	/* Once: what keeps beating stays mapped, and a guest must not collect mappings. */
	if (!library.greeted && blob && g.offset % sizeof(uint32_t) == 0 &&
		range_ok(g.offset, sizeof(uint32_t), size) && blob_pin(g.res_id)) {
		library.greeted = true;
		heartbeat_beat((_Atomic uint32_t *)(void *)(blob + g.offset),
			g.offset % (2 * sizeof(uint32_t)) == 0 && range_ok(g.offset, 2 * sizeof(uint32_t), size),
			g.res_id, g.offset);
		if (!cursor_write_u32(out, APIR_GREETING_MAGIC))
			return 0;
	}
	if (library.greeted && cursor_read(in, &ring, sizeof ring) && ring.magic == APIR_RING_MAGIC &&
		inbox_open(ring.res_id) && !cursor_write_u32(out, APIR_RING_MAGIC))
		return 0;
	return APIR_HANDSHAKE_MAGIC;
}

/* path NULL: it need not be there. */
static bool symbol_load(void *handle, const char *name, void *out, const char *path)
{
	void *f = dlsym(handle, name);

	if (!f && path)
		log_error("'%s' (VIRGL_APIR_BACKEND_LIBRARY) is no APIR backend library: it has no %s()", path, name);
	memcpy(out, &f, sizeof f);
	return f != NULL;
}

static uint32_t load_library(uint32_t ctx_id)
{
	const char *path = settings_get("apir.load_library.path");
	uint32_t code;
	void *handle;

	if (library.ready)
		return APIR_LOAD_ALREADY;
	if (!path || !*path) {
		log_error("cannot open the APIR backend library: env var 'VIRGL_APIR_BACKEND_LIBRARY' not defined");
		return APIR_LOAD_ENV_MISSING;
	}
	handle = dlopen(path, RTLD_NOW | RTLD_LOCAL);
	if (!handle) {
		log_error("cannot open the APIR backend library (VIRGL_APIR_BACKEND_LIBRARY): %s", dlerror());
		return APIR_LOAD_CANNOT_OPEN;
	}
	if (!symbol_load(handle, "apir_backend_initialize", &library.initialize, path) ||
		!symbol_load(handle, "apir_backend_dispatcher", &library.dispatcher, path))
		return APIR_LOAD_SYMBOL_MISSING;
	symbol_load(handle, "apir_backend_deinit", &library.deinit, NULL);
	code = library.initialize(ctx_id, &callbacks);
	library.ready = code == APIR_LOAD_INIT;
	if (!library.ready)
		log_error("the APIR backend library '%s' refused to start (code %" PRIu32 "); its own log says why",
			path, code);
	return library.ready ? APIR_LOAD_OK : APIR_LOAD_INIT + code;
}

static uint32_t forward(uint32_t ctx_id, uint32_t function, struct cursor *in, struct cursor *out)
{
	char *start = (char *)out->data + out->pos, *after = start;
	uint32_t code;

	if (!library.ready)
		return APIR_FORWARD_NO_DISPATCH;
	code = library.dispatcher(ctx_id, &callbacks, function, (char *)in->data + in->pos, (char *)in->data + in->size,
		start, (char *)out->data + out->size, &after);
	if (after < start || !cursor_take(out, (size_t)(after - start)))
		return APIR_FORWARD_NO_SYNC;
	/* Of our plugins all take the old one, the first no other. */
	return guest_is_ours && code == APIR_FN_OK ? APIR_FORWARD_OLD_OK : APIR_FORWARD_BASE + code;
}

void command_run(uint32_t ctx_id, uint8_t *cmd, size_t size)
{
	static uint8_t reply_bytes[APIR_REPLY_BLOB_SIZE];
	struct cursor in = cursor_over(cmd, size);
	struct cursor out = cursor_over(reply_bytes, sizeof reply_bytes);
	_Atomic uint32_t *word;
	uint64_t reply_size = 0;
	int32_t type, flags;
	uint32_t reply_id, code;

	if (!cursor_read_i32(&in, &type) || !cursor_read_i32(&in, &flags) || !cursor_read_u32(&in, &reply_id)) {
		log_warn("a command of %zu bytes has no header: dropped", size);
		return;
	}
	word = blob_ptr(reply_id, &reply_size);
	if (!word || reply_size < sizeof *word) {
		log_warn("a command's reply blob %" PRIu32 " is unknown: dropped", reply_id);
		return;
	}
	if (out.size > reply_size - sizeof *word)
		out.size = reply_size - sizeof *word;
	if (type >= APIR_VENUS_TYPE_BASE)
		type -= APIR_VENUS_TYPE_BASE;
	if (type == APIR_DOORBELL)
		return;
	switch (type) {
	case APIR_HANDSHAKE:
		code = handshake(&in, &out);
		break;
	case APIR_LOADLIBRARY:
		code = load_library(ctx_id);
		break;
	case APIR_FORWARD:
		code = forward(ctx_id, (uint32_t)flags, &in, &out);
		break;
	default:
		log_warn("a command of unknown type %" PRId32 ": refused", type);
		code = APIR_FORWARD_NO_DISPATCH;
		break;
	}
	memcpy((char *)word + sizeof *word, out.data, out.pos);
	atomic_store_explicit(word, code + 1, memory_order_release); /* the guest acquires in its transport's wait */
	word_wake(word);
}

void command_end(uint32_t ctx_id)
{
	if (library.ready && library.deinit)
		library.deinit(ctx_id);
	library.ready = false;
}
