/* Named places where a test may kill the process: what is on disk and in DynamoDB at that moment is
 * what the next start finds.
 *
 * FAILPOINT("name") is nothing in a normal build. Built with `make FAILPOINTS=1` (into
 * build-chaos), a daemon whose environment holds SYNCD_FAILPOINT=name[:n] ends by SIGKILL when it
 * comes by that place for the nth time (1 when n is left out). A name stands at one place only; the
 * count is of the process. One line a name here; tests/chaos holds this list to the code.
 *
 *   a change
 *     slice_read            entries and rows were read and offered, the read transaction is over
 *     request_starting      a batch is made, nothing of it is sent
 *     request_started       it was given to the transport
 *     reply_arrived         its reply is here, nothing is made of it yet
 *     reply_judged          and understood, nothing is kept of it yet
 *     suspect_noted         an item that may be there was noted, in the open store transaction
 *     outcome_noted         an outcome was written into the open store transaction
 *     dead_letter_put       a row was set aside, in the open store transaction
 *     dead_letter_cleared   its dead letter was taken away, in the open store transaction
 *   the store
 *     store_committing      before its commit
 *     store_committed       committed, not yet durable
 *     store_durable         durable, places in the journal not yet let go of
 *     outcomes_let_go       and let go of
 *   the acknowledgement
 *     ack_remembered        the store knows how far the journal was acknowledged before
 *     ack_begun             the journal's write transaction is open
 *     ack_deleted           entries are deleted in it, the sentinel is not in
 *     ack_committing        all is in it
 *     ack_committed         it is committed
 *   attaching
 *     identity_kept         whose database it is was written into the store
 *     tables_resolved       ids and loads were decided, nothing of it is durable
 *     comparison_ordered    the order to compare is durable, the triggers are not in
 *     triggers_committing   triggers and journal are in the open transaction
 *     triggers_installed    they are committed, their marks are not in the store
 *     marks_saved           they are, durably
 *     comparing_all         every table was ordered to be compared, nothing of it is durable
 *     comparing_all_ordered it is durable
 *     nonces_stored         this process's nonce is durable
 *     attached              all is in place
 *   loads and sweeps
 *     target_opened         a DynamoDB table was seen to be usable, for the first time
 *     target_forgotten      what was known of another table of its name is gone from the store
 *     surveyed              what DynamoDB holds was looked at, and what was found is durable
 *     load_ordered          a table is to be compared by order, nothing of it is durable
 *     load_page_read        a page of rows was read and offered
 *     load_advanced         how far a load has come was written into the open store transaction
 *     load_finished         a load has ended, in memory
 *     sweep_judged          items without a row were counted, none is deleted
 *     sweep_page_read       a page of items was looked at
 *     letters_rechecked     the dead letters of a loaded table were read again
 *   orders, rest, end
 *     detach_ordered        the order to take the triggers out is durable
 *     triggers_removed      they are out
 *     attach_ordered        the order to put them back is durable
 *     mend_doubted          what was known of items that are to be sent again is void, durably
 *     mend_ordered          their keys are in the journal
 *     rest_closed           nothing to do: the database was let go of
 *     rest_woken            and opened again
 *     stop_begun            SIGTERM, requests may be in flight
 *     stop_flushed          the last outcomes are durable
 *     stop_acknowledged     the journal is acknowledged as far as may be
 *     stop_kept             the store says that the end was clean
 */
#ifndef SYNCD_BASE_FAILPOINT_H
#define SYNCD_BASE_FAILPOINT_H

#ifdef SYNCD_FAILPOINTS

#include <signal.h>
#include <stdlib.h>
#include <string.h>

static inline void failpoint_pass(const char *name, unsigned long *passed)
{
    const char *wanted = getenv("SYNCD_FAILPOINT");
    size_t n = strlen(name);

    if (!wanted || strncmp(wanted, name, n) != 0 || (wanted[n] != '\0' && wanted[n] != ':'))
        return;
    if (++*passed == (wanted[n] == ':' ? strtoul(wanted + n + 1, NULL, 10) : 1))
        raise(SIGKILL);
}

#define FAILPOINT(name)                                                                            \
    do {                                                                                           \
        static unsigned long failpoint_passed;                                                     \
        failpoint_pass(name, &failpoint_passed);                                                   \
    } while (0)

#else

#define FAILPOINT(name) ((void)0)

#endif

#endif
