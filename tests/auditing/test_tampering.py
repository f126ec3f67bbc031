"""Every way to change history in a bundle, by an outsider and by who has keys: each is found, by name and place."""

from collections.abc import Callable, Sequence
from datetime import date
from pathlib import Path
from typing import Any
from uuid import UUID

import msgspec
import pytest

from domain.divisions import Division
from domain.events import (
    Actor,
    AnyEvent,
    CaseId,
    Cause,
    ChildEnrolled,
    ErasureConfirmed,
    ErasureOrdered,
    EventId,
    HeadsNoted,
    HolidaysNoticed,
    KeyDestroyed,
    LegId,
    MaterialAdded,
    Registered,
    Sealed,
    SealedRead,
    StreamId,
    TakenOver,
    Unknown,
    decode,
    encode,
    read,
)
from domain.ids import new_id
from gateway.auditing import leaves
from gateway.auditing.bundle import FaultLine, OpeningLine, Run
from gateway.auditing.verifying import Report
from sync.exchange.evidence import split_at
from sync.exchange.faults import fork_below
from sync.proofs.merkle import Frontier, MemoryHashes, leaf_hash
from sync.proofs.note import COSIGNATURE_V1, ED25519, Ed25519Signer, Signer, encode64, parse_note, sign_note
from sync.proofs.policy import PolicyInvalid, parse_policy
from sync.proofs.signed_policy import sign_policy
from sync.proofs.tree import SignedHead, Tree
from sync.sealed.commitment import Opening
from sync.trust.statements import (
    Certificate,
    Keys,
    Request,
    Revocation,
    make_next_root,
    make_revocation,
    read_certificate,
)
from tests.auditing.conftest import Made
from tests.auditing.forging import LogParts, Parts, audited, found, head_of
from tests.gateway.conftest import COUNTY, VILLAGE

MINUTE_US = 60_000_000
HOUR_US = 60 * MINUTE_US

Expected = set[tuple[str, str]]


class Forger:
    """Takes the county's bundle apart, changes it, puts it together and has it audited."""

    def __init__(self, made: Made, folder: Path, source: Path | None = None) -> None:
        self.made = made
        self.parts = Parts.of(source or made.county)
        self.village = self.parts.log(VILLAGE)
        self.county = self.parts.log(COUNTY)
        self._folder = folder
        self._rest = self._forged = 0

    def find(
        self, root: str | None = "", *policies: str, grave: bool = True, is_demonstration: bool = False
    ) -> set[tuple[str, str, int | None]]:
        """What an audit finds now."""
        return found(self.report(root, *policies, is_demonstration=is_demonstration), grave=grave)

    def report(self, root: str | None = "", *policies: str, is_demonstration: bool = False) -> Report:
        """All that it tells."""
        self._forged += 1
        folder = self.parts.write(self._folder / f"forged-{self._forged}", self.made.keys.county)
        pin = self.made.root if root == "" else root
        return audited(folder, pin, *policies, is_demonstration=is_demonstration)

    def leave_out_village(self) -> None:
        number = self.parts.number(VILLAGE)
        self.parts.order = [run for run in self.parts.order if run.log != number]
        self.village.line = msgspec.structs.replace(self.village.line, folder=None, size=0)
        self.parts.openings = [line for line in self.parts.openings if line.log != number]

    def last(self, log: LogParts) -> AnyEvent:
        event = read(log.leaves[-1])
        assert not isinstance(event, Unknown)
        return event

    def fresh(self, maker: Division = VILLAGE) -> UUID:
        self._rest += 1
        return new_id(maker, 1_900_000_000_000, self._rest)

    def event(self, shape: Any, node: Division = VILLAGE, after_us: int = 1, **fields: Any) -> Any:
        """An event of a node that says that it came right after the last one of its log, in a stream of its own."""
        id_ = self.fresh(node)
        at_us = self.last(self.parts.log(node)).recorded_us + after_us
        actor = Actor(account=UUID(int=7), role="leader", unit=f"{node}.office")
        opening = {
            "id": EventId(id_), "stream": StreamId(id_), "version": 1, "case": None, "node": node, "actor": actor,
            "occurred_us": at_us, "recorded_us": at_us, "cause": (), "law": None, "sealed": (),
        }  # fmt: skip
        return shape(**(opening | fields))

    def append(self, *leaves: bytes, at_us: Sequence[int] = (), log: LogParts | None = None) -> int:
        """Leaves at the end of the village's log under heads of its own, each cosigned so long after the last leaf
        before; returns the index of the first."""
        log = log or self.village
        first = len(log.leaves)
        base_us = self.last(log).recorded_us
        for place, leaf in enumerate(leaves):
            log.leaves.append(leaf)
            after_us = at_us[place] if at_us else MINUTE_US
            time_s = (base_us + after_us) // 1_000_000
            log.heads.append(head_of(log, log.leaves, self.made.keys, None if log is self.county else time_s))
            made_us = max(self.parts.manifest.made_us, time_s * 1_000_000)
            self.parts.manifest = msgspec.structs.replace(self.parts.manifest, made_us=made_us)
        if log is not self.county:  # whose witness's key nobody here has
            log.newest = log.heads[-1]
        self.parts.reorder()
        return first

    def resign(self, log: LogParts) -> None:
        self.parts.reorder()
        self.parts.sign_again(log, self.made.keys)

    def registered(self) -> Registered:
        """A case of the village that nobody has erased."""
        for leaf in self.village.leaves:
            event = read(leaf)
            if isinstance(event, Registered):
                return event
        raise AssertionError("nothing is registered")


@pytest.fixture
def forger(made: Made, tmp_path: Path) -> Forger:
    return Forger(made, tmp_path)


def codes(findings: set[tuple[str, str, int | None]]) -> Expected:
    return {(code, division) for code, division, _ in findings}


def prior(log: LogParts, index: int) -> int:
    """The size of the last head that does not reach a leaf."""
    return max([0, *(size for size in log.sizes() if size <= index)])


# --- what is done to leaves under heads that somebody else has signed ------------------------------------------------


@pytest.mark.parametrize("index", [0, 5, -1])
def test_a_leaf_that_was_edited_is_found(forger: Forger, index: int) -> None:
    index %= len(forger.village.leaves)
    forger.village.leaves[index] = forger.village.leaves[index].replace(b'"law":', b'"law" :', 1)
    assert ("root_mismatch", VILLAGE, prior(forger.village, index)) in forger.find()


