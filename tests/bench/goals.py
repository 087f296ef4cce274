"""The ratios that the daemon is held to, and how far this run reached them."""

# words, name of a result, must, stretch; a number is "at most", a negated one "at least".
GOALS = [
    ("CPU per item, HTTPS, first load, against the perfect loop", "first.limit.ratio", 2.6, 1.5),
    ("CPU against batch_writer, times less", "first.batch_writer.ratio", -40, -80),
    ("CPU against Node SDK with 8 in flight, times less", "first.node8.ratio", -12, -23),
    ("CPU against put_item loop, times less", "first.put_item.ratio", -330, -650),
    ("8 ms service, 32 in flight: % of linear", "inflight.32.linear_percent", -93, -97),
    ("  of a core", "inflight.32.cores", 0.7, 0.4),
    ("steady stream, CPU per change against first load", "stream.fast.ratio", 1.6, 1.3),
    ("commit to request, NORMAL, beyond the fdatasync, p50, ms", "latency.normal.beyond.p50_ms", 0.4, 0.25),
    ("  p99, ms", "latency.normal.beyond.p99_ms", 1.0, 0.6),
    ("application's instructions, single-row insert", "instructions.integer.insert.single", 1.55, 1.5),
    ("cost per change, 1,000,000 pending against 10,000, % more", "drain.1000000.more_percent", 5, None),
    ("  10,000,000 against 10,000", "drain.10000000.more_percent", 5, None),
    ("RSS idle, MB", "idle.rss_mb", 16, 14),
    ("  with 32 in flight, MB", "inflight.32.rss_mb", 24, 20),
    ("  draining 10,000,000, MB", "drain.10000000.peak_rss", 64, 32),
    ("idle wake-ups a second", "idle.wakeups_per_second", 1, 0),
    ("state file, bytes a row beyond its key, integer", "store.integer.bytes", 32, 24),
    ("  UUID", "store.uuid.bytes", 32, 24),
]


def reached(value, goal):
    if goal is None:
        return None
    return value >= -goal if goal < 0 else value <= goal


def limit(goal):
    if goal is None:
        return ""
    return ">= %g" % -goal if goal < 0 else "<= %g" % goal


def compare(results):
    """Of what was measured: [{"words", "name", "median", "must", "met", "stretch", "stretch_met"}, ...]."""
    medians = {one["name"]: one["median"] for one in results}
    return [
        {"words": words, "name": name, "median": medians[name], "must": limit(must),
         "met": reached(medians[name], must), "stretch": limit(stretch),
         "stretch_met": reached(medians[name], stretch)}
        for words, name, must, stretch in GOALS if name in medians
    ]


def table(compared):
    rows = [("the ratios to reach", "here", "must", "", "stretch", "")] + [
        (one["words"], "%.2f" % one["median"], one["must"], "met" if one["met"] else "MISSED",
         one["stretch"], "" if one["stretch_met"] is None else "met" if one["stretch_met"] else "no")
        for one in compared]
    widths = [max(len(row[i]) for row in rows) for i in range(6)]
    return "\n".join(
        "  ".join(cell.rjust(w) if i == 1 else cell.ljust(w)
                  for i, (cell, w) in enumerate(zip(row, widths))).rstrip()
        for row in rows)
