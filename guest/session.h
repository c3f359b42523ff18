/* SPDX-License-Identifier: MIT */
/*
 * All that is shared with one APIR context of the host: the connection and its pulse, the memory, the queue of commands, and
 * what waits to be written.
 *
 * One command at a time, under the lock; threads take turns (turn.h). Every wait ends: with the answer, with the host's death,
 * or with our patience (pulse.h).
 */
#ifndef GUEST_SESSION_H
#define GUEST_SESSION_H

#include <pthread.h>

#include "guest/counters.h"
#include "guest/pending.h"
#include "guest/queue.h"
#include "guest/shared.h"

/* What tensors' bytes travel through, in pieces: transfer.c. */
#define BULK_BLOBS 2
#define BULK_PIECE ((size_t)4 << 20)

struct bulk {
	struct shm shm;
	struct slot *slot; /* of the piece on its way; NULL: none */
	bool failed;       /* the last one did */
};

struct session {
	pthread_mutex_t lock;
	struct connection connection;
	struct pulse pulse;
	struct complaints complaints;
	struct blobs blobs;
	struct channel channel;
	struct queue queue;
	struct losses losses;
	struct shared_list shared;
	struct pending pending;
	struct bulk bulk[BULK_BLOBS];                   /* the first is there from the start */
	bool plain;                                     /* APIR 0.2 and nothing beyond: GGML_VIRTGPU_PROTOCOL */
	uint64_t features;                              /* agreed with the host; APIR_FEATURE_* */
	struct ggml_backend_virtgpu_counters counters;  /* size and blobs: when they are read */
	_Alignas(8) uint8_t command[APIR_CMD_MAX];      /* the call at hand, under the lock */
	_Alignas(8) uint8_t answer[CHANNEL_ANSWER_MAX]; /* and what came back, as it was read once */
};

/* Ties its parts together: they know each other by address, and nothing is asked of the host. */
void session_init(struct session *s);
/* Connects, greets, has the backend library loaded. 0, or -errno and one line in err. */
int session_open(struct session *s, char *err, size_t err_size);
void session_close(struct session *s);

static inline bool session_alive(const struct session *s)
{
	return connection_alive(&s->connection);
}

#endif