@pytest.mark.parametrize("index", [0, 5, -1])
def test_a_leaf_that_was_deleted_is_found(forger: Forger, index: int) -> None:
    index %= len(forger.village.leaves)
    del forger.village.leaves[index]
    forger.parts.reorder()
    findings = forger.find()
    is_last = index == len(forger.village.leaves)
    expected = ("head_missing" if is_last else "root_mismatch", VILLAGE)
    assert expected in codes(findings)


def test_two_leaves_that_changed_places_are_found(forger: Forger) -> None:
    leaves = forger.village.leaves
    leaves[3], leaves[4] = leaves[4], leaves[3]
    assert ("root_mismatch", VILLAGE, prior(forger.village, 3)) in forger.find()


def test_a_leaf_that_was_put_in_is_found(forger: Forger) -> None:
    forger.village.leaves.insert(6, encode(forger.event(SealedRead, subject="4" * 32, events=(), purpose="audit")))
    forger.parts.reorder()
    assert ("root_mismatch", VILLAGE, prior(forger.village, 6)) in forger.find()


def test_another_logs_leaf_in_the_place_of_one_is_found(forger: Forger) -> None:
    forger.village.leaves[2] = forger.county.leaves[0]
    findings = forger.find()
    assert ("root_mismatch", VILLAGE, prior(forger.village, 2)) in findings
    assert ("not_canonical", VILLAGE, 2) in findings, "it speaks for the county in the village's log"


def test_an_entry_that_is_not_what_its_tile_says_is_named_by_its_very_index(
    forger: Forger, made: Made, tmp_path: Path
) -> None:
    folder = forger.parts.write(tmp_path / "whole", made.keys.county)
    (bundle,) = (folder / f"logs/{forger.village.line.folder}/tile/entries").glob("000.p/*")
    data = bundle.read_bytes()
    at = data.index(forger.village.leaves[7][:80])
    bundle.write_bytes(data[: at + 30] + bytes([data[at + 30] ^ 1]) + data[at + 31 :])
    findings = found(audited(folder, made.root))
    assert ("tile_mismatch", VILLAGE, 7) in findings
    assert ("file_altered", "", None) in findings


# --- with the keys of the log and of its superior --------------------------------------------------------------------


def test_a_leaf_edited_by_who_has_all_keys_contradicts_what_the_county_had_noted(forger: Forger) -> None:
    event = decode(forger.village.leaves[5])
    forger.village.leaves[5] = encode(msgspec.structs.replace(event, law="条例"))
    forger.resign(forger.village)
    findings = forger.find()
    assert "root_mismatch" not in {code for code, _, _ in findings}
    assert ("noted_otherwise", VILLAGE) in codes(findings)


def test_a_leaf_deleted_by_who_has_all_keys_leaves_a_gap_in_its_stream(forger: Forger) -> None:
    streams = [decode(leaf).stream for leaf in forger.village.leaves]
    index = next(n for n, stream in enumerate(streams) if stream in streams[n + 1 :])
    del forger.village.leaves[index]
    forger.resign(forger.village)
    findings = forger.find()
    assert ("version_gap", VILLAGE) in codes(findings)


def test_two_events_of_a_stream_that_changed_places_are_found_also_by_who_has_all_keys(forger: Forger) -> None:
    leaves = forger.village.leaves
    streams = [decode(leaf).stream for leaf in leaves]
    one = next(n for n, stream in enumerate(streams) if stream in streams[n + 1 :])
    other = streams.index(streams[one], one + 1)
    leaves[one], leaves[other] = leaves[other], leaves[one]
    forger.resign(forger.village)
    findings = forger.find()
    assert ("version_order", VILLAGE, one) in findings


def test_what_is_recorded_before_the_leaf_in_front_of_it_is_found(forger: Forger) -> None:
    index = forger.append(encode(forger.event(SealedRead, after_us=-1, subject="4" * 32, events=(), purpose="audit")))
    assert forger.find() == {("recorded_backwards", VILLAGE, index)}


def test_what_is_dated_back_before_a_cosignature_without_it_is_found(forger: Forger) -> None:
    known, late = (
        encode(forger.event(SealedRead, after_us=us, subject="4" * 32, events=(), purpose="audit"))
        for us in (MINUTE_US, 2 * MINUTE_US)
    )
    index = forger.append(known, late, at_us=[2 * HOUR_US, 4 * HOUR_US])
    assert forger.find() == {("backdated", VILLAGE, index + 1)}


def test_what_was_on_its_way_for_days_together_is_not_called_dated_back(forger: Forger) -> None:
    leaves = [
        encode(forger.event(SealedRead, after_us=us * HOUR_US, subject="4" * 32, events=(), purpose="audit"))
        for us in (1, 2, 3)
    ]
    forger.append(*leaves, at_us=[72 * HOUR_US, 72 * HOUR_US + MINUTE_US, 72 * HOUR_US + 2 * MINUTE_US])
    assert forger.find() == set()


def test_on_a_link_that_always_takes_hours_nothing_is_called_dated_back(forger: Forger) -> None:
    late = [
        encode(forger.event(SealedRead, after_us=n * HOUR_US, subject="4" * 32, events=(), purpose="audit"))
        for n in range(1, 40)
    ]
    forger.append(*late, at_us=[(n + 3) * HOUR_US for n in range(1, 40)])
    early = {index for code, _, index in forger.find() if code == "backdated"}
    first = len(forger.village.leaves) - len(late)
    assert all(index is not None and index < first + 21 for index in early), "once it is known how slow the link is"


def test_a_demonstrations_clock_may_leap_while_things_are_on_their_way(forger: Forger) -> None:
    known, late = (
        encode(forger.event(SealedRead, after_us=us, subject="4" * 32, events=(), purpose="audit"))
        for us in (MINUTE_US, 2 * MINUTE_US)
    )
    forger.append(known, late, at_us=[2 * HOUR_US, 4 * HOUR_US])
    forger.village.policy += "# huiyin:clock simulated\n"
    assert codes(forger.find()) == {("backdated", VILLAGE)}, "nobody is excused by his own word"
    assert forger.find(is_demonstration=True) == set()
    assert forger.find("", forger.village.policy) == set(), "what the auditor has got himself he knows"


def test_what_is_dated_forward_is_found(forger: Forger) -> None:
    event = forger.event(SealedRead, after_us=3 * HOUR_US, subject="4" * 32, events=(), purpose="audit")
    index = forger.append(encode(event), at_us=[HOUR_US])
    assert forger.find() == {("postdated", VILLAGE, index)}


