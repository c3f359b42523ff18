/* SPDX-License-Identifier: MIT */
/* The ring in which commands go to the host's worker, past the door, where it reads one. */
#ifndef GUEST_PAST_DOOR_H
#define GUEST_PAST_DOOR_H

#include "guest/transport/transport.h"
#include "proto/ring.h"

struct past_door {
	struct shm shm;
	struct ring ring;
	bool open;
	bool held;    /* the last command announced another, so nobody was woken for it */
	bool unwoken; /* nobody could be woken */
};

#endif
