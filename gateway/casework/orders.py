"""What the operator asks of a running node from its folder: to sign a subordinate's request, or to take keys back."""

from collections.abc import Callable

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


def carry_out(asked: str, admit: Callable[[str], Enrolment], take_back: Callable[[TakeBack], str]) -> bytes:
    """Do what is asked: an order as JSON, or else a request for a certificate. Raises what either does."""
    if asked.startswith("{"):
        return take_back(msgspec.json.decode(asked, type=TakeBack)).encode()
    return msgspec.json.encode(admit(asked))