def test_what_is_said_to_have_happened_before_the_last_cosignature_is_a_notice(forger: Forger) -> None:
    first = forger.event(SealedRead, after_us=HOUR_US, subject="4" * 32, events=(), purpose="audit")
    second = forger.event(SealedRead, after_us=5 * HOUR_US, subject="4" * 32, events=(), purpose="audit")
    second = msgspec.structs.replace(second, occurred_us=first.recorded_us)
    index = forger.append(encode(first), encode(second), at_us=[2 * HOUR_US, 5 * HOUR_US])
    assert ("claimed_earlier", VILLAGE, index + 1) in forger.find(grave=False)


def test_a_version_written_twice_and_a_stream_with_two_writers_are_found(forger: Forger) -> None:
    known = decode(forger.village.leaves[1])
    again = forger.event(SealedRead, stream=known.stream, subject="4" * 32, events=(), purpose="audit")
    index = forger.append(encode(again))
    assert forger.find() == {("version_twice", VILLAGE, index)}


def test_a_stream_with_two_writers_is_found(forger: Forger) -> None:
    known = decode(forger.county.leaves[1])
    taken = forger.event(SealedRead, stream=known.stream, version=2, subject="4" * 32, events=(), purpose="audit")
    index = forger.append(encode(taken))
    assert ("two_writers", VILLAGE, index) in forger.find()


def test_67_a_leaf_in_another_spelling_and_one_that_is_no_event_are_found(forger: Forger) -> None:
    body = encode(forger.event(SealedRead, subject="4" * 32, events=(), purpose="audit"))
    index = forger.append(body.replace(b'"law":null', b'"law": null'), b"\xff\x00", b'{"type":"sealed.read.v0"}')
    assert forger.find() == {("not_canonical", VILLAGE, index + n) for n in range(3)}


def test_an_event_of_a_newer_version_is_a_notice(forger: Forger) -> None:
    body = encode(forger.event(SealedRead, subject="4" * 32, events=(), purpose="audit"))
    case = forger.registered().id
    newer = body.replace(b"sealed.read.v0", b"sealed.read.v9").replace(b'"case":null', f'"case":"{case}"'.encode())
    index = forger.append(newer, body.replace(b"sealed.read.v0", b"x"))
    findings = forger.find(grave=False)
    assert {("unknown_type", VILLAGE, index), ("unknown_type", VILLAGE, index + 1)} <= findings


# --- heads -----------------------------------------------------------------------------------------------------------


def test_a_log_cut_before_its_last_signed_head_is_found(forger: Forger) -> None:
    forger.village.leaves.pop()
    forger.parts.reorder()
    findings = forger.find()
    assert ("head_missing", VILLAGE, len(forger.village.leaves)) in findings


def test_a_newest_head_that_was_dropped_is_found(forger: Forger) -> None:
    forger.village.heads.pop()
    covered = forger.village.sizes()[-1]
    assert ("head_missing", VILLAGE, covered) in forger.find()


def test_an_older_head_that_was_dropped_hides_nothing(forger: Forger) -> None:
    del forger.village.heads[0]
    assert forger.find() == set()


def test_heads_out_of_order_or_twice_are_found(forger: Forger) -> None:
    forger.village.heads.insert(0, forger.village.heads[0])
    size = forger.village.sizes()[0]
    assert ("head_order", VILLAGE, size) in forger.find()


def test_a_newest_head_without_its_cosignature_is_found(forger: Forger) -> None:
    log = forger.village
    log.newest = bare(log.newest)
    assert ("newest_not_cosigned", VILLAGE, len(log.leaves)) in forger.find()


def test_heads_that_nobody_cosigned_are_found(forger: Forger) -> None:
    log = forger.village
    log.heads = [bare(head) for head in log.heads]
    log.newest = log.heads[-1]
    assert ("quorum_missing", VILLAGE, 0) in forger.find()


def test_a_newest_cosignature_alone_that_was_stripped_says_that_the_rest_is_not_secured(forger: Forger) -> None:
    log = forger.village
    first = next(n for n, head in enumerate(log.heads) if head != bare(head))
    log.heads = [*log.heads[: first + 1], *(bare(head) for head in log.heads[first + 1 :])]
    log.newest = log.heads[first]
    assert ("not_yet_cosigned", VILLAGE, log.sizes()[first]) in forger.find(grave=False)


def test_a_head_that_its_log_has_not_signed_is_found(forger: Forger) -> None:
    log = forger.village
    note = parse_note(log.heads[-1].encode())
    kept = tuple(line for line in note.signatures if line.name != log.line.origin)
    log.heads[-1] = log.newest = msgspec.structs.replace(note, signatures=kept).to_bytes().decode()
    assert ("head_unsigned", VILLAGE) in codes(forger.find())


def test_a_cosignature_of_the_right_name_that_does_not_verify_is_found(forger: Forger) -> None:
    log = forger.village
    note = parse_note(log.heads[-1].encode())
    false = tuple(
        line
        if line.name == log.line.origin
        else msgspec.structs.replace(line, signature=line.signature[:-1] + bytes([line.signature[-1] ^ 1]))
        for line in note.signatures
    )
    log.heads[-1] = msgspec.structs.replace(note, signatures=false).to_bytes().decode()
    assert ("signature_false", VILLAGE) in codes(forger.find())


def test_another_nodes_head_is_found(forger: Forger) -> None:
    forger.village.heads.append(forger.county.heads[-1])
    findings = forger.find()
    assert {"head_unsigned", "signature_false"} & {code for code, division, _ in findings if division == VILLAGE}


def test_a_newest_head_that_is_not_among_the_kept_ones_is_found(forger: Forger) -> None:
    log = forger.village
    log.newest = head_of(log, log.leaves[:1], forger.made.keys, 1)
    assert ("head_missing", VILLAGE, 1) in forger.find()


def test_a_newest_head_that_is_older_than_the_last_cosigned_one_is_found(forger: Forger) -> None:
    forger.village.newest = forger.village.heads[0]
    assert ("newest_not_cosigned", VILLAGE, forger.village.sizes()[0]) in forger.find()


@pytest.mark.parametrize("head", ["", "no note", "a\n1\nb\n\n— a AAAA\n"])
def test_heads_that_cannot_be_read_are_found(forger: Forger, head: str) -> None:
    forger.village.heads.append(head)
    forger.village.newest = head
    assert ("file_unreadable", VILLAGE) in codes(forger.find())


