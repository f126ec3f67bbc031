"""What an operator asks of a node from its folder: to sign a request, take keys back, move a node, open the escrow."""

from collections.abc import Callable
from uuid import UUID

import msgspec

from domain.divisions import Division
from sync.trust.certificates import Enrolment
from sync.trust.statements import Ground


class TakeBack(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag="take_back"):
    """Take back the keys of `division`. size: the last size of its log that is good, null for all that is held."""

    division: Division
    ground: Ground
    successor: Division | None = None
    size: int | None = None


class Move(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag="move"):
    """Place `division` below `parent`; both stand below the node that is asked."""

    division: Division
    parent: Division


class OpenEscrow(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag="open_escrow"):
    """Open the escrow for the request of this id, whose approvals lie in the node's folder."""

    order: UUID


def carry_out(
    asked: str,
    admit: Callable[[str], Enrolment],
    take_back: Callable[[TakeBack], str],
    move: Callable[[Move], Enrolment],
    open_escrow: Callable[[UUID], str],
) -> bytes:
    """Do what is asked: an order as JSON, or else a request for a certificate. Raises what each does."""
    if not asked.startswith("{"):
        return msgspec.json.encode(admit(asked))
    match msgspec.json.decode(asked, type=TakeBack | Move | OpenEscrow):
        case Move() as order:
            return msgspec.json.encode(move(order))
        case OpenEscrow() as order:
            return open_escrow(order.order).encode()
        case order:
            return take_back(order).encode()
