/* Who may do what on the control socket, and who is cut so that the others are served. */
#include "control_fixture.h"

static bool allowed(enum control_right right, bool known, uid_t peer, bool operates, uid_t own)
{
    const struct client c = {.known = known, .uid = peer, .operates = operates};

    return may(right, &c, own);
}

static void test_rights_go_by_who_asks(void **state)
{
    (void)state;
    for (int i = CONTROL_CHANGE; i <= CONTROL_OPERATE; i++) {
        enum control_right right = (enum control_right)i;
        assert_true(allowed(right, true, 0, false, 1000));
        assert_true(allowed(right, true, 1000, false, 1000));
        assert_false(allowed(right, true, 1001, false, 1000));
        assert_false(allowed(right, true, 1000, false, 0));
        assert_false(allowed(right, false, 0, false, 0));
        assert_false(allowed(right, false, (uid_t)-1, false, (uid_t)-1));
    }
    assert_true(allowed(CONTROL_OPERATE, true, 1001, true, 1000));
    assert_false(allowed(CONTROL_CHANGE, true, 1001, true, 1000));
    assert_true(allowed(CONTROL_READ, true, 1001, false, 1000));
    assert_true(allowed(CONTROL_READ, false, 1001, false, 1000));
}

/* Asked by a user who is neither root nor the daemon's, with one group besides its own. */
static void ask_as_another(struct world *w, gid_t first, gid_t second, const char *target,
                           int status, const char *part)
{
    struct peer p = {.fd = -1};
    int pair[2];

    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        char byte;
        if (setgroups(1, &second) != 0 || setgid(first) != 0 || setuid(65533) != 0)
            _exit(1);
        int fd = dial_fd(w->path, 0);
        struct msghdr m = {0};
        char x = 'x';
        struct iovec v = {.iov_base = &x, .iov_len = 1};
        char control[CMSG_SPACE(sizeof fd)] = {0};
        m.msg_iov = &v;
        m.msg_iovlen = 1;
        m.msg_control = control;
        m.msg_controllen = sizeof control;
        struct cmsghdr *h = CMSG_FIRSTHDR(&m);
        h->cmsg_level = SOL_SOCKET;
        h->cmsg_type = SCM_RIGHTS;
        h->cmsg_len = CMSG_LEN(sizeof fd);
        memcpy(CMSG_DATA(h), &fd, sizeof fd);
        _exit(sendmsg(pair[0], &m, 0) == 1 && read(pair[0], &byte, 1) == 1 ? 0 : 2);
    }
    close(pair[0]);
    char byte, control[CMSG_SPACE(sizeof p.fd)] = {0};
    struct iovec v = {.iov_base = &byte, .iov_len = 1};
    struct msghdr m = {
        .msg_iov = &v, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof control};
    assert_int_equal(recvmsg(pair[1], &m, 0), 1);
    memcpy(&p.fd, CMSG_DATA(CMSG_FIRSTHDR(&m)), sizeof p.fd);
    ask(w, &p, "POST", target);
    expect(w, &p, status, part);
    assert_int_equal(write(pair[1], "x", 1), 1);
    int how;
    assert_int_equal(waitpid(child, &how, 0), child);
    assert_int_equal(how, 0);
    close(pair[1]);
    hang_up(&p);
}

static void test_operators_may_operate_and_others_hear_which_group(void **state)
{
    struct world *w = *state;
    const struct group *g = getgrnam("daemon");

    if (getuid() != 0 || !g)
        skip();
    gid_t operators = g->gr_gid, other = 65532;
    w->operators = "daemon";
    start(w);
    chmod(w->dir, 0755);
    chmod(w->path, 0666);
    ask_as_another(w, operators, other, "/operate", 200, "hello");
    ask_as_another(w, other, operators, "/operate", 200, "hello");
    ask_as_another(w, other, other, "/operate", 403,
                   "members of the group daemon may do this: join it (usermod -aG daemon USER");
    ask_as_another(w, operators, operators, "/change", 403,
                   "only root and the daemon's own user may do this; use sudo");
    ask_as_another(w, other, other, "/both", 200, "hello");
}

static void test_without_an_operator_group_the_setting_is_named(void **state)
{
    struct world *w = *state;

    if (getuid() != 0)
        skip();
    start(w);
    chmod(w->dir, 0755);
    chmod(w->path, 0666);
    ask_as_another(w, 65532, 65532, "/operate", 403, "[control] operator_group");
}

