"""What must hold when the dust has settled, whatever was killed: read from the store by SQL of its own, and compared
with what the application was told and with the copies that the world outside holds.
"""

import json
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from homing.loop.lifecycle import TERMINAL, TRANSITIONS
from homing.loop.model import FAILURES, State
from homing.loop.token import Purpose, TokenRefused, Tokens
from homing.loop.watch import PROBE_RECIPIENT

from .rows import Row, rows

_TERMINAL = {state.value for state in TERMINAL}
_FAILURES = {state.value for state in FAILURES}
_STATE_EVENTS = {state.value for state in State} - {State.SENDING.value}
_PASSING = {State.QUEUED.value, State.SENDING.value, State.DEFERRED.value}
_ENDED_ACTIONS = {"done", "failed", "skipped", "in_doubt"}
_SHOWN = 5


@dataclass(frozen=True, slots=True)
class Violation:
    invariant: str
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """`figures` in the order in which to show them."""

    violations: list[Violation]
    figures: dict[str, int | str]

    @property
    def broken(self) -> set[str]:
        return {violation.invariant for violation in self.violations}

    def __str__(self) -> str:
        lines = [f"{name:>28}  {figure}" for name, figure in self.figures.items()]
        counts = Counter(violation.invariant for violation in self.violations)
        for invariant, count in sorted(counts.items()):
            texts = [violation.text for violation in self.violations if violation.invariant == invariant]
            lines += [f"{invariant} broken {count} times:", *(f"    {text}" for text in texts[:_SHOWN])]
        return "\n".join(lines)


@dataclass
class Aftermath:
    """Everything that is known afterwards. `database`: its URL. `connections`: how many deliveries a gateway had in
    flight at most."""

    database: str
    told: list[dict[str, Any]]
    outside: list[dict[str, Any]]
    tokens: Tokens
    now: Any
    kills: int
    connections: int
    _violations: list[Violation] = field(default_factory=list)

    # -- the two sides -------------------------------------------------------------------------------------------------

    def rows(self, query: str) -> list[Row]:
        return rows(self.database, query)

    @cached_property
    def acknowledged(self) -> list[dict[str, Any]]:
        return [line for line in self.told if "id" in line]

    @cached_property
    def deliveries(self) -> dict[str, dict[str, Any]]:
        """All but probes of the loop watch, which never leave."""
        found = self.rows(f"SELECT * FROM delivery WHERE recipient <> '{PROBE_RECIPIENT}'")
        return {row["id"]: row for row in found}

    @cached_property
    def attempts(self) -> dict[str, list[dict[str, Any]]]:
        of_delivery = defaultdict(list)
        for row in self.rows("SELECT * FROM attempt ORDER BY started_at"):
            of_delivery[row["delivery"]].append(row)
        return of_delivery

    @cached_property
    def events(self) -> dict[str, list[dict[str, Any]]]:
        of_delivery = defaultdict(list)
        for row in self.rows("SELECT delivery, type, data FROM event ORDER BY seq"):
            of_delivery[row["delivery"]].append(row)
        return of_delivery

    @cached_property
    def copies(self) -> dict[str, list[dict[str, Any]]]:
        """What the world outside holds, by the delivery that the envelope token names."""
        of_delivery = defaultdict(list)
        for line in self.outside:
            if "content" in line:
                of_delivery[self._delivery_of(line["envelope_sender"])].append(line)
        return of_delivery

    def doubts(self, delivery: str) -> int:
        return sum(bool(attempt["in_doubt"]) for attempt in self.attempts[delivery])

    def _delivery_of(self, envelope_sender: str | None) -> str:
        token = (envelope_sender or "").partition("@")[0].removeprefix("b+")
        try:
            return self.tokens.open(Purpose.ENVELOPE, token, now=self.now).hex
        except TokenRefused as refused:
            return f"{refused}: {envelope_sender}"

    # -- the verdict ---------------------------------------------------------------------------------------------------

    def report(self) -> Report:
        violations = [Violation(name, text) for name, check in CHECKS.items() for text in check(self)]
        attempts = [attempt for several in self.attempts.values() for attempt in several]
        in_doubt = [attempt for attempt in attempts if attempt["in_doubt"]]
        states = Counter(delivery["state"] for delivery in self.deliveries.values())
        unanswered = sum(line.get("unanswered", 0) for line in self.told)
        figures = {
            "acknowledged messages": len({line["id"] for line in self.acknowledged}),
            "requests without an answer": unanswered,
            "kills": self.kills,
            "deliveries": len(self.deliveries),
            "…by state": ", ".join(f"{state} {count}" for state, count in sorted(states.items())),
            "attempts": len(attempts),
            "in doubt": len(in_doubt),
            "…by a kill": sum(_by_kill(attempt) for attempt in in_doubt),
            "copies outside": sum(map(len, self.copies.values())),
            "extra copies": sum(len(copies) - 1 for copies in self.copies.values()),
            "lost": sum(violation.invariant == "I1" for violation in violations),
            "violations": len(violations),
        }
        return Report(violations=violations, figures=figures)


