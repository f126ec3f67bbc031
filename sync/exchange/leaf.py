"""What a node reads in another node's leaf: where it files it, what it rests on, which parts belong beside it."""

import base64
import re
from hashlib import sha256
from typing import Final, NamedTuple
from uuid import UUID

from domain.divisions import Division
from domain.events import (
    AnyEvent,
    Cause,
    ChildEnrolled,
    KeyGranted,
    KeysRevoked,
    NodeMoved,
    NotCanonical,
    OrderIssued,
    SealedItem,
    TakenOver,
    Unknown,
    read,
    tag_of,
)
from domain.parts import node_of
from sync.trust.certificates import Directory

UNREADABLE: Final = "?"
"""The topic of leaves whose bytes are no event: stored and proven all the same."""

MAX_WRAPPED_BYTES: Final = 256
"""A data key wrapped by HPKE has 80 bytes; another suite may take some more."""

CERTIFYING: Final = frozenset(str(shape.__struct_config__.tag) for shape in (ChildEnrolled, KeysRevoked, NodeMoved))
"""The tags of the events that carry a certificate or a revocation."""

_NIL = UUID(int=0)
_TAG = re.compile(r"[a-z0-9_.]{1,64}", re.ASCII)


class Leaf(NamedTuple):
    """A leaf as the ledger files it. event: null where its type is unknown or its bytes are no event.

    fault: why its bytes are no event, else null. causes: those that name another log.
    """

    stream: UUID
    version: int
    topic: str
    case_id: UUID | None
    causes: tuple[Cause, ...]
    event: AnyEvent | None
    fault: str | None


def read_leaf(body: bytes, log: str, directory: Directory) -> Leaf:
    """Read foreign bytes that stand in `log`; never raises, for nothing in them may stop their author's history.

    What its author had no right to say is filed like bytes that are no event: proven, a fault, and without effect.
    """
    try:
        event = read(body)
    except NotCanonical as error:
        return unreadable(str(error))
    if isinstance(event, Unknown):
        return _read_unknown(event, log)
    fault = _overreach(event, log, directory)
    if fault is not None:
        return unreadable(fault)
    causes = event.cause
    if causes:
        causes = tuple([cause for cause in causes if _names_a_leaf(cause)])
    return Leaf(event.stream, event.version, tag_of(event), event.case, causes, event, None)


def _read_unknown(event: Unknown, log: str) -> Leaf:
    if not _TAG.fullmatch(event.tag):  # any other text may be one that no column holds
        return unreadable("the tag is no event's name")
    if event.node not in {None, _author_of(log)}:
        return unreadable(_speaks_for(str(event.node), log))
    return Leaf(event.stream or _NIL, _fitting(event.version or 0), event.tag, event.case, (), None, None)


def unreadable(why: str) -> Leaf:
    """A leaf that is proven, a fault, and without effect."""
    return Leaf(_NIL, 0, UNREADABLE, None, (), None, why)


def _overreach(event: AnyEvent, log: str, directory: Directory) -> str | None:
    """Why the author of `log` may not say this, or null. The certificate binds a log's name to its division."""
    author = _author_of(log)
    if event.node != author or node_of(event.actor.unit) != author:
        return _speaks_for(event.node, log)
    match event:
        case TakenOver():
            concerned = event.last_log.split("/")[1:2]
        case OrderIssued() if node_of(event.unit) != author:  # its own units a node may order
            concerned = [node_of(event.unit)]
        case _:
            return None
    tree = directory.topology
    for code in map(Division, concerned):
        # One that is not known here was enrolled in the very records that are being read: those above decide.
        known = code in tree.parents or code in tree.parents.values()
        if known and not directory.stood_below(code, author, event.recorded_us):
            return f"{author} is no superior of {code}"
    return None


def _author_of(log: str) -> Division:
    return Division(log.split("/")[1])


def _speaks_for(node: str, log: str) -> str:
    return f"it speaks for {node} in the log of {_author_of(log)}"


def is_part_of(event: AnyEvent | None, part: int, body: bytes) -> bool:
    """Whether `body` is what the event says lies beside it as this part; parts of unknown events are taken as given.

    Ciphertexts and wrapped keys are checked by the hash in the event, so that one spoiled on its way is sent again.
    """
    match event:
        case None:
            return True
        case KeyGranted():
            is_one = part < len(event.grants) and len(body) <= MAX_WRAPPED_BYTES
            return is_one and _digest(body) == event.grants[part].wrapped
        case SealedItem():
            return part == 0 and _digest(body) == event.ciphertext
        case _:
            return part < len(event.sealed) and _digest(body) == event.sealed[part].ciphertext


def parts_expected(event: AnyEvent | None) -> int:
    """How many parts the event says lie beside it."""
    match event:
        case None:
            return 0
        case KeyGranted():
            return len(event.grants)
        case SealedItem():
            return 1
        case _:
            return len(event.sealed)


def known(body: bytes) -> AnyEvent | None:
    """The event in a leaf; null where this program cannot read it."""
    try:
        event = read(body)
    except NotCanonical:
        return None
    return None if isinstance(event, Unknown) else event


def certificate_in(event: AnyEvent | None) -> str | None:
    """The certificate or the revocation that an event carries."""
    match event:
        case ChildEnrolled() | NodeMoved():
            return event.certificate
        case KeysRevoked():
            return event.revocation
        case _:
            return None


def _names_a_leaf(cause: Cause) -> bool:
    """Whether it names a leaf of another log; only such a one can be waited for."""
    return cause.log is not None and cause.seq is not None


def _fitting(version: int) -> int:
    """A foreign number must fit its column."""
    return version if -(2**31) <= version < 2**31 else 0


def _digest(body: bytes) -> str:
    return base64.b64encode(sha256(body).digest()).decode()
