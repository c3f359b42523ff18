/* SPDX-License-Identifier: MIT */
/* An unsealed memfd lets whoever holds it shrink it, and SIGBUS everybody who has it mapped: QEMU too. */
#include "platform/shm.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include "proto/util.h"

#ifndef MFD_NOEXEC_SEAL
#define MFD_NOEXEC_SEAL 0x0008U
#endif

int shm_create(const char *name, uint64_t size)
{
	AUTO_CLOSE int fd = fd_above_std(memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING | MFD_NOEXEC_SEAL));

	struct rlimit most;

	if (fd < 0 && errno == EINVAL) /* before Linux 6.3 */
		fd = fd_above_std(memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING));
	if (fd < 0)
		return -errno;
	/* Beyond that limit a signal would come before the error, and a VMM hasn't said what it wants of it. */
	if (size > INT64_MAX || (getrlimit(RLIMIT_FSIZE, &most) == 0 && size > most.rlim_cur))
		return -EFBIG;
	if (ftruncate(fd, (off_t)size) < 0)
		return -errno;
	if (fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) < 0)
		return -errno;
	return fd_steal(&fd);
}

bool shm_sealed(int fd)
{
	int seals = fcntl(fd, F_GET_SEALS);

	return seals >= 0 && seals & F_SEAL_SHRINK;
}

/* What somebody else sealed already may take no more seals, and need none. */
int shm_seal(int fd, uint64_t *size)
{
	struct stat st;

	if (fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) < 0 && errno != EPERM)
		return -EPERM;
	if (!shm_sealed(fd))
		return -EPERM;
	if (fstat(fd, &st) < 0)
		return -errno;
	*size = (uint64_t)st.st_size;
	return 0;
}
