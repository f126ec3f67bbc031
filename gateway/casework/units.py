"""The offices of this node and their names: every node has one from its first day, an operator opens more."""

from typing import Annotated
from uuid import UUID

import msgspec

from domain.divisions import Division
from domain.events import Actor, EventId, StreamId, Unit, UnitOpened, encode, tag_of
from gateway.hosting.ids import uuid7
from gateway.node import Node
from projections import cases
from sync.ledger.append import Append, NewEvent

_WAIT_S = 30.0


class NewUnit(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """An office to open. short: what stands after the dot in its code. Opening it again gives it another name."""

    short: Annotated[str, msgspec.Meta(pattern=r"^[a-z0-9_]{1,24}$")]
    name: Annotated[str, msgspec.Meta(min_length=1, max_length=60)]


class UnitName(msgspec.Struct, frozen=True, kw_only=True):
    """An office by its code and name."""

    unit: Unit
    name: str


def known_units(node: Node) -> dict[Unit, str]:
    """Every office that a matter can be given to from here, by code: own, above and below."""
    offices = dict(node.around.units())
    nodes = {unit[:12] for unit in offices}
    with node.pool.connection() as conn:
        opened = {row.unit: row.name for row in cases.units(conn) if row.node in nodes}
    return offices | {unit: name for unit, name in opened.items() if unit not in offices}


def own_units(node: Node) -> dict[Unit, str]:
    """The offices of this node."""
    return {unit: name for unit, name in known_units(node).items() if unit.startswith(f"{node.here}.")}


def open_unit(node: Node, new: NewUnit, actor: Actor, key: UUID) -> int:
    """Open the office, or name it anew, once under `key`; its position in the ledger. Raises as the node's append."""
    command_id = node.journal.of_account(actor.account, key)
    digest = node.journal.digest(command_id, msgspec.json.encode(new))
    with node.journal.turn() as turn:
        event = _opened(f"{node.here}.{new.short}", new.name, node, actor, turn.now_us)
        new_event = NewEvent(event.stream, event.version, tag_of(event), None, encode(event))
        future = turn.append(Append([new_event], command_id, digest))
    return future.result(_WAIT_S).positions[-1]


def _opened(unit: Unit, name: str, node: Node, actor: Actor, now_us: int) -> UnitOpened:
    return UnitOpened(
        id=EventId(uuid7(now_us)),
        stream=StreamId(uuid7(now_us)),
        version=1,
        case=None,
        node=node.here,
        actor=actor,
        occurred_us=now_us,
        recorded_us=now_us,
        cause=(),
        law=None,
        sealed=(),
        unit=unit,
        name=name,
    )


class Names:
    """The names of offices and nodes, asked for once a page."""

    def __init__(self, node: Node) -> None:
        self._node = node
        self._units: dict[Unit, str] | None = None

    def unit(self, unit: str) -> str:
        """What people call the office; its node's name and code where it was never named here."""
        if self._units is None:
            with self._node.pool.connection() as conn:
                self._units = {row.unit: row.name for row in cases.units(conn)}
        return self._units.get(unit) or f"{self._node.around.name_of(Division(unit[:12]))}（{unit[13:]}）"
