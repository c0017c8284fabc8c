"""Accept a message: check it, find the identity of each delivery, and write it all down in one transaction.

Nothing is promised before the commit, and a refused request leaves no trace.
"""

from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from cachetools import TTLCache

from homing.flow.disk_space import DiskSpace
from homing.flow.identity_facts import IdentityFacts
from homing.flow.large_work import LargeWork
from homing.flow.outgoing import Clock, Outgoing, answer_again
from homing.flow.wakeup import WakeUp
from homing.loop.domains.identity import NAME_DECEIVES, REPLY_TO_UNPROVED, Facts, RequestedFrom, resolve
from homing.loop.lifecycle import TERMINAL
from homing.loop.model import DeliveryId, Identity, Level, OrganizationId
from homing.loop.policy import BUILTIN_DEFAULT
from homing.loop.problem import SHOWN_FAULTS, Fault, Problem, Rejected, how_many
from homing.loop.rate_limit import Bucket
from homing.loop.request import CheckedRequest, MessageRequest, check_request
from homing.mail.address import Address, AddressError, parse_address
from homing.mail.field_checks import check_display_name
from homing.mail.text import clean
from homing.store import accepted_messages, deliveries, human_senders, organizations, policies, resends
from homing.store.accepted_messages import AcceptedMessage, Added, Answer, Idempotency, KeyReused, Replayed
from homing.store.database import Database
from homing.store.human_senders import HumanSender
from homing.store.organizations import Organization
from homing.store.resends import Original
from homing.store.usage import OverCap

LARGEST_MESSAGE = 20 * 1024 * 1024
"""Octets of the whole message on the wire."""

_LARGE = 128 * 1024
"""Octets of a message from which on it is composed beside the loop."""
_MANY = 20
"""Recipients from which on they are checked beside the loop: an internationalized address takes 3 ms."""
_LONG_HEADERS = 8 * 1024
"""The same for characters of an application's own headers."""
_KNOWN_FOR = timedelta(seconds=30)
_KNOWN_AT_MOST = 10_000
_UNSUBSCRIBING = frozenset({"list-unsubscribe", "list-unsubscribe-post"})


@dataclass(frozen=True, slots=True)
class Accepted:
    """The answer to a submission, and whether it was given before under the same idempotency key."""

    body: str
    replayed: bool = False


