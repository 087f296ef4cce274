/* Faults planted on purpose, each of a kind that has lost or garbled rows somewhere, so that tests
 * can show that the simulator finds them (tests/sim). They exist only in objects compiled with
 * SYNCD_PLANTS; elsewhere PLANTED() is false at compile time. */
#ifndef SYNCD_BASE_PLANT_H
#define SYNCD_BASE_PLANT_H

#include <stdbool.h>

#define PLANTS(X)                                                                                  \
    X(ACK_BEFORE_REPLY, "entries are acknowledged when they are read")                             \
    X(ACK_OVER_GAP, "a settled span takes those before it along")                                  \
    X(STALE_UNPROCESSED, "what came back unprocessed is sent again over a newer read")             \
    X(OLDER_READ_KEPT, "a pending write is kept over a newer read of its row")                     \
    X(KEY_TWICE, "two requests in flight share a key")                                             \
    X(TIMEOUT_IS_SUCCESS, "a request without an answer counts as written")                         \
    X(SPARED_IN_DOUBT, "a write is spared while an older one of its key is open")                  \
    X(ACK_BEFORE_DIGEST, "entries go before the outcomes are durable")                             \
    X(DEAD_LETTER_DROPPED, "a refused row leaves no dead letter")                                  \
    X(LEAVER_TAKES_ALL, "a row that leaves a key deletes the item of the row that has it now")     \
    X(LATE_LOAD, "a row of a load is offered after a newer read of it")                            \
    X(SWEEP_SKIPPED, "a comparison does not look for items whose rows are gone")                   \
    X(SENT_BEFORE_SYNC, "what was read is sent before its commit is durable")                      \
    X(SYNC_TOO_EARLY, "a sync that began before reading covers a later commit, too")               \
    X(SHORT_HORIZON, "a write of uncertain outcome is taken to be over too soon")                  \
    X(SUSPECTS_FORGOTTEN, "writes of uncertain outcome are forgotten at a start")                  \
    X(NO_WINDOW, "what a killed process had sent is taken for certain")                            \
    X(RESENT_UNSEEN, "a request is sent twice, and nobody knows")                                  \
    X(BEHIND_FORGOTTEN, "a table without room loses the entries that are passed over")             \
    X(FOREIGN_TAKEN, "items of others are taken for ours")                                         \
    X(SURVEY_FORGOTTEN, "what a survey finds is forgotten")                                        \
    X(SURVEYED_ONCE, "after a loss nobody looks again once late writes are over")                  \
    X(HEAD_BEFORE_CHUNKS, "the head of a split row is written while chunks are missing")           \
    X(CHUNKS_LEFT, "chunks of what a row was before stay")                                         \
    X(CHUNKS_UNNOTED, "chunks are sent though no state file names them")                           \
    X(ORPHANS_FORGOTTEN, "a row that was left out is not read again when the one it names comes")  \
    X(MARKS_TRUSTED, "triggers that all came back as they were are taken for untouched")           \
    X(RESTART_SEQUENCE, "the journal's sequence begins anew when it is emptied")

enum plant {
    PLANT_NONE,
#define X(name, text) PLANT_##name,
    PLANTS(X)
#undef X
        PLANT_COUNT
};

#ifdef SYNCD_PLANTS
extern enum plant planted_fault;
#define PLANTED(name) (planted_fault == PLANT_##name)
#else
#define PLANTED(name) false
#endif

#endif
