/* SPDX-License-Identifier: MIT */
/* The blobs that the door gave this worker, mapped. */
#ifndef WORKER_BLOBS_H
#define WORKER_BLOBS_H

#include <stdbool.h>
#include <stdint.h>

/* Maps it; takes the descriptor. The size is checked against the memfd's own. 0 or -errno. */
int blob_add(uint32_t res_id, int fd, uint64_t size);
void blob_del(uint32_t res_id);
/* Where it is mapped, NULL: unknown; size may be NULL. Guest-writable memory. */
void *blob_ptr(uint32_t res_id, uint64_t *size);
/* A number that is this blob's alone, whatever is called so later; false: unknown. */
bool blob_serial(uint32_t res_id, uint64_t *serial);
/* How many there were that are no more. */
uint64_t blobs_dropped(void);
/* The mapping outlives blob_del(): somebody keeps a pointer into it. It counts nowhere from then on, so a large one can't: false. */
#define BLOB_PIN_MOST UINT64_C(0x40000)
bool blob_pin(uint32_t res_id);

#endif
