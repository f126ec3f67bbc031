"""An auditor's verifier over a made-up county of any size: `python -m bench.audit --events 10000000 --dir DIR`."""

import argparse
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from datetime import date
from hashlib import sha256
from itertools import count
from pathlib import Path
from typing import Any, Final
from uuid import UUID

from bench.report import Line
from domain.divisions import Division, tier_of
from domain.events import (
    Accepted,
    Actor,
    Answer,
    AnyEvent,
    CaseId,
    ClaimId,
    Closed,
    EventId,
    Head,
    HeadsNoted,
    LegId,
    LegOpened,
    MaterialAdded,
    NodeOpened,
    OpinionIssued,
    Registered,
    Sealed,
    SealedRead,
    Served,
    StreamId,
    encode,
)
from domain.ids import new_id
from gateway.auditing.bundle import LogLine, Manifest
from gateway.auditing.writing import BundleWriter, LogWriter
from gateway.hosting.postgres_server import PostgresServer
from sync.proofs.merkle import Frontier, leaf_hash
from sync.proofs.note import COSIGNATURE_V1, ED25519, Checkpoint, Ed25519Signer, cosign, encode64, sign_note
from sync.proofs.policy import Policy, Witness, format_policy
from sync.sealed.sealing import recipient_key_id
from sync.trust.certificates import Directory
from sync.trust.granting import enrol
from sync.trust.statements import Keys, Request, fingerprint, make_request, make_root, read_request

COUNTY: Final = Division("410221000000")
VILLAGES: Final = 20
CASES_A_ROUND: Final = 10
EVENTS_A_CASE: Final = 10
START_US: Final = 1_767_225_600_000_000
STEP_US: Final = 250_000
YEARS_US: Final = 20 * 366 * 86_400_000_000
FILED_ON: Final = date(2026, 1, 5)
SMALL: Final = 20_000