static void test_an_operator_group_must_be_there(void **state)
{
    struct world *w = *state;
    const struct control_groups groups = {"", "no-such-group-here"};
    struct control *c = NULL;
    struct err err;

    assert_int_equal(control_start(&w->loop, w->path, &groups, routes, w, &c, &err), -EINVAL);
    assert_null(c);
    assert_non_null(strstr(err.text, "[control] operator_group = no-such-group-here"));
    assert_int_equal(access(w->path, F_OK), -1);
}

static void test_serves_a_hundred_at_once(void **state)
{
    struct world *w = *state;
    struct peer p[MANY];

    start(w);
    for (int i = 0; i < MANY; i++) {
        p[i] = dial(w);
        ask(w, &p[i], "GET", i % 10 ? "/hello" : "/large");
    }
    for (int i = 0; i < MANY; i++) {
        expect(w, &p[i], 200, i % 10 ? "hello" : "0123456789");
        hang_up(&p[i]);
    }
}

/* However many have connected and do nothing, whoever asks is answered, and they go. Who waits for
 * an answer of ours, or is being answered, does not go. */
static void test_dawdlers_make_room(void **state)
{
    struct world *w = *state;
    struct peer waiting[20], first[CONTROL_CLIENTS], late[30];
    const unsigned idle = CONTROL_CLIENTS;

    start(w);
    for (unsigned i = 0; i < 20; i++) {
        waiting[i] = dial(w);
        ask(w, &waiting[i], "POST", "/hold");
        UNTIL(w, &waiting[i], w->held_count == i + 1);
    }
    for (unsigned i = 0; i < idle; i++) {
        first[i] = dial(w);
        if (i % 2)
            say(w, &first[i], "GET /hel");
    }
    for (unsigned i = 0; i < 30; i++) {
        late[i] = dial(w);
        ask(w, &late[i], "GET", "/hello");
        expect(w, &late[i], 200, "hello");
    }
    UNTIL(w, &first[0], first[0].eof);
    UNTIL(w, NULL, w->control->client_count <= CONTROL_CLIENTS);
    assert_int_equal(w->gone_count, 0);
    for (unsigned i = 0; i < 20; i++) {
        answer_text(w->held[i], "at last");
        expect(w, &waiting[i], 200, "at last");
        hang_up(&waiting[i]);
    }
    for (unsigned i = 0; i < 30; i++)
        hang_up(&late[i]);
    for (unsigned i = 0; i < idle; i++)
        hang_up(&first[i]);
}

static void test_cuts_late_clients_but_not_waiting_ones(void **state)
{
    struct world *w = *state;

    start(w);
    struct peer idle = dial(w), half = dial(w), waiting = dial(w), deaf = dial(w);
    say(w, &half, "GET /hello HT");
    ask(w, &waiting, "POST", "/hold");
    UNTIL(w, NULL, w->held_count == 1);
    ask(w, &deaf, "GET", "/large");
    UNTIL(w, NULL, recv(deaf.fd, &(char){0}, 1, MSG_PEEK | MSG_DONTWAIT) == 1);
    uint64_t now = uv_now(&w->loop);
    assert_true(control_clients_cut_late(w->control, now) <= now + CONTROL_PHASE_MSEC);
    assert_true(control_clients_cut_late(w->control, now + CONTROL_PHASE_MSEC) == CONTROL_NEVER);
    UNTIL(w, &idle, idle.eof);
    UNTIL(w, &half, half.eof);
    UNTIL(w, &deaf, deaf.eof);
    assert_int_equal(whole_answer(&deaf), 0);
    UNTIL(w, NULL, w->control->call_count == 1);
    answer_text(w->held[0], "still here");
    expect(w, &waiting, 200, "still here");
    hang_up(&idle);
    hang_up(&half);
    hang_up(&waiting);
    hang_up(&deaf);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_rights_go_by_who_asks),
        TEST(test_operators_may_operate_and_others_hear_which_group),
        TEST(test_without_an_operator_group_the_setting_is_named),
        TEST(test_an_operator_group_must_be_there),
        TEST(test_serves_a_hundred_at_once),
        TEST(test_dawdlers_make_room),
        TEST(test_cuts_late_clients_but_not_waiting_ones),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