Check = Callable[[Aftermath], Iterator[str]]
CHECKS: dict[str, Check] = {}


def invariant(name: str) -> Callable[[Check], Check]:
    def enter(check: Check) -> Check:
        CHECKS[name] = check
        return check

    return enter


@invariant("I1")
def every_acknowledged_message_exists(after: Aftermath) -> Iterator[str]:
    stored = {row["id"] for row in after.rows("SELECT id FROM message")}
    for line in after.acknowledged:
        if _hex(line["id"]) not in stored:
            yield f"{line['key']} was acknowledged as {line['id']} and is lost"
            continue
        for each in line["deliveries"]:
            row = after.deliveries.get(_hex(each["id"]))
            if row is None or (row["recipient"], row["message"]) != (each["recipient"], _hex(line["id"])):
                yield f"{line['key']}: {each['id']} to {each['recipient']} is lost"


@invariant("I2")
def one_message_for_each_key(after: Aftermath) -> Iterator[str]:
    told: dict[str, set[str]] = defaultdict(set)
    for line in after.acknowledged:
        told[line["key"]].add(line["id"])
    stored: dict[str, set[str]] = defaultdict(set)
    for row in after.rows("SELECT id, metadata FROM message WHERE origin = 'api'"):
        stored[json.loads(row["metadata"])["key"]].add(f"msg_{row['id']}")
    for key in sorted(told.keys() | stored.keys()):
        if len(told[key] | stored[key]) != 1:
            yield f"{key}: told {sorted(told[key])}, stored {sorted(stored[key])}"
    for line in after.told:
        if "refused" in line:
            yield f"{line['key']} was refused: {line['refused']} {line['said']}"


@invariant("I3")
def every_delivery_has_ended(after: Aftermath) -> Iterator[str]:
    for delivery in after.deliveries.values():
        if delivery["state"] not in _TERMINAL:
            yield f"{_shown(delivery)} is still {delivery['state']}"


@invariant("I4")
def every_end_is_explained(after: Aftermath) -> Iterator[str]:
    for identifier, delivery in after.deliveries.items():
        ends = [event for event in after.events[identifier] if event["type"] == delivery["state"]]
        if delivery["state"] in _TERMINAL and not any(json.loads(event["data"]) for event in ends):
            yield f"{_shown(delivery)} is {delivery['state']} and no event says why"
        if delivery["state"] in _FAILURES and not json.loads(delivery["verdict"] or "null"):
            yield f"{_shown(delivery)} is {delivery['state']} without a verdict"
        if delivery["state"] == "delivered" and not any(map(_delivered, after.attempts[identifier])):
            yield f"{_shown(delivery)} is delivered and no attempt has the 250"


