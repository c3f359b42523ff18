/* SPDX-License-Identifier: MIT */
/* See client.h. */
#include "tests/serve/client.h"

#include "proto/apir_wire.h"
#include "proto/util.h"

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

int client_blob(struct vtest *v, uint32_t size)
{
	const struct vtest_blob_create b = { .type = VTEST_BLOB_HOST3D, .flags = VTEST_BLOB_MAPPABLE, .size_lo = size };
	uint32_t res_id;
	int err = vtest_send(v, VTEST_RESOURCE_CREATE_BLOB, &b, sizeof b), fd;

	if (!err)
		err = vtest_receive(v, VTEST_RESOURCE_CREATE_BLOB, &res_id, sizeof res_id, sizeof res_id);
	if (err < 0)
		return err;
	fd = vtest_receive_fd(v);
	if (fd >= 0)
		close(fd);
	return fd == -ENOENT ? -ENOMEM : fd < 0 ? fd : 0;
}
