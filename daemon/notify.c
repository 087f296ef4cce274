#include <systemd/sd-daemon.h>
#include <systemd/sd-journal.h>

#include <stdio.h>
#include <string.h>
#include <sys/uio.h>

#include "base/clock.h"
#include "daemon.h"

static void to_journal(const char *const *fields, int n)
{
    struct iovec iov[20];

    for (int i = 0; i < n && i < 20; i++)
        iov[i] = (struct iovec){.iov_base = (void *)fields[i], .iov_len = strlen(fields[i])};
    sd_journal_sendv(iov, n < 20 ? n : 20);
}

void notify_setup(void)
{
    log_set_journal(to_journal);
}

void notify_ready(void)
{
    sd_notify(0, "READY=1");
}

/* systemd 252 wants the time of the reload with it. */
void notify_reloading(void)
{
    sd_notifyf(0, "RELOADING=1\nMONOTONIC_USEC=%lld", (long long)clock_monotonic());
}

void notify_status(const char *text)
{
    sd_notifyf(0, "STATUS=%s", text);
}

void notify_stopping(void)
{
    sd_notify(0, "STOPPING=1");
}

void notify_watchdog(void)
{
    sd_notify(0, "WATCHDOG=1");
}
