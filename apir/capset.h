/* SPDX-License-Identifier: MIT */
/* What the guest is told that it can have. */
#ifndef APIR_CAPSET_H
#define APIR_CAPSET_H

#include <stddef.h>
#include <stdint.h>

/* As apir_capset(), where the capset is known to be APIR's: 10, or 4. */
int capset_fill(uint32_t capset_id, void *data, size_t size);

#endif
