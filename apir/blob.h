/* SPDX-License-Identifier: MIT */
/* Blobs: anonymous memory that a guest, the VMM and a worker share, and that nobody can resize under the others. */
#ifndef APIR_BLOB_H
#define APIR_BLOB_H

#include <stdint.h>

/* A zeroed memfd of `size` bytes (a multiple of the page size), sealed against shrinking, growing and further
 * seals; or -errno. */
int blob_memfd(uint64_t size);
/* Seals somebody else's memfd against shrinking and tells its size. -EPERM: it can't be sealed. */
int blob_memfd_seal(int fd, uint64_t *size);

#endif
