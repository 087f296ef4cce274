/* Who is connected: what they may do, and who is cut so that the others are served. */
#include <errno.h>
#include <stdlib.h>
#include <sys/socket.h>

#include "control.h"
#include "control_call.h"

#define GRACE_MSEC 100u
#define MAX_GROUPS 65536u

/* --- rights ----------------------------------------------------------------------------------- */

/* Reading is the socket's mode and group; changing is for root and the daemon's own user. */
static bool may(enum control_right right, const struct client *peer, uid_t own)
{
    return right == CONTROL_READ || (peer->known && (peer->uid == 0 || peer->uid == own)) ||
           (right == CONTROL_OPERATE && peer->operates);
}

/* What the caller would have to be. */
static void refuse_right(struct control_call *call, enum control_right right)
{
    const struct control *c = call->control;
    struct err message;

    if (right == CONTROL_OPERATE && c->operators != (gid_t)-1)
        err_set(&message, 0,
                "only root, the daemon's own user and members of the group %s may do this: join it "
                "(usermod -aG %s USER, then log in again) or use sudo",
                c->operator_group, c->operator_group);
    else if (right == CONTROL_OPERATE)
        err_set(&message, 0,
                "only root and the daemon's own user may do this, and members of the group that "
                "[control] operator_group names, but it names none; use sudo");
    else
        err_set(&message, 0, "only root and the daemon's own user may do this; use sudo");
    control_reply_error(call, 403, "forbidden", message.text);
}

bool control_permit(struct control_call *call, enum control_right right)
{
    if (may(right, call->client, geteuid()))
        return true;
    refuse_right(call, right);
    return false;
}

/* --- coming and going ------------------------------------------------------------------------- */

void control_client_began(struct control *c, struct client *client)
{
    client->since = uv_now(c->loop);
    client->deadline = client->since + CONTROL_PHASE_MSEC;
    list_remove(&client->node);
    list_push_back(&c->clients, &client->node);
}

/* Is the peer in the group, as its first or any other? The kernel kept them at connect(). */
static bool in_group(int fd, const struct ucred *cred, gid_t group)
{
    _cleanup_free_ gid_t *groups = NULL;
    socklen_t n = 0;

    if (group == (gid_t)-1)
        return false;
    if (cred->gid == group)
        return true;
    if (getsockopt(fd, SOL_SOCKET, SO_PEERGROUPS, NULL, &n) == 0 || errno != ERANGE ||
        n > MAX_GROUPS * sizeof *groups || !(groups = malloc(n)) ||
        getsockopt(fd, SOL_SOCKET, SO_PEERGROUPS, groups, &n) != 0)
        return false;
    for (size_t i = 0; i < n / sizeof *groups; i++)
        if (groups[i] == group)
            return true;
    return false;
}

/* Clients of one user. */
static unsigned held_by(const struct control *c, uid_t uid)
{
    unsigned n = 0;

    list_for_each(pos, after, &c->clients)
    {
        const struct client *client = container_of(pos, struct client, node);
        n += client->uid == uid && !client->cut;
    }
    return n;
}

/* Of the user with the most connections, the one that has taken longest; of those that are being
 * answered none, unless they may go too. */
static struct client *find_dawdler(struct control *c, bool answering_too)
{
    struct client *found = NULL;
    unsigned most = 0;

    list_for_each(pos, after, &c->clients)
    {
        struct client *client = container_of(pos, struct client, node);
        if (client->cut || client->waiting || (client->answering && !answering_too) ||
            (found && client->uid == found->uid))
            continue;
        unsigned n = held_by(c, client->uid);
        if (n > most) {
            most = n;
            found = client;
        }
    }
    return found;
}

/* libmicrohttpd sees the hang-up, and lets go of it in its next run. */
static void cut(struct control *c, struct client *client)
{
    shutdown(client->fd, SHUT_RDWR);
    client->deadline = CONTROL_NEVER;
    if (!client->cut)
        c->client_count--;
    client->cut = true;
}

uint64_t control_clients_make_room(struct control *c, uint64_t now)
{
    bool crowded = c->client_count > CONTROL_CLIENTS;

    while (crowded) {
        bool still = c->client_count > CONTROL_CLIENTS;
        struct client *dawdler = find_dawdler(c, false);
        if (!dawdler && still)
            dawdler = find_dawdler(c, true);
        if (!dawdler)
            break;
        if (dawdler->since + GRACE_MSEC > now)
            return still ? dawdler->since + GRACE_MSEC : CONTROL_NEVER;
        cut(c, dawdler);
        c->run_again = true;
    }
    return CONTROL_NEVER;
}

void control_client_notice(void *cls, struct MHD_Connection *connection, void **context,
                           enum MHD_ConnectionNotificationCode what)
{
    struct control *c = cls;
    struct client *client = *context;

    if (what == MHD_CONNECTION_NOTIFY_CLOSED) {
        if (client) {
            c->client_count -= !client->cut;
            list_remove(&client->node);
        }
        free(client);
        *context = NULL;
        /* At its limit libmicrohttpd takes the listening socket out of its epoll set, and puts it
         * back only at the start of a later run. */
        c->run_again = true;
        return;
    }
    const union MHD_ConnectionInfo *info =
        MHD_get_connection_info(connection, MHD_CONNECTION_INFO_CONNECTION_FD);
    struct ucred cred;
    socklen_t n = sizeof cred;
    if (!info || !(client = calloc(1, sizeof *client)))
        return; /* without a context every request is refused */
    client->fd = info->connect_fd;
    client->known = getsockopt(client->fd, SOL_SOCKET, SO_PEERCRED, &cred, &n) == 0;
    client->uid = client->known ? cred.uid : (uid_t)-1;
    client->pid = client->known ? cred.pid : 0;
    client->operates = client->known && in_group(client->fd, &cred, c->operators);
    list_init(&client->node);
    control_client_began(c, client);
    *context = client;
    c->client_count++;
}

uint64_t control_clients_cut_late(struct control *c, uint64_t now)
{
    uint64_t next = CONTROL_NEVER;

    list_for_each(pos, after, &c->clients)
    {
        struct client *client = container_of(pos, struct client, node);
        if (client->deadline <= now)
            cut(c, client);
        if (client->deadline < next)
            next = client->deadline;
    }
    return next;
}
