"""Who holds a subject's data key: granting it, finding one's own copy of it, reading and sealing with it.

No node keeps a data key in clear: its own copy, too, is wrapped to itself by a `key.granted.v0` and lies beside
that event. Which grants count follows from the events alone, and an erasure in force ends them all.
"""

import threading
from collections import OrderedDict
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from typing import Final, Literal, NamedTuple, Protocol
from uuid import UUID

import msgspec

from domain.case import CaseFile, evolve, has_effect
from domain.divisions import Division
from domain.errors import DomainError
from domain.events import AnyEvent, CaseId, EscrowOpened, EventId, Grant, KeyGranted, Sealed, Unknown
from domain.keys import Holders, founder_of, new_subject
from domain.shards import place
from sync.sealed.commitment import Opening
from sync.sealed.sealing import (
    DataKey,
    Purpose,
    Random,
    Recipient,
    RecipientKey,
    SealBroken,
    Wrapped,
    digest_text,
    grant_key,
    open_texts,
)

CACHED_KEYS: Final = 1_024

_RANDOM_BYTES: Final = 10


class Erased(DomainError):
    """The subject's key was destroyed on the order of two persons. Show that it was, when and on what ground."""

    code = "sealed_erased"

    def __init__(self, erasure: UUID) -> None:
        super().__init__(
            "该内容已依法删除，仅保留办理记录，可查看删除记录",
            "this text was lawfully erased; the record of handling remains, see the erasure",
        )
        self.erasure = erasure


class NotCustodian(DomainError):
    """No key of this subject was granted to this node. Ask a node that handles the case to grant it."""

    code = "not_custodian"

    def __init__(self) -> None:
        super().__init__(
            "本机关未获得该内容的阅读授权，请向承办机关申请",
            "this office was granted no key to this text; ask the office that handles the case",
        )


class OpeningMissing(Exception):
    """A wrapped key or a sealed part is gone and no confirmed erasure says why: somebody tampered, or it was lost.

    Record a fault, fetch the part again from the author or from above, and report it where nobody has it.
    """

    def __init__(self, what: Literal["key", "text"], log_id: int, seq: int) -> None:
        super().__init__(
            f"密封内容缺失且无删除记录（日志{log_id}第{seq}条），请向上级或来源节点重新获取 / a sealed {what} is gone "
            f"without an erasure (log {log_id}, leaf {seq}); fetch it again from above or from its author"
        )
        self.what = what
        self.log_id = log_id
        self.seq = seq


class RecipientKeyMissing(Exception):
    """The key was granted to this node under a recipient key that it no longer has. Restore the node's key files."""

    def __init__(self, key_id: str) -> None:
        super().__init__(
            f"缺少收件密钥{key_id}，请从备份恢复密钥文件 / "
            f"recipient key {key_id} is missing; restore the key files from the backup"
        )
        self.key_id = key_id


class Placed(msgspec.Struct, frozen=True):
    """An event with its place: which log (local id), which leaf."""

    log_id: int
    seq: int
    event: AnyEvent


class Told(NamedTuple):
    """An event as it was learned, understood or not, with its place."""

    log_id: int
    seq: int
    event: AnyEvent | Unknown


class CaseReader(Protocol):
    """What custody reads of the ledger; committed rows only."""

    def case_events(self, case: CaseId) -> Sequence[Told]:
        """All of the case, notes of readings excepted, in the order learned here."""

    def part(self, log_id: int, seq: int, part: int) -> bytes | None:
        """What travels beside a leaf, or None where it is not (any more) here."""


class HeldGrant(NamedTuple):
    """A grant, with the log (local id), the leaf and the part where the key wrapped for it lies, and who gave it."""

    log_id: int
    seq: int
    part: int
    grant: Grant
    giver: Division


class _Text(NamedTuple):
    """A sealed part that is as its event says, so that a key can be tried on it."""

    event: EventId
    sealed: Sealed
    part: bytes


class SubjectCustody(NamedTuple):
    """What the events say of one subject: every grant that counts, in order, and the erasure in force, if any."""

    grants: tuple[HeldGrant, ...]
    erasure: UUID | None


