/* SPDX-License-Identifier: MIT */
/* What a host's answer about a capset says; see capset.c. */
#ifndef GUEST_TRANSPORT_CAPSET_H
#define GUEST_TRANSPORT_CAPSET_H

#include <stdint.h>

#include "proto/apir_wire.h"

enum capset_offer {
	CAPSET_NONE = 0,
	CAPSET_OFFERED = 1,
	CAPSET_FOREIGN = 2, /* offered, but the data isn't APIR's: Venus' own */
};

/* An enum capset_offer, for a capset that the host answered with `data` (zeros behind what it sent). */
int capset_judge(uint32_t id, const struct apir_capset *data);

#endif
