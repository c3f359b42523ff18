/* SPDX-License-Identifier: MIT */
/* This process: where its program lies, and what it denies itself. */
#ifndef PLATFORM_SELF_H
#define PLATFORM_SELF_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The folder of the running program's file, without a slash at its end. False: nobody can tell. */
bool self_folder(char *out, size_t size);

/* No program that it starts gets more rights than it has. */
void self_keep_rights(void);
/* When memory runs out this process is to be ended before those that start it, as far as the system lets one choose. To be
 * called before self_hide(), after which nobody may choose any more. 0, also where there is no such choice, or -errno. */
int self_first_to_go(void);
/* And before others of its kind that hold less: it holds so many bytes, of so many that there are, beside those that the
 * system counts as its own. */
void self_holds(uint64_t bytes, uint64_t of);
/* Other processes of this user can't look into this one. */
void self_hide(void);

#endif
