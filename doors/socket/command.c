/* SPDX-License-Identifier: MIT */
/*
 * vtest's commands over the APIR component. A row of the table bounds each message before its handler sees
 * it; a handler gets the complete message in private memory and checks what the row can't. vtest has no error
 * replies, so any refusal ends the connection (with one exception, see on_blob_create()).
 */
#include "doors/socket/client.h"

#include <errno.h>
#include <string.h>

#include "log/log.h"
#include "proto/apir_wire.h"

struct message {
	const uint32_t *words;
	uint32_t count;
};

#define MESSAGE_WORDS_MAX ((STREAM_INPUT_MAX - sizeof(struct vtest_header)) / 4)
#define CAPSET_SIZE_MAX   1024u
#define BATCHES_MAX       1024u

/* Queues a reply; with fd >= 0 the descriptor follows it, with NO_FD only the byte that would carry it. */
enum { NO_FD = -1, NO_FD_BYTE = -2 };

static int reply(struct client *c, uint32_t command, const void *data, uint32_t words, int fd)
{
	struct vtest_header h = { .length = words, .command = command };
	int err = stream_queue(&c->stream, &h, sizeof h, -1);

	if (!err && words)
		err = stream_queue(&c->stream, data, words * sizeof(uint32_t), -1);
	if (!err && fd != NO_FD)
		err = stream_queue(&c->stream, "", 1, fd < 0 ? -1 : fd);
	return err;
}

static int on_create_renderer(struct client *c, const char *name, uint32_t bytes)
{
	size_t n = bytes < sizeof c->name - 1 ? bytes : sizeof c->name - 1;
	char escaped[sizeof c->name];

	memcpy(c->name, name, n);
	c->greeted = true;
	log_debug("socket: client '%s'", log_escape(escaped, sizeof escaped, c->name));
	return 0;
}

/* What a renderer without GL says: capabilities of no bytes. The length counts bytes, and one more. */
static int on_get_caps(struct client *c, const struct message *m)
{
	struct vtest_header h = { .length = 1, .command = VTEST_GET_CAPS };

	(void)m;
	return stream_queue(&c->stream, &h, sizeof h, -1);
}

static int on_ping(struct client *c, const struct message *m)
{
	(void)m;
	return reply(c, VTEST_PING_PROTOCOL_VERSION, NULL, 0, NO_FD);
}

static int on_protocol_version(struct client *c, const struct message *m)
{
	uint32_t agreed = m->words[0] < VTEST_VERSION ? m->words[0] : VTEST_VERSION;

	return reply(c, VTEST_PROTOCOL_VERSION, &agreed, 1, NO_FD);
}

static int on_busy_wait(struct client *c, const struct message *m)
{
	uint32_t busy = 0;

	(void)m;
	return reply(c, VTEST_RESOURCE_BUSY_WAIT, &busy, 1, NO_FD);
}

static int on_get_param(struct client *c, const struct message *m)
{
	bool valid = m->words[0] == VTEST_PARAM_MAX_TIMELINE_COUNT;
	uint32_t answer[2] = { valid, valid ? VTEST_RINGS : 0 };

	return reply(c, VTEST_GET_PARAM, answer, 2, NO_FD);
}

static int on_get_capset(struct client *c, const struct message *m)
{
	uint32_t answer[1 + CAPSET_SIZE_MAX / 4] = { 0 };
	uint32_t id = m->words[0], version = m->words[1];
	int size = version <= 1 ? apir_capset(c->apir, id, &answer[1], CAPSET_SIZE_MAX) : -ENOENT;

	if (size < 0 || (uint32_t)size > CAPSET_SIZE_MAX)
		return reply(c, VTEST_GET_CAPSET, &(uint32_t){ 0 }, 1, NO_FD);
	answer[0] = 1;
	return reply(c, VTEST_GET_CAPSET, answer, 1 + ((uint32_t)size + 3) / 4, NO_FD);
}

static int on_context_init(struct client *c, const struct message *m)
{
	uint32_t id = m->words[0];
	int err;

	if (c->capset_id)
		return c->capset_id == id ? 0 : -EEXIST;
	if (id != APIR_CAPSET_APIR && !(id == APIR_CAPSET_VENUS && apir_routes_venus(c->apir)))
		return -ENOENT;
	err = apir_context_create(c->apir, CLIENT_CTX, c->name);
	if (err)
		return err;
	c->capset_id = id;
	return 0;
}

/* A resource id that isn't in use, or 0. */
static uint32_t res_id_next(struct client *c)
{
	uint64_t size;

	for (unsigned tries = 0; tries < 65536; tries++)
		if (++c->last_res_id && apir_blob_fd(c->apir, c->last_res_id, &size) < 0)
			return c->last_res_id;
	return 0;
}

