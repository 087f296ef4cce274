"""What is done to a world. A case is a name, "class" or "class:detail", and a function that returns
with every fault over and the daemon running; the checks come after it (World.settle)."""

import os
import shutil
import signal
import struct
import time

from fault_rules import Fault
from harness import eventually
from world import Broken, failpoints


class NotReached(Exception):
    """The daemon did not come by a failpoint as often as was asked."""


# --- ends of the daemon ---------------------------------------------------------------------------


def random_kill(world, detail):
    world.more_requests(world.rng.randrange(1, 60))
    world.kill()
    if world.rng.random() < 0.5:
        time.sleep(world.rng.random() * 0.3)  # the application goes on
        world.start()
        world.kill()
    world.start()


def unseen(world, detail):
    """Writes that are carried out, a daemon that never hears of it, rows that are as before then."""
    before = world.mirror.sql("SELECT id, v FROM quiet")
    applied = Fault("delay", times=None, table=world.mirror.target("quiet"), seconds=30)
    world.server.faults.add(applied)
    world.mirror.sql("UPDATE quiet SET v = 'unseen'", "DELETE FROM quiet WHERE id % 4 = 1")
    eventually(lambda: applied.fired > 0, "writes without a reply")
    world.kill()
    world.server.faults.clear()
    world.mirror.many("REPLACE INTO quiet VALUES(?, ?)", before)
    world.start()


def frozen(world, detail):
    world.more_requests(world.rng.randrange(1, 20))
    with world.frozen():
        time.sleep(world.rng.random() * 2.5)  # past the time that a request may take, or not
    world.sample()


def busy_load(world):
    world.order("POST", "/v1/resync?table=%s" % world.rng.choice(("hot", "messages", "quiet")))
    world.order("POST", "/v1/resync?table=odd&full=1")
    world.more_requests(3)


def mending(world):
    """Rows that `syncctl verify --repair` would hand over."""
    keys = "".join("&row=01" + struct.pack("=q", n).hex() for n in range(1, 20))
    world.order("POST", "/v1/repair?table=hot" + keys)
    world.more_requests(1)


def letters(world):
    """A row that cannot be held, and one that can be again."""
    world.mirror.sql("REPLACE INTO odd VALUES(100, 9e999)")
    world.more_requests(2)
    world.mirror.sql("REPLACE INTO odd VALUES(100, 1.5)")
    world.more_requests(2)


def quieter(world):
    """Acknowledgements come when nothing was written for a moment."""
    world.writer.pause()
    end = time.monotonic() + 0.5
    while world.alive() and time.monotonic() < end:
        time.sleep(0.01)
    world.writer.go()


def unanswered(world):
    """Items of which it is not known whether they are there."""
    world.server.faults.add(Fault("reset_after_apply", fraction=0.7, seed=world.rng.random()))
    world.mirror.sql("REPLACE INTO hot VALUES(abs(random() % 100000) + 1000, 'new', 1.0)")
    world.more_requests(3)


def unseen_deletes(world):
    """Triggers of a table go, and rows with them: only a comparison can find out."""
    db = world.mirror.connect()
    names = [n for n in sorted(world.mirror.triggers("quiet"))]
    db.execute("BEGIN IMMEDIATE")
    for name in world.rng.sample(names, world.rng.randrange(1, len(names) + 1)):
        db.execute('DROP TRIGGER "%s"' % name)
    db.execute("DELETE FROM quiet WHERE id %% 5 = %d" % world.rng.randrange(5))
    db.execute("UPDATE quiet SET v = v || '+' WHERE id %% 7 = %d" % world.rng.randrange(7))
    db.execute("COMMIT")
    db.close()


def forget_state(world):
    for path in world.state_files():
        os.unlink(path)


def drop_target(world):
    world.mirror.client.delete_table(TableName=world.mirror.target("quiet"))


