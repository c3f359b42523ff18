/* SPDX-License-Identifier: MIT */
/* See client.h. */
#include "tests/serve/client.h"

#include "proto/apir_wire.h"

int client_open(struct vtest *v, const char *path)
{
	const uint32_t capset = APIR_CAPSET_APIR;
	uint32_t version = 0;
	int err = vtest_connect(v, path);

	if (!err)
		err = vtest_send(v, VTEST_CREATE_RENDERER, "client", sizeof "client");
	if (!err)
		err = vtest_negotiate(v, &version);
	if (!err)
		err = vtest_send(v, VTEST_CONTEXT_INIT, &capset, sizeof capset);
	return err ? err : vtest_ping(v);
}
