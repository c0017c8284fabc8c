"""The pages behind the links in our e-mails. The token is the authority; GET changes nothing, only POST does."""

import re
from dataclasses import dataclass

from fastapi import Request
from fastapi.responses import Response

from homing.doors.bounded_body import body_up_to
from homing.doors.web import plain_words
from homing.doors.web.parts import WebParts
from homing.doors.web.rendering import message_page, page
from homing.doors.web.visitors import LARGEST_FORM, read_form
from homing.flow.unsubscribe import Unsubscribing, Unsubscription
from homing.loop.model import FAILURES, DeliveryId, EventType
from homing.loop.problem import Rejected
from homing.loop.token import Purpose, TokenRefused
from homing.mail.address import AddressError, parse_address
from homing.store import deliveries, organizations, resends, views
from homing.store.organizations import Organization
from homing.store.views import DeliveryView, MessageView

_ONE_CLICK = re.compile(rb'name="?List-Unsubscribe"?[^\r\n]*\r?\n(?:[^\r\n]+\r?\n)*\r?\n\s*One-Click\s', re.IGNORECASE)
_LEAVE_OTHERWISE = "To unsubscribe, reply to the message that you got and say so."
_ONCE = "link"
"""The key of what a link sends again: it does so once, to whomever it was told first."""
TRY_LATER = "Too many messages are on their way at the moment. Please try again later."


@dataclass(frozen=True, slots=True)
class Failed:
    """The failed delivery that a link is about. `behind`: it has not failed itself, but an address behind it has.
    `sent_to`: the corrected address, if it was sent again. `kept`: what the message said is still there."""

    organization: Organization
    view: MessageView
    one: DeliveryView
    behind: bool
    sent_to: str | None
    kept: bool


@dataclass(frozen=True, slots=True)
class Links:
    parts: WebParts

    async def show_proof(self, token: str) -> Response:
        proof = await self.parts.address_proofs.look(token)
        if proof is None:
            return _gone("If you have confirmed the address, all is well. If not, ask for a new e-mail.")
        organization = await self.parts.database.read(organizations.get, proof.organization)
        assert organization is not None
        return page(
            "prove.html",
            visitor=None,
            address=proof.address,
            administrator=proof.human_sender is None,
            organization=organization.display_name,
            operator=self.parts.operator_name,
        )

    async def prove(self, token: str) -> Response:
        proof = await self.parts.address_proofs.use(token)
        if proof is None:
            return _gone("If you pressed the button twice, all is well: the first time counted.")
        text = f"You have confirmed {proof.address}. You can close this page."
        return message_page(200, "Thank you, that is all.", text)

    async def show_correction(self, token: str) -> Response:
        failed = await self._failed(token)
        if failed is None:
            return _gone("The message itself is not lost: send it again where you wrote it.")
        if failed.sent_to is not None:
            return _sent(failed.sent_to)
        if not failed.kept:
            return _erased(failed)
        return self._form(failed, _suggestion(failed), "")

    async def correct(self, token: str, request: Request) -> Response:
        failed = await self._failed(token)
        if failed is None:
            return _gone("The message itself is not lost: send it again where you wrote it.")
        if failed.sent_to is not None:
            return _sent(failed.sent_to)
        if not failed.kept:
            return _erased(failed)
        text = (await read_form(request)).get("recipient", "").strip()
        try:
            address = parse_address(text)
        except AddressError as error:
            return self._form(failed, text, str(error), 422)
        try:
            await self.parts.acceptance.resend(failed.organization, failed.one.delivery.id, str(address), _ONCE)
        except Rejected as refusal:
            problem = refusal.problem
            complaint = TRY_LATER if problem.status == 429 else f"{problem.title} {problem.detail}"
            return self._form(failed, text, complaint, problem.status)
        self.parts.news.wake()
        done = await self._failed(token)
        return _sent(str(address) if done is None or done.sent_to is None else done.sent_to)

    async def show_leaving(self, token: str) -> Response:
        leave = await self._leaving.look(token)
        if leave is None:
            return _gone(_LEAVE_OTHERWISE)
        if leave.left:
            return _left(leave)
        organization = leave.organization.display_name
        return page("unsubscribe.html", visitor=None, address=leave.sent.delivery.recipient, organization=organization)

    async def leave(self, token: str, request: Request) -> Response:
        """One click, from a person here or from his mail provider (RFC 8058 §3.2): no cookie, no redirection. A POST
        that does not say so comes from a scanner that tries what it finds, and only looks."""
        if not await _says_so(request):
            return await self.show_leaving(token)
        leave = await self._leaving.use(token)
        if leave is None:
            return _gone(_LEAVE_OTHERWISE)
        self.parts.news.wake()
        return _left(leave)

    @property
    def _leaving(self) -> Unsubscribing:
        parts = self.parts
        return Unsubscribing(database=parts.database, tokens=parts.tokens, clock=parts.clock)

    async def _failed(self, token: str) -> Failed | None:
        try:
            identifier = self.parts.tokens.open(Purpose.CORRECTION, token, now=self.parts.clock())
        except TokenRefused:
            return None
        database = self.parts.database
        delivery = await database.read(deliveries.by_token, DeliveryId(identifier))
        if delivery is None:
            return None
        organization = await database.read(organizations.get, delivery.organization)
        view = await database.read(views.message, delivery.organization, delivery.message)
        if organization is None or view is None:
            return None
        one = next(one for one in view.deliveries if one.delivery.id == delivery.id)
        behind = plain_words.behind_which_it_failed(one) is not None
        if one.delivery.state not in FAILURES and not behind:
            return None
        kept = await database.read(resends.kept, delivery.message)
        return Failed(organization, view, one, behind, _sent_to(view, one), kept)

    def _form(self, failed: Failed, address: str, complaint: str, status: int = 200) -> Response:
        message = failed.view.message
        return page(
            "correct.html",
            status,
            visitor=None,
            message=message,
            delivery=failed.one.delivery,
            why=plain_words.why(failed.organization, message, failed.one, self.parts.clock()),
            address=address,
            complaint=complaint,
            behind=failed.behind,
            organization=failed.organization.display_name,
            operator=self.parts.operator_name,
        )


