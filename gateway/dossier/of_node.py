"""The evidence of a case as a running node has it: its ledger, its trees, and what it may open for an auditor."""

import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from functools import partial
from typing import Final, LiteralString
from uuid import UUID, uuid4

from domain.divisions import Division
from domain.events import CaseId, EventId
from gateway.accounts import Account
from gateway.casework.readings import Withheld
from gateway.dossier.making import NothingProven, Opened, ProvenLeaf, Said, complete, gather
from gateway.dossier.shape import Files
from gateway.hosting.policies import policy_of_replica
from gateway.node import Node
from gateway.reading.history import Step
from gateway.reading.knowing import steps_of
from gateway.refusals import NotFound
from sync.ledger.rows import OWN, Row
from sync.proofs.merkle import HASH_BYTES, HashesMissing, Prover
from sync.proofs.note import Verifier, parse_note
from sync.proofs.postgres_trees import PostgresTrees
from sync.proofs.tree import SignedHead, TreeMoved, prove
from sync.sealed.commitment import Opening
from sync.sealed.custody import Erased, NotCustodian, OpeningMissing, Placed, RecipientKeyMissing
from sync.sealed.sealing import SealBroken

SEALED_WITHIN_S: Final = 10.0

_ENCLOSED: Final[LiteralString] = "select proof, checkpoint from enclosure where log_id = %b and seq = %b"


def dossier_of(node: Node, case: CaseId, account: Account, *, with_texts: bool) -> Files:
    """What the node can prove of the case now. with_texts: opened for the account, each reading recorded before.

    Raises NotFound, NothingProven, and as Readings.texts.
    """
    rows, steps = _told(node, case)
    noted: set[EventId] = set()
    while with_texts and (asked := _sealed_in(steps) - noted):  # what came meanwhile is noted, too, before it is read
        _note(node, case, account, asked)
        noted |= asked
        rows, steps = _told(node, case)
    by_leaf = {(node.around.origin(row.log_id), row.seq): row for row in rows}
    told = [(step, by_leaf[step.log, step.seq]) for step in steps]
    opened = list(_opened(node, case, told)) if with_texts else None
    with node.pool.connection() as conn, conn.transaction():
        source = _Source(node, PostgresTrees(conn))
        leaves = [leaf for step, row in told if (leaf := source.proven(step, row)) is not None]
        said = Said(
            division=node.here,
            origin=node.config.origin,
            made_us=node.clock.now_us(),
            below=True,
            left_out=len(steps) - len(leaves),
            reader=f"{account.login} ({account.id})" if with_texts else "",
        )
        directory = node.around.directory()
        policies = source.policies({leaf.step.log for leaf in leaves})
        gathered = gather(case, said, leaves, directory, policies, source.link, opened)
    return complete(*gathered, node.sign)  # setting pages takes long: no connection waits for it