def test_a_head_cosigned_when_its_authors_certificate_had_run_out_is_found(forger: Forger) -> None:
    ends_us = 40 * 366 * 24 * HOUR_US
    event = forger.event(SealedRead, after_us=ends_us - MINUTE_US, subject="4" * 32, events=(), purpose="audit")
    index = forger.append(encode(event), at_us=[ends_us])
    assert forger.find() == {("expired", VILLAGE, index + 1)}


def taken_back(forger: Forger, size: int) -> str:
    """What the county says of the village's keys: stolen, and good up to this size of its log."""
    log = forger.village
    frontier, _ = Frontier().extend([leaf_hash(leaf) for leaf in log.leaves[:size]])
    revocation = Revocation(
        division=VILLAGE, serial=2, origin=log.line.origin, size=size, root=encode64(frontier.root()), ground="stolen",
        successor=None, standing=(), at_us=forger.last(log).recorded_us,
    )  # fmt: skip
    return make_revocation(revocation, forger.made.keys.county)


def test_what_a_stolen_key_signed_beyond_the_last_good_size_is_found(forger: Forger) -> None:
    size = forger.village.sizes()[0]
    forger.parts.certificates.append(taken_back(forger, size))
    findings = forger.find()
    assert ("head_by_old_key", VILLAGE, None) in findings
    assert ("head_missing", VILLAGE, size) in findings


def test_what_a_stolen_key_signed_up_to_the_last_good_size_stays_good(forger: Forger) -> None:
    forger.parts.certificates.append(taken_back(forger, len(forger.village.leaves)))
    assert forger.find() == set()


def test_a_bundle_signed_by_a_key_that_was_taken_back_is_found(made: Made, tmp_path: Path) -> None:
    forger = Forger(made, tmp_path, made.village)
    forger.parts.certificates.append(taken_back(forger, len(forger.village.leaves)))
    folder = forger.parts.write(tmp_path / "b", made.keys.log(forger.village.line.origin))
    assert ("manifest_unsigned", "", None) in found(audited(folder, made.root))


def bare(head: str | None) -> str:
    """A head without any witness's line."""
    note = parse_note((head or "").encode())
    own = tuple(line for line in note.signatures if line.name == note.text.split("\n")[0])
    return msgspec.structs.replace(note, signatures=own).to_bytes().decode()


# --- whom to trust ---------------------------------------------------------------------------------------------------


def test_without_a_pin_the_report_says_so(forger: Forger) -> None:
    assert ("root_not_pinned", "", None) in forger.find(None, grave=False)


def test_a_bundle_under_another_root_is_found(forger: Forger) -> None:
    findings = forger.find("0" * 64)
    assert {("root_other", ""), ("certificate_refused", ""), ("log_uncertified", VILLAGE)} <= codes(findings)


def test_a_certificate_that_was_left_out_is_found(forger: Forger) -> None:
    forger.parts.certificates.pop()
    assert ("log_uncertified", VILLAGE, None) in forger.find()


def test_a_certificate_that_was_altered_is_found(forger: Forger) -> None:
    forger.parts.certificates[-1] = forger.parts.certificates[-1].replace('"serial":1', '"serial":2')
    assert ("certificate_refused", "", None) in forger.find()


def test_a_manifest_signed_by_another_node_is_found(forger: Forger, made: Made, tmp_path: Path) -> None:
    thief = Ed25519Signer(made.keys.county.verifier.name, ED25519, bytes(32))
    folder = forger.parts.write(tmp_path / "thief", thief)
    assert found(audited(folder, made.root)) == {("manifest_unsigned", "", None)}


STRANGER = Ed25519Signer("stranger.example/witness", COSIGNATURE_V1, bytes(range(32))).verifier.vkey


def test_a_policy_that_asks_for_no_superior_is_found(forger: Forger) -> None:
    log = forger.village
    key = log.policy.split("\n")[0]
    log.policy = f"{key}\nwitness friend {STRANGER}\nquorum friend\n"
    assert ("policy_weak", VILLAGE, None) in forger.find()


def test_a_policy_whose_group_can_do_without_a_superior_is_found(forger: Forger) -> None:
    log = forger.village
    lines = log.policy.split("\n")
    superior = next(line for line in lines if line.startswith("witness"))
    log.policy = f"{lines[0]}\n{superior}\nwitness friend {STRANGER}\ngroup any any {COUNTY} friend\nquorum any\n"
    assert ("policy_weak", VILLAGE, None) in forger.find()


def test_a_policy_of_another_key_is_found(forger: Forger) -> None:
    log = forger.village
    other = Ed25519Signer(log.line.origin, ED25519, bytes(32)).verifier.vkey
    log.policy = f"log {other}\n" + log.policy.partition("\n")[2]
    assert ("policy_key", VILLAGE, None) in forger.find()


@pytest.mark.parametrize("text", ["", "quorum none\n", "\xff"])
def test_a_policy_that_proves_nothing_is_found(forger: Forger, text: str) -> None:
    forger.village.policy = text
    assert ("policy_unreadable", VILLAGE, None) in forger.find()


def test_a_policy_that_the_auditor_got_himself_rules(forger: Forger) -> None:
    told = forger.county.policy
    assert ("witness_not_pinned", COUNTY, None) in forger.find("", grave=False)
    forger.county.policy = "quorum none\n"
    assert forger.find("", told) == set()


def test_a_policy_of_the_auditors_with_another_outside_witness_is_not_met(forger: Forger) -> None:
    key = forger.county.policy.split("\n")[0]
    findings = forger.find("", f"{key}\nwitness office {STRANGER}\nquorum office\n")
    assert ("quorum_missing", COUNTY, 0) in findings


def signed_policy(forger: Forger, serial: int, signer: Signer | None = None) -> str:
    """The county's policy as its root, itself, has signed it."""
    policy = parse_policy(forger.county.policy)
    return sign_policy(policy, serial, signer or forger.made.keys.county)


def test_65_a_policy_that_its_publisher_signed_is_taken_and_an_older_one_is_found(forger: Forger) -> None:
    first, second = signed_policy(forger, 1), signed_policy(forger, 2)
    forger.county.policy = first
    assert forger.find() == set()
    assert forger.find("", first) == set()
    assert forger.find("", second) == {("policy_outdated", COUNTY, None)}
    forger.county.policy = second
    assert forger.find("", first) == set()


