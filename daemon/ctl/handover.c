#include <errno.h>
#include <inttypes.h>
#include <unistd.h>

#include "ctl/bar.h"
#include "ctl/ctl.h"
#include "ctl/verify.h"

#define DEFAULT_SECONDS 1800
#define MAX_SECONDS     (INT64_C(7) * 86400)
#define LOOK            (500 * USEC_PER_MSEC)
#define CALL_TIMEOUT    (5 * 60 * USEC_PER_SEC)

/* What keeps it from being converged, for people. */
static void say_why(const json_t *status, struct err *err)
{
    const json_t *reason = json_array_get(json_object_get(status, "reasons"), 0);
    const json_t *totals = json_object_get(status, "totals");
    int64_t open = field_count(totals, "unconfirmed");

    if (reason)
        err_set(err, 0, "not handed over: %s", field_text(reason, "message"));
    else if (open)
        err_set(err, 0,
                "not handed over: %" PRId64 " items are unconfirmed: a write of them may yet be "
                "carried out; give it more time (--timeout)",
                open);
    else
        err_set(err, 0,
                "not handed over: not all is in DynamoDB yet; give it more time "
                "(--timeout)");
}

/* Nobody but an operator ends these. */
static bool is_hopeless(const json_t *status)
{
    static const char *const codes[] = {"paused", "held", "detached", "uninstalled",
                                        "table_parked"};
    const json_t *reason;
    size_t i;

    json_array_foreach(json_object_get(status, "reasons"), i, reason)
    {
        for (size_t k = 0; k < sizeof codes / sizeof *codes; k++)
            if (strcmp(field_text(reason, "code"), codes[k]) == 0)
                return true;
    }
    return false;
}

/* Until all is there and confirmed, or has been handed over before (*handed). CTL_DONE, or the code
 * to exit with, the sentence printed. */
static int wait_converged(struct ctl *ctl, int64_t seconds, bool *handed)
{
    usec until = clock_monotonic() + seconds * USEC_PER_SEC;

    for (;;) {
        _cleanup_buf_ struct buf body = {0};
        struct err err;
        int r = ctl_call(ctl, "GET", "/v1/status", &body);
        if (r != CTL_DONE)
            return r;
        json_auto_t *status = ctl_parse(&body, &err);
        if (!status)
            return ctl_fail(-EIO, &err);
        const json_t *reason = json_array_get(json_object_get(status, "reasons"), 0);
        *handed = strcmp(field_text(reason, "code"), "handed_over") == 0;
        if (field_true(status, "converged") || *handed)
            return CTL_DONE;
        if (is_hopeless(status) || clock_monotonic() >= until) {
            say_why(status, &err);
            ctl_fail(0, &err);
            return CTL_FAILURES;
        }
        usleep(LOOK);
    }
}

/* What the daemon has sent is what it believes to be there: whoever is to go on with DynamoDB alone
 * is owed a look at it. */
static int verify(struct ctl *ctl)
{
    _cleanup_buf_ struct buf unequal = {0};
    const struct config *config;
    struct err err;
    int r = ctl_config_as_owner(ctl, &config, &err);

    if (r < 0)
        return ctl_fail(r, &err);
    r = ctl_verify(ctl, config, &unequal);
    if (r != CTL_DONE) {
        err_set(&err, 0, "not handed over, for the sides could not be compared (see --no-verify)");
        ctl_fail(0, &err);
        return r;
    }
    if (!unequal.len && buf_ok(&unequal))
        return CTL_DONE;
    err_set(&err, 0,
            "not handed over: the sides differ: %.600s; `syncctl verify --repair` (and "
            "--delete-extra) mends it, --no-verify hands over all the same",
            unequal.data ? unequal.data : "");
    ctl_fail(0, &err);
    return CTL_FAILURES;
}

static int ask(struct ctl *ctl, const char *target, struct buf *body)
{
    struct err err;
    int status, r = ctl_ask(ctl, "POST", target, CALL_TIMEOUT, &status, body, &err);

    if (r == 0)
        r = ctl_check_status(status, body, &err);
    if (r == 0)
        return CTL_DONE;
    /* A refusal is no fault of the command line's. */
    if (r == -EINVAL && status == 409) {
        ctl_fail(0, &err);
        return CTL_FAILURES;
    }
    return ctl_fail(r, &err);
}

static int undo(struct ctl *ctl, bool yes)
{
    _cleanup_buf_ struct buf body = {0};
    int r;

    if (!ctl_confirm(ctl, yes, &r,
                     "take the DynamoDB tables back: what others have written there since is "
                     "overwritten by the rows of the database, and items of ours without a row are "
                     "deleted"))
        return r;
    r = ask(ctl, "/v1/handover?undo=1", &body);
    if (r != CTL_DONE)
        return r;
    if (ctl->json)
        return ctl_print_json(&body);
    ctl_say(ctl, "taken back: every row is sent again; syncctl wait returns when that is done");
    return CTL_DONE;
}

static int hand_over(struct ctl *ctl, int64_t seconds, bool no_verify)
{
    _cleanup_buf_ struct buf body = {0};
    bool handed = false;
    int r = wait_converged(ctl, seconds > MAX_SECONDS ? MAX_SECONDS : seconds, &handed);

    /* What others have written since the first time is no mismatch. */
    if (r == CTL_DONE && !handed && !no_verify)
        r = verify(ctl);
    if (r == CTL_DONE)
        r = ask(ctl, "/v1/handover", &body);
    if (r != CTL_DONE)
        return r;
    if (ctl->json)
        return ctl_print_json(&body);
    ctl_say(ctl, "handed over: nothing is sent to DynamoDB any more; syncctl handover --undo takes "
                 "it back");
    return CTL_DONE;
}

int cmd_handover(struct ctl *ctl, int argc, char **argv)
{
    enum { OPT_UNDO = CTL_OPTION, OPT_YES, OPT_TIMEOUT, OPT_NO_VERIFY };
    static const struct option own[] = {{"undo", no_argument, NULL, OPT_UNDO},
                                        {"yes", no_argument, NULL, OPT_YES},
                                        {"timeout", required_argument, NULL, OPT_TIMEOUT},
                                        {"no-verify", no_argument, NULL, OPT_NO_VERIFY},
                                        {0}};
    int64_t seconds = DEFAULT_SECONDS;
    bool back = false, yes = false, no_verify = false;
    int o, r;

    while ((o = ctl_option(ctl, argc, argv, own, &r)) != -1) {
        if (o == CTL_STOP)
            return r;
        if (o == OPT_TIMEOUT && !ctl_seconds(ctl, "--timeout", optarg, &seconds))
            return CTL_USAGE;
        back |= o == OPT_UNDO;
        yes |= o == OPT_YES;
        no_verify |= o == OPT_NO_VERIFY;
    }
    if (optind < argc)
        return ctl_usage(ctl, "handover takes no operand (%s)", argv[optind]);
    return back ? undo(ctl, yes) : hand_over(ctl, seconds, no_verify);
}
