/* SPDX-License-Identifier: MIT */
/* Anonymous shared memory that nobody who holds it can resize under the others. */
#ifndef PLATFORM_SHM_H
#define PLATFORM_SHM_H

#include <stdbool.h>
#include <stdint.h>

/* A descriptor for `size` zeroed bytes (a multiple of the page size), to be passed on and mapped; closed on exec.
 * Neither we nor who gets it can shrink it, grow it or change that. name is for whoever lists a process's files.
 * -ENOMEM; -EFBIG: over the limit of file sizes; -EMFILE, -ENFILE: of descriptors; -EPERM, -ENOSYS: a filter forbids it. */
int shm_create(const char *name, uint64_t size);

/* For memory that somebody else made: from now on nobody can shrink it; tells its size. -EPERM: that can't be had. */
int shm_seal(int fd, uint64_t *size);

/* Whether nobody can shrink it, so that what is mapped of it stays. */
bool shm_sealed(int fd);

#endif
