/* SPDX-License-Identifier: MIT */
/* Having the host load its libraries. */
#ifndef GUEST_LOADING_H
#define GUEST_LOADING_H

#include "guest/channel.h"

/* 0, or -errno and a line that says which library, why, and what to check on the host. */
int loading_run(struct channel *c, char *err, size_t err_size);

#endif
