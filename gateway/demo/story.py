"""What a story of the demo is: people at their nodes doing one thing after the other, each when its time has come.

A story is a generator. It yields an `Act`, is sent back what the node recorded, and goes on from there; so the
scripted day and a file of real messages are told to the same player in the same words.
"""

from collections.abc import Generator
from datetime import datetime, timedelta, timezone
from typing import NamedTuple, TypeVar
from uuid import UUID, uuid5

from domain.commands import AnyCommand, Register
from domain.divisions import Division
from domain.events import AnyEvent, CaseId, ClaimId, Rating, Registered, Role, encode
from sync.proofs.merkle import leaf_hash

CHINA = timezone(timedelta(hours=8))
HOUR_US = 3_600_000_000
DAY_US = 24 * HOUR_US

_NAMESPACE = UUID("6f1c0a52-5d0e-4b51-9f0e-8a4f7f3f4d10")

E_ = TypeVar("E_", bound=AnyEvent)


class Denounce(NamedTuple):
    """A denunciation typed at a node: against which unit's official, and what is said."""

    accused_unit: str
    text: str


class MixedLetter(NamedTuple):
    """One letter with two matters: what is registered, and what is sealed."""

    register: Register
    denunciation: Denounce


class RateByReceipt(NamedTuple):
    """The petitioner's judgement, given with nothing but the two codes on the receipt."""

    code: str
    rating_code: str
    office: Rating
    unit: Rating


class Act(NamedTuple):
    """One thing one person does. at_us: when, simulated UTC microseconds; node and role: who."""

    at_us: int
    node: Division
    role: Role
    command: AnyCommand | Denounce | MixedLetter | RateByReceipt


class Recorded(NamedTuple):
    """What the node answered to an act. rating_code: of what was registered, as it stands on the receipt."""

    case: CaseId | None
    events: tuple[AnyEvent, ...]
    rating_code: str | None = None

    @property
    def of_case(self) -> CaseId:
        """The case it belongs to; a sealed denunciation has none that anyone may know."""
        if self.case is None:
            raise LookupError("what was recorded belongs to no case")
        return self.case

    @property
    def receipt_code(self) -> str:
        """The code that stands on the receipt of the registration among the events."""
        return leaf_hash(encode(self.the(Registered))).hex()

    def the(self, kind: type[E_]) -> E_:
        """The one event of this kind among what was recorded."""
        found = [event for event in self.events if isinstance(event, kind)]
        if len(found) != 1:
            raise LookupError(f"{len(found)} events of kind {kind.__name__} were recorded, not one")
        return found[0]


Story = Generator[Act, Recorded, None]


def moment_us(text: str) -> int:
    """UTC microseconds of a local time in China written `YYYY-MM-DD HH:MM[:SS]`."""
    return int(datetime.fromisoformat(text).replace(tzinfo=CHINA).timestamp()) * 1_000_000


def act_id(story: str, step: int) -> UUID:
    """The command id of a story's step: the same after every restart, so that nothing is done twice."""
    return uuid5(_NAMESPACE, f"{story}/act/{step}")


def claim_id(story: str, number: int) -> ClaimId:
    """The id of a story's n-th claim, likewise."""
    return ClaimId(uuid5(_NAMESPACE, f"{story}/claim/{number}"))
