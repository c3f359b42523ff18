/* SPDX-License-Identifier: MIT */
/*
 * Numbers of operations and types are each ggml's own. What travels are the host's, once it has told its names; with a
 * host that doesn't, those that APIR 0.2's peers have. What the host's ggml lacks isn't supported.
 */
#include <errno.h>
#include <stdio.h>

#include "guest/guest.h"

/* Into *theirs; the host translates nothing from then on. */
static int names_ask(struct abi_names *theirs)
{
	const char *version;
	struct call c;
	int err;

	turn_begin(&c, &plugin.session, APIR_FN_NAMES, "names");
	c.broken |= !cursor_write_string(&c.args, plugin.fn.version());
	err = call_run(&c);
	if (!err && (!cursor_read_string(&c.reply, &version) || !abi_names_read(&c.reply, theirs)))
		err = -EPROTO;
	if (!err)
		snprintf(plugin.host_version, sizeof plugin.host_version, "%s", version);
	turn_end(&c);
	return err;
}

int names_agree(void)
{
	struct abi_names own, theirs;
	int err = 0;

	abi_names_learn(&own, &plugin.fn);
	abi_names_canonical(&theirs);
	if (plugin.session.features & APIR_FEATURE_NAMES)
		err = names_ask(&theirs);
	if (!err)
		abi_numbers_map(&plugin.numbers, &own, &theirs);
	return err;
}
