"""Faults for the fault server: what to do wrong, to which requests, and how often.

A Fault says what happens (`kind` and its arguments) and to which requests: the next `times` ones
(None: every one until removed), or a seeded `fraction` of them; only those that touch `table`, or
for which `when(writes)` is true. Rules are asked in the order in which they were added, and the
first that applies wins.
"""

import random
import threading

from dynamodb_rules import SERVICE, VALIDATION

CORAL = "com.amazon.coral.service#"

# kind -> (code, HTTP status, message)
ERRORS = {
    "provisioned_throughput": (
        SERVICE + "ProvisionedThroughputExceededException",
        400,
        "The level of configured provisioned throughput for the table was exceeded.",
    ),
    "throttling": (
        CORAL + "ThrottlingException",
        400,
        "Throughput exceeds the current capacity of your table or index.",
    ),
    "request_limit": (
        SERVICE + "RequestLimitExceeded",
        400,
        "Throughput exceeds the current throughput limit.",
    ),
    "internal": (CORAL + "InternalServerError", 500, "The request processing has failed."),
    "unavailable": (CORAL + "ServiceUnavailable", 503, "The service is temporarily unavailable."),
    "expired_token": (
        CORAL + "ExpiredTokenException",
        400,
        "The security token included in the request is expired",
    ),
    "unrecognized_client": (
        CORAL + "UnrecognizedClientException",
        400,
        "The security token included in the request is invalid.",
    ),
    "access_denied": (
        CORAL + "AccessDeniedException",
        400,
        "User is not authorized to perform: dynamodb:BatchWriteItem",
    ),
    "not_found": (SERVICE + "ResourceNotFoundException", 400, "Requested resource not found"),
    "skew": (
        CORAL + "InvalidSignatureException",
        400,
        "Signature expired: it is now earlier than the window",
    ),
    "poison": (VALIDATION, 400, "One or more parameter values were invalid: refused by the test"),
    "replicated_conflict": (
        SERVICE + "ReplicatedWriteConflictException",
        409,
        "Conflicting writes; try again",
    ),
}

# What is done to the connection or the reply; see faultserver.py for each.
TRANSPORT = {
    "unprocessed",
    "bad_crc",
    "truncated",
    "not_json",
    "html",
    "too_large",
    "empty",
    "huge",
    "reset_before_read",
    "reset_after_read",
    "reset_after_apply",
    "reset_mid_reply",
    "slow",
    "delay",
    "hold",
    "late",
    "lie",
    "redirect",
}


class Fault:
    """unprocessed takes count= (writes given back) or share= (fraction of them), of only= one table or
    of all; throttling takes reasons=[...]; slow takes seconds= a byte; delay takes seconds=; huge takes size=; redirect takes
    location=; every error takes message=, code=, status= and headers=."""

    def __init__(
        self,
        kind,
        times=1,
        fraction=None,
        seed=1,
        table=None,
        when=None,
        op="BatchWriteItem",
        **args
    ):
        if kind not in ERRORS and kind not in TRANSPORT:
            raise ValueError("unknown fault %r" % kind)
        if kind == "reset_before_read" and (table or when):
            raise ValueError("reset_before_read happens before the body is known: no table or when")
        self.kind = kind
        self.times = None if fraction is not None and times == 1 else times
        self.fraction = fraction
        self.table = table
        self.when = when
        self.op = op
        self.args = args
        self.fired = 0
        self.random = random.Random(seed)

    def __repr__(self):
        return "Fault(%s, fired=%d)" % (self.kind, self.fired)

    @property
    def error(self):
        """(code, status, message, extra members of the body), or None for a transport fault."""
        if self.kind not in ERRORS:
            return None
        code, status, message = ERRORS[self.kind]
        extra = {}
        if self.args.get("reasons"):
            extra["throttlingReasons"] = self.args["reasons"]
        status = self.args.get("status", status)
        return self.args.get("code", code), status, self.args.get("message", message), extra

    def spent(self):
        return self.times is not None and self.fired >= self.times

    def applies(self, op, writes):
        """Counts the rule as fired when it says yes."""
        if self.spent() or (self.op and op != self.op):
            return False
        if self.table is not None and not any(t == self.table for t, _ in writes or ()):
            return False
        if self.when is not None and not self.when(writes or ()):
            return False
        if self.fraction is not None and self.random.random() >= self.fraction:
            return False
        self.fired += 1
        return True


class FaultRules:
    """The rules in force. Used from the test's thread and the server's."""

    def __init__(self):
        self._rules = []
        self._lock = threading.Lock()

    def add(self, fault):
        with self._lock:
            self._rules.append(fault)
        return fault

    def remove(self, fault):
        with self._lock:
            self._rules = [r for r in self._rules if r is not fault]

    def clear(self):
        with self._lock:
            self._rules = []

    def choose(self, op, writes, before_body=False):
        """The fault for this request, or None. `writes` is [(table, request)] as far as known."""
        with self._lock:
            for rule in self._rules:
                if (rule.kind == "reset_before_read") == before_body and rule.applies(op, writes):
                    return rule
        return None


def attribute_equals(name, value):
    """A `when`: some write puts an item whose attribute equals `value`, e.g. {"S": "x"}."""

    def matches(writes):
        return any(w.get("PutRequest", {}).get("Item", {}).get(name) == value for _, w in writes)

    return matches


def concerns(name, value):
    """A `when`: some write puts or deletes an item whose key attribute equals `value`."""

    def matches(writes):
        return any(
            (w.get("PutRequest", {}).get("Item") or w.get("DeleteRequest", {}).get("Key", {})).get(name)
            == value
            for _, w in writes
        )

    return matches