class Node:
    """A made-up node: its keys, its log on its way."""

    def __init__(self, division: Division) -> None:
        self.division = division
        self.origin = f"bench.example/{division}/1"
        name = f"bench.example/{division}"
        seed = sha256(division.encode()).digest
        self.signer = Ed25519Signer(self.origin, ED25519, seed())
        self.cosigner = Ed25519Signer(f"{name}/witness", COSIGNATURE_V1, sha256(seed()).digest())
        self.intake = Ed25519Signer(f"{name}/intake", ED25519, sha256(b"intake" + seed()).digest())
        self.frontier = Frontier()
        self.newest = ""
        self.log: LogWriter
        self._new: list[bytes] = []
        self._rest = count()

    def request(self) -> str:
        """What it asks to be certified."""
        recipient = bytes([9, *bytes(31)])
        keys = Keys(
            log=self.signer.verifier.vkey,
            witness=self.cosigner.verifier.vkey,
            intake=self.intake.verifier.vkey,
            recipient_id=recipient_key_id(recipient),
            recipient=encode64(recipient),
        )
        wish = Request(
            division=self.division, name=self.division, tier=tier_of(self.division), origin=self.origin, keys=keys
        )
        return make_request(wish, self.signer)

    def fresh(self, at_us: int) -> UUID:
        """An id of its own."""
        return new_id(self.division, at_us // 1000, next(self._rest) % 2**34)

    def say(self, shape: Any, at_us: int, stream: UUID | None, version: int, case: UUID | None, **fields: Any) -> Any:
        """One more event."""
        id_ = fields.pop("id", None) or self.fresh(at_us)
        event: AnyEvent = shape(
            id=EventId(id_),
            stream=StreamId(stream or id_),
            version=version,
            case=None if case is None else CaseId(case),
            node=self.division,
            actor=Actor(account=UUID(int=1), role="handler", unit=f"{self.division}.office"),
            occurred_us=at_us,
            recorded_us=at_us,
            cause=(),
            law="《信访工作条例》第二十二条",
            sealed=fields.pop("sealed", ()),
            **fields,
        )
        self._new.append(encode(event))
        return event

    def seal(self, witness: Ed25519Signer, at_us: int) -> tuple[int, int]:
        """Put what is new under a cosigned head; its first leaf and how many."""
        first = self.frontier.size
        hashes = [leaf_hash(leaf) for leaf in self._new]
        for leaf, digest in zip(self._new, hashes, strict=True):
            self.log.add(leaf, digest)
        self.frontier, _ = self.frontier.extend(hashes)
        text = Checkpoint(self.origin, self.frontier.size, self.frontier.root()).text()
        note = sign_note(text, self.signer).with_lines([cosign(text, witness, at_us // 1_000_000)])
        self.newest = note.to_bytes().decode()
        self.log.checkpoint(self.newest)
        self._new.clear()
        return first, len(hashes)


def make(folder: Path, events: int) -> str:
    """Write a bundle of about so many events, valid in every respect; returns the pin of its root."""
    county = Node(COUNTY)
    villages = [Node(Division(f"4102211{n // 10:02}2{n % 10:02}")) for n in range(VILLAGES)]
    outside = Ed25519Signer("audit.bench.example/witness", COSIGNATURE_V1, bytes(32))
    root, certificates = _certified(county, villages)
    writer = BundleWriter(folder)
    writer.certificates(certificates)
    rounds = max(1, events // (VILLAGES * CASES_A_ROUND * EVENTS_A_CASE + 1))
    sizes = [1 + rounds, *(rounds * CASES_A_ROUND * EVENTS_A_CASE + 1 for _ in villages)]
    for node, size in zip([county, *villages], sizes, strict=True):
        witness = Witness("superior", outside.verifier if node is county else county.cosigner.verifier)
        policy = format_policy(Policy(node.signer.verifier, (witness,), (), "superior"))
        log = writer.log(LogLine(node.origin, f"{node.division}-1", size, None), policy)
        assert log is not None
        node.log = log
    at_us = START_US
    for number, node in enumerate([county, *villages]):
        node.say(NodeOpened, at_us, None, 1, None, origin=node.origin, name=node.division, parent=None)
        _seal(writer, number, node, outside if node is county else county.cosigner, at_us)
    for _ in range(rounds):
        at_us = _round(writer, county, villages, outside, at_us)
    for node in [county, *villages]:
        node.log.finish(node.newest)
    said = Manifest(
        division=COUNTY, name="杞县", origin=county.origin, root=root, made_us=at_us, pos=sum(sizes), left_out=0,
        below=True, openings=False, reader="", files=0, files_sha256="0" * 64,
    )  # fmt: skip
    writer.finish(said, county.signer)
    return root


def _certified(county: Node, villages: list[Node]) -> tuple[str, list[str]]:
    text = make_root(read_request(county.request()), county.signer, START_US, START_US + YEARS_US)
    directory = Directory(fingerprint(text)).adding(text)
    texts = [text]
    for village in villages:
        ends_us = START_US + YEARS_US
        texts.append(enrol(village.request(), COUNTY, county.signer, directory, START_US, ends_us))
        directory = directory.adding(texts[-1])
    return fingerprint(text), texts


def _round(writer: BundleWriter, county: Node, villages: list[Node], outside: Ed25519Signer, at_us: int) -> int:
    """Every village deals with some cases; the county cosigns, and notes what it has."""
    ends_us = at_us
    for number, village in enumerate(villages, start=1):
        now_us = at_us
        for _ in range(CASES_A_ROUND):
            now_us = _case(village, now_us)
        ends_us = max(ends_us, now_us)
        _seal(writer, number, village, county.cosigner, now_us)
    heads = tuple(Head(log=it.origin, size=it.frontier.size, root=encode64(it.frontier.root())) for it in villages)
    county.say(HeadsNoted, ends_us, None, 1, None, heads=heads)
    _seal(writer, 0, county, outside, ends_us)
    return ends_us


def _seal(writer: BundleWriter, number: int, node: Node, witness: Ed25519Signer, at_us: int) -> None:
    first, new = node.seal(witness, at_us)
    for seq in range(first, first + new):
        writer.learned(number, seq, 0 if node.division == COUNTY else 1, START_US if not first else at_us)


def _case(node: Node, at_us: int) -> int:
    """A matter from its registration to its end, read twice: EVENTS_A_CASE events."""
    tick = iter(range(at_us, at_us + STEP_US * (EVENTS_A_CASE + 1), STEP_US))
    case, leg, claim = node.fresh(at_us), LegId(node.fresh(at_us)), ClaimId(node.fresh(at_us))
    subject = node.division + case.hex[:20]
    said = {"body": encode64(case.bytes * 2), f"claim.{claim}": encode64(leg.bytes * 2)}
    sealed = (Sealed(subject=subject, fields=said, ciphertext=encode64(claim.bytes * 2)),)
    unit = f"{node.division}.office"
    node.say(
        Registered, next(tick), case, 1, case, id=case, number="1", channel="visit", matter_class="claim_petition",
        category="020000", issue_region=COUNTY, received_on=FILED_ON, person_count=1, unit=unit, claims=(claim,),
        sealed=sealed,
    )  # fmt: skip
    opened = {"unit": unit, "mode": "registered", "from_leg": None, "sender": None, "report_by": None}
    node.say(LegOpened, next(tick), leg, 1, case, leg=leg, **opened)
    for version in (2, 3):
        node.say(
            MaterialAdded, next(tick), case, version, case, material=UUID(int=version), digest=None, size_bytes=1,
            sealed=sealed,
        )  # fmt: skip
    node.say(Accepted, next(tick), leg, 2, case, leg=leg, kind="substantive", number="2", claims=(claim,))
    for _ in range(2):
        node.say(SealedRead, next(tick), None, 1, case, subject=subject, events=(EventId(case),), purpose="handle")
    answer = Answer(claim=claim, outcome="explain", law="条例第32条", performer=None, perform_by=None)
    paper = node.say(
        OpinionIssued, next(tick), leg, 3, case, leg=leg, number="3", answers=(answer,), sealed=sealed
    )  # fmt: skip
    node.say(Served, next(tick), leg, 4, case, leg=leg, paper=paper.id, method="in_person", served_on=FILED_ON)
    node.say(Closed, next(tick), leg, 5, case, leg=leg, ending="opinion", claims=(claim,))
    return next(tick)


class Measured:
    """One verification in a process of its own. peak_mib: its largest resident size."""

    def __init__(self, folder: Path, root: str) -> None:
        began = time.monotonic()
        command = [sys.executable, "-m", "gateway", "audit", "verify", str(folder), "--root", root]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        self.seconds = time.monotonic() - began
        used = resource.getrusage(resource.RUSAGE_CHILDREN)
        self.cpu_s = used.ru_utime + used.ru_stime
        self.peak_mib = used.ru_maxrss / 1024
        if done.returncode:
            raise RuntimeError(done.stdout[-2_000:] + done.stderr[-2_000:])


def measure(_: PostgresServer) -> Iterator[Line]:
    """A small bundle, so that the figure stands among the others; large ones by the command line of this module."""
    with tempfile.TemporaryDirectory(prefix="huiyin-bench-audit-") as folder:
        root = make(Path(folder) / "bundle", SMALL)
        measured = Measured(Path(folder) / "bundle", root)
        yield Line(f"audit verify, {SMALL} events (peak {measured.peak_mib:.0f} MiB)", ours=SMALL / measured.seconds)


def main() -> None:
    """Make a bundle, verify it, and print what that took."""
    words = argparse.ArgumentParser(description=__doc__)
    words.add_argument("--events", type=int, default=1_000_000)
    words.add_argument("--dir", type=Path, default=None, help="where there is room: about 1 kB an event")
    given = words.parse_args()
    with tempfile.TemporaryDirectory(prefix="huiyin-bench-audit-", dir=given.dir) as folder:
        began = time.monotonic()
        root = make(Path(folder) / "bundle", given.events)
        print(f"{given.events} events written in {time.monotonic() - began:.0f} s", flush=True)
        measured = Measured(Path(folder) / "bundle", root)
        print(
            f"verified in {measured.seconds:.0f} s ({measured.cpu_s:.0f} s of CPU): "
            f"{given.events / measured.seconds:.0f} events/s, peak {measured.peak_mib:.0f} MiB"
        )


if __name__ == "__main__":
    main()