def test_65_a_policy_that_somebody_else_signed_is_found(forger: Forger) -> None:
    thief = Ed25519Signer(forger.made.keys.county.verifier.name, ED25519, bytes(32))
    told, false = signed_policy(forger, 3), signed_policy(forger, 3, thief)
    with pytest.raises(PolicyInvalid):
        forger.find("", false)
    forger.county.policy = false
    assert ("policy_unreadable", COUNTY, None) in forger.find()
    assert forger.find("", told) == set()


def test_a_demonstrations_clock_is_a_notice(forger: Forger) -> None:
    forger.village.policy += "# huiyin:clock simulated\n"
    assert ("clock_simulated", VILLAGE, None) in forger.find(grave=False)


# --- between tiers ---------------------------------------------------------------------------------------------------


def test_a_village_that_was_left_out_is_found_by_what_the_county_itself_had_noted(forger: Forger) -> None:
    forger.leave_out_village()
    assert ("log_hidden", VILLAGE) in codes(forger.find())


def test_a_village_that_was_left_out_with_its_certificate_is_found_by_the_leaf_that_enrolled_it(
    forger: Forger,
) -> None:
    forger.leave_out_village()
    forger.parts.certificates = [text for text in forger.parts.certificates if f'"{VILLAGE}"' not in text]
    enrolled = next(n for n, leaf in enumerate(forger.county.leaves) if isinstance(read(leaf), ChildEnrolled))
    findings = forger.find()
    assert ("certificate_left_out", COUNTY, enrolled) in findings
    assert ("log_hidden", VILLAGE) in codes(findings)


def test_a_note_of_a_log_that_nobody_has_certified_is_found(forger: Forger) -> None:
    head = {"log": "test.example/410299000000/1", "size": 1, "root": encode64(bytes(32))}
    event = forger.event(HeadsNoted, COUNTY, heads=(head,))
    index = forger.append(encode(msgspec.convert(msgspec.to_builtins(event), HeadsNoted)), log=forger.county)
    assert forger.find() == {("noted_unknown", COUNTY, index)}


@pytest.mark.parametrize(("code", "via"), [(COUNTY, 1), (COUNTY, 2), (VILLAGE, 0)])
def test_a_way_in_which_nothing_can_have_been_learned_is_found(forger: Forger, code: Division, via: int) -> None:
    number = forger.parts.number(code)
    change = msgspec.structs.replace
    forger.parts.order = [change(run, via=via) if run.log == number else run for run in forger.parts.order]
    first = next(run.first for run in forger.parts.order if run.log == number)
    assert ("order_broken", code, first) in forger.find()


def test_what_is_said_to_have_come_from_below_and_stands_elsewhere_is_found(made: Made, tmp_path: Path) -> None:
    forger = Forger(made, tmp_path, made.village)
    number = forger.parts.number(COUNTY)
    change = msgspec.structs.replace
    forger.parts.order = [change(run, via=1) if run.log == number else run for run in forger.parts.order]
    folder = forger.parts.write(tmp_path / "village", made.keys.log(forger.village.line.origin))
    assert ("order_broken", COUNTY) in codes(found(audited(folder, made.root)))


def test_a_bundle_that_says_it_was_made_before_what_it_holds_is_found(forger: Forger) -> None:
    forger.parts.manifest = msgspec.structs.replace(forger.parts.manifest, made_us=1_700_000_000_000_000)
    assert forger.find() == {("made_earlier", "", None)}


def test_a_manifest_that_denies_what_lies_below_is_found_and_all_is_judged_the_same(forger: Forger) -> None:
    case = forger.registered()
    event = forger.event(MaterialAdded, COUNTY, case=CaseId(case.id), material=UUID(int=1), digest=None, size_bytes=1)
    forger.append(encode(event), log=forger.county)
    expected = forger.find()
    assert expected
    forger.parts.manifest = msgspec.structs.replace(forger.parts.manifest, below=False)
    assert forger.find() == {*expected, ("scope_false", VILLAGE, None)}


def test_a_size_that_one_of_two_has_cosigned_is_not_told_as_cosigned(forger: Forger) -> None:
    (sound,) = [log for log in forger.report().logs if log.origin == forger.village.line.origin]
    assert sound.cosigned_size == sound.size
    lines = [line for line in forger.village.policy.split("\n") if line.startswith(("log", "witness"))]
    two = [*lines, f"witness friend {STRANGER}", f"group two all {lines[1].split()[1]} friend", "quorum two\n"]
    (told,) = [log for log in forger.report("", "\n".join(two)).logs if log.origin == sound.origin]
    assert told.cosigned_size == 0


def test_a_village_frozen_at_an_old_head_is_found(forger: Forger) -> None:
    log = forger.village
    log.heads = log.heads[:1]
    (size,) = log.sizes()
    del log.leaves[size:]
    log.newest = log.heads[0]
    number = forger.parts.number(VILLAGE)
    forger.parts.reorder()
    forger.parts.openings = [line for line in forger.parts.openings if line.log != number or line.seq < size]
    assert ("log_cut", VILLAGE, size) in forger.find()


def test_the_log_of_the_node_itself_cannot_be_left_out(forger: Forger) -> None:
    number = forger.parts.number(COUNTY)
    forger.parts.order = [run for run in forger.parts.order if run.log != number]
    forger.county.line = msgspec.structs.replace(forger.county.line, folder=None, size=0)
    assert ("log_hidden", COUNTY) in codes(forger.find())


def test_a_note_of_another_root_is_found(forger: Forger) -> None:
    noted = next(n for n, leaf in enumerate(forger.county.leaves) if isinstance(read(leaf), HeadsNoted))
    event = decode(forger.county.leaves[noted])
    assert isinstance(event, HeadsNoted)
    (head,) = event.heads
    false = msgspec.structs.replace(head, root=encode64(bytes(32)))
    forger.county.leaves[noted] = encode(msgspec.structs.replace(event, heads=(false,)))
    forger.resign(forger.county)
    assert ("noted_otherwise", VILLAGE, head.size) in forger.find()


def test_a_note_whose_root_is_none_is_found(forger: Forger) -> None:
    origin = forger.village.line.origin
    event = forger.event(HeadsNoted, COUNTY, heads=({"log": origin, "size": 1, "root": encode64(bytes(32))},))
    body = encode(msgspec.convert(msgspec.to_builtins(event), HeadsNoted))
    index = forger.append(body.replace(b'AAA="', b'AAB="'), log=forger.county)
    assert ("not_canonical", COUNTY, index) in forger.find()


