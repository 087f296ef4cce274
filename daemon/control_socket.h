/* The file of the control socket: made, checked and taken away.
 *
 * A socket that a dead daemon left is replaced; one on which somebody answers, and a file that is
 * no socket, are refused. The file is never open to more people than it will be at the end: mode
 * 0660, of the group that is named, else of the group syncd where the process belongs to it, else
 * of the process's own. The directory that systemd made for the unit ($RUNTIME_DIRECTORY) goes to
 * that group too, so that its members reach the socket.
 *
 * Where systemd listens already (socket activation) that socket is used, and stays when we end. */
#ifndef SYNCD_DAEMON_CONTROL_SOCKET_H
#define SYNCD_DAEMON_CONTROL_SOCKET_H

#include <stdbool.h>
#include <sys/types.h>
#include <sys/un.h>

#include "base/err.h"

struct control_socket {
    int fd; /* listening, non-blocking; the caller closes it */
    struct sockaddr_un addr;
    gid_t group;    /* that it was given to; (gid_t)-1: none */
    bool inherited; /* systemd's: not ours to take away */
    dev_t dev;      /* which file is ours, so that a successor's is left alone */
    ino_t ino;
    bool internet; /* of TCP: no file; addr.sun_path says where, for people */
};

/* Listen on `path`; `group` may be "". 0 or a negative errno with a sentence. */
int control_socket_listen(const char *path, const char *group, struct control_socket *out,
                          struct err *err);

/* Is a directory on the way closed to the group it was given to? A sentence with what to do, or "".
 */
void control_socket_reachable(const struct control_socket *s, struct err *out);

/* The id of a group that the [control] `option` names. 0 or -EINVAL with a sentence. */
int control_socket_group(const char *group, const char *option, gid_t *out, struct err *err);

/* Listen on a loopback address ([control] listen). 0 or a negative errno with a sentence. */
int control_socket_listen_tcp(const char *address, struct control_socket *out, struct err *err);

/* Remove the file if it is still the one that was made. */
void control_socket_unlink(const struct control_socket *s);

#endif