@invariant("I5")
def what_is_delivered_is_outside(after: Aftermath) -> Iterator[str]:
    for identifier, delivery in after.deliveries.items():
        if delivery["state"] == "delivered" and not after.copies.get(identifier):
            yield f"{_shown(delivery)} is delivered and nobody has it"


@invariant("I6")
def what_failed_and_is_outside_was_in_doubt(after: Aftermath) -> Iterator[str]:
    for identifier, delivery in after.deliveries.items():
        failed = delivery["state"] in _FAILURES and not delivery["bounced_late"]
        if failed and after.copies.get(identifier) and not after.doubts(identifier):
            yield f"{_shown(delivery)} is {delivery['state']}, somebody has it, and no attempt was in doubt"


@invariant("I7")
def extra_copies_are_explained(after: Aftermath) -> Iterator[str]:
    for identifier, copies in after.copies.items():
        told = sum(map(_delivered, after.attempts[identifier]))
        if len(copies) > told + after.doubts(identifier):
            doubts = after.doubts(identifier)
            yield f"{copies[0]['recipient']} has {len(copies)} copies: {told} attempts delivered, {doubts} in doubt"


@invariant("I7 possibly_delivered")
def doubt_is_on_the_record(after: Aftermath) -> Iterator[str]:
    for identifier, delivery in after.deliveries.items():
        if after.doubts(identifier) and not delivery["possibly_delivered"]:
            yield f"{_shown(delivery)} had attempts in doubt and does not say so"


@invariant("I7 bound")
def doubts_have_a_cause(after: Aftermath) -> Iterator[str]:
    in_doubt = [attempt for several in after.attempts.values() for attempt in several if attempt["in_doubt"]]
    by_kill = sum(map(_by_kill, in_doubt))
    if by_kill > after.kills * after.connections:
        yield f"{by_kill} attempts in doubt by {after.kills} kills of {after.connections} connections"
    closed = sum("closed" in line for line in after.outside)
    if len(in_doubt) - by_kill > closed:
        yield f"{len(in_doubt) - by_kill} attempts in doubt by silence, and the world was silent {closed} times"


@invariant("I8")
def nothing_outside_that_was_never_created(after: Aftermath) -> Iterator[str]:
    for identifier, copies in after.copies.items():
        delivery = after.deliveries.get(identifier)
        if delivery is None:
            yield f"{copies[0]['recipient']} has a copy of no delivery of ours: {identifier}"
        elif {copy["recipient"] for copy in copies} != {delivery["recipient"]}:
            yield f"{_shown(delivery)} arrived elsewhere: {copies[0]['recipient']}"


@invariant("I9")
def no_attempt_is_open(after: Aftermath) -> Iterator[str]:
    for row in after.rows("SELECT delivery, epoch FROM attempt WHERE ended_at IS NULL"):
        yield f"attempt {row['epoch']} of {row['delivery']} is open"
    for row in after.rows("SELECT id, lease_owner FROM delivery WHERE lease_until IS NOT NULL"):
        yield f"{row['id']} is leased to {row['lease_owner']}"


@invariant("I10")
def delivered_once(after: Aftermath) -> Iterator[str]:
    for identifier, attempts in after.attempts.items():
        if sum(map(_delivered, attempts)) > 1:
            yield f"{identifier} has {sum(map(_delivered, attempts))} delivered attempts"


@invariant("I11")
def history_follows_the_table(after: Aftermath) -> Iterator[str]:
    for identifier, delivery in after.deliveries.items():
        state, history = None, [event["type"] for event in after.events[identifier] if _changes_state(event)]
        for word in history:
            if not (state is None and word == "queued") and not _reachable(state, word):
                yield f"{_shown(delivery)}: {state} → {word} in {history}"
            state = word
        if state != delivery["state"] and delivery["state"] in _TERMINAL:
            yield f"{_shown(delivery)} is {delivery['state']}, its history ends in {state}"


