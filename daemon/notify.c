#include <systemd/sd-daemon.h>

#include "base/clock.h"
#include "daemon.h"
#include "journal_send.h"

static bool to_journal(const char *const *fields, int n)
{
    return journal_send(JOURNAL_SOCKET, fields, n) == 0;
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
