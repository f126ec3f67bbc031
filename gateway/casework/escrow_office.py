"""The root's part in opening the escrow: two approvals checked, the opening recorded, then the keys re-wrapped.

DIR/escrow/<order>.json              a request that waits for its approvals, with its one-time key
DIR/escrow/<order>.approvals.json    the approvals that the command line left for the running node
"""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final, NamedTuple
from uuid import UUID

import msgspec
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from domain.case import CaseFile
from domain.context import Envelope, alone
from domain.divisions import Division
from domain.events import (
    Actor,
    AnyEvent,
    CaseId,
    Cause,
    EscrowFounded,
    EscrowOpened,
    EventId,
    KeyGranted,
    encode,
    tag_of,
)
from domain.events import read as read_event
from gateway.casework.case_files import CaseFiles
from gateway.casework.journal import Journal
from gateway.hosting.ids import Ids
from sync.ledger.append import Act, Append, NewEvent
from sync.ledger.reader import Reader
from sync.proofs.note import Verifier, parse_vkey
from sync.sealed.acts import PartsBeside
from sync.sealed.custody import CaseReader, Told, subject_custody
from sync.sealed.sealing import DataKey, Recipient, SealBroken, Wrapped, grant_key
from sync.trust.escrow_request import (
    MAX_AGE_US,
    Approval,
    EscrowRefused,
    EscrowRequest,
    agreed,
    joined,
    read_request,
    require_fresh,
)
from sync.trust.keys import CommandId, KeyFileRefused, read_private, replace_private

WAITING: Final = Path("escrow")
_WAIT_S: Final = 60.0
_APPROVALS: Final = ".approvals.json"
_MAX_FILE_BYTES: Final = 64 * 1024
"""Two approvals of a request for as many keys as one may name."""


class Waiting(msgspec.Struct, frozen=True, kw_only=True):
    """A request and the private half of its one-time key, 32 raw bytes."""

    request: str
    one_time: bytes


class Opened(NamedTuple):
    """What was done: whose keys went to whom, and of whom the escrow holds no copy that opens."""

    order: UUID
    subjects: tuple[str, ...]
    receiver: Division
    lost: tuple[str, ...]