def _suggestion(failed: Failed) -> str:
    """The address that was perhaps meant, else the one that failed, of which often only one letter is wrong."""
    if failed.behind:
        return ""
    recipient = failed.one.delivery.recipient
    domain = plain_words.suggestion(failed.one)
    return f"{recipient.rpartition('@')[0]}@{domain}" if domain else recipient


def _sent_to(view: MessageView, one: DeliveryView) -> str | None:
    for event in view.timeline:
        if event.type is EventType.RESENT and event.delivery == one.delivery.id:
            return str(event.data.get("recipient", ""))
    return None


def _sent(address: str) -> Response:
    text = f"The message is on its way to {address}. If it fails again, you will get another e-mail."
    return message_page(200, "Sent again.", text)


def _erased(failed: Failed) -> Response:
    whom = f"everybody behind {failed.one.delivery.recipient}" if failed.behind else failed.one.delivery.recipient
    text = (
        f"It did not reach {whom}. Its text was kept for a while and has been erased, so "
        "it cannot be sent again from here. Please write it again where you wrote it."
    )
    return message_page(410, "The message is no longer kept.", text)


async def _says_so(request: Request) -> bool:
    """The pair that List-Unsubscribe-Post names, in either form (RFC 8058 §3.1), or the button of our page."""
    if (request.headers.get("content-type") or "").lower().startswith("multipart/form-data"):
        return _ONE_CLICK.search(await body_up_to(request, LARGEST_FORM) or b"") is not None
    form = await read_form(request)
    return form.get("List-Unsubscribe", "").strip().lower() == "one-click" or "leave" in form


def _left(leave: Unsubscription) -> Response:
    text = f"{leave.organization.display_name} will send no more mail of this kind to {leave.sent.delivery.recipient}."
    return message_page(200, "You have unsubscribed.", text)


def _gone(advice: str) -> Response:
    return message_page(
        410, "This link does not work any more.", f"It has been used already, or it has expired. {advice}"
    )
