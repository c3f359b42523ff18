/* SPDX-License-Identifier: MIT */
/*
 * See command.h. A reply is put together in private memory, copied behind the reply word, and then published by
 * the word itself; the guest waits for that.
 */
#include "worker/command.h"

#include <inttypes.h>
#include <stdatomic.h>
#include <string.h>

#include "log/log.h"
#include "platform/word.h"
#include "proto/util.h"
#include "worker/heartbeat.h"

/* Once: what keeps beating stays mapped, and a guest must not collect mappings. */
static bool command_heartbeat(struct worker *w, const struct apir_greeting *g)
{
	const struct mapping *m = blobs_find(&w->blobs, g->res_id);
	bool pair;

	if (w->beating || !m || g->offset % sizeof(uint32_t) || !range_ok(g->offset, sizeof(uint32_t), m->size) ||
		!blobs_pin(&w->blobs, g->res_id))
		return false;
	w->beating = true;
	pair = g->offset % (2 * sizeof(uint32_t)) == 0 && range_ok(g->offset, 2 * sizeof(uint32_t), m->size);
	heartbeat_beat((_Atomic uint32_t *)(void *)((char *)m->ptr + g->offset), pair, g->res_id, g->offset);
	return true;
}

static uint32_t command_handshake(struct worker *w, struct cursor *in, struct cursor *out)
{
	uint32_t major, minor;
	struct apir_greeting g;
	struct apir_ring_offer ring;
	bool greets;

	if (!cursor_read_u32(in, &major) || !cursor_read_u32(in, &minor))
		return 0;
	log_debug("handshake: the guest speaks %" PRIu32 ".%" PRIu32, major, minor);
	if (!cursor_write_u32(out, APIR_PROTOCOL_MAJOR) || !cursor_write_u32(out, APIR_PROTOCOL_MINOR))
		return 0;
	greets = cursor_read(in, &g, sizeof g) && g.magic == APIR_GREETING_MAGIC;
	if (w->guest == GUEST_UNKNOWN)
		w->guest = greets ? GUEST_OURS : GUEST_OTHER;
	if (!greets)
		return APIR_HANDSHAKE_MAGIC;
	if (command_heartbeat(w, &g) && !cursor_write_u32(out, APIR_GREETING_MAGIC))
		return 0;
	if (w->beating && cursor_read(in, &ring, sizeof ring) && ring.magic == APIR_RING_MAGIC &&
		inbox_open(&w->inbox, &w->blobs, ring.res_id) && !cursor_write_u32(out, APIR_RING_MAGIC))
		return 0;
	return APIR_HANDSHAKE_MAGIC;
}

static uint32_t command_forward(struct worker *w, uint32_t function, struct cursor *in, struct cursor *out)
{
	uint32_t code = library_forward(&w->library, w->ctx_id, function, in, out);

	/* Of our plugins all take the old one, the first no other. */
	return w->guest == GUEST_OURS && code == APIR_FORWARD_OK ? APIR_FORWARD_OLD_OK : code;
}

void command_execute(struct worker *w, uint8_t *cmd, size_t size)
{
	struct cursor in = cursor_over(cmd, size);
	struct cursor out = cursor_over(w->reply, sizeof w->reply);
	const struct mapping *m;
	_Atomic uint32_t *word;
	int32_t type, flags;
	uint32_t reply_id, code;

	if (!cursor_read_i32(&in, &type) || !cursor_read_i32(&in, &flags) || !cursor_read_u32(&in, &reply_id)) {
		log_warn("a command of %zu bytes has no header: dropped", size);
		return;
	}
	m = blobs_find(&w->blobs, reply_id);
	if (!m || m->size < sizeof *word) {
		log_warn("a command's reply blob %" PRIu32 " is unknown: dropped", reply_id);
		return;
	}
	word = m->ptr;
	if (out.size > m->size - sizeof *word)
		out.size = m->size - sizeof *word;
	if (type >= APIR_VENUS_TYPE_BASE)
		type -= APIR_VENUS_TYPE_BASE;
	if (type == APIR_DOORBELL) {
		w->counters.doorbells++;
		return;
	}
	switch (type) {
	case APIR_HANDSHAKE:
		code = command_handshake(w, &in, &out);
		break;
	case APIR_LOADLIBRARY:
		code = library_load(&w->library, w->ctx_id, &w->settings, &w->blobs);
		break;
	case APIR_FORWARD:
		code = command_forward(w, (uint32_t)flags, &in, &out);
		break;
	default:
		log_warn("a command of unknown type %" PRId32 ": refused", type);
		code = APIR_FORWARD_NO_DISPATCH;
		break;
	}
	memcpy((char *)word + sizeof *word, out.data, out.pos);
	atomic_store_explicit(word, code + 1, memory_order_release); /* the guest acquires in its transport's wait */
	w->counters.woke += word_wake(word);
}
