"""The search box: words like `to:john@example.org state:bounced` become a filter."""

from dataclasses import dataclass

from homing.loop.model import OrganizationId, State
from homing.mail.address import AddressError, parse_address
from homing.mail.text import clean
from homing.store import human_senders
from homing.store.database import Database
from homing.store.views import Filter

LONGEST = 500
HINT = "to:john@example.org from:janet@example.com state:bounced stream:default"


@dataclass(frozen=True, slots=True)
class Search:
    """`wanted` None: nothing can match. `complaint` says what was not understood."""

    text: str
    wanted: Filter | None
    complaint: str = ""


async def search(database: Database, organization: OrganizationId, text: str) -> Search:
    """A bare address means `to:`. A word that is not understood becomes a complaint, and nothing is found."""
    text = clean(text, LONGEST)
    state: State | None = None
    recipient: str | None = None
    human_sender: str | None = None
    stream: str | None = None
    for word in text.split():
        name, colon, value = word.partition(":")
        match name if colon else "to":
            case "to":
                recipient = value if colon else word
            case "from":
                human_sender = value
            case "stream":
                stream = value
            case "state" if value in set(State):
                state = State(value)
            case "state":
                return Search(text, None, f"There is no state “{value}”. There are: {', '.join(State)}.")
            case _:
                return Search(text, None, f"“{word}” is not understood. Write for example: {HINT}")
    if recipient is not None and "@" not in recipient:
        return Search(text, None, f"“{recipient}” is not a complete address.")
    wanted = Filter(state=state, recipient=recipient, stream=stream)
    if human_sender is None:
        return Search(text, wanted)
    try:
        known = await database.read(human_senders.by_address, organization, str(parse_address(human_sender)))
    except AddressError as error:
        return Search(text, None, f"“{human_sender}”: {error}")
    if known is None:
        return Search(text, None, f"There is no human sender “{human_sender}”.")
    return Search(text, Filter(state=state, recipient=recipient, stream=stream, human_sender=known.id))
