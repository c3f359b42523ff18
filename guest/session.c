/* SPDX-License-Identifier: MIT */
/*
 * See session.h. Opening: choose the protocol, connect, make the blobs, greet (versions, heartbeat), have the backend
 * library loaded; each step's failure is one line that names the layer and the cure.
 */
#include "guest/session.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "guest/greeting.h"
#include "guest/loading.h"

#define PROTOCOL_ENV   "GGML_VIRTGPU_PROTOCOL"
#define PROTOCOL_PLAIN "0.2"
static_assert(APIR_PROTOCOL_MAJOR == 0 && APIR_PROTOCOL_MINOR == 2, "PROTOCOL_PLAIN names it");

/* Unset is the newest that both ends speak; each of our extensions is asked for on its own (greeting, hello). */
static int protocol_choose(struct session *s, char *err, size_t err_size)
{
	const char *wanted = getenv(PROTOCOL_ENV);

	s->plain = wanted && !strcmp(wanted, PROTOCOL_PLAIN);
	if (!wanted || s->plain)
		return 0;
	snprintf(err, err_size,
		PROTOCOL_ENV " is '%.40s': set it to " PROTOCOL_PLAIN " for plain APIR " PROTOCOL_PLAIN
			     ", or unset it for the newest protocol that both ends speak",
		wanted);
	return -EINVAL;
}

static int peer_waited(void *session, uint32_t ms)
{
	return pulse_waited(&((struct session *)session)->pulse, ms);
}

/* Blobs, greeting, libraries. */
static int session_start(struct session *s, char *err, size_t err_size)
{
	struct transport *t = s->connection.transport;
	size_t size = APIR_REPLY_BLOB_SIZE;
	int e = blob_make(&s->blobs, size, &s->channel.reply);

	if (!e) {
		size = BULK_PIECE;
		e = blob_make(&s->blobs, size, &s->bulk[0].shm);
	}
	if (e < 0)
		blob_fault(&s->blobs, e, size, "the start", err, err_size);
	if (!e)
		e = greeting_run(&s->channel, s->plain, err, err_size);
	if (!e && s->pulse.word) {
		t->waited = peer_waited;
		t->user = s;
	}
	if (!e)
		greeting_offer_ring(&s->channel);
	t->answer_ms = CHANNEL_BEATLESS_MS; /* it may be computing before it looks at what is asked */
	return e ? e : loading_run(&s->channel, err, err_size);
}

void session_init(struct session *s)
{
	*s = (struct session){ 0 };
	pthread_mutex_init(&s->lock, NULL);
	s->pulse.connection = &s->connection;
	s->complaints.pulse = &s->pulse;
	s->blobs.pulse = &s->pulse;
	s->blobs.complaints = &s->complaints;
	s->channel.pulse = &s->pulse;
	s->channel.blobs = &s->blobs;
	s->channel.counters = &s->counters;
	s->queue.channel = &s->channel;
	s->queue.complaints = &s->complaints;
}

int session_open(struct session *s, char *err, size_t err_size)
{
	int e;

	session_init(s);
	e = protocol_choose(s, err, err_size);
	if (!e)
		e = pulse_patience(&s->pulse, err, err_size);
	if (!e)
		e = connection_open(&s->connection, err, err_size);
	if (!e)
		e = session_start(s, err, err_size);
	if (e < 0)
		session_close(s);
	blobs_leave(&s->blobs);
	return e;
}

void session_close(struct session *s)
{
	if (!s->connection.transport)
		return;
	if (session_alive(s)) {
		for (size_t i = 0; i < BULK_BLOBS; i++) {
			if (s->bulk[i].shm.ptr)
				blob_drop(&s->blobs, &s->bulk[i].shm);
		}
		queue_close(&s->queue);
		channel_close(&s->channel);
	}
	connection_close(&s->connection);
}
