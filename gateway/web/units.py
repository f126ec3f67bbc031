"""Opening offices of this node: it has one from its first day, an operator opens more."""

from typing import Annotated
from uuid import UUID

import msgspec

from domain.context import alone
from domain.events import Actor, UnitOpened, encode, tag_of
from gateway.node import Node
from sync.ledger.append import Append, NewEvent

_WAIT_S = 30.0


class NewUnit(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """An office to open. short: what stands after the dot in its code. Opening it again gives it another name."""

    short: Annotated[str, msgspec.Meta(pattern=r"^[a-z0-9_]{1,24}$")]
    name: Annotated[str, msgspec.Meta(min_length=1, max_length=60, pattern=r"\S")]


def open_unit(node: Node, new: NewUnit, actor: Actor, key: UUID) -> int:
    """Open the office, or name it anew, once under `key`; its position in the ledger. Raises as the node's append."""
    command_id = node.journal.of_account(actor.account, key)
    digest = node.journal.digest(command_id, msgspec.json.encode(new))
    with node.journal.turn() as turn:
        envelope = alone(node.ids.fresh(turn.now_us), node.here, actor, turn.now_us)
        event = UnitOpened(**envelope, unit=f"{node.here}.{new.short}", name=new.name)
        new_event = NewEvent(event.stream, event.version, tag_of(event), None, encode(event))
        future = turn.append(Append([new_event], command_id, digest))
    return future.result(_WAIT_S).positions[-1]
