/* SPDX-License-Identifier: MIT */
/* Lines about what failed. At most some a session: a program that loops must not flood its log. */
#ifndef GUEST_COMPLAINT_H
#define GUEST_COMPLAINT_H

#include <stdint.h>

#include "guest/pulse.h"

/* The line about -EAGAIN: where, and what it was. */
#define COMPLAINT_UNSENT                                                                                               \
	"%s: %s: not sent: this system has no memory for it: end other programs, or give it more memory"

struct complaints {
	const struct pulse *pulse;
	_Atomic uint32_t n; /* told so far */
};

/* Whether there may be another line. */
bool complaints_left(struct complaints *c);
/* The command `name` came to this: the host's code, or -EAGAIN, -EPIPE, … Of the host's end the first line is the only one. */
void complaint_about(struct complaints *c, const char *name, int64_t code);

#endif