def subject_custody(history: Iterable[Told], subject: str) -> SubjectCustody:
    """What the events of a case say of one subject's key: what `domain.case` makes of them, and where each key lies."""
    file: CaseFile | None = None
    heard: list[tuple[Told, KeyGranted]] = []
    for told in history:
        event, at = told.event, place(told.log_id, told.seq)
        if isinstance(event, KeyGranted) and event.subject == subject and has_effect(file, event, at):
            heard.append((told, event))
        file = evolve(file, event, at)
    if file is None:
        return SubjectCustody((), None)
    holders, due = file.keys.get(subject, Holders()), file.due_erasure(subject)
    grants = tuple(
        HeldGrant(told.log_id, told.seq, part, grant, event.node)
        for told, event in heard
        if holders.may_give(event.node, subject)
        for part, grant in enumerate(event.grants)
    )
    return SubjectCustody(grants, due.ordered.erasure if due else None)


def given_by(history: Sequence[Told], giver: Division, reader: Division) -> frozenset[str]:
    """The subjects whose key `giver` need not give to `reader`: it has given it before, or the reader says itself that
    it has it, since it gave it to somebody, and not out of the escrow.

    What others say of having given it counts for nothing: what lies beside a grant may open nothing.
    """
    granted = [told.event for told in history if isinstance(told.event, KeyGranted)]
    opened = {told.event.id for told in history if isinstance(told.event, EscrowOpened)}
    given = {event.subject for event in granted if event.node == giver and _gives(event, reader)}
    own = [event for event in granted if event.node == reader and opened.isdisjoint(one.id for one in event.cause)]
    return frozenset(given.union(event.subject for event in own))


def _gives(event: KeyGranted, reader: Division) -> bool:
    return any(grant.custodian == reader and grant.purpose != "escrow" for grant in event.grants)


