"""docs/states.md: the table of states, drawn, for whoever reads states in the API or in the database."""

from homing.loop.lifecycle import INITIAL, TERMINAL, TRANSITIONS
from homing.loop.model import ANYMAIL_EVENT, FAILURES, EventType, State

_OPENING = """# States of a delivery

A *delivery* is one message to one recipient. Its state is the outcome as we know it now, and it changes only along the
arrows below. What is not an arrow cannot happen: evidence that would ask for it adds an event and changes nothing.
[words.md](words.md) says what each state means.
"""

_EVENTS = """## Events

A change of state adds an event; so does all else that is worth knowing. Events are only ever added. Those whose data
hold `changes: nothing` were evidence that came too late or was too weak to change the state. Beside each stands
django-anymail's word for it, the API's `anymail_event`. A `complained` that is a recipient's leave from a stream
(`suppress: unsubscribe`) is told as `unsubscribed`. An `opened_case` says of which `kind` it is; an event with which a
delivery stops waiting names the case of its delay that is closed by that (`closed_case`).
"""


def states_page() -> str:
    """The page, in Markdown."""
    return f"{_OPENING}\n{_drawing()}\n{_table()}\n{_ends()}\n{_EVENTS}\n{_events()}"


def _drawing() -> str:
    """Mermaid's notation for state diagrams."""
    first = [f"    [*] --> {state}" for state in INITIAL]
    arrows = [f"    {before} --> {after}" for before, moves in TRANSITIONS.items() for after in moves]
    return "\n".join(("```mermaid", "stateDiagram-v2", *first, *arrows, "```", ""))


def _table() -> str:
    first = [f"| – | `{state}` | {when} |" for state, when in INITIAL.items()]
    moves = [
        f"| `{before}` | `{after}` | {when} |" for before, moves in TRANSITIONS.items() for after, when in moves.items()
    ]
    return "\n".join(("| From | To | When |", "|---|---|---|", *first, *moves, ""))


def _ends() -> str:
    ends = ", ".join(f"`{state}`" for state in State if state in TERMINAL)
    failures = ", ".join(f"`{state}`" for state in State if state in FAILURES)
    return (
        "Where a delivery ends, unless a report comes later: "
        f"{ends}. Failures, which open a case and reach the failure policy: {failures}.\n"
    )


def _events() -> str:
    rows = [f"| `{event}` | `{ANYMAIL_EVENT.get(event, 'unknown')}` |" for event in EventType]
    return "\n".join(("| Event | django-anymail |", "|---|---|", *rows, ""))
