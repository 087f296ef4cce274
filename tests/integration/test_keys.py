"""DynamoDB keys made of any columns: items move with their rows, and rows that meet at one key."""

import random
import sqlite3

import pytest

from harness import eventually

pytestmark = pytest.mark.engine


@pytest.fixture
def single(mirror):
    """A design with one DynamoDB table, as its guides have it."""
    one = mirror.prefix + "single"
    mirror.configure(
        {
            "table users": {"target": one, "partition_key": "USER#{id}", "sort_key": "PROFILE"},
            "table messages": {
                "target": one,
                "partition_key": "USER#{user_id}",
                "sort_key": "MSG#{session_id}#{id}",
            },
        }
    )
    mirror.sql(
        "PRAGMA journal_mode=wal",
        "CREATE TABLE users(id INTEGER PRIMARY KEY, name TEXT)",
        "CREATE TABLE messages(id INTEGER PRIMARY KEY, user_id INTEGER, session_id TEXT, body TEXT)",
        "INSERT INTO users VALUES(1, 'Ada'), (2, 'Bo')",
        "INSERT INTO messages VALUES(1, 1, 's', 'a'), (2, 1, 's', 'b'), (3, 2, 't', 'c')",
    )
    mirror.start().settle()
    return mirror


def keys(mirror, table="messages"):
    return sorted((i["pk"], i["sk"]) for i in mirror.items(table))


def test_two_tables_in_one(single):
    assert keys(single) == [
        ("USER#1", "MSG#s#1"),
        ("USER#1", "MSG#s#2"),
        ("USER#1", "PROFILE"),
        ("USER#2", "MSG#t#3"),
        ("USER#2", "PROFILE"),
    ]


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE messages SET user_id = 2 WHERE id = 1",
        "UPDATE messages SET session_id = 'moved'",
        "UPDATE messages SET user_id = 3 - user_id",
        "UPDATE messages SET id = id + 10",
        "UPDATE OR REPLACE messages SET id = 2, session_id = 'x' WHERE id = 1",
        "REPLACE INTO messages VALUES(1, 2, 'other', 'new')",
        "INSERT INTO messages VALUES(1, 2, 'u', 'up') ON CONFLICT(id) DO UPDATE SET user_id = 2",
        "DELETE FROM messages WHERE user_id = 1",
        "UPDATE messages SET user_id = NULL WHERE id = 2",
        "BEGIN; UPDATE messages SET id = 99 WHERE id = 1; UPDATE messages SET id = 1 WHERE id = 2;"
        " UPDATE messages SET id = 2 WHERE id = 99; COMMIT",
    ],
)
def test_the_old_item_goes_and_the_new_one_comes(single, statement):
    db = single.connect()
    db.executescript(statement)
    db.close()
    single.settle()
    single.assert_equal()


@pytest.fixture
def places(mirror):
    """A key that is too short: rows may meet at it."""
    mirror.configure({"table seats": {"partition_key": "place"}})
    mirror.sql(
        "CREATE TABLE seats(id INTEGER PRIMARY KEY, place TEXT, guest TEXT)",
        "INSERT INTO seats VALUES(1, 'window', 'Ada'), (2, 'aisle', 'Bo')",
    )
    mirror.start().settle()
    return mirror


def guests(mirror):
    return {i["place"]: i["guest"] for i in mirror.items("seats")}


def test_rows_that_swap_their_keys(places):
    places.sql(
        "BEGIN",
        "UPDATE seats SET place = 'aside' WHERE id = 1",
        "UPDATE seats SET place = 'window' WHERE id = 2",
        "UPDATE seats SET place = 'aisle' WHERE id = 1",
        "COMMIT",
    )
    places.settle()
    assert guests(places) == {"window": "Bo", "aisle": "Ada"}
    assert places.dead_letters() == []


def test_the_second_row_at_a_key_waits_and_takes_it_when_the_owner_leaves(places):
    places.sql("INSERT INTO seats VALUES(3, 'window', 'Cy')")
    places.wait()
    (letter,) = places.dead_letters()
    assert letter["reason"] == "key_taken"
    assert "id=3" in letter["key"] and "id=1" in letter["message"]
    assert guests(places)["window"] == "Ada"
    places.sql("UPDATE seats SET guest = 'Ada B' WHERE id = 1")
    places.wait()
    assert guests(places)["window"] == "Ada B"
    places.sql("UPDATE seats SET place = 'door' WHERE id = 1")
    places.settle()
    assert guests(places) == {"window": "Cy", "aisle": "Bo", "door": "Ada B"}
    assert places.dead_letters() == []


def test_the_one_that_waits_goes_away(places):
    places.sql("INSERT INTO seats VALUES(3, 'window', 'Cy')")
    places.wait()
    assert len(places.dead_letters()) == 1
    places.sql("DELETE FROM seats WHERE id = 3")
    places.settle()
    assert places.dead_letters() == [] and guests(places)["window"] == "Ada"


def test_who_waits_is_remembered_over_a_crash(places):
    places.sql("INSERT INTO seats VALUES(3, 'window', 'Cy'), (4, 'window', 'Di')")
    places.wait()
    places.kill9()
    places.sql("DELETE FROM seats WHERE id = 1")
    places.start()
    eventually(lambda: guests(places)["window"] in ("Cy", "Di"), "one of those that wait")
    places.wait()
    assert len(places.dead_letters()) == 1


def test_a_first_load_where_rows_meet(mirror):
    mirror.configure({"table seats": {"partition_key": "place"}})
    mirror.sql("CREATE TABLE seats(id INTEGER PRIMARY KEY, place TEXT, guest TEXT)")
    mirror.many("INSERT INTO seats VALUES(?, ?, 'g')", [(n, "p%d" % (n % 7)) for n in range(40)])
    mirror.start().wait()
    mirror.assert_equal()
    assert len(mirror.dead_letters()) == 33


@pytest.mark.parametrize("seed", range(4))
def test_many_moves_and_meetings(places, seed):
    rng = random.Random(seed)
    db = places.connect()
    for turn in range(120):
        row, place = rng.randrange(12), "p%d" % rng.randrange(8)
        statement, values = rng.choice(
            [
                ("REPLACE INTO seats VALUES(?, ?, 'new')", (row, place)),
                ("UPDATE seats SET place = ?2 WHERE id = ?1", (row, place)),
                ("UPDATE OR REPLACE seats SET id = ? WHERE place = ?", (row, place)),
                ("DELETE FROM seats WHERE id = ?", (row,)),
                ("UPDATE seats SET guest = guest || '+' WHERE id = ?", (row,)),
            ]
        )
        db.execute(statement, values)
        if turn % 40 == 39:
            places.kill9() if rng.random() < 0.3 else places.stop()
            places.start()
    db.close()
    places.wait()
    places.assert_equal()
    meeting = sqlite3.connect(places.database).execute(
        "SELECT count(*) - count(DISTINCT place) FROM seats"
    )
    assert len(places.dead_letters()) == meeting.fetchone()[0]


def test_tables_whose_keys_differ_cannot_share(mirror):
    one = mirror.prefix + "shared"
    mirror.configure({"table a_one": {"target": one}, "table b_two": {"target": one}})
    mirror.sql(
        "CREATE TABLE a_one(id INTEGER PRIMARY KEY)",
        "CREATE TABLE b_two(name TEXT PRIMARY KEY)",
        "INSERT INTO a_one VALUES(1)",
    )
    mirror.start().wait()
    assert mirror.table("b_two")["state"] == "refused"
    assert "share" in mirror.table("b_two")["reason"]
    assert len(mirror.items("a_one")) == 1
