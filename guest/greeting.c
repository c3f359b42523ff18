/* SPDX-License-Identifier: MIT */
/* See greeting.h. */
#include "guest/greeting.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#define GREETING_MS 5000

/* A handshake's arguments: plain APIR 0.2 has the first, and ends there. */
struct greeting {
	uint32_t version[2];
	struct apir_greeting pulse;
	struct apir_ring_offer ring;
};
static_assert(sizeof(struct greeting) == 28, "wire");

struct answer {
	uint32_t version[2];
	uint32_t magic; /* of the last of our arguments that the host understood */
};

/* The first `size` bytes of the arguments are sent; the host's code or -errno, as of channel_run(). */
static int64_t handshake(
	struct channel *c, const struct greeting *g, size_t size, uint32_t limit_ms, struct answer *answer)
{
	uint8_t cmd[APIR_CMD_HEADER_SIZE + sizeof *g];
	size_t n = channel_header(c, cmd, APIR_HANDSHAKE, 0, &c->reply);
	int64_t code;

	memset(c->reply.ptr, 0, sizeof(uint32_t) + sizeof *answer);
	memcpy(cmd + n, g, size);
	code = channel_run(c, cmd, n + size, CHANNEL_SOON, limit_ms);
	memcpy(answer, (char *)c->reply.ptr + sizeof(uint32_t), sizeof *answer);
	return code;
}

static struct greeting greeting_of(const struct channel *c)
{
	return (struct greeting){
		{ APIR_PROTOCOL_MAJOR, APIR_PROTOCOL_MINOR },
		{ APIR_GREETING_MAGIC, c->reply.res_id, CHANNEL_HEARTBEAT },
		{ APIR_RING_MAGIC, c->past.shm.res_id },
	};
}

int greeting_run(struct channel *c, bool plain, char *err, size_t err_size)
{
	struct transport *t = c->pulse->connection->transport;
	const struct greeting g = greeting_of(c);
	struct answer answer;
	int64_t code = handshake(c, &g, plain ? offsetof(struct greeting, pulse) : offsetof(struct greeting, ring),
		GREETING_MS, &answer);

	if (code == -EAGAIN) {
		snprintf(err, err_size, COMPLAINT_UNSENT, t->where, "handshake");
		return -EAGAIN;
	}
	if (code == -ETIMEDOUT || code == -EPIPE) {
		snprintf(err, err_size,
			"%s: the host did not answer APIR's handshake: its device has no APIR (on a Venus device set "
			"VIRGL_ROUTE_VENUS_TO_APIR on the host), or its worker could not start (see the host's log)",
			t->where);
		return (int)code;
	}
	if (code != APIR_HANDSHAKE_MAGIC || answer.version[0] != APIR_PROTOCOL_MAJOR) {
		snprintf(err, err_size,
			"%s: the host speaks APIR %u.%u (code %#llx), this plugin %u.%u: update the older one",
			t->where, answer.version[0], answer.version[1], (unsigned long long)code, APIR_PROTOCOL_MAJOR,
			APIR_PROTOCOL_MINOR);
		return -EPROTO;
	}
	if (!plain && answer.magic == APIR_GREETING_MAGIC) {
		pulse_start(c->pulse, (_Atomic uint32_t *)(void *)((char *)c->reply.ptr + CHANNEL_HEARTBEAT));
		t->takes_fences = true; /* it is ours */
	}
	return 0;
}

/* With another handshake: the first decides whose context it is, by its size too. */
void greeting_offer_ring(struct channel *c)
{
	struct greeting g;
	struct answer answer;
	int64_t code;

	if (!c->pulse->word || blob_make(c->blobs, RING_SIZE, &c->past.shm) < 0)
		return;
	ring_open(&c->past.ring, c->past.shm.ptr);
	g = greeting_of(c);
	code = handshake(c, &g, sizeof g, 0, &answer);
	c->past.open = code == APIR_HANDSHAKE_MAGIC && answer.magic == APIR_RING_MAGIC;
	if (!c->past.open && connection_alive(c->pulse->connection))
		blob_drop(c->blobs, &c->past.shm);
}
