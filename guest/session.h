/* SPDX-License-Identifier: MIT */
/*
 * The connection to the host: one APIR context, its blobs, and whether it still lives.
 *
 * One command at a time, under the lock; threads take turns. Every wait ends: with the answer, or within
 * SESSION_PATIENCE_MS of the host's death. A dead session stays dead: calls fail at once and make no ioctl.
 */
#ifndef GUEST_SESSION_H
#define GUEST_SESSION_H

#include <pthread.h>

#include "guest/pending.h"
#include "guest/transport/transport.h"
#include "proto/apir_wire.h"

#define SESSION_PATIENCE_MS 3000
#define SESSION_BEATLESS_MS 600000                      /* for one command of a host that gives no sign of life */
#define HEARTBEAT_OFFSET    (APIR_REPLY_BLOB_SIZE - 64) /* of the heartbeat word in the reply blob */

/* For a command that nobody waits for: where it will be answered, and data of its own. Made when first used. */
#define SESSION_SLOTS 12

struct slot {
	struct shm data, reply;
	const char *posted; /* the command that is on its way; NULL: none */
	bool has_status;    /* it answers with a ggml status */
};

/* What tensors' bytes travel through, in pieces: transfer.c. */
#define BULK_BLOBS 2
#define BULK_PIECE ((size_t)4 << 20)

struct bulk {
	struct shm shm;
	struct slot *slot; /* of the piece on its way; NULL: none */
};

struct session {
	pthread_mutex_t lock;
	struct transport *transport;
	struct shm reply;
	struct bulk bulk[BULK_BLOBS];
	struct slot slots[SESSION_SLOTS];
	struct pending pending;
	_Atomic uint32_t *beat; /* the host's heartbeat word; NULL: it has none */
	_Atomic bool dead;
	_Atomic bool told;       /* that it is dead */
	_Atomic bool torn;       /* the device took its memory away: as dead */
	_Atomic uint64_t losses; /* how often something was lost on the way; every stream's next compute must fail */
	_Atomic bool untrusted;  /* what is read now may lack what was lost: zeros are given instead */
	_Atomic uint32_t complaints;
	bool plain;                                /* APIR 0.2 and nothing beyond: GGML_VIRTGPU_PROTOCOL */
	uint64_t features;                         /* agreed with the host; APIR_FEATURE_* */
	_Alignas(8) uint8_t command[APIR_CMD_MAX]; /* the call at hand, under the lock */
};

/* Connects, greets, has the backend library loaded. 0, or -errno and one line in err. */
int session_open(struct session *s, char *err, size_t err_size);
void session_close(struct session *s);
void session_lock(struct session *s);
void session_unlock(struct session *s);
/* Whether calls can still succeed; false in a forked child too. */
bool session_alive(const struct session *s);
/* Whether to tell of its death now: true once, and in no forked child. */
bool session_death_untold(struct session *s);
/* Notes that a void call's work was lost: every stream's next compute fails, and until then reads give zeros. */
void session_note_loss(struct session *s);
bool session_lost(const struct session *s);
/* True when something was lost since the stream last asked; `seen` is the stream's own memory. */
bool session_take_loss(struct session *s, uint64_t *seen);

#endif
