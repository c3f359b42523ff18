/* SPDX-License-Identifier: MIT */
/* What a keeper tells who started it; see platform/process.h. */
#ifndef PLATFORM_LINUX_KEEPER_WIRE_H
#define PLATFORM_LINUX_KEEPER_WIRE_H

#include <stdint.h>

enum keeper_news { KEEPER_STARTED = 1, KEEPER_EXITED, KEEPER_SIGNALLED };

/* One SOCK_SEQPACKET message. Only the keeper ever has its end of the socket: its closing means that all is over, our
 * shutting down our side that it should be. */
struct keeper_msg {
	uint32_t news;
	int32_t number; /* the program's process id, its status, or the signal that ended it */
};

#endif