def rest(world):
    """Long enough at rest for the daemon to let go of the database; then something happens."""
    world.writer.pause()
    end = time.monotonic() + 12
    while world.alive() and time.monotonic() < end:
        status = world.order("GET", "/v1/status")
        if status and not status[1]["source"]["connected"]:
            break
        time.sleep(0.05)
    world.writer.go()
    world.more_requests(1)


def stopping(world):
    world.more_requests(world.rng.randrange(1, 5))
    if world.alive():
        world.mirror.signal(signal.SIGTERM)
        eventually(lambda: not world.alive(), "an end after SIGTERM")


def detaching(world):
    """Settled first: what is on its way when capture ends is another matter (README, limits)."""
    world.settle()
    world.order("POST", "/v1/detach")
    world.writer.go()


def attaching(world):
    detaching(world)
    world.order("POST", "/v1/attach")


# failpoint -> (before the start, while it runs); others come by themselves in the middle of writing.
WAYS = {
    "suspect_noted": (None, unanswered),
    "dead_letter_put": (None, letters),
    "dead_letter_cleared": (None, letters),
    "triggers_committing": (unseen_deletes, None),
    "triggers_installed": (unseen_deletes, None),
    "comparison_ordered": (unseen_deletes, None),
    "marks_saved": (unseen_deletes, None),
    "comparing_all": (forget_state, None),
    "comparing_all_ordered": (forget_state, None),
    "target_forgotten": (drop_target, None),
    "surveyed": (forget_state, None),
    "load_ordered": (None, busy_load),
    "load_page_read": (None, busy_load),
    "load_advanced": (None, busy_load),
    "load_finished": (None, busy_load),
    "letters_rechecked": (None, busy_load),
    "sweep_judged": (unseen_deletes, busy_load),
    "sweep_page_read": (unseen_deletes, busy_load),
    "mend_doubted": (None, mending),
    "mend_ordered": (None, mending),
    "rest_closed": (None, rest),
    "rest_woken": (None, rest),
    "detach_ordered": (None, detaching),
    "triggers_removed": (None, detaching),
    "attach_ordered": (None, attaching),
    "stop_begun": (None, stopping),
    "stop_flushed": (None, stopping),
    "stop_acknowledged": (None, stopping),
    "stop_kept": (None, stopping),
}
DETACHED = ("detach_ordered", "triggers_removed", "attach_ordered")
AT_A_START = ("identity_kept", "tables_resolved", "nonces_stored", "attached")


def once(name):
    """Whether a daemon comes by a failpoint once only, or no more than a few times, in its life."""
    before, during = WAYS.get(name, (None, None))
    return name in AT_A_START or before is not None or during in (rest, stopping, detaching, attaching)


def failpoint(world, detail):
    name, _, nth = detail.partition(":")
    before, during = WAYS.get(name, (None, None))
    world.more_requests(world.rng.randrange(1, 10))
    if before in (unseen_deletes, forget_state, drop_target):
        world.stop()  # of an end in the middle of sending it would be another matter
    else:
        world.end_somehow()
    if before:
        before(world)
    world.start(detail, wait=False)
    end = time.monotonic() + 15
    while world.alive() and time.monotonic() < end:
        if during and world.order("GET", "/v1/status"):
            during(world)
        elif name.startswith("ack_"):
            quieter(world)
        else:
            world.more_requests(1)
    world.server.faults.clear()
    reached = not world.alive()
    if not reached:
        world.kill()
    elif world.gone() not in (-signal.SIGKILL, 0):
        raise Broken("it ended otherwise than by SIGKILL")
    world.start()
    if name in DETACHED:
        attached = world.mirror.request("POST", "/v1/attach")
        if attached[0] != 200:
            raise Broken("attach: %r" % (attached,))
    if not reached:
        raise NotReached(detail)


# --- the service ----------------------------------------------------------------------------------


def endpoint_down(world, detail):
    world.more_requests(world.rng.randrange(1, 10))
    world.server.refuse_connections()
    world.sample()
    if world.rng.random() < 0.3:
        world.end_somehow()
        world.start()
    time.sleep(world.rng.random())
    world.sample()
    world.server.listen()


