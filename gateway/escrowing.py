"""The commands about the escrow: ask for keys, agree as an officer, and have them given to the node with the matter."""

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Literal
from uuid import UUID

import msgspec
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from domain.case import CaseFile, evolve
from domain.divisions import Division
from domain.events import CaseId, EscrowGround
from domain.keys import founder_of
from gateway.casework.escrow_office import duty_holders, keep_waiting, leave_approvals, require_lawful, told
from gateway.casework.orders import OpenEscrow
from gateway.enrolling import ask_running, done_by
from gateway.hosting import config, founding
from gateway.hosting.clock import SharedClock, SystemClock
from gateway.hosting.databases import database_of
from gateway.hosting.ids import Ids
from sync.ledger.connections import connect, open_pool
from sync.sealed.custody import Told, given_by
from sync.sealed.custody_postgres import PostgresCases
from sync.trust.certificates import verify_chain
from sync.trust.escrow import lock_share, read_share
from sync.trust.escrow_request import MAX_SUBJECTS, Approval, EscrowRefused, EscrowRequest, approve, read_request
from sync.trust.keys import replace_private


def request_keys(folder: Path, case: UUID, receiver: str, ground: EscrowGround, login: str, out: Path) -> EscrowRequest:
    """Write a request for the keys of the case that the escrow holds and `receiver` lacks, for its officers: those that
    were asked for before at last, MAX_SUBJECTS at most.

    folder: of the root. receiver: who has the matter; empty for whoever has it now. login: of the leader or supervisor
    who asks. Raises EscrowRefused, ConfigInvalid, NotEnrolled.
    """
    settings, enrolled = config.load(folder), founding.enrolment(folder)
    escrow = verify_chain(enrolled.certificates, enrolled.root_fingerprint).escrow
    here = settings.node.division
    if escrow is None or settings.node.parent is not None:
        raise EscrowRefused("not_founded", "只有根节点可申请开启托管", "only the root opens the escrow")
    clock = SharedClock(Path(settings.clock.path)) if settings.clock.kind == "shared" else SystemClock()
    now_us = clock.now_us()
    with database_of(folder) as dsn:
        account, role = _account(dsn, login)
        file, history = _file(dsn, CaseId(case))
    to = Division(receiver) if receiver else next(iter(sorted(duty_holders(file))), here)
    held = _lacked(file, history, here, to)
    if not held:
        raise EscrowRefused("nothing_to_open", f"{to} 不缺本事项的密钥", f"{to} lacks no key of this case")
    one_time = X25519PrivateKey.generate()
    request = EscrowRequest(
        order=Ids(here).fresh(now_us),
        case=CaseId(case),
        subjects=(tuple(one for one in held if file.due_erasure(one) is None) or tuple(held))[:MAX_SUBJECTS],
        receiver=to,
        ground=ground,
        requested_by=account,
        role=role,
        made_us=now_us,
        key=escrow.key_id,
        reply_to=one_time.public_key().public_bytes_raw(),
    )
    require_lawful(file, request)
    keep_waiting(folder, request, one_time)
    replace_private(out, request.text().encode())
    return request


def approve_request(request: Path, share: Path, out: Path, passphrase: Callable[[], str]) -> None:
    """Write one officer's approval. passphrase: asked for where the share is locked.

    Raises EscrowRefused, PassphraseWrong, KeyFileRefused.
    """
    approval = approve(request.read_text("utf-8", "replace"), read_share(share, passphrase))
    replace_private(out, msgspec.json.encode(approval))


def in_words(request: Path) -> str:
    """What an officer is asked to agree to. Raises EscrowRefused."""
    asked = read_request(request.read_text("utf-8", "replace"))
    return (
        f"事项 {asked.case}：{len(asked.subjects)} 份密钥移交 {asked.receiver}，事由 {asked.ground}，"
        f"申请人 {asked.requested_by} / "
        f"case {asked.case}: {len(asked.subjects)} keys for {asked.receiver}, ground {asked.ground}, asked by "
        f"{asked.requested_by}"
    )


def lock(share: Path, out: Path, passphrase: str) -> None:
    """Put a share under its holder's passphrase, in a new file. Raises KeyFileRefused."""
    lock_share(out, read_share(share), passphrase, os.urandom)


def open_escrow(folder: Path, files: list[Path]) -> str:
    """Have the root's node, running or not, carry out what the approvals in `files` agree to; what was done, in words.

    Raises EscrowRefused, RequestRefused, EnrolmentUnanswered.
    """
    approvals = [read_approval(file) for file in files]

    def ask() -> str:
        order = read_request(approvals[0].request).order
        leave_approvals(folder, order, approvals)
        return ask_running(folder, msgspec.json.encode(OpenEscrow(order)).decode()).decode()

    return done_by(folder, lambda node: told(node.escrow.open(approvals)), ask)


def read_approval(file: Path) -> Approval:
    """What an officer has written. Raises EscrowRefused."""
    try:
        return msgspec.json.decode(file.read_bytes(), type=Approval)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise EscrowRefused("malformed", f"{file} 不是托管人的签署", f"{file} is no officer's approval") from error


def _account(dsn: str, login: str) -> tuple[UUID, Literal["leader", "supervisor"]]:
    with connect(dsn) as conn:
        row = conn.execute(
            "select id, role from web.account where login = %s and closed_us is null"
            " and role in ('leader', 'supervisor')",
            (login,),
        ).fetchone()
    if row is None:
        raise EscrowRefused(
            "not_leader", "须由本节点的领导或督查账户申请", "a leader or supervisor of this node has to ask"
        )
    return row[0], row[1]


def _lacked(file: CaseFile, history: Sequence[Told], here: Division, to: Division) -> list[str]:
    """Whose keys the escrow holds, as is said, and `to` was not given from here; those asked for before come last.

    In the order in which the case has come to them: whoever has a key can name any number of others.
    """
    has, asked = given_by(history, here, to), {subject for _, subject in file.escrow_orders}
    held = [one for one in file.keys if here in file.custodians(one) and one not in has and founder_of(one) != to]
    return sorted(held, key=asked.__contains__)


def _file(dsn: str, case: CaseId) -> tuple[CaseFile, Sequence[Told]]:
    file: CaseFile | None = None
    with open_pool(dsn, "escrow", 1, autocommit=True) as pool:
        history = PostgresCases(pool.connection).case_events(case)
    for told_ in history:
        file = evolve(file, told_.event, told_.seq)
    if file is None:
        raise EscrowRefused("case_unknown", "本节点没有该事项", "this node does not know the case")
    return file, history