static int blob_create(struct client *c, uint64_t size, uint32_t *res_id, int *fd)
{
	uint32_t id = res_id_next(c);
	uint64_t rounded;
	int err;

	if (!id)
		return -EDQUOT;
	err = apir_blob_create(c->apir, id, size);
	if (err)
		return err;
	err = apir_blob_attach(c->apir, CLIENT_CTX, id);
	if (!err) {
		*fd = apir_blob_fd(c->apir, id, &rounded);
		err = *fd < 0 ? *fd : 0;
	}
	if (err) {
		apir_blob_unref(c->apir, id);
		return err;
	}
	*res_id = id;
	return 0;
}

/* That the host has no room is nothing the client did wrong, so it is told; the wire header says how. */
static int on_blob_create(struct client *c, const struct message *m)
{
	struct vtest_blob_create b;
	uint32_t res_id = 0;
	uint64_t size;
	int fd, err;

	memcpy(&b, m->words, sizeof b);
	size = vtest_u64(b.size_lo, b.size_hi);
	if (b.type != VTEST_BLOB_HOST3D || b.flags != VTEST_BLOB_MAPPABLE || vtest_u64(b.id_lo, b.id_hi) || !size)
		return -EINVAL;
	err = blob_create(c, size, &res_id, &fd);
	if (err) {
		log_write(c->blobs_refused++ ? LOG_LEVEL_DEBUG : LOG_LEVEL_WARN, "socket: blob of %llu bytes: %s",
			(unsigned long long)size, strerror(-err));
		fd = NO_FD_BYTE;
	}
	return reply(c, VTEST_RESOURCE_CREATE_BLOB, &res_id, 1, fd);
}

static int on_resource_unref(struct client *c, const struct message *m)
{
	if (apir_blob_unref(c->apir, m->words[0]) < 0)
		log_debug("socket: unref: resource %u unknown", m->words[0]);
	return 0;
}

static int on_sync_create(struct client *c, const struct message *m)
{
	uint32_t id;
	int err = sync_create(&c->syncs, vtest_u64(m->words[0], m->words[1]), &id);

	return err ? err : reply(c, VTEST_SYNC_CREATE, &id, 1, NO_FD);
}

static int on_sync_unref(struct client *c, const struct message *m)
{
	if (sync_unref(&c->syncs, m->words[0]) < 0)
		log_debug("socket: unref: sync %u unknown", m->words[0]);
	return 0;
}

static int on_sync_read(struct client *c, const struct message *m)
{
	uint64_t value;
	int err = sync_read(&c->syncs, m->words[0], &value);

	return err ? err : reply(c, VTEST_SYNC_READ, &value, 2, NO_FD);
}

static int on_sync_write(struct client *c, const struct message *m)
{
	return sync_write(&c->syncs, m->words[0], vtest_u64(m->words[1], m->words[2]));
}

static int on_sync_wait(struct client *c, const struct message *m)
{
	const uint32_t head = sizeof(struct vtest_sync_wait) / 4, each = sizeof(struct vtest_sync_point) / 4;
	struct vtest_sync_wait how;

	if ((m->count - head) % each)
		return -EBADMSG;
	memcpy(&how, m->words, sizeof how);

	AUTO_CLOSE int fd = sync_wait(&c->syncs, &how, (const void *)(m->words + head), (m->count - head) / each);

	return fd < 0 ? fd : reply(c, VTEST_SYNC_WAIT, NULL, 0, fd);
}

static bool batch_ok(const struct vtest_batch *b, uint32_t words)
{
	return !(b->flags & ~VTEST_BATCH_RING) && range_ok(b->cmd_offset, b->cmd_words, words) &&
	       b->cmd_words <= APIR_CMD_MAX / 4 && b->sync_count <= SYNC_POINTS_MAX &&
	       range_ok(b->sync_offset, (uint64_t)b->sync_count * 3, words) && b->ring < VTEST_RINGS;
}

static int batch_submit(struct client *c, const struct vtest_batch *b, const uint32_t *words)
{
	const struct vtest_sync_point *points = (const void *)(words + b->sync_offset);
	uint32_t ring = b->flags & VTEST_BATCH_RING ? b->ring : 0;
	uint64_t fence = ++c->last_fence;
	int err = 0;

	if (b->cmd_words)
		err = apir_submit(c->apir, CLIENT_CTX, ring, words + b->cmd_offset, b->cmd_words * sizeof(uint32_t));
	/* The listener tells of a context that was or is lost now; its fences still get their answer. */
	if (err && err != -ENOENT && err != -ENOBUFS)
		return err;
	if (!b->sync_count)
		return 0;
	err = sync_hold(&c->syncs, ring, fence, points, b->sync_count);
	if (err)
		return err;
	if (!(b->flags & VTEST_BATCH_RING) || apir_fence(c->apir, CLIENT_CTX, ring, fence) < 0)
		sync_fence_done(&c->syncs, ring, fence);
	return 0;
}

