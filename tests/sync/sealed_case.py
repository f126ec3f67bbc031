"""One case with sealed texts: its places, its people, the fields of its events."""

from collections.abc import Iterable
from uuid import UUID

from domain.divisions import Division
from domain.events import Actor, CaseId, EventId, StreamId
from sync.sealed.commitment import Opening
from tests.sync.chance import Chance

VILLAGE = Division("410221100201")
TOWNSHIP = Division("410221100000")
COUNTY = Division("410221000000")
CITY = Division("410200000000")
NAME = "张桂兰"
TEXTS = {"petitioner.name": NAME, "body": f"{NAME}反映大棚被淹"}
CASE = CaseId(Chance(1).id_by(VILLAGE))
CLERK, LEADER = Chance(2).uuid(), Chance(3).uuid()


def envelope(chance: Chance, author: Division, account: UUID = CLERK, **fields: object) -> dict[str, object]:
    """The fields that every event opens with, of a stream of its own, and those given."""
    id_ = EventId(chance.id_by(author))
    opening: dict[str, object] = {
        "id": id_,
        "stream": StreamId(id_),
        "version": 1,
        "case": CASE,
        "node": author,
        "actor": Actor(account=account, role="clerk", unit=f"{author}.office"),
        "occurred_us": 1,
        "recorded_us": 1,
        "cause": (),
        "law": None,
        "sealed": (),
    }
    return opening | fields


def values(openings: Iterable[Opening]) -> dict[str, str]:
    """The texts by path."""
    return {opening.path: opening.value for opening in openings}
