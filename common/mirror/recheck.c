/* Dead letters that are due to be looked at again, whoever asks for it: a load that is over, whose
 * rows may have gone unseen, or a key that rows wait for. What is offered of them stands in no
 * journal and in no load; so they stay due, over a restart too, until it is settled. */
#include <errno.h>
#include <stdio.h>

#include "base/failpoint.h"
#include "mirror/internal.h"

static void recheck_name(const struct table_slot *t, char name[32])
{
    snprintf(name, 32, "recheck:%u", t->id);
}

void recheck_recall(struct mirror *m, struct table_slot *t)
{
    char name[32];
    int64_t due = 0;

    recheck_name(t, name);
    int rc = store_get_int(m->store, name, &due);
    t->recheck = due != 0 || (rc < 0 && rc != -ENOENT);
}

int recheck_remember(struct mirror *m, const struct table_slot *t)
{
    char name[32];

    recheck_name(t, name);
    return store_put_int(m->store, name, t->recheck || t->rechecked);
}

int recheck_offered(struct mirror *m, struct table_slot *t)
{
    bool known = t->recheck || t->rechecked;

    t->rechecked = engine_serial(m->engine);
    if (known)
        return 0; /* to the state file, too */
    if (m->first_record == USEC_NEVER)
        m->first_record = m->now;
    return records_kept(m, recheck_remember(m, t));
}

int recheck_settle(struct mirror *m)
{
    int rc = 0;

    for (size_t i = 0; rc == 0 && i < m->table_count; i++) {
        struct table_slot *t = &m->tables[i];
        if (!t->plan || !t->rechecked || split_oldest(m, t->target) < t->rechecked)
            continue;
        t->rechecked = 0;
        rc = recheck_remember(m, t);
    }
    return rc;
}

void recheck_parked(struct mirror *m, uint32_t target)
{
    for (size_t i = 0; i < m->table_count; i++)
        if (m->tables[i].plan && m->tables[i].target == target && m->tables[i].rechecked) {
            m->tables[i].rechecked = 0;
            m->tables[i].recheck = true;
        }
}

void recheck_turn(struct mirror *m, usec now)
{
    if (m->state_broken) /* it has just failed: letters may be among what it took back */
        return;
    for (size_t i = 0; i < m->table_count; i++) {
        struct table_slot *t = &m->tables[i];
        if (!t->plan || !t->recheck || t->skipped || !m->targets[t->target]->view.open)
            continue;
        if (orders_recheck_letters(m, now, t->id) < 0)
            continue; /* once more with the next slice */
        t->recheck = false;
        FAILPOINT("letters_rechecked");
        records_kept(m, recheck_remember(m, t));
        if (m->first_record == USEC_NEVER)
            m->first_record = now;
    }
}