def during_fault(world, fault, least=3):
    """In force until it has struck a few times, with new writes of everything on top."""
    world.server.faults.add(fault)
    eventually(lambda: fault.fired >= least, "%r striking" % fault)
    world.sample()
    world.mirror.sql("UPDATE hot SET v = v || '.', n = n + 1")
    struck = fault.fired
    eventually(lambda: fault.fired > struck or fault.spent(), "%r striking again" % fault)
    if world.rng.random() < 0.25:
        world.kill()
        world.start()
    world.sample()
    world.server.faults.clear()
    world.server.release()


def throttled(world, detail):
    kind = world.rng.choice(("provisioned_throughput", "throttling", "request_limit"))
    fault = Fault(kind, times=None, fraction=int(detail) / 100, seed=world.rng.random())
    during_fault(world, fault, 2)


def unprocessed(world, detail):
    """Writes that come back, and newer ones of the same keys while they do."""
    first, last = map(int, detail.split("-"))
    for count in range(first, last + 1):
        back = Fault("unprocessed", count=count, times=2, seed=world.rng.random())
        world.server.faults.add(back)
        world.mirror.sql("UPDATE hot SET v = 'old %d'" % count)
        eventually(lambda: back.fired > 0, "writes given back")
        world.mirror.sql(
            "UPDATE hot SET v = 'new %d' WHERE id %% 2" % count,
            "DELETE FROM hot WHERE id %% 5 = %d" % (count % 5),
        )
        eventually(back.spent, "writes given back twice")
    world.sample()


def faulty(world, detail):
    arguments = {"seconds": 0.0005} if detail == "slow" else {}
    if detail == "internal":
        arguments["apply"] = True
    fraction = 0.3 + 0.6 * world.rng.random()
    if detail in ("slow", "huge", "hold"):
        fraction = 0.3
    if detail == "too_large":  # of one item it would be a dead letter
        arguments["when"] = lambda writes: len(writes) > 4
    fault = Fault(detail, None, fraction=fraction, seed=world.rng.random(), **arguments)
    during_fault(world, fault)


def storm(world, detail):
    """Everything at once, and an end of the daemon in the middle."""
    kinds = world.rng.sample(FAULTS, 5)
    for kind in kinds:
        world.server.faults.add(Fault(kind, fraction=0.15, seed=world.rng.random()))
    back = Fault("unprocessed", fraction=0.3, share=0.6, seed=world.rng.random())
    world.server.faults.add(back)
    eventually(lambda: back.fired > 5, "a storm")
    world.kill()
    world.start()
    world.more_requests(20)
    world.sample()
    world.kill()
    world.server.faults.clear()
    world.server.release()
    world.start()


def late(world, detail):
    """A request that was given up is carried out after a newer one of the same items."""
    fault = Fault("late", times=2, table=world.mirror.target("quiet"))
    world.server.faults.add(fault)
    world.mirror.sql("UPDATE quiet SET v = 'older'")
    eventually(fault.spent, "requests put off")
    world.mirror.sql("UPDATE quiet SET v = 'newer'", "DELETE FROM quiet WHERE id % 3 = 0")
    if world.rng.random() < 0.5:
        world.kill()
        world.start()
    eventually(
        lambda: {item["v"] for item in world.mirror.items("quiet")} == {"newer"}, "the newer writes"
    )
    world.late = world.server.apply_late() > 0


# --- disks and files ------------------------------------------------------------------------------


def unwritable(world):
    """The daemon says that it cannot write; without that the case says nothing."""
    eventually(lambda: "state_unwritable" in world.mirror.reasons(), "a full disk being noticed")


def disk_full_for_daemon(world, detail):
    world.more_requests(3)
    world.limit_files(world.rng.choice((1, 24, 96)) * 1024)
    unwritable(world)
    world.sample()
    if world.rng.random() < 0.5:
        world.kill()
        world.start()
    else:
        world.limit_files(-1)