class Custody:
    """The data keys that this node may use. Safe for threads; keys in clear live in a bounded cache only."""

    def __init__(
        self,
        here: Division,
        recipients: Sequence[RecipientKey],
        reader: CaseReader,
        random: Random,
        cached_keys: int = CACHED_KEYS,
    ) -> None:
        """recipients: newest first. random: `os.urandom`. cached_keys: how many unwrapped keys are held at most."""
        self._here = here
        self._recipients: Mapping[str, RecipientKey] = {key.key_id: key for key in recipients}
        self._self = Recipient(here, recipients[0].public)
        self._reader = reader
        self._random = random
        self._cache = _KeyCache(cached_keys)

    def new_subject(self, case: CaseId, escrow: Recipient | None) -> tuple[DataKey, Wrapped]:
        """A new subject's key, wrapped to this node and to the escrow above.

        The caller appends a KeyGranted with `grants`, puts `parts` beside it, and seals with the key meanwhile.
        """
        key = DataKey.fresh(case, new_subject(self._here, self._random(_RANDOM_BYTES)), self._random)
        holders: list[tuple[Recipient, Purpose]] = [(self._self, "handle")]
        if escrow is not None:
            holders.append((escrow, "escrow"))
        return key, grant_key(key, holders)

    def grant(
        self, case: CaseId, subject: str, recipient: Recipient, purpose: Literal["handle", "access"] = "handle"
    ) -> Wrapped:
        """The subject's key wrapped once more, for the node that takes over a duty to read. Raises as `key`."""
        return grant_key(self.key(case, subject), [(recipient, purpose)])

    def lacked(self, case: CaseId, subjects: Iterable[str], reader: Division) -> list[str]:
        """Whose keys this node would have to give to `reader`, as far as is known here."""
        has = given_by(self._reader.case_events(case), self._here, reader)
        return [subject for subject in subjects if subject not in has and founder_of(subject) != reader]

    def is_broken(self, log_id: int, seq: int, event: KeyGranted) -> bool:
        """Whether what lies beside a grant to this node opens nothing, though it is there, and so is the key for it."""
        if event.case is None:
            return False
        for part, grant in enumerate(event.grants):
            recipient, wrapped = self._recipients.get(grant.recipient_key), self._reader.part(log_id, seq, part)
            if grant.custodian != self._here or grant.purpose == "escrow" or recipient is None or wrapped is None:
                continue
            try:
                DataKey.unwrap(wrapped, recipient.private, event.case, event.subject, self._here)
            except SealBroken:
                return True
        return False

    def open(self, case: CaseId, placed: Placed, index: int = 0) -> list[Opening]:
        """The texts of `event.sealed[index]` with their salts. The caller has noted the reading before (SealedRead).

        Raises Erased, NotCustodian, OpeningMissing, SealBroken, RecipientKeyMissing.
        """
        sealed = placed.event.sealed[index]
        key = self.key(case, sealed.subject)
        part = self._reader.part(placed.log_id, placed.seq, index)
        if part is None:
            self.forget(case, sealed.subject)
            self.key(case, sealed.subject)  # names an erasure that came meanwhile
            raise OpeningMissing("text", placed.log_id, placed.seq)
        return open_texts(key, placed.event.id, sealed, part)

    def key(self, case: CaseId, subject: str) -> DataKey:
        """This node's copy of a subject's key.

        Raises Erased, NotCustodian, OpeningMissing, SealBroken, RecipientKeyMissing.
        """
        cached, generation = self._cache.get(case, subject)
        if cached is not None:
            return cached
        history = self._reader.case_events(case)
        custody = subject_custody(history, subject)
        if custody.erasure is not None:
            raise Erased(custody.erasure)
        keys = self._unwrapped(case, subject, custody)
        own = next((key for key, giver in keys if giver == self._here), None)
        sealed = self._sealed(history, subject) if own is None else []
        if own is None and not sealed:
            return keys[0][0]  # nothing is here yet that it could be tried on
        key = own or _that_opens([key for key, _ in keys], sealed)
        self._cache.put(key, generation)
        return key

    def forget(self, case: CaseId, subject: str) -> None:
        """Drop the cached key: called once an erasure is in force, and again after its destruction committed."""
        self._cache.forget(case, subject)

    def _sealed(self, history: Iterable[Told], subject: str) -> list[_Text]:
        """The subject's texts that are here, in the order learned."""
        return [
            _Text(told.event.id, sealed, part)
            for told in history
            if not isinstance(told.event, Unknown)
            for index, sealed in enumerate(told.event.sealed)
            if sealed.subject == subject
            and (part := self._reader.part(told.log_id, told.seq, index)) is not None
            and digest_text(part) == sealed.ciphertext
        ]

    def _unwrapped(self, case: CaseId, subject: str, custody: SubjectCustody) -> list[tuple[DataKey, Division]]:
        """Every key that was wrapped for this node, at least one, and who gave it."""
        refusal: Exception = NotCustodian()
        found: list[tuple[DataKey, Division]] = []
        for log_id, seq, part, grant, giver in custody.grants:
            if grant.custodian != self._here or grant.purpose == "escrow":
                continue
            recipient = self._recipients.get(grant.recipient_key)
            wrapped = self._reader.part(log_id, seq, part)
            if recipient is None:
                refusal = RecipientKeyMissing(grant.recipient_key)
            elif wrapped is None:
                refusal = OpeningMissing("key", log_id, seq)
            else:
                try:
                    found.append((DataKey.unwrap(wrapped, recipient.private, case, subject, self._here), giver))
                except SealBroken as error:
                    refusal = error
        if not found:
            raise refusal
        return found


def _that_opens(keys: Sequence[DataKey], texts: Sequence[_Text]) -> DataKey:
    """The key that the earliest text was sealed with: a wrapped key is signed by nobody, and may be any at all.

    Raises SealBroken where no key opens any.
    """
    for text in texts:
        for key in keys:
            with suppress(SealBroken):
                open_texts(key, text.event, text.sealed, text.part)
                return key
    raise SealBroken("key")


class _KeyCache:
    """The most recently used keys. A key read before a `forget` is not put back after it."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._keys: OrderedDict[tuple[CaseId, str], DataKey] = OrderedDict()
        self._generation = 0
        self._lock = threading.Lock()

    def get(self, case: CaseId, subject: str) -> tuple[DataKey | None, int]:
        with self._lock:
            key = self._keys.get((case, subject))
            if key is not None:
                self._keys.move_to_end((case, subject))
            return key, self._generation

    def put(self, key: DataKey, generation: int) -> None:
        with self._lock:
            if generation != self._generation:
                return
            self._keys[key.case, key.subject] = key
            while len(self._keys) > self._size:
                self._keys.popitem(last=False)

    def forget(self, case: CaseId, subject: str) -> None:
        with self._lock:
            self._generation += 1
            self._keys.pop((case, subject), None)
