/* The file of the control socket: made, checked and taken away.
 *
 * A socket that a dead daemon left is replaced; one on which somebody answers, and a file that is
 * no socket, are refused. The file is never open to more people than it will be at the end. */
#ifndef SYNCD_DAEMON_CONTROL_SOCKET_H
#define SYNCD_DAEMON_CONTROL_SOCKET_H

#include <stdbool.h>
#include <sys/types.h>
#include <sys/un.h>

#include "base/err.h"

struct control_socket {
    int fd; /* listening, non-blocking; the caller closes it */
    struct sockaddr_un addr;
    dev_t dev; /* which file is ours, so that a successor's is left alone */
    ino_t ino;
    bool internet; /* of TCP: no file; addr.sun_path says where, for people */
};

/* Listen on `path`, mode 0660, group `group` unless "". 0 or a negative errno with a sentence. */
int control_socket_listen(const char *path, const char *group, struct control_socket *out,
                          struct err *err);

/* Listen on a loopback address ([control] listen). 0 or a negative errno with a sentence. */
int control_socket_listen_tcp(const char *address, struct control_socket *out, struct err *err);

/* Remove the file if it is still the one that was made. */
void control_socket_unlink(const struct control_socket *s);

#endif