def disk_full_for_state(world, detail):
    world.stop()  # the last one out takes the -wal away: it will have to grow
    world.start()
    world.fill(1)
    unwritable(world)
    world.sample()
    if world.rng.random() < 0.5:
        world.kill()
        world.make_room()
        world.start()
    world.make_room()


def disk_full_for_database(world, detail):
    world.more_requests(3)
    world.fill(0)
    time.sleep(0.3)
    world.sample()
    if world.rng.random() < 0.5:
        world.end_somehow()
        world.start()
    world.sample()
    world.make_room()


def state_deleted(world, detail):
    world.more_requests(3)
    world.end_somehow()
    forget_state(world)
    time.sleep(0.1)  # rows come and go meanwhile
    world.start()
    world.sample()


def state_rolled_back(world, detail):
    """An older state file in the newer one's place: what it knows of items is no longer so."""
    world.stop()
    kept = [(path, path + ".kept") for path in world.state_files()]
    for path, copy in kept:
        shutil.copy2(path, copy)
    before = world.mirror.sql("SELECT id, v FROM quiet")
    world.start()
    world.mirror.sql("UPDATE quiet SET v = 'meanwhile'", "DELETE FROM quiet WHERE id % 9 = 1")
    world.settle()
    world.writer.go()
    world.end_somehow()
    forget_state(world)
    for path, copy in kept:
        os.rename(copy, path)
    # Rows come to be again what that file says that their items are, before anything was compared.
    world.server.refuse_connections()
    world.start()
    world.mirror.many("REPLACE INTO quiet VALUES(?, ?)", before)
    world.server.listen()
    world.sample()


# --- the deck -------------------------------------------------------------------------------------

RESETS = ["reset_before_read", "reset_after_read", "reset_after_apply", "reset_mid_reply"]
BODIES = ["slow", "delay", "bad_crc", "html", "truncated", "not_json", "empty", "too_large"]
CLASSES = ["internal", "unavailable", "replicated_conflict", "hold"]
FAULTS = RESETS + BODIES[:-1] + CLASSES[:3]
ACTS = {
    "failpoint": failpoint,
    "kill": random_kill,
    "unseen": unseen,
    "frozen": frozen,
    "endpoint": endpoint_down,
    "throttled": throttled,
    "unprocessed": unprocessed,
    "fault": faulty,
    "storm": storm,
    "late": late,
    "full": disk_full_for_daemon,
    "full-state": disk_full_for_state,
    "full-database": disk_full_for_database,
    "state": None,
}
STATE = {"deleted": state_deleted, "rolled-back": state_rolled_back}
SMALL_ONLY = ("full-state", "full-database")


def deck(rng, first, with_late):
    """The names of a round: every failpoint and fault once, some kills; failpoints at their first
    passing in the first round, at any later."""
    names = ["failpoint:" + name for name in failpoints()]
    if not first:
        names = [n if once(n.split(":")[1]) else "%s:%d" % (n, rng.randrange(1, 12)) for n in names]
    names += ["kill:%d" % n for n in range(12)] + ["frozen:1", "frozen:2", "endpoint:1", "endpoint:2"]
    names += ["throttled:%d" % share for share in (10, 30, 60, 90, 100)]
    names += ["unprocessed:%d-%d" % (n, n + 4) for n in range(1, 26, 5)]
    names += ["fault:" + kind for kind in RESETS + BODIES + CLASSES]
    names += ["storm:1", "storm:2", "unseen:1", "unseen:2", "full:daemon", "full-state:1", "full-database:1"]
    names += ["state:deleted", "state:rolled-back"]
    names += ["late:1", "late:2"] if with_late else []
    rng.shuffle(names)
    return names


def act(world, name):
    kind, _, detail = name.partition(":")
    (STATE[detail] if kind == "state" else ACTS[kind])(world, detail)