class _Source:
    """Proofs out of the node's trees, all of one moment."""

    def __init__(self, node: Node, trees: PostgresTrees) -> None:
        self._node, self._trees = node, trees
        self._directory = node.around.directory()
        self._held = {origin: tree for origin, tree in trees.trees(self._directory.origins()).items() if tree.size}

    def proven(self, step: Step, row: Row) -> ProvenLeaf | None:
        """The leaf under the first head beyond it that a superior or an outside witness has cosigned, else under the
        first one at all; null where there is none yet."""
        tree = self._held.get(step.log)
        if tree is None or row.seq >= tree.size:
            return self._enclosed(step, row)
        head = self._head(step.log, row)
        if head is None:
            return None
        proof = prove(self._trees, row.log_id, row.seq, head)
        return ProvenLeaf(step, row.body, proof.path, proof.checkpoint)

    def _head(self, log: str, row: Row) -> SignedHead | None:
        names = list(self._directory.witnesses_above(self._directory.division_of(log) or Division("")))
        if not names:
            proof = self._node.links.proof(row.log_id, row.seq) if row.via == OWN else None
            if proof is not None:
                size = int(parse_note(proof.checkpoint.encode()).text.split("\n")[1])
                return self._trees.head_at(row.log_id, size)
        found = [head for name in names if (head := self._trees.cosigned_head(row.log_id, row.seq, name)) is not None]
        return min(found, key=lambda head: head.size) if found else self._trees.head_beyond(row.log_id, row.seq)

    def _enclosed(self, step: Step, row: Row) -> ProvenLeaf | None:
        rows = self._node.reader.fetch(_ENCLOSED, (row.log_id, row.seq))
        if not rows:
            return None
        path, checkpoint = bytes(rows[0][0]), str(rows[0][1])
        hashes = tuple(path[at : at + HASH_BYTES] for at in range(0, len(path), HASH_BYTES))
        return ProvenLeaf(step, row.body, hashes, checkpoint)

    def link(self, log: str, old: int, new: int) -> Sequence[bytes] | None:
        """See making.Links."""
        tree = self._held.get(log)
        if tree is None or new > tree.size:
            return None
        try:
            return Prover(self._trees.hashes(tree.log_id), new).consistency(old)
        except HashesMissing:
            return None

    def policies(self, logs: set[str]) -> dict[str, str]:
        """Of the own log what is published; of the others, that one of those above their author has cosigned."""
        is_simulated = self._node.config.clock.kind == "shared"
        texts: dict[str, str] = {}
        for log in sorted(logs):
            held = self._held.get(log)
            by = partial(self._trees.cosigned_by, held.log_id) if held else _by_nobody
            texts[log] = policy_of_replica(self._directory, log, by, simulated_clock=is_simulated)
        if self._node.config.origin in texts:
            texts[self._node.config.origin] = self._node.policy()
        return {log: text for log, text in texts.items() if text}


def _by_nobody(_: Verifier) -> int:
    return 0


def _told(node: Node, case: CaseId) -> tuple[list[Row], list[Step]]:
    rows = list(node.reader.read_case(case))
    steps = steps_of(node, rows)
    if not steps:
        raise NotFound
    return rows, steps


def _sealed_in(steps: Iterable[Step]) -> set[EventId]:
    return {step.said_to.id for step in steps if step.said_to and step.said_to.sealed}


def _note(node: Node, case: CaseId, account: Account, sealed: Iterable[EventId]) -> None:
    """Record that these sealed events are read for an audit, and see that record under a checkpoint.

    Raises NothingProven where no checkpoint covers it in SEALED_WITHIN_S.
    """
    node.readings.texts(case, sealed, account.actor, "audit", uuid4())
    give_up_s = time.monotonic() + SEALED_WITHIN_S
    while not _is_sealed(node, case):
        if time.monotonic() > give_up_s:
            raise NothingProven
        with suppress(TreeMoved):  # the thread that seals was faster
            node.links.seal_all()


def _is_sealed(node: Node, case: CaseId) -> bool:
    """Whether a checkpoint covers what this node last wrote of the case."""
    last = max((row.seq for row in node.reader.read_case(case) if row.log_id == node.own_log), default=-1)
    with node.pool.connection() as conn:
        return PostgresTrees(conn).head_beyond(node.own_log, last) is not None


def _opened(node: Node, case: UUID, told: Sequence[tuple[Step, Row]]) -> Iterator[Opened]:
    for step, row in told:
        event = step.said_to
        for part in range(len(event.sealed) if event else 0):
            found = _open(node, CaseId(case), Placed(row.log_id, row.seq, event), part)  # type: ignore[arg-type]
            if isinstance(found, str):
                yield Opened(step, part, (), found)
            else:
                yield Opened(step, part, tuple(found))


def _open(node: Node, case: CaseId, placed: Placed, part: int) -> "list[Opening] | Withheld":
    try:
        return node.custody.open(case, placed, part)
    except Erased:
        return "erased"
    except NotCustodian:
        return "no_key"
    except (OpeningMissing, RecipientKeyMissing, SealBroken):
        return "damaged"