@invariant("I12")
def every_failure_was_dealt_with(after: Aftermath) -> Iterator[str]:
    cases = after.rows('SELECT * FROM "case"')
    failed = {row["delivery"] for row in cases if row["kind"] == "failure"}
    for identifier, delivery in after.deliveries.items():
        if delivery["state"] in _FAILURES and delivery["origin"] == "api" and identifier not in failed:
            yield f"{_shown(delivery)} is {delivery['state']} and opened no case"
    for case in cases:
        if case["state"] == "open":
            yield f"case {case['id']} is open: {case['steps']}"
    for row in after.rows("SELECT id, kind, state FROM action"):
        if row["state"] not in _ENDED_ACTIONS:
            yield f"action {row['id']} ({row['kind']}) is {row['state']}"
    letters = after.rows("SELECT case_id, case_step, count(*) n FROM delivery WHERE case_id IS NOT NULL GROUP BY 1, 2")
    for row in letters:
        if row["n"] > 1:
            yield f"step {row['case_step']} of case {row['case_id']} sent {row['n']} letters"


@invariant("I13")
def what_came_back_is_kept(after: Aftermath) -> Iterator[str]:
    heard = {row["recipient"].lower() for row in after.rows("SELECT recipient FROM inbound")}
    for line in after.outside:
        if not line.get("accepted"):
            continue
        if line["returned_to"].lower() not in heard:
            yield f"a bounce to {line['returned_to']} got a 250 and is lost"
        delivery = after.deliveries.get(after._delivery_of(line["returned_to"]))
        if delivery and delivery["state"] != "bounced":
            yield f"{_shown(delivery)} came back and is {delivery['state']}"
    for row in after.rows("SELECT id, state FROM inbound WHERE state NOT IN ('done', 'unparsed')"):
        yield f"inbound {row['id']} is {row['state']}"


@invariant("I14")
def no_message_is_blamed_for_a_death(after: Aftermath) -> Iterator[str]:
    """Nothing in a storm kills its worker by itself."""
    for delivery in after.deliveries.values():
        if delivery["state"] == "failed":
            yield f"{_shown(delivery)} is failed after {delivery['silent_deaths']} deaths"


@invariant("I16")
def a_clear_refusal_leaves_no_doubt(after: Aftermath) -> Iterator[str]:
    for attempts in after.attempts.values():
        for attempt in attempts:
            if attempt["in_doubt"] and attempt["enhanced_status_code"].startswith("4.7."):
                yield f"{attempt['delivery']} is in doubt after {attempt['text']}"


@invariant("I15")
def every_copy_is_the_same(after: Aftermath) -> Iterator[str]:
    for copies in after.copies.values():
        if len({copy["content"] for copy in copies}) > 1:
            yield f"{copies[0]['recipient']} has copies that differ"


@invariant("integrity")
def the_file_is_sound(after: Aftermath) -> Iterator[str]:
    if not after.database.startswith("sqlite"):
        return  # PostgreSQL was not killed
    for row in after.rows("PRAGMA integrity_check"):
        if row["integrity_check"] != "ok":
            yield row["integrity_check"]


def _hex(shown: str) -> str:
    return shown.partition("_")[2]


def _shown(delivery: dict[str, Any]) -> str:
    return f"{delivery['recipient']} (dlv_{delivery['id']})"


def _delivered(attempt: dict[str, Any]) -> bool:
    return attempt["stage"] == "dot" and 200 <= (attempt["reply_code"] or 0) < 300


def _by_kill(attempt: dict[str, Any]) -> bool:
    return "the worker died" in attempt["text"]


def _changes_state(event: dict[str, Any]) -> bool:
    return event["type"] in _STATE_EVENTS and json.loads(event["data"] or "{}").get("changes") != "nothing"


def _reachable(before: str | None, after: str) -> bool:
    """Whether the table leads from one recorded state to the next; being claimed leaves no event of its own."""
    if before is None:
        return False
    sending = State.SENDING in TRANSITIONS[State(before)]
    return State(after) in TRANSITIONS[State(before)] or (sending and State(after) in TRANSITIONS[State.SENDING])
