"""The Oops! answer to a mail that went to an address which nobody reads. It serves no case."""

from homing.flow.act.channel import Ended, failed
from homing.flow.outgoing import Clock, Letter, Outgoing
from homing.loop.letters.letters import oops_answer
from homing.loop.model import ActionState, Origin
from homing.mail.address import AddressError, parse_address
from homing.mail.compose import Mailbox
from homing.mail.field_checks import check_message_id
from homing.store.actions import Action


def answer(action: Action, outgoing: Outgoing, clock: Clock) -> Ended:
    text = oops_answer(action.data["name"], action.data["address"], action.data["subject"])
    try:
        to = Mailbox(name="", address=parse_address(action.data["to"]))
    except AddressError as error:
        return failed(action.kind, str(error))
    answered = action.data.get("in_reply_to", "")
    letter = Letter(
        origin=Origin.OOPS,
        organization=action.organization,
        to=to,
        text=text,
        in_reply_to=None if check_message_id(answered) else answered,  # some mailers write malformed Message-IDs
    )
    acceptance = outgoing.letter(letter, clock())
    return Ended(state=ActionState.DONE, result=f"answered {to.address}", letter=acceptance)
