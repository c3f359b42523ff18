/* SPDX-License-Identifier: MIT */
/*
 * Which capset to ask for. Hypervisors that don't know APIR's let its contexts pass as Venus', so Venus' is
 * the default; a host that offers only APIR's (our own doors, unless told otherwise) is used without being
 * asked to.
 *
 * A host that passes APIR off as Venus answers for Venus' capset with APIR's data. With other data it is most
 * likely the real Venus (virgl_test_server even claims it without having it), which would only choke on our
 * commands: then APIR's own capset, if there is one, comes first.
 */
#include "guest/transport/capset.h"
#include "guest/transport/transport.h"

int capset_judge(uint32_t id, const struct apir_capset *data)
{
	uint32_t rest = 0;

	if (id != APIR_CAPSET_VENUS)
		return CAPSET_OFFERED;
	for (unsigned i = 0; i < sizeof data->reserved / sizeof data->reserved[0]; i++)
		rest |= data->reserved[i];
	/* in Venus' data a version of Vulkan's headers stands there, and what follows isn't 0 */
	return data->supports_blob_resources == 1 && !rest ? CAPSET_OFFERED : CAPSET_FOREIGN;
}

uint32_t transport_choose_capset(int use_apir_capset, int (*offers)(void *user, uint32_t id), void *user)
{
	int venus = use_apir_capset ? CAPSET_NONE : offers(user, APIR_CAPSET_VENUS);

	if (venus == CAPSET_OFFERED)
		return APIR_CAPSET_VENUS;
	if (offers(user, APIR_CAPSET_APIR))
		return APIR_CAPSET_APIR;
	return venus ? APIR_CAPSET_VENUS : 0;
}
