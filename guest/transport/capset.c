/* SPDX-License-Identifier: MIT */
/*
 * Which capset to ask for. Hypervisors that don't know APIR's let its contexts pass as Venus', so Venus' is the
 * default; a host that offers only APIR's (our own doors, unless told otherwise) is used without being asked to.
 */
#include "guest/transport/transport.h"

#include "proto/apir_wire.h"

uint32_t transport_choose_capset(int use_apir_capset, int (*offers)(void *user, uint32_t id), void *user)
{
	if (!use_apir_capset && offers(user, APIR_CAPSET_VENUS))
		return APIR_CAPSET_VENUS;
	return offers(user, APIR_CAPSET_APIR) ? APIR_CAPSET_APIR : 0;
}
