/* SPDX-License-Identifier: MIT */
/* Fences: of APIR's contexts, and of the global timeline, where APIR's work and the real library's meet. */
#ifndef DOORS_VIRGL_FENCES_H
#define DOORS_VIRGL_FENCES_H

#include <stdbool.h>
#include <stdint.h>

/* apir's listener: notes a fence that is done. Locked. */
void fences_on_done(void *user, uint32_t ctx_id, uint32_t ring, uint64_t fence_id);
/* Tells the VMM what is done, if it wants to be told at any time; else makes its poll descriptors readable. Not locked. */
void fences_tell(void);
/* The real library's callback in the VMM's place. */
void fences_on_real(void *cookie, uint32_t fence_id);
/* As virgl_renderer_create_fence(). Ours: it is none of the real library's, and our thread tells of it. Not locked. */
int fences_create(int fence_id, uint32_t ctx_id, bool *ours);
/* The command at hand was submitted to this context of ours; 0: it is another command. */
void fences_note_submit(uint32_t ctx_id);
/* A context was destroyed, in a call of the VMM's, from within which its callback may run: its fences are told at once, or dropped; no callback for it runs any more when it returns. Not
 * locked. */
void fences_settle(uint32_t ctx_id, bool drop);
/* The renderer was reset: forgets everything; no callback of what was before runs any more when it returns. Not locked. */
void fences_reset(void);
/* Forgets everything and the VMM's callbacks; no callback runs any more when it returns. Not locked. */
void fences_stop(void);

#endif