class EscrowOffice:
    """Only the root's node holds what is wrapped to the escrow. One opening at a time."""

    def __init__(
        self,
        here: Division,
        folder: Path,
        ids: Ids,
        journal: Journal,
        files: CaseFiles,
        reader: Reader,
        parts: CaseReader,
        recipient: Callable[[Division], Recipient],
    ) -> None:
        self._here = here
        self._folder = folder / WAITING
        self._ids = ids
        self._journal = journal
        self._files = files
        self._reader = reader
        self._parts = parts
        self._recipient = recipient

    def open(self, approvals: list[Approval]) -> Opened:
        """Carry out what both officers agreed to, once. Raises EscrowRefused, and as the journal's append.

        The opening stands in the log before the key is touched; one that broke off in between is gone on with.
        """
        if not approvals:
            raise EscrowRefused("one_person", "须由两名托管人各自签署", "both officers have to sign")
        request = read_request(approvals[0].request)
        officers, file = self._officers(), self._file(request)
        note = agreed(request.text(), approvals, officers)
        self._require_use(request, file)
        require_fresh(request, self._journal.now_us())
        require_lawful(file, request)
        private = self._joined(request, approvals, officers)
        opened = self._record(request, file, note)
        done = self._grant(request, opened, private)
        (self._folder / _waiting(request.order)).unlink(missing_ok=True)
        return done

    def open_waiting(self, order: UUID) -> str:
        """Carry out what `leave_approvals` left in the folder; what was done, in words. Raises as `open`."""
        try:
            approvals = msgspec.json.decode(_read(self._folder / _approvals(order)), type=list[Approval])
        except (KeyFileRefused, msgspec.DecodeError) as error:
            raise EscrowRefused("unknown", "没有该申请的签署", "no approvals of this request are here") from error
        said = self._answer(approvals)
        (self._folder / _approvals(order)).unlink()
        if isinstance(said, EscrowRefused):
            raise said
        return told(said)

    def _answer(self, approvals: list[Approval]) -> Opened | EscrowRefused:
        """Whatever else happens leaves the approvals where they are, to go on with."""
        try:
            return self.open(approvals)
        except EscrowRefused as refusal:
            return refusal

    def forget_stale(self) -> None:
        """Destroy the one-time keys of requests that are too old to be opened, and approvals that nobody came for."""
        approvals = set(self._folder.glob(f"*{_APPROVALS}"))
        for path in sorted(set(self._folder.glob("*.json")) - approvals):
            if self._is_stale(path):
                path.unlink()
        for path in sorted(approvals):
            if not path.with_name(f"{path.name.removesuffix(_APPROVALS)}.json").exists():
                path.unlink()

    def _is_stale(self, path: Path) -> bool:
        try:
            kept = msgspec.json.decode(_read(path), type=Waiting)
            return read_request(kept.request).made_us + MAX_AGE_US < self._journal.now_us()
        except (EscrowRefused, KeyFileRefused, msgspec.DecodeError):
            return True

    def _officers(self) -> list[Verifier]:
        """Who was named when the root was founded: the first such event of the own log."""
        rows = self._reader.fetch(
            "select body from ledger where topic = 'escrow.founded.v0' and via = 0 order by pos limit 1"
        )
        event = read_event(bytes(rows[0][0])) if rows else None
        if not isinstance(event, EscrowFounded):
            raise EscrowRefused(
                "not_founded",
                "本节点不是根节点，或建立时未登记托管人",
                "this is not the root, or it has named no officers",
            )
        return [parse_vkey(event.first), parse_vkey(event.second)]

    def _file(self, request: EscrowRequest) -> CaseFile:
        known = self._files.get(request.case)
        if known is None:
            raise EscrowRefused("case_unknown", "本节点没有该事项", "this node does not know the case")
        return known.file

    def _require_use(self, request: EscrowRequest, file: CaseFile) -> None:
        """Raises EscrowRefused for a request whose keys were given out already."""
        is_opened = all((request.order, subject) in file.escrow_orders for subject in request.subjects)
        if is_opened and self._reader.command(self._grant_id(request)) is not None:
            raise EscrowRefused("opened_before", "该申请已用过，请重新申请", "this request was used; make a new one")

    def _joined(self, request: EscrowRequest, approvals: list[Approval], officers: list[Verifier]) -> X25519PrivateKey:
        try:
            kept = msgspec.json.decode(_read(self._folder / _waiting(request.order)), type=Waiting)
        except (KeyFileRefused, msgspec.DecodeError) as error:
            raise EscrowRefused("unknown", "本节点没有提出该申请", "the request was not made on this node") from error
        if kept.request != request.text():
            raise EscrowRefused("another_request", "与本节点提出的申请不符", "it is not the request that was made here")
        return joined(request.text(), approvals, officers, X25519PrivateKey.from_private_bytes(kept.one_time))

    def _record(self, request: EscrowRequest, file: CaseFile, note: str) -> list[EscrowOpened]:
        """One event for each subject, in one append; those of an earlier try where there was one."""
        command_id = self._journal.of_node(f"escrow/{request.order}")
        digest = self._journal.digest(command_id, request.text().encode())
        with self._journal.turn() as turn:
            events = [
                EscrowOpened(
                    **self._envelope(request, turn.now_us, ()),
                    order=request.order,
                    subject=subject,
                    receiver=request.receiver,
                    ground=request.ground,
                    request=note,
                )
                for subject in request.subjects
            ]
            future = turn.append(Append([_new(event) for event in events], command_id, digest))
        appended = future.result(_WAIT_S)
        first = appended.positions.start - 1
        found = [read_event(row.body) for row in self._reader.read(first, len(appended.positions))]
        return [event for event in found if isinstance(event, EscrowOpened)]

    def _grant_id(self, request: EscrowRequest) -> CommandId:
        return self._journal.of_node(f"escrow/{request.order}/grant")

    def _grant(self, request: EscrowRequest, opened: list[EscrowOpened], private: X25519PrivateKey) -> Opened:
        """Give each key of which a copy opens; anybody who has a key may have named subjects that there are none of."""
        command_id = self._grant_id(request)
        digest = self._journal.digest(command_id, request.text().encode())
        recipient = self._recipient(Division(request.receiver))
        history = self._parts.case_events(request.case)
        found = [(event, self._wrapped(request, history, event.subject, private, recipient)) for event in opened]
        keys = [(event, wrapped) for event, wrapped in found if wrapped is not None]
        if not keys:
            raise EscrowRefused(
                "no_copy", "托管的密钥副本缺失或受损", "the copies of the keys in the escrow are gone or damaged"
            )
        with self._journal.turn() as turn:
            events, acts = list[AnyEvent](), list[Act]()
            for event, wrapped in keys:
                cause = (Cause(id=event.id, log=None, seq=None),)
                envelope = self._envelope(request, turn.now_us, cause)
                events.append(KeyGranted(**envelope, subject=wrapped.subject, grants=wrapped.grants))
                acts.append(PartsBeside(events[-1].stream, 1, list(wrapped.parts)))
            future = turn.append(Append([_new(event) for event in events], command_id, digest, b"", acts))
        future.result(_WAIT_S)
        given = tuple(wrapped.subject for _, wrapped in keys)
        lost = tuple(event.subject for event, wrapped in found if wrapped is None)
        return Opened(request.order, given, Division(request.receiver), lost)

    def _wrapped(
        self,
        request: EscrowRequest,
        history: Sequence[Told],
        subject: str,
        private: X25519PrivateKey,
        recipient: Recipient,
    ) -> Wrapped | None:
        """The subject's key out of the escrow and wrapped to the receiver, whichever copy of it is whole, if any is."""
        for log_id, seq, part, grant, _ in subject_custody(history, subject).grants:
            if (grant.custodian, grant.purpose, grant.recipient_key) != (self._here, "escrow", request.key):
                continue
            body = self._parts.part(log_id, seq, part)
            if body is None:
                continue
            try:
                key = DataKey.unwrap(body, private, request.case, subject, self._here)
            except SealBroken:
                continue
            return grant_key(key, [(recipient, "handle")])
        return None

    def _envelope(self, request: EscrowRequest, now_us: int, cause: tuple[Cause, ...]) -> Envelope:
        actor = Actor(account=request.requested_by, role=request.role, unit=f"{self._here}.office")
        return alone(EventId(self._ids.fresh(now_us)), self._here, actor, now_us, CaseId(request.case), cause)