@dataclass(slots=True, kw_only=True)
class Acceptance:
    """The way in for applications, whichever door they come through.

    Nearly every message asks who its human sender is and whether its stream is bulk, so people who have proved their
    address, and streams, are remembered for half a minute.
    """

    database: Database
    disk: DiskSpace
    outgoing: Outgoing
    clock: Clock
    work: WakeUp
    proved: IdentityFacts
    large_work: LargeWork = field(default_factory=LargeWork)
    _people: TTLCache[tuple[OrganizationId, str], HumanSender, datetime] = field(init=False)
    _streams: TTLCache[tuple[OrganizationId, str], bool, datetime] = field(init=False)
    _buckets: dict[OrganizationId, Bucket] = field(default_factory=dict)
    _in_progress: set[tuple[OrganizationId, str]] = field(default_factory=set)

    def __post_init__(self) -> None:
        self._people = TTLCache(_KNOWN_AT_MOST, _KNOWN_FOR, self.clock)
        self._streams = TTLCache(_KNOWN_AT_MOST, _KNOWN_FOR, self.clock)

    async def accept(self, organization: Organization, request: MessageRequest) -> Accepted:
        """Accept a message of `organization`. Raises Rejected; after that nothing of it is stored."""
        checked = await self.large_work.do(organization.id, _has_many_parts(request), check_request, request)
        if not isinstance(checked, CheckedRequest):
            raise _invalid(checked)
        key = (organization.id, request.idempotency_key or "")
        if request.idempotency_key is not None:
            if key in self._in_progress:
                raise _refused(
                    409, "idempotency-key-in-progress", "The first request with this key is still being handled."
                )
            self._in_progress.add(key)
        try:
            return await self._accept(organization, checked)
        except Rejected:
            before = await self._answered_before(organization, request)
            if before is None:
                raise
            return before
        finally:
            self._in_progress.discard(key)

    async def _answered_before(self, organization: Organization, request: MessageRequest) -> Accepted | None:
        """The answer given before: an accepted message stays accepted, whatever has been paused, removed or used up
        since."""
        if request.idempotency_key is None:
            return None
        idempotency = Idempotency(key=request.idempotency_key, payload_hash=request.payload_hash)
        response = await self.database.read(accepted_messages.answered, organization.id, idempotency)
        return None if response is None else Accepted(response, replayed=True)

    async def _accept(self, organization: Organization, checked: CheckedRequest) -> Accepted:
        if organization.paused:
            raise _paused(organization)
        self.disk.require_room()
        now = self.clock()
        human_sender = await self._person(organization.id, checked.human_sender.address)
        reply_to = human_sender
        if checked.reply_to.folded != checked.human_sender.address.folded:
            reply_to = await self._person(organization.id, checked.reply_to)
        bulk = await self._ours_to_leave(organization.id, checked.request)
        people = frozenset({checked.reply_to.folded} if reply_to and reply_to.proved_at else ())
        name = checked.human_sender.name or organization.display_name
        facts = await self.proved.facts(organization.id, organization.name, people, display_name=name)
        identities = [
            self.outgoing.marked(identity, bulk=bulk) for identity in self._identities(organization, checked, facts)
        ]
        await self._check_policy(organization, checked.request.failure_policy)
        self._take_from_bucket(organization, len(identities), now)
        acceptance = await self._compose(organization, human_sender, checked, identities, now)
        answer = await self.database.write_grouped(accepted_messages.add, acceptance)
        return self._answered(answer)

    async def _person(self, organization: OrganizationId, address: Address) -> HumanSender | None:
        key = (organization, str(address))
        known = self._people.get(key)
        if known is not None:
            return known
        human_sender = await self.database.read(human_senders.by_address, *key)
        if human_sender and human_sender.proved_at:
            self._people[key] = human_sender
        return human_sender

    async def _ours_to_leave(self, organization: OrganizationId, request: MessageRequest) -> bool:
        """Whether we add the way to unsubscribe: to bulk mail, unless the application has added its own."""
        if any(name.lower() in _UNSUBSCRIBING for name, _ in request.headers):
            return False
        return await self._is_bulk(organization, request.stream)

    async def _is_bulk(self, organization: OrganizationId, name: str) -> bool:
        """A stream that does not exist is not bulk."""
        known = self._streams.get((organization, name))
        if known is not None:
            return known
        stream = await self.database.read(organizations.get_stream, organization, name)
        bulk = self._streams[organization, name] = stream is not None and stream.bulk
        return bulk

    async def resend(self, organization: Organization, delivery: DeliveryId, recipient: str, key: str) -> Accepted:
        """Send the message of an ended delivery again, to the address that was meant. The same `key` for the same
        delivery sends once. Raises Rejected."""
        try:
            right = parse_address(recipient)
        except AddressError as error:
            raise _invalid((Fault("/recipient", error.code, str(error)),)) from None
        if organization.paused:
            raise _paused(organization)
        self.disk.require_room()
        original = await self.database.read(resends.original, organization.id, delivery)
        if original is None or original.origin.ours:
            raise _refused(404, "not-found", "There is no such delivery.")
        if original.state not in TERMINAL:
            raise _refused(409, "delivery-under-way", "This delivery has not ended yet: nothing has failed.")
        if original.content is None:
            raise _refused(410, "content-erased", "The message was erased after its retention time.")
        now = self.clock()
        self._take_from_bucket(organization, 1, now)
        identity = await self._identity_again(organization, original, right)
        arguments = (replace(original, identity=identity), original.content, right, key, now)
        large = len(original.content) > _LARGE
        acceptance = await self.large_work.do(organization.id, large, self.outgoing.resend, *arguments)
        answer = await self.database.write_grouped(accepted_messages.add, acceptance)
        if isinstance(answer, Replayed) and answer.delivery is not None:
            before = await self.database.read(deliveries.get, organization.id, answer.delivery)
            assert before is not None
            return Accepted(answer_again(before), replayed=True)
        return self._answered(answer)

    async def _identity_again(self, organization: Organization, original: Original, right: Address) -> Identity:
        """The identity by what is proved now, not then; Reply-To stays trusted if it was."""
        before = original.identity
        if before.reply_to is None:
            return before
        reply_to = parse_address(before.reply_to)
        own_from = before.sending_domain != self.outgoing.operator.from_domain
        asked_for = before.requested_from or (before.header_from if own_from else original.human_sender_address)
        wanted = parse_address(asked_for)
        believed = frozenset({reply_to.folded})
        facts = await self.proved.facts(organization.id, organization.name, believed, before.display_name)
        requested = RequestedFrom(name=before.display_name, reply_to=reply_to, address=wanted)
        fresh = resolve(organization.display_name, requested, right.domain, facts)
        if fresh.level is Level.REFUSE:
            raise _name_deceives(before.display_name, "", fresh.reasons)
        return replace(fresh, feedback_to=before.feedback_to, unsubscribe_at=before.unsubscribe_at)

    async def _check_policy(self, organization: Organization, name: str | None) -> None:
        if name is None or name == BUILTIN_DEFAULT.name:
            return
        if await self.database.read(policies.get, organization.id, name, BUILTIN_DEFAULT) is None:
            raise _invalid((Fault("/failure_policy", "failure-policy-unknown", "There is no policy of that name."),))

    def _identities(self, organization: Organization, checked: CheckedRequest, facts: Facts) -> list[Identity]:
        name = checked.human_sender.name or organization.display_name
        requested = RequestedFrom(name=name, reply_to=checked.reply_to, address=checked.wanted_from)
        identities = [
            resolve(organization.display_name, requested, recipient.mailbox.address.domain, facts)
            for recipient in checked.recipients
        ]
        refused = next((identity for identity in identities if identity.level is Level.REFUSE), None)
        if refused is not None:
            if refused.reasons[0] == REPLY_TO_UNPROVED:
                raise _reply_to_unproved(checked)
            raise _name_deceives(name, "/human_sender/name", refused.reasons)
        return identities

    def _take_from_bucket(self, organization: Organization, deliveries: int, now: datetime) -> None:
        bucket = self._buckets.get(organization.id)
        if bucket is None or bucket.per_minute != organization.rate_limit:
            bucket = self._buckets[organization.id] = Bucket.full(organization.rate_limit, now)
        wait = bucket.take(deliveries, now)
        if wait:
            raise _too_many("rate-limited", f"At most {organization.rate_limit} deliveries a minute.", int(wait) + 1)

    async def _compose(
        self,
        organization: Organization,
        human_sender: HumanSender | None,
        checked: CheckedRequest,
        identities: list[Identity],
        now: datetime,
    ) -> AcceptedMessage:
        request = checked.request
        octets = len(request.text or "") + len(request.html or "") + sum(len(a.content) for a in request.attachments)
        if octets > LARGEST_MESSAGE:
            raise _too_large()
        arguments = (organization, human_sender, checked, identities, now)
        large = octets > _LARGE or _has_many_parts(request)
        acceptance = await self.large_work.do(organization.id, large, self.outgoing.application, *arguments)
        if len(acceptance.message.content) > LARGEST_MESSAGE:
            raise _too_large()
        return acceptance

    def _answered(self, answer: Answer) -> Accepted:
        match answer:
            case Added(response=response):
                self.work.wake()
                return Accepted(response)
            case Replayed(response=response):
                return Accepted(response, replayed=True)
            case KeyReused():
                raise _refused(422, "idempotency-key-reused", "This key was used for another payload.")
            case OverCap(cap=cap, resets_at=resets_at):
                seconds = int((resets_at - self.clock()).total_seconds()) + 1
                raise _too_many("daily-cap", f"At most {cap} deliveries a day (UTC).", seconds)


