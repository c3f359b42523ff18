/* SPDX-License-Identifier: MIT */
/* Blobs: memory that the guest, the VMM and the workers it is attached to share, within quotas. */
#ifndef APIR_BLOB_H
#define APIR_BLOB_H

#include <stddef.h>
#include <stdint.h>

struct blob {
	uint32_t res_id;
	int fd;
	uint64_t size;
	uint64_t attached; /* bit i: to the context of slot i */
};

struct blob_table {
	uint64_t most_bytes; /* the quota, of all together */
	uint32_t most;
	struct blob *blobs; /* in no order */
	size_t n, room;
	uint64_t bytes;
};

/* 0: a default, by what the machine, our cgroup and this process have. */
void blob_table_init(struct blob_table *t, uint64_t most_bytes, uint32_t most);
void blob_table_fini(struct blob_table *t);
/* NULL: unknown. Valid until the next call that makes or drops one. */
struct blob *blob_find(const struct blob_table *t, uint32_t res_id);
/* As apir_blob_create() and apir_blob_adopt(). Leaving: bytes that were dropped, and that workers may still have. */
int blob_create(struct blob_table *t, uint32_t res_id, uint64_t size, uint64_t leaving);
int blob_adopt(struct blob_table *t, uint32_t res_id, int fd, uint64_t leaving);
/* It is attached nowhere any more. */
void blob_drop(struct blob_table *t, struct blob *b);

#endif
