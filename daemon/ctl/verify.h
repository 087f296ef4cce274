/* Both sides compared, for commands that do so at their end. */
#ifndef SYNCD_CTL_VERIFY_H
#define SYNCD_CTL_VERIFY_H

#include "ctl/ctl.h"

/* As `syncctl verify` does, with the daemon that ctl->socket leads to. Differences are told on
 * stdout as they are found (not with --json). `unequal` is what is not equal, by table; empty when
 * all is. CTL_DONE, or the exit code with the sentence printed. */
int ctl_verify(struct ctl *ctl, const struct config *config, struct buf *unequal);

#endif
