"""What of a command is sealed under whose key, and who must be given that key for what the command decided."""

from collections.abc import Callable, Iterator
from typing import NamedTuple

import structlog

from domain.case import CaseFile
from domain.commands import AnyCommand, JudgeOrder, ReplyOrder
from domain.context import alone
from domain.divisions import Division
from domain.events import (
    Actor,
    AnyEvent,
    CaseId,
    Cause,
    EventId,
    HandedOver,
    KeyGranted,
    Objected,
    ObjectionRuled,
    OrderIssued,
    Sealed,
)
from domain.parts import node_of
from gateway.hosting.ids import Ids
from sync.sealed.custody import Custody, Erased, NotCustodian, OpeningMissing, RecipientKeyMissing
from sync.sealed.sealing import DataKey, Random, Recipient, SealBroken, Wrapped, grant_key, is_usable, seal_texts

_log = structlog.get_logger("sealer")

Granted = tuple[KeyGranted, list[bytes]]
"""A grant and the wrapped keys that travel beside it."""


class Seal(NamedTuple):
    """What was made of a command's texts. wrapped: the first custody of `key`, where it is new."""

    sealed: Sealed
    part: bytes
    key: DataKey
    wrapped: Wrapped | None


class Sealer:
    """Safe for threads. Personal data leaves this object only as commitments and ciphertext."""

    def __init__(
        self,
        here: Division,
        ids: Ids,
        custody: Custody,
        escrow: Recipient | None,
        recipient: Callable[[Division], Recipient],
        is_known: Callable[[Division], bool],
        random: Random,
    ) -> None:
        """escrow: whom every new key is wrapped to once more. recipient: whom to wrap for, by division.

        is_known: whether there is a recipient for a division. random: `os.urandom`.
        """
        self._here = here
        self._ids = ids
        self._custody = custody
        self._escrow = escrow
        self._recipient = recipient
        self._is_known = is_known
        self._random = random

    def seal(self, command: AnyCommand, file: CaseFile | None, main: EventId) -> Seal | None:
        """The texts of a command sealed for its main event; None where it has none."""
        texts = command.texts()
        if not texts:
            return None
        key, wrapped = self._key(command, file, file.case if file else CaseId(main))
        sealed, part = seal_texts(key, main, texts, self._random)
        return Seal(sealed, part, key, wrapped)

    def grants(
        self, events: list[AnyEvent], seal: Seal | None, file: CaseFile | None, actor: Actor, now_us: int
    ) -> list[Granted]:
        """The custody that these events found: of a new key, and of whatever the next holder has a duty to read.

        Raises RecipientUnknown, RecipientKeyInvalid for a next holder who cannot be given it.
        """
        case = events[0].case
        if case is None:
            return []
        wrapped = [seal.wrapped] if seal and seal.wrapped else []
        readers = _new_readers(events) - {self._here}
        if seal is not None and seal.wrapped is not None:
            wrapped += [self._wrapped_for(reader, seal.key) for reader in sorted(readers | self._who_reads_along(file))]
        if file is not None:
            wrapped += [one for reader in sorted(readers) for one in self._known_keys(file, reader)]
        cause = Cause(id=events[0].id, log=None, seq=None)
        return [self._granted(one, case, cause, actor, now_us) for one in wrapped]

    def hand_on(self, file: CaseFile, reader: Division, cause: Cause, actor: Actor, now_us: int) -> list[Granted]:
        """Every key of the case that this node holds and has not given to `reader`: what a take-over asks for."""
        return [self._granted(one, file.case, cause, actor, now_us) for one in self._known_keys(file, reader)]

    def _key(self, command: AnyCommand, file: CaseFile | None, case: CaseId) -> tuple[DataKey, Wrapped | None]:
        """A new key where the fitting one is not here, is destroyed or is damaged: what the law demands goes on."""
        for subject in _fitting_subjects(command, file):
            try:
                return self._custody.key(case, subject), None
            except (NotCustodian, Erased):
                continue
            except (OpeningMissing, RecipientKeyMissing, SealBroken) as error:
                _log.warning("sealed under a new key", error=type(error).__name__)
        return self._custody.new_subject(case, self._escrow)

    def _who_reads_along(self, file: CaseFile | None) -> set[Division]:
        """Who would have read it under the case's first key: who holds the case, and where it was filed."""
        leg = file.present_leg if file else None
        nodes = {leg.node if leg else None, file.filed_at if file else None}
        return {node for node in nodes if node is not None and node != self._here and self._can_read(node)}

    def _can_read(self, node: Division) -> bool:
        """Whoever cannot be given a key reads nothing anyway, and holds up nobody else's work."""
        return self._is_known(node) and is_usable(self._recipient(node).key)

    def _wrapped_for(self, reader: Division, key: DataKey) -> Wrapped:
        return grant_key(key, [(self._recipient(reader), "handle")])

    def _known_keys(self, file: CaseFile, reader: Division) -> list[Wrapped]:
        found = []
        for subject in self._custody.lacked(file.case, file.keys, reader):
            try:
                found.append(self._custody.grant(file.case, subject, self._recipient(reader)))
            except (NotCustodian, Erased):
                continue
            except (OpeningMissing, RecipientKeyMissing, SealBroken) as error:
                # Any node can name this one in a grant and send nothing that opens: it must not stop the case.
                _log.warning("key not handed on", error=type(error).__name__)
        return found

    def _granted(self, wrapped: Wrapped, case: CaseId, cause: Cause, actor: Actor, now_us: int) -> Granted:
        envelope = alone(self._ids.fresh(now_us), self._here, actor, now_us, case, (cause,))
        event = KeyGranted(**envelope, subject=wrapped.subject, grants=wrapped.grants)
        return event, list(wrapped.parts)


def _fitting_subjects(command: AnyCommand, file: CaseFile | None) -> Iterator[str]:
    """Whose file the texts of a command belong into, the most fitting first."""
    if file is None:
        return
    if isinstance(command, ReplyOrder | JudgeOrder):
        order = file.orders.get(command.order)
        yield from (sealed.subject for sealed in (order.issued.sealed if order else ()))
    if file.registered is not None:
        yield from (sealed.subject for sealed in file.registered.sealed)


def _new_readers(events: list[AnyEvent]) -> frozenset[Division]:
    """The nodes that these events give a duty to read."""
    found: set[Division] = set()
    for event in events:
        match event:
            case HandedOver():
                found.add(node_of(event.to))
            case Objected():
                found.add(event.ruler)
            case ObjectionRuled():
                found.add(node_of(event.holder))
            case OrderIssued():
                found.add(node_of(event.unit))
            case _:
                continue
    return frozenset(found)
