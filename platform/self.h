/* SPDX-License-Identifier: MIT */
/* This process: where its program lies, and what it denies itself. */
#ifndef PLATFORM_SELF_H
#define PLATFORM_SELF_H

#include <stdbool.h>
#include <stddef.h>

/* The folder of the running program's file, without a slash at its end. False: nobody can tell. */
bool self_folder(char *out, size_t size);

/* No program that it starts gets more rights than it has. */
void self_keep_rights(void);
/* When memory runs out this process is the one to be ended, as far as the system lets one choose. 0, also where there
 * is no such choice, or -errno. */
int self_first_to_go(void);
/* Other processes of this user can't look into this one. */
void self_hide(void);

#endif