def test_two_heads_that_one_author_signed_against_each_other_convict_it(forger: Forger) -> None:
    log, keys = forger.village, forger.made.keys
    hashes = [leaf_hash(leaf) for leaf in log.leaves]
    frontier, _ = Frontier().extend(hashes)
    tree = Tree(1, log.line.origin, frontier, None, 0, None)
    ours = SignedHead(len(hashes), frontier.root(), head_of(log, log.leaves, keys))
    other = [*log.leaves[:2], b"another"]
    edge, _ = Frontier().extend([leaf_hash(leaf) for leaf in other])
    theirs = SignedHead(3, edge.root(), head_of(log, other, keys))
    fork = fork_below(MemoryHashes(hashes), tree, ours, theirs, b"")
    assert fork is not None
    forger.parts.faults.append(fault("fork", log.line.origin, msgspec.msgpack.encode(fork)))
    forger.parts.faults.append(fault("fork", log.line.origin, b"spoiled"))
    findings = forger.find(grave=False)
    assert ("fork", VILLAGE, len(forger.parts.faults) - 2) in findings
    assert ("fault_kept", "", len(forger.parts.faults) - 1) in findings


def test_kept_evidence_that_a_superior_cosigned_two_histories_is_found_with_its_name(forger: Forger) -> None:
    log, keys = forger.village, forger.made.keys
    hashes, other = MemoryHashes([leaf_hash(leaf) for leaf in log.leaves]), [*log.leaves[:2], b"another"]
    frontier, _ = Frontier().extend([leaf_hash(leaf) for leaf in log.leaves])
    theirs = head_of(log, other, keys, 1_700_000_000).partition(f"— {log.line.origin}")[0]
    theirs += f"— {head_of(log, other, keys, 1_700_000_000).rpartition('— ')[2]}"
    ours = head_of(log, log.leaves, keys, 1_700_000_000)
    evidence = split_at(hashes, Tree(1, log.line.origin, frontier, None, 0, None), ours, 3, theirs)
    forger.parts.faults.append(fault("differs_above", log.line.origin, evidence))
    assert ("lie_proven", VILLAGE, len(forger.parts.faults) - 1) in forger.find()


def fault(kind: str, subject: str, evidence: bytes) -> FaultLine:
    return FaultLine(kind, subject, VILLAGE, "", evidence, 1, 0, 0, None)


# --- the order in which things were learned --------------------------------------------------------------------------


def whole_runs(order: list[Run]) -> list[Run]:
    """One run for each leaf."""
    return [
        msgspec.structs.replace(run, first=seq, count=1)
        for run in order
        for seq in range(run.first, run.first + run.count)
    ]


@pytest.mark.parametrize(
    "change",
    [
        lambda runs: runs[:-1],
        lambda runs: [*runs, runs[-1]],
        lambda runs: [runs[1], runs[0], *runs[2:]],
        lambda runs: [*runs, Run(99, 0, 1, 0, runs[-1].known_us)],
        lambda runs: [*runs[:-1], msgspec.structs.replace(runs[-1], known_us=0)],
    ],
    ids=["left out", "twice", "swapped", "unknown log", "clock back"],
)
def test_an_order_that_is_not_that_of_the_logs_is_found(forger: Forger, change: Callable[[Any], Any]) -> None:
    forger.parts.order = change(whole_runs(forger.parts.order))
    assert "order_broken" in {code for code, _, _ in forger.find()}


def test_an_effect_that_was_learned_before_its_cause_is_found(forger: Forger) -> None:
    cause = Cause(id=EventId(forger.fresh()), log=forger.village.line.origin, seq=len(forger.village.leaves) - 1)
    event = forger.event(SealedRead, COUNTY, subject="4" * 32, events=(), purpose="audit", cause=(cause,))
    index = forger.append(encode(event), log=forger.county)
    last = forger.parts.order.pop()
    assert last.log == forger.parts.number(COUNTY)
    number = forger.parts.number(VILLAGE)
    late = max(n for n, run in enumerate(forger.parts.order) if run.log == number)
    moved = msgspec.structs.replace(last, known_us=forger.parts.order[late].known_us)
    known = sum(run.count for run in forger.parts.order[:late] if run.log == moved.log)
    if known < index:
        rest = [run for run in forger.parts.order[late + 1 :] if run.log == moved.log]
        forger.parts.order = [
            *forger.parts.order[:late],
            *(msgspec.structs.replace(run, known_us=moved.known_us) for run in rest),
            moved,
            *(run for run in forger.parts.order[late:] if run not in rest),
        ]
    else:
        forger.parts.order.insert(late, moved)
    assert ("effect_before_cause", COUNTY, index) in forger.find()


@pytest.mark.parametrize("field", ["leaf", "path", "checkpoint"])
def test_a_leaf_from_above_that_is_not_proven_is_found(made: Made, tmp_path: Path, field: str) -> None:
    forger = Forger(made, tmp_path, made.village)
    line = forger.parts.above[0]
    changes = {
        "leaf": line.leaf + b" ",
        "path": (*line.path, bytes(32)),
        "checkpoint": forger.village.heads[0],
    }
    forger.parts.above[0] = msgspec.structs.replace(line, **{field: changes[field]})
    folder = forger.parts.write(tmp_path / "forged", made.keys.log(forger.village.line.origin))
    assert ("enclosure_unproven", COUNTY, line.seq) in found(audited(folder, made.root))


def test_leaves_from_above_that_are_missing_or_too_many_are_found(made: Made, tmp_path: Path) -> None:
    for number, change in enumerate([lambda lines: lines[1:], lambda lines: [*lines, lines[-1]]]):
        forger = Forger(made, tmp_path, made.village)
        forger.parts.above = change(forger.parts.above)
        folder = forger.parts.write(tmp_path / str(number), made.keys.log(forger.village.line.origin))
        assert "order_broken" in {code for code, _, _ in found(audited(folder, made.root))}


# --- what the rules do not allow -------------------------------------------------------------------------------------


def test_an_event_without_right_is_found(forger: Forger) -> None:
    case = forger.registered()
    event = forger.event(MaterialAdded, COUNTY, case=CaseId(case.id), material=UUID(int=1), digest=None, size_bytes=1)
    index = forger.append(encode(event), log=forger.county)
    assert ("without_right", COUNTY, index) in forger.find()


