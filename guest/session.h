/* SPDX-License-Identifier: MIT */
/*
 * The connection to the host: one APIR context, its blobs, and whether it still lives.
 *
 * One command at a time, under the lock; threads take turns. Every wait ends: with the answer, with the host's death, or
 * with our patience (pulse.h). A dead session stays dead: calls fail at once and make no ioctl.
 */
#ifndef GUEST_SESSION_H
#define GUEST_SESSION_H

#include <pthread.h>

#include "guest/loss.h"
#include "guest/pending.h"
#include "guest/pulse.h"
#include "guest/transport/transport.h"
#include "proto/apir_wire.h"
#include "proto/ring.h"

#define SESSION_BEATLESS_MS 600000                      /* for one command of a host that gives no sign of life */
#define HEARTBEAT_OFFSET    (APIR_REPLY_BLOB_SIZE - 64) /* of the heartbeat word in the reply blob */

#define SESSION_COMPLAINTS 20

#define ANSWER_MAX (HEARTBEAT_OFFSET - sizeof(uint32_t)) /* what fits between the reply word and the heartbeat's */

/* For a command that nobody waits for: where it will be answered, and data of its own. Made when first used. */
#define SESSION_SLOTS 12

#define SLOT_BUFFERS 4

struct slot {
	struct shm data, reply;
	const char *posted; /* the command that is on its way; NULL: none */
	bool has_status;    /* it answers with a ggml status */
	uint64_t turn;      /* the order in which they were posted, and are done */
	/* Should it fail, this is lost: loss.h. */
	struct stream *owner;
	struct touched touched;
	struct buffer *few[SLOT_BUFFERS]; /* `touched` of a void call */
	struct bulk *bulk;                /* what its bytes travel in; NULL: nothing of its own */
};

/* What tensors' bytes travel through, in pieces: transfer.c. */
#define BULK_BLOBS 2
#define BULK_PIECE ((size_t)4 << 20)

struct bulk {
	struct shm shm;
	struct slot *slot; /* of the piece on its way; NULL: none */
	bool failed;       /* the last one did */
};

/* How commands go past the door, where the host reads a ring. */
struct past_door {
	struct shm shm;
	struct ring ring;
	bool open;
	bool door_first;  /* a blob was made, which the host knows for sure with the next command by the door */
	bool held;        /* the last one announced another, so nobody was woken for it */
	bool unwoken;     /* nobody could be woken */
	uint32_t by_door; /* commands that went through the door */
};

struct session {
	pthread_mutex_t lock;
	struct transport *transport;
	struct shm reply;
	struct bulk bulk[BULK_BLOBS]; /* the first is there from the start */
	bool spare_told;              /* blob.c: that there is no memory for what goes faster with it */
	struct slot slots[SESSION_SLOTS];
	struct pending pending;
	struct pulse pulse;
	struct past_door past;
	_Atomic bool dead;
	_Atomic bool told;           /* that it is dead */
	_Atomic bool torn;           /* the device took its memory away: as dead */
	bool guarded, masked;        /* blob.c: some of its memory may go away; for guard_leave() */
	_Atomic uint32_t complaints; /* so many lines about failed calls were told, at most SESSION_COMPLAINTS are */
	uint64_t turns;              /* commands posted so far */
	bool plain;                  /* APIR 0.2 and nothing beyond: GGML_VIRTGPU_PROTOCOL */
	uint64_t features;           /* agreed with the host; APIR_FEATURE_* */
	_Alignas(8) uint8_t command[APIR_CMD_MAX]; /* the call at hand, under the lock */
	_Alignas(8) uint8_t answer[ANSWER_MAX];    /* and what came back, as it was read once */
};

/* Connects, greets, has the backend library loaded. 0, or -errno and one line in err. */
int session_open(struct session *s, char *err, size_t err_size);
void session_close(struct session *s);
/* Whether this is a forked child: its parent's context isn't its own, and a lock may be held by a thread that isn't there. */
bool session_forked(void);
void session_lock(struct session *s);
void session_unlock(struct session *s);
/* Whether calls can still succeed; false in a forked child too. */
bool session_alive(const struct session *s);
/* Whether to tell of its death now: true once, and in no forked child. */
bool session_death_untold(struct session *s);

#endif
