/* Entries for journald by its native protocol (systemd.io/JOURNAL_NATIVE_PROTOCOL). libsystemd's
 * own sd_journal_sendv() waits when journald does not read; here a log never stops the mirror. */
#ifndef SYNCD_DAEMON_JOURNAL_SEND_H
#define SYNCD_DAEMON_JOURNAL_SEND_H

#define JOURNAL_SOCKET "/run/systemd/journal/socket"

/* One entry of "KEY=value" fields, and SYSLOG_IDENTIFIER=syncd, to the datagram socket at `path`;
 * it never blocks. 0, or a negative errno: the entry is lost. */
int journal_send(const char *path, const char *const *fields, int n);

#endif
