/* SPDX-License-Identifier: MIT */
/*
 * Commands that nobody waits for: each is posted in a slot, where it will be answered. Executed in the order in which they
 * were sent, so that an answer says that everything before is done, too. Under the session's lock.
 */
#ifndef GUEST_QUEUE_H
#define GUEST_QUEUE_H

#include "guest/channel.h"
#include "guest/loss.h"

#define QUEUE_SLOTS  12
#define SLOT_BUFFERS 4
#define SLOT_DATA    0x8000 /* bytes of its own */

/* Its memory is made when it is used first. */
struct slot {
	struct shm data, reply;
	const char *posted; /* the command that is on its way; NULL: none */
	bool has_status;    /* it answers with a ggml status */
	uint64_t turn;      /* the order in which they were posted, and are done */
	/* Should it fail, this is lost: loss.h. */
	struct stream *owner;
	struct touched touched;
	struct buffer *few[SLOT_BUFFERS]; /* `touched` of a void call */
	/* Told once of how it went, with what is whoever posted it's own. NULL: nobody is. */
	void (*done)(struct slot *slot, const struct connection *c, bool ok);
	struct bulk *bulk;   /* what its bytes travel in; NULL: nothing of its own */
	struct buffer *from; /* n bytes from there to here */
	void *to;
	size_t n;
};

struct queue {
	struct channel *channel;
	struct complaints *complaints;
	struct slot slots[QUEUE_SLOTS];
	uint64_t turns;     /* commands sent so far */
	bool async;         /* a computation is answered when it has begun: APIR_FEATURE_ASYNC */
	uint64_t computing; /* then: the turn of the last of which it isn't known whether it is over; 0: none */
	/* Of the last computation, by clock_ns(): when it was sent, and when it is expected to be over. */
	int64_t sent, expected;
	/* The last that was waited for, and how long it took. */
	uint64_t timed;
	int64_t took;
};

/* A slot that is free, waiting for one if need be; data: with SLOT_DATA bytes of its own. NULL: none is to be had. What
 * is posted in it is nobody's and touches nothing, unless the caller says otherwise in it. */
struct slot *queue_slot(struct queue *q, bool data);
/* What is posted in it writes to the buffer. False: it writes to SLOT_BUFFERS others already. */
bool slot_writes(struct slot *slot, struct buffer *b);
/* How long the next computation is going to take, ns; 0: nobody knows. */
void queue_expect(struct queue *q, int64_t ns);
/* What queue_post() is told: another command follows at once; it answers with a ggml status, and may take long. */
#define POST_MORE   1u
#define POST_STATUS 2u
/* And queue_run(): the answer comes while the device computes, and tells nothing of that. */
#define POST_ASIDE 4u
/* Sends a command whose header says that the slot's reply blob takes its answer: should that be a failure, it is reported
 * and noted in loss.h. 0; -EPIPE, -EAGAIN: it couldn't be sent, which was reported, and is the caller's to note. */
int queue_post(struct queue *q, struct slot *slot, const char *name, const void *cmd, size_t size, unsigned flags);
/* Waits for what was posted in the slot, if anything, and for all before it. */
void queue_settle_slot(struct queue *q, struct slot *slot);
/* Waits for what was posted up to that turn, in the order in which it was, so that what follows from a loss is lost, too. */
void queue_settle_up_to(struct queue *q, uint64_t turn);
/* Waits for everything that was posted. */
void queue_settle(struct queue *q);
/* Sends a command, and waits for its answer in the channel's reply blob: the host's code, or -errno as channel_run(). Then all
 * that was posted is settled, too. flags: POST_STATUS, POST_ASIDE. */
int64_t queue_run(struct queue *q, const void *cmd, size_t size, unsigned flags);
/* Whether anything is on its way, or being computed. */
bool queue_busy(const struct queue *q);
/* Whether it is known of all that is being computed when it is over, once everything is settled. */
bool queue_tells_end(const struct queue *q);
/* Gives its memory back. */
void queue_close(struct queue *q);

#endif