def test_64_an_erasure_that_one_person_confirms_is_found(forger: Forger) -> None:
    index = forger.append(*map(encode, erasure(forger, (7, 7))))
    findings = forger.find()
    assert ("one_person", VILLAGE, index + 1) in findings


def test_a_destruction_that_nobody_ordered_is_found(forger: Forger) -> None:
    _, _, destroyed = erasure(forger, (7, 8))
    index = forger.append(encode(destroyed))
    assert ("destroyed_unordered", VILLAGE, index) in forger.find()


def erasure(forger: Forger, accounts: tuple[int, int]) -> tuple[AnyEvent, AnyEvent, AnyEvent]:
    """The order, the confirmation and the destruction of a case of the village, by these accounts."""
    case = forger.registered()
    subject = case.sealed[0].subject
    ground = {"erasure": None, "subject": subject, "ground": "subject_request"}
    ordered = forger.event(ErasureOrdered, case=CaseId(case.id), actor=by(accounts[0]), **ground)
    ordered = msgspec.structs.replace(ordered, erasure=ordered.id)
    confirmed = forger.event(
        ErasureConfirmed, case=CaseId(case.id), after_us=2, erasure=ordered.id, subject=subject, custodians=(VILLAGE,),
        stream=ordered.stream, version=2, actor=by(accounts[1]),
    )  # fmt: skip
    destroyed = forger.event(
        KeyDestroyed, case=CaseId(case.id), after_us=3, erasure=ordered.id, subject=subject, custodian=VILLAGE
    )
    return ordered, confirmed, destroyed


def by(account: int) -> Actor:
    return Actor(account=UUID(int=account), role="leader", unit=f"{VILLAGE}.office")


# --- sealed texts ----------------------------------------------------------------------------------------------------


def opened_at(forger: Forger) -> int:
    return next(n for n, line in enumerate(forger.parts.openings) if line.openings)


def test_an_opening_that_was_left_out_is_found(forger: Forger) -> None:
    line = forger.parts.openings.pop(opened_at(forger))
    assert forger.find() == {("opening_missing", code_of(forger, line), line.seq)}


@pytest.mark.parametrize("why", ["erased", "no_key", "damaged"])
def test_an_opening_withheld_for_a_reason_that_the_events_do_not_bear_out_is_found(forger: Forger, why: str) -> None:
    at = opened_at(forger)
    line = forger.parts.openings[at]
    forger.parts.openings[at] = msgspec.structs.replace(line, openings=(), withheld=why)
    assert forger.find() == {("opening_missing", code_of(forger, line), line.seq)}


def test_an_opening_of_what_was_erased_is_found(forger: Forger, made: Made) -> None:
    gone = {sealed.commitment() for sealed in made.lost}
    for at, line in enumerate(forger.parts.openings):
        event = decode(forger.parts.logs[line.log].leaves[line.seq])
        if line.withheld == "erased" and set(event.sealed[line.part].fields.values()) == gone:
            forger.parts.openings[at] = msgspec.structs.replace(line, openings=tuple(made.lost), withheld=None)
            assert ("opening_after_erasure", VILLAGE, line.seq) in forger.find()
            return
    raise AssertionError("nothing was erased")


@pytest.mark.parametrize("change", ["value", "salt", "path", "fewer"])
def test_an_opening_that_is_not_what_was_committed_to_is_found(forger: Forger, change: str) -> None:
    at = next(n for n, line in enumerate(forger.parts.openings) if len(line.openings) > 1)
    line = forger.parts.openings[at]
    first, second, *rest = line.openings
    forged: tuple[Opening, ...] = {
        "value": (msgspec.structs.replace(first, value="别的"), second, *rest),
        "salt": (msgspec.structs.replace(first, salt=b"short"), second, *rest),
        "path": (msgspec.structs.replace(first, path=second.path), msgspec.structs.replace(second, path=first.path)),
        "fewer": (second, *rest),
    }[change]
    forger.parts.openings[at] = msgspec.structs.replace(line, openings=forged)
    assert ("opening_wrong", code_of(forger, line), line.seq) in forger.find()


def test_an_opening_given_twice_or_of_nothing_is_found(forger: Forger) -> None:
    line = forger.parts.openings[opened_at(forger)]
    forger.parts.openings += [line, OpeningLine(line.log, 99_999, 0, (), None)]
    count = len(forger.parts.openings)
    assert forger.find() == {("opening_unasked", "", count - 2), ("opening_unasked", "", count - 1)}


def test_a_salt_used_twice_is_found(forger: Forger) -> None:
    case = forger.registered()
    salt = bytes(range(32))
    openings = tuple(Opening(path, salt, "话") for path in ("note", "reason"))
    sealed = Sealed(
        subject=case.sealed[0].subject,
        fields={opening.path: opening.commitment() for opening in openings},
        ciphertext=encode64(bytes(32)),
    )
    event = forger.event(
        MaterialAdded, case=CaseId(case.id), material=UUID(int=1), digest=None, size_bytes=1, sealed=(sealed,)
    )
    index = forger.append(encode(event))
    forger.parts.openings.append(OpeningLine(forger.parts.number(VILLAGE), index, 0, openings, None))
    assert forger.find() == {("salt_reused", VILLAGE, index), ("reading_unnoted", VILLAGE, index)}


def test_texts_opened_without_a_noted_reading_are_found(forger: Forger) -> None:
    number = forger.parts.number(COUNTY)
    kept = [leaf for leaf in forger.county.leaves if not isinstance(read(leaf), SealedRead)]
    assert len(kept) < len(forger.county.leaves)
    forger.county.leaves[:] = kept
    forger.resign(forger.county)
    assert forger.parts.order[-1].log == number or kept
    assert "reading_unnoted" in {code for code, _, _ in forger.find()}


def code_of(forger: Forger, line: OpeningLine) -> str:
    return forger.parts.logs[line.log].line.origin.split("/")[1]


def test_of_one_log_alone_texts_that_the_village_had_destroyed_are_rightly_missing(made: Made) -> None:
    assert found(audited(made.village, made.root)) == set()
    assert ("cases_not_judged", "", None) in found(audited(made.alone, made.root), grave=False)


# --- what else foreign hands may have written ------------------------------------------------------------------------