def require_lawful(file: CaseFile, request: EscrowRequest) -> None:
    """That the keys are still there to be given, and to who has the matter. Raises EscrowRefused."""
    if any(file.due_erasure(subject) is not None for subject in request.subjects):
        raise EscrowRefused(
            "erased", "该当事人的信息已依法销毁，不得恢复", "this person's data was lawfully erased for good"
        )
    if request.receiver not in duty_holders(file):
        raise EscrowRefused(
            "not_for_duty",
            f"{request.receiver} 现不承办本事项，须先收回、提级或移交",
            f"{request.receiver} does not have the matter; have it taken over or handed over first",
        )


def duty_holders(file: CaseFile) -> frozenset[Division]:
    """The nodes that have the matter now, or were given it and have yet to open it."""
    return frozenset(leg.node for leg in (file.present_leg, file.pending_leg) if leg is not None)


def keep_waiting(folder: Path, request: EscrowRequest, one_time: X25519PrivateKey) -> None:
    """Keep the one-time key of a request until it is opened. folder: of the root's node."""
    (folder / WAITING).mkdir(mode=0o700, exist_ok=True)
    kept = Waiting(request=request.text(), one_time=one_time.private_bytes_raw())
    replace_private(folder / WAITING / _waiting(request.order), msgspec.json.encode(kept))


def leave_approvals(folder: Path, order: UUID, approvals: list[Approval]) -> None:
    """Where the running node looks for them. folder: of the root's node."""
    (folder / WAITING).mkdir(mode=0o700, exist_ok=True)
    replace_private(folder / WAITING / _approvals(order), msgspec.json.encode(approvals))


def _waiting(order: UUID) -> str:
    return f"{order}.json"


def _approvals(order: UUID) -> str:
    return f"{order}{_APPROVALS}"


def _read(path: Path) -> bytes:
    return read_private(path, _MAX_FILE_BYTES)


def told(opened: Opened) -> str:
    """The same in words."""
    count, lost = len(opened.subjects), len(opened.lost)
    zh = f"已开启：{count} 份密钥移交 {opened.receiver}（申请 {opened.order}）"
    en = f"opened: {count} keys given to {opened.receiver} (order {opened.order})"
    if lost:
        zh += f"，另有 {lost} 份副本无法打开，其余密钥可再次申请"
        en += f"; {lost} copies do not open; ask again for further keys"
    return f"{zh} / {en}"


def _new(event: AnyEvent) -> NewEvent:
    return NewEvent(event.stream, event.version, tag_of(event), event.case, encode(event))
