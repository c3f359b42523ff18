/* SPDX-License-Identifier: MIT */
/*
 * A ring of commands in shared memory: one side writes them, the other reads, and neither makes a system call for it.
 *
 * The memory begins with struct ring_head; behind it lie RING_BYTES, in which records follow each other and wrap around:
 * struct ring_record, the command, and padding to 8. Positions count all bytes that ever were, modulo 2^32. Each side keeps its
 * own position to itself and only tells it, and copies what it reads, so that the other can do no more than tell wrong things.
 *
 * Who finds nothing may park: then it has to be woken by other means. Parking is agreed on by two words, each written before
 * the other is read (sequentially consistent): either the writer sees the reader parked, or the reader sees what was written.
 */
#ifndef PROTO_RING_H
#define PROTO_RING_H

#include <assert.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define RING_BYTES   UINT32_C(0x20000) /* a power of two */
#define RING_COMMAND UINT32_C(0x10000) /* the largest */
#define RING_LINE    64

struct ring_head {
	_Alignas(RING_LINE) _Atomic uint32_t written; /* the writer's */
	_Alignas(RING_LINE) _Atomic uint32_t read;    /* the reader's */
	_Atomic uint32_t parked;                      /* 1: the reader is to be woken; whoever does makes it 0 */
};
static_assert(sizeof(struct ring_head) == 2 * RING_LINE, "wire");

#define RING_SIZE (sizeof(struct ring_head) + RING_BYTES)

struct ring_record {
	uint32_t size;  /* of the command, bytes */
	uint32_t after; /* so many commands that came another way are executed before it */
};
static_assert(sizeof(struct ring_record) == 8, "wire");

/* One end. ring_open() over zeroed memory of RING_SIZE bytes. */
struct ring {
	struct ring_head *head;
	uint8_t *bytes;
	uint32_t at; /* our own position */
};

void ring_open(struct ring *r, void *memory);

/* The writer's. False: there is no room, now; the command is at most RING_COMMAND bytes. */
bool ring_write(struct ring *r, const void *cmd, uint32_t size, uint32_t after);
/* Behind ring_write(): whether the reader is parked, and ours to wake. */
bool ring_wakes(struct ring *r);

/* The reader's. What the next record says, without taking it. 1; 0: there is none; -EBADMSG: no writer writes so. */
int ring_peek(const struct ring *r, struct ring_record *out);
/* Takes the record that was peeked at, its command into `cmd`. */
void ring_take(struct ring *r, const struct ring_record *record, void *cmd);
/* Says that we want to be woken; what comes afterwards is told to be, what came before must be looked for again. */
void ring_park(struct ring *r);
void ring_unpark(struct ring *r);

#endif
