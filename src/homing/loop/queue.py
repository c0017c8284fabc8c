"""Who comes next, and who may take a place: what waits is taken in turn, and nobody crowds out the others.

A *queue* holds the deliveries of one organization in one class of its streams to one domain, or its actions of one
kind, or mail that came in for it from one network. Organizations take turns, in each the classes of streams, in each of
these the queues; where there is no organization, a network stands for it.
"""

import hashlib
from collections import Counter
from dataclasses import dataclass
from enum import StrEnum
from uuid import UUID

from homing.loop.model import ActionKind, OrganizationId, State
from homing.loop.request import LETTERS
from homing.mail.network import network_of

STREAM_CLASSES = 16
"""An organization's streams take turns as so many classes: it gains nothing by having more streams."""
LETTERS_CLASS = STREAM_CLASSES
"""The class of what we write ourselves."""
OCTETS = 128 * 1024 * 1024
"""Octets of contents under way at once, but for the last one, however many deliveries there are places for."""
_REMEMBERED = 10_000


class Line(StrEnum):
    """What waits in one line takes turns. First attempts have a line of their own, so that no crowd of later ones is
    before them. So have actions that call other people's servers, which take as long as those do, and each kind of
    mail that comes in."""

    FIRST = "first"
    LATER = "later"
    CALLS = "calls"
    WRITING = "writing"
    EVIDENCE = "evidence"
    OTHER = "other"
    LARGE = "large"


STATE_IN = {Line.FIRST: State.QUEUED, Line.LATER: State.DEFERRED}
"""Which deliveries wait in a line."""
LINE_OF = {state: line for line, state in STATE_IN.items()}


CALLS = frozenset({ActionKind.SMS, ActionKind.WEBHOOK})


@dataclass(frozen=True, slots=True, kw_only=True)
class Queue:
    """`towards`: whose servers what waits in it will keep busy."""

    id: UUID
    organization: OrganizationId
    stream_class: int
    towards: str


def queue_of(organization: OrganizationId, stream: str, domain: str) -> Queue:
    """The queue in which a delivery waits. Its id says all three, so that it can be made without looking it up."""
    stream_class = LETTERS_CLASS if stream == LETTERS else _class_of(stream)
    return _queue(organization, stream_class, domain.lower())


def queue_of_action(organization: OrganizationId, kind: ActionKind) -> tuple[Line, Queue]:
    """The line and the queue in which an action waits: a webhook's is its organization's endpoint, all text messages
    go to one provider."""
    line = Line.CALLS if kind in CALLS else Line.WRITING
    towards = kind.value if kind is ActionKind.SMS else f"{kind} {organization}"
    return line, _queue(organization, list(ActionKind).index(kind), towards)


def queue_of_mail(ip: str, purpose: str, organization: OrganizationId | None) -> Queue:
    """The queue in which mail waits that came in from an address. `organization`: whose delivery it came to; of none,
    the network stands for it."""
    network = network_of(ip)
    owner = organization or OrganizationId(UUID(bytes=hashlib.blake2b(network.encode(), digest_size=16).digest()))
    return _queue(owner, _class_of(purpose), f"{purpose} {network} {owner}")


def _class_of(name: str) -> int:
    return int.from_bytes(hashlib.blake2b(name.encode(), digest_size=4).digest()) % STREAM_CLASSES


def _queue(organization: OrganizationId, stream_class: int, towards: str) -> Queue:
    name = b"\0".join((organization.bytes, str(stream_class).encode(), towards.encode()))
    identifier = UUID(bytes=hashlib.blake2b(name, digest_size=16).digest())
    return Queue(id=identifier, organization=organization, stream_class=stream_class, towards=towards)


@dataclass(slots=True, kw_only=True, eq=False)
class Place:
    """Something under way towards a domain or an endpoint. `receiver`: who runs the domain's hosts; the domain itself,
    until that is known."""

    organization: OrganizationId
    towards: str
    receiver: str
    line: Line
    octets: int = 0


class Places:
    """So many deliveries at once, with so many octets of contents, and who holds how much of it.

    An organization may hold up to twice what is free, a receiver up to what is free, and later attempts half of all. So
    who is alone has most of it, and who comes next finds room, however long the others' attempts take (dynamic
    thresholds, Choudhury and Hahne, IEEE/ACM Transactions on Networking 6, 1998).
    """

    def __init__(self, deliveries: int, octets: int = OCTETS) -> None:
        self.deliveries, self.octets = deliveries, octets
        self.taken = self.octets_taken = 0
        self._organizations: Counter[OrganizationId] = Counter()
        self._octets: Counter[OrganizationId] = Counter()
        self._receivers: Counter[str] = Counter()
        self._lines: Counter[Line] = Counter()
        self._receiver_of: dict[str, str] = {}

    @property
    def free(self) -> int:
        return self.deliveries - self.taken

    def has_room(self, line: Line) -> bool:
        """Whether anything of the line may begin."""
        crowded = line is Line.LATER and self._lines[line] >= max(self.deliveries // 2, 1)
        return self.free > 0 and self.octets_taken < self.octets and not crowded

    def has_room_for(self, organization: OrganizationId) -> bool:
        """Whether the organization may take one more place, as far as it is concerned."""
        octets = self._octets[organization] <= 2 * (self.octets - self.octets_taken)
        return self._organizations[organization] < 2 * self.free and octets

    def has_room_towards(self, towards: str) -> bool:
        """Whether whoever runs the domain's hosts may be sent one more, as far as he is concerned."""
        return self._receivers[self._receiver_of.get(towards, towards)] < self.free

    def full_organizations(self) -> list[OrganizationId]:
        """Those that hold places and may take no more."""
        return sorted(one for one in self._organizations if not self.has_room_for(one))

    def take(self, organization: OrganizationId, towards: str, line: Line, octets: int = 0) -> Place:
        """A place, allowed or not."""
        receiver = self._receiver_of.get(towards, towards)
        place = Place(organization=organization, towards=towards, receiver=receiver, line=line, octets=octets)
        self.hold(place)
        return place

    def hold(self, place: Place) -> None:
        """Count a place that was taken on a copy."""
        self._count(place, 1)

    def give_back(self, place: Place) -> None:
        self._count(place, -1)

    def settle(self, place: Place, receiver: str) -> None:
        """It has turned out who runs the hosts: the place counts for that receiver, and so will those of the domain."""
        if not receiver or receiver == place.receiver:
            return
        self._count(place, -1)
        place.receiver = receiver
        self._count(place, 1)
        self._receiver_of.pop(place.towards, None)
        self._receiver_of[place.towards] = receiver
        if len(self._receiver_of) > _REMEMBERED:
            del self._receiver_of[next(iter(self._receiver_of))]

    def copy(self) -> "Places":
        """Another one, on which places can be taken on trial; what was learnt is shared."""
        trial = Places(self.deliveries, self.octets)
        trial.taken, trial.octets_taken = self.taken, self.octets_taken
        trial._organizations, trial._octets = self._organizations.copy(), self._octets.copy()
        trial._receivers, trial._lines = self._receivers.copy(), self._lines.copy()
        trial._receiver_of = self._receiver_of
        return trial

    def _count(self, place: Place, by: int) -> None:
        self.taken += by
        self.octets_taken += by * place.octets
        for counter, key, step in (
            (self._organizations, place.organization, by),
            (self._octets, place.organization, by * place.octets),
            (self._receivers, place.receiver, by),
            (self._lines, place.line, by),
        ):
            counter[key] += step  # type: ignore[index]
            if not counter[key]:  # type: ignore[index]
                del counter[key]