static int on_submit(struct client *c, const struct message *m)
{
	uint32_t batches = m->words[0];

	if (batches > BATCHES_MAX)
		return -EDQUOT;
	for (uint32_t i = 0; i < batches; i++) {
		uint64_t at = 1 + (uint64_t)i * VTEST_BATCH_WORDS;
		struct vtest_batch b = { 0 };
		int err;

		if (!range_ok(at, VTEST_BATCH_WORDS_MIN, m->count))
			return -EBADMSG;
		memcpy(&b, m->words + at, VTEST_BATCH_WORDS_MIN * sizeof(uint32_t));
		if (!batch_ok(&b, m->count))
			return -EINVAL;
		err = batch_submit(c, &b, m->words);
		if (err)
			return err;
	}
	return 0;
}

static const struct command {
	const char *name;
	uint32_t min, max; /* words */
	bool context;      /* needs one */
	int (*run)(struct client *c, const struct message *m);
} commands[] = {
	[VTEST_GET_CAPS] = { "get_caps", 0, 0, false, on_get_caps },
	[VTEST_RESOURCE_UNREF] = { "resource_unref", 1, 1, true, on_resource_unref },
	[VTEST_RESOURCE_BUSY_WAIT] = { "resource_busy_wait", 2, 2, false, on_busy_wait },
	[VTEST_PING_PROTOCOL_VERSION] = { "ping_protocol_version", 0, 0, false, on_ping },
	[VTEST_PROTOCOL_VERSION] = { "protocol_version", 1, 1, false, on_protocol_version },
	[VTEST_GET_PARAM] = { "get_param", 1, 1, false, on_get_param },
	[VTEST_GET_CAPSET] = { "get_capset", 2, 2, false, on_get_capset },
	[VTEST_CONTEXT_INIT] = { "context_init", 1, 1, false, on_context_init },
	[VTEST_RESOURCE_CREATE_BLOB] = { "resource_create_blob", 6, 6, true, on_blob_create },
	[VTEST_SYNC_CREATE] = { "sync_create", 2, 2, true, on_sync_create },
	[VTEST_SYNC_UNREF] = { "sync_unref", 1, 1, true, on_sync_unref },
	[VTEST_SYNC_READ] = { "sync_read", 1, 1, true, on_sync_read },
	[VTEST_SYNC_WRITE] = { "sync_write", 3, 3, true, on_sync_write },
	[VTEST_SYNC_WAIT] = { "sync_wait", 2, 2 + 3 * SYNC_POINTS_MAX, true, on_sync_wait },
	[VTEST_SUBMIT_CMD2] = { "submit_cmd2", 1, MESSAGE_WORDS_MAX, true, on_submit },
};
static_assert(ARRAY_SIZE(commands) == VTEST_COMMAND_COUNT, "a row per command");

/* Size of the message behind its header, in bytes, or -errno for one that isn't allowed now. */
static int64_t message_size(const struct client *c, const struct vtest_header *h)
{
	const struct command *cmd;

	if (!c->greeted)
		return h->command == VTEST_CREATE_RENDERER && h->length <= STREAM_INPUT_MAX - sizeof *h
		               ? (int64_t)h->length
		               : -EPROTO;
	if (h->command >= ARRAY_SIZE(commands) || !commands[h->command].run)
		return -EOPNOTSUPP;
	cmd = &commands[h->command];
	if (h->length < cmd->min || h->length > cmd->max)
		return -EMSGSIZE;
	if (cmd->context && !c->capset_id)
		return -EPROTO;
	return (int64_t)h->length * 4;
}

static int refuse(const struct client *c, const struct vtest_header *h, int err)
{
	bool known = h->command < ARRAY_SIZE(commands) && commands[h->command].name;
	char escaped[sizeof c->name];

	log_warn("socket: client '%s': command %u (%s), length %u: %s; hanging up",
		log_escape(escaped, sizeof escaped, c->name), h->command, known ? commands[h->command].name : "unknown",
		h->length, strerror(-err));
	return err;
}

int client_command(struct client *c)
{
	const uint8_t *in = stream_peek(&c->stream, sizeof(struct vtest_header));
	struct vtest_header h;
	struct message m;
	int64_t size;
	int err;

	if (!in)
		return 0;
	memcpy(&h, in, sizeof h);
	size = message_size(c, &h);
	if (size < 0)
		return refuse(c, &h, (int)size);
	err = stream_reserve(&c->stream, sizeof h + (size_t)size);
	if (err)
		return refuse(c, &h, err);
	in = stream_peek(&c->stream, sizeof h + (size_t)size);
	if (!in)
		return 0;

	if (!c->greeted) {
		err = on_create_renderer(c, (const char *)in + sizeof h, h.length);
	} else {
		m = (struct message){ .words = (const void *)(in + sizeof h), .count = h.length };
		err = commands[h.command].run(c, &m);
	}
	stream_consume(&c->stream, sizeof h + (size_t)size);
	return err ? refuse(c, &h, err) : 1;
}