def _has_many_parts(request: MessageRequest) -> bool:
    recipients = len(request.to) + len(request.cc) + len(request.bcc)
    return recipients > _MANY or sum(len(value) for _, value in request.headers) > _LONG_HEADERS


def _refused(status: int, code: str, title: str) -> Rejected:
    return Rejected(550, "5.7.1", Problem(status=status, code=code, title=title))


def _invalid(faults: tuple[Fault, ...]) -> Rejected:
    problem = Problem(
        status=422,
        code="invalid-request",
        title="The request has faults.",
        detail=how_many(faults, SHOWN_FAULTS),
        faults=faults,
    )
    return Rejected(554, "5.6.0", problem)


def _paused(organization: Organization) -> Rejected:
    reason = organization.pause_reason or "no reason was given"
    problem = Problem(
        status=403,
        code="organization-paused",
        title="Sending is paused.",
        detail=f"An administrator paused it: {reason}",
    )
    return Rejected(450, "4.7.1", problem)


def _too_large() -> Rejected:
    problem = Problem(
        status=413,
        code="message-too-large",
        title="The message is too large.",
        detail=f"A message has at most {LARGEST_MESSAGE // 2**20} MiB as it goes over the wire.",
    )
    return Rejected(552, "5.3.4", problem)


def _too_many(code: str, title: str, seconds: int) -> Rejected:
    problem = Problem(
        status=429,
        code=code,
        title=title,
        detail=f"Try again in {seconds} second{'' if seconds == 1 else 's'}.",
        retry_after=seconds,
    )
    return Rejected(450, "4.7.0", problem)


def _reply_to_unproved(checked: CheckedRequest) -> Rejected:
    path = "/human_sender/address" if checked.request.reply_to is None else "/reply_to"
    fault = Fault(
        path,
        REPLY_TO_UNPROVED,
        f"Nobody has proved yet that {checked.reply_to.shown} is theirs: create the human sender; "
        "its owner then presses the button behind the link in the e-mail.",
    )
    problem = Problem(
        status=422,
        code=REPLY_TO_UNPROVED,
        title="Replies would go to an address that its owner has not proved.",
        faults=(fault,),
    )
    return Rejected(553, "5.7.1", problem)


def _name_deceives(name: str, path: str, reasons: tuple[str, ...]) -> Rejected:
    """`path`: the field that the name came from; `reasons`: those of the refused identity."""
    reason, *told = reasons
    if reason == NAME_DECEIVES:
        told = ["would mislead.", *(message for _, message in check_display_name(name))]
    fault = Fault(path, reason, f"“{clean(name, 64)}” {' '.join(told)}")
    problem = Problem(
        status=422,
        code="display-name-deceives",
        title="The name in From would mislead the recipient.",
        faults=(fault,),
    )
    return Rejected(553, "5.7.1", problem)