def test_a_holiday_notice_is_taken_in_and_one_that_contradicts_itself_changes_nothing(forger: Forger) -> None:
    new_year = (date(2027, 1, 1),)
    good = forger.event(HolidaysNoticed, COUNTY, year=2027, off=new_year, working=(), source="国办", edition=1)
    bad = forger.event(HolidaysNoticed, COUNTY, 2, year=2027, off=new_year, working=new_year, source="国办", edition=2)
    forger.append(encode(good), encode(bad), log=forger.county)
    assert forger.find() == set()


def test_a_cause_and_a_take_over_in_logs_that_are_not_here_are_no_reproach_unless_they_lie_below(
    forger: Forger,
) -> None:
    elsewhere = Cause(id=EventId(forger.fresh()), log="test.example/410200000000/1", seq=3)
    unplaced = Cause(id=EventId(forger.fresh()), log=None, seq=None)
    event = forger.event(SealedRead, COUNTY, subject="4" * 32, events=(), purpose="audit", cause=(elsewhere, unplaced))
    forger.append(encode(event), log=forger.county)
    assert forger.find() == set()


def test_a_take_over_names_how_much_of_the_holders_log_was_known(forger: Forger) -> None:
    case = forger.registered()
    id_ = forger.fresh(COUNTY)
    taken = forger.event(
        TakenOver, COUNTY, id=EventId(id_), stream=StreamId(id_), case=CaseId(case.id), leg=LegId(forger.fresh()),
        leg_version=1, last_log=forger.village.line.origin, last_size=10_000, next_leg=LegId(id_),
        unit=f"{COUNTY}.office",
    )  # fmt: skip
    forger.append(encode(taken), log=forger.county)
    assert ("log_cut", VILLAGE, len(forger.village.leaves)) in forger.find()


def test_a_division_that_is_enrolled_and_silent_is_a_notice(forger: Forger) -> None:
    forger.leave_out_village()
    assert ("silent_below", VILLAGE, None) in forger.find(grave=False)


@pytest.mark.parametrize(("days", "is_counted"), [(29, True), (31, False)])
def test_a_cosignature_by_a_superiors_key_that_was_followed_a_month_before_counts_for_nothing(
    forger: Forger, days: int, is_counted: bool
) -> None:
    was = next(one for text in forger.parts.certificates if (one := read_certificate(text)).division == COUNTY)
    village = next(one for text in forger.parts.certificates if (one := read_certificate(text)).division == VILLAGE)
    log = Ed25519Signer(was.origin, ED25519, b"next log".ljust(32))
    witness = Ed25519Signer(f"{was.origin}/witness", COSIGNATURE_V1, b"next witness".ljust(32))
    intake = Ed25519Signer(f"{was.origin}/intake", ED25519, b"next intake".ljust(32))
    keys = msgspec.structs.replace(
        was.keys, log=log.verifier.vkey, witness=witness.verifier.vkey, intake=intake.verifier.vkey
    )
    wish = Request(
        division=COUNTY,
        name=was.name,
        tier=was.tier,
        origin=was.origin,
        keys=keys,
        since_size=len(forger.county.leaves),
    )
    text = make_next_root(wish, log, forger.made.keys.county, was, village.valid_from_us, was.valid_to_us)
    forger.parts.certificates.append(text)
    after_us = days * 24 * HOUR_US
    late = forger.event(SealedRead, after_us=after_us, subject="4" * 32, events=(), purpose="audit")
    before = len(forger.village.leaves)
    forger.append(encode(late), at_us=[after_us])
    (told,) = [log for log in forger.report().logs if log.origin == forger.village.line.origin]
    assert told.size == before + 1
    assert told.cosigned_size == before + is_counted


def test_leaves_that_are_read_in_turns_from_many_logs_need_little_room(
    forger: Forger, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(leaves, "CACHED_BYTES", 1)
    assert forger.find() == set()


def test_what_a_newer_version_wrote_in_no_stream_is_a_notice_also_where_a_log_begins_with_it(forger: Forger) -> None:
    log = forger.village
    cosigned = [len(parse_note(head.encode()).signatures) > 1 for head in log.heads]
    size = log.sizes()[cosigned.index(True)]
    log.leaves[:size] = [b'{"type":"made.up.v9"}'] * size
    forger.resign(log)
    assert ("unknown_type", VILLAGE, 0) in forger.find(grave=False)


def test_a_cause_in_the_own_log_stands_in_its_place_anyway(forger: Forger) -> None:
    cause = Cause(id=EventId(forger.fresh()), log=forger.village.line.origin, seq=1)
    event = forger.event(SealedRead, subject="4" * 32, events=(), purpose="audit", cause=(cause,))
    forger.append(encode(event))
    assert forger.find() == set()


def test_who_is_enrolled_elsewhere_is_not_missed_below(made: Made, tmp_path: Path) -> None:
    forger = Forger(made, tmp_path, made.village)
    model = next(one for text in forger.parts.certificates if (one := read_certificate(text)).division == VILLAGE)
    body = msgspec.json.encode(model).replace(VILLAGE.encode(), b"410221100202")
    wrong = msgspec.json.decode(body, type=Certificate)
    elsewhere = msgspec.structs.replace(wrong, keys=fresh_keys(wrong.origin, wrong.keys))
    text = f"huiyin-certificate/v0\n{msgspec.json.encode(elsewhere).decode()}\n"
    forger.parts.certificates.append(sign_note(text, made.keys.county).to_bytes().decode())
    forger.parts.manifest = msgspec.structs.replace(forger.parts.manifest, below=True)
    folder = forger.parts.write(tmp_path / "village", made.keys.log(forger.village.line.origin))
    assert "silent_below" not in {code for code, _ in codes(found(audited(folder, made.root), grave=False))}


def fresh_keys(origin: str, keys: Keys) -> Keys:
    made_up = [
        Ed25519Signer(name, kind, name.encode()[-32:].rjust(32)).verifier.vkey
        for name, kind in ((origin, ED25519), (f"{origin}/witness", COSIGNATURE_V1), (f"{origin}/intake", ED25519))
    ]
    return msgspec.structs.replace(keys, log=made_up[0], witness=made_up[1], intake=made_up[2])


def test_a_policy_that_a_superior_has_signed_for_the_village_is_taken(forger: Forger) -> None:
    policy = parse_policy(forger.village.policy)
    forger.village.policy = sign_policy(policy, 1, forger.made.keys.county)
    assert forger.find() == set()
    forger.village.policy = sign_policy(policy, 1, Ed25519Signer(policy.log.name, ED25519, bytes(32)))
    assert ("policy_unreadable", VILLAGE, None) in forger.find()
