"""Whom the kept evidence convicts: signatures and proofs alone are asked, never the node that kept it."""

from collections.abc import Iterable, Sequence
from typing import Final, NamedTuple, Protocol

import msgspec

from domain.divisions import Division
from domain.events import AnyEvent, HeadsNoted, KeyDestroyed, KeyGranted, NotCanonical, ShardOpened, Unknown, read
from domain.shards import place_in, shard_before, shard_named
from sync.exchange.evidence import (
    Evidence,
    EvidenceFile,
    KeptKey,
    Met,
    NotedOtherwise,
    ProvenLeaf,
    Split,
    read_evidence,
    read_file,
)
from sync.exchange.faults import Fault, Fork, Outlived
from sync.exchange.wire import Frame, WireInvalid, decode_record
from sync.proofs.merkle import Frontier, FrontierDamaged, ProofInvalid, leaf_hash, verify_consistency, verify_inclusion
from sync.proofs.note import (
    Checkpoint,
    Note,
    NoteInvalid,
    Signed,
    Verifier,
    decode64,
    parse_checkpoint,
    parse_note,
    verify,
)
from sync.proofs.policy import Policy
from sync.proofs.witness import RolledBack
from sync.trust.certificates import Directory
from sync.trust.statements import MAX_SKEW_US, CertificateRefused

_SKEW_S: Final = MAX_SKEW_US // 1_000_000
_BY_ITS_AUTHOR: Final = frozenset({"forked", "shard_not_continued", "kept_key"})


class Verdict(NamedTuple):
    """code: the lie, in stable snake_case. log: what it was about. liars: the names of the keys whose holders signed
    it; where there are several, one of them at least has lied, and who can show what it relied on has not.

    `key_outlived` is no lie of the log's owner where the key was taken back: who holds it, and whether that was signed
    before the word against it came, no signature says. `witness_rolled_back` may be a clock that was wrong.
    """

    code: str
    liars: tuple[str, ...]
    log: str


class NotProven(Exception):
    """The evidence convicts nobody. Keep it: it may still lead to somebody who can be asked."""

    def __init__(self, zh: str, en: str) -> None:
        super().__init__(f"{zh} / {en}")


class Trusted(Protocol):
    """The keys that count, from wherever the one who judges has them."""

    def authors(self, origin: str) -> Sequence[Verifier]:
        """The keys that ever could sign for this log; empty for an unknown one."""

    def witnesses(self, origin: str, size: int) -> Sequence[Verifier]:
        """The keys whose cosignature under a head of this log and size counts."""

    def ended_by(self, note: Note, checkpoint: Checkpoint) -> str:
        """The statement by which the key that signed the note is good for no head of that size; '' for none."""


class ByRoot:
    """What follows from the certificates below a pinned root."""

    def __init__(self, directory: Directory) -> None:
        self._directory = directory

    def authors(self, origin: str) -> Sequence[Verifier]:
        """Every key that the log was certified with."""
        return self._directory.past_authors(origin)

    def witnesses(self, origin: str, size: int) -> Sequence[Verifier]:
        """Of everybody who stands, or stood, above its author."""
        code = self._directory.division_of(origin)
        if code is None:
            return []
        known = [key for _, keys in self._directory.witnesses_above(code).values() for key in keys]
        for one in self._directory.former_parents(code):
            known += self._directory.witnesses(one)
            known += [key for _, keys in self._directory.witnesses_above(one).values() for key in keys]
        return list(dict.fromkeys(known))

    def ended_by(self, note: Note, checkpoint: Checkpoint) -> str:
        """A revocation, or the certificate of the key that followed."""
        try:
            self._directory.check_head(note, checkpoint.origin, checkpoint.size)
        except CertificateRefused as error:
            return error.said_by
        except NoteInvalid:
            return ""  # none of its author's keys signed it
        return ""


class ByPolicies:
    """What published policies say: keys, and nothing of when they end."""

    def __init__(self, policies: Iterable[Policy]) -> None:
        self._policies = {policy.log.name: policy for policy in policies}

    def authors(self, origin: str) -> Sequence[Verifier]:
        """The log's key and those before it."""
        policy = self._policies.get(origin)
        return [] if policy is None else [policy.log, *(before.verifier for before in policy.logs_before)]

    def witnesses(self, origin: str, size: int) -> Sequence[Verifier]:
        """Every one that the policy knows, those that others followed up to where they count."""
        policy = self._policies.get(origin)
        return [key for witness in (policy.witnesses if policy else ()) for key in witness.keys(size)]

    def ended_by(self, note: Note, checkpoint: Checkpoint) -> str:
        """Nothing."""
        return ""


def convict(evidence: Evidence, trusted: Trusted) -> Verdict:
    """Whom this evidence convicts, of what. Raises NotProven, whatever stands in it.

    What a key signed beyond its end shows that it was used, and nothing else of whom it had belonged to.
    """
    try:
        verdict = _contradiction(evidence, trusted)
        is_by_author = verdict.code in _BY_ITS_AUTHOR
        is_ended = is_by_author and any(_is_beyond_its_key(text, trusted) for text in _heads(evidence) if text)
        return verdict._replace(code="key_outlived") if is_ended else verdict
    except (NoteInvalid, ProofInvalid) as error:
        raise NotProven(error.zh, error.en) from None
    except (WireInvalid, FrontierDamaged, NotCanonical, ValueError) as error:
        raise NotProven("证据残缺", f"the evidence is damaged: {error}") from None


def _contradiction(evidence: Evidence, trusted: Trusted) -> Verdict:
    match evidence:
        case Fork():
            return _fork(evidence, trusted)
        case Split():
            return _split(evidence, trusted)
        case NotedOtherwise():
            return _noted_otherwise(evidence, trusted)
        case Outlived():
            return _outlived(evidence, trusted)
        case KeptKey():
            return _kept_key(evidence, trusted)
        case RolledBack():
            return _rolled_back(evidence, trusted)


def _is_beyond_its_key(text: str, trusted: Trusted) -> bool:
    note = parse_note(text.encode())
    return bool(trusted.ended_by(note, parse_checkpoint(note.text)))


# --- by its author --------------------------------------------------------------------------------------------------


def _fork(fork: Fork, trusted: Trusted) -> Verdict:
    theirs = _authored(fork.theirs, trusted)
    before = shard_before(theirs.origin)
    if before is not None and not fork.frontier and _origin_of(fork.ours) in (before, ""):
        return _broken_shard(fork, theirs, before, trusted)
    ours = _authored(fork.ours, trusted)
    if ours.origin != theirs.origin:
        raise NotProven("两个检查点属不同日志", "the two heads are of different logs")
    if theirs.size <= ours.size:
        _require_no_prefix(ours, theirs.size, theirs.root, fork.prefix_root, fork.proof)
    else:
        _require_grown_apart(fork, ours, theirs)
    return Verdict("forked", (ours.origin,), ours.origin)


def _require_no_prefix(ours: Checkpoint, size: int, root: bytes, prefix_root: bytes, proof: Sequence[bytes]) -> None:
    """The tree of `ours` had another root at `size` than the one that was signed or noted."""
    if not 0 < size <= ours.size:
        raise NotProven("大小不可比", f"no head of {size} leaves can be compared with one of {ours.size}")
    if size == ours.size:
        prefix_root = ours.root
    else:
        verify_consistency(size, ours.size, prefix_root, ours.root, proof)
    if prefix_root == root:
        raise NotProven("二者为同一历史", "both are of one history")


def _require_grown_apart(fork: Fork, ours: Checkpoint, theirs: Checkpoint) -> None:
    """The entries lead to `theirs`, and had led to another root than that of `ours` when there were as many."""
    edge, hashes = Frontier.from_bytes(fork.frontier), _entries(fork.record, theirs.origin)
    first, later = hashes[0], hashes[1]
    if not first <= edge.size <= ours.size:
        raise NotProven("条目不从检查点之前开始", "the entries do not begin before the head that they contradict")
    new = later[edge.size - first :]
    there, _ = edge.extend(new[: ours.size - edge.size])
    if edge.extend(new)[0].root() != theirs.root:
        raise NotProven("条目与检查点不符", "the entries do not make the root of the other head")
    if there.size != ours.size or there.root() == ours.root:
        raise NotProven("二者为同一历史", "both are of one history")


def _broken_shard(fork: Fork, theirs: Checkpoint, before: str, trusted: Trusted) -> Verdict:
    """The first leaf of a shard says otherwise where the one before ended than its author had signed there."""
    frame = _frame(fork.record, theirs.origin)
    if frame.first or Frontier().extend([leaf_hash(entry) for entry in frame.entries])[0].root() != theirs.root:
        raise NotProven("条目与检查点不符", "the entries do not make the root of the head")
    verdict = Verdict("shard_not_continued", (theirs.origin,), theirs.origin)
    leaf = _first_leaf(frame)
    if leaf is None or (leaf.origin, leaf.before) != (theirs.origin, before):
        return verdict
    ours = _authored(fork.ours, trusted)
    if leaf.size == ours.size and decode64(leaf.root) != ours.root:
        return verdict
    if leaf.size < ours.size and leaf.why == "year":
        return verdict
    raise NotProven(
        "磁盘丢失者未必记得后来所签", "who has lost its disk need not know what it had signed beyond; ask its superior"
    )


def _first_leaf(frame: Frame) -> ShardOpened | None:
    """What it says of the shard before; null where it says nothing. Raises NotProven for what a newer version wrote."""
    try:
        leaf = read(frame.entries[0])
    except NotCanonical:
        return None
    if isinstance(leaf, Unknown):
        raise NotProven("首条由更新版本写成", "its first leaf was written by a newer version; judge it with that")
    return leaf if isinstance(leaf, ShardOpened) else None


def _outlived(evidence: Outlived, trusted: Trusted) -> Verdict:
    note = _note_of(evidence.record)
    checkpoint = parse_checkpoint(note.text)
    verify(note, trusted.authors(checkpoint.origin))
    if trusted.ended_by(note, checkpoint) != evidence.statement or not evidence.statement:
        raise NotProven("签名时密钥仍有效", "the key was good for what it signed, as far as is known here")
    return Verdict("key_outlived", (checkpoint.origin,), checkpoint.origin)


def _kept_key(evidence: KeptKey, trusted: Trusted) -> Verdict:
    (destroyed, there), (granted, here) = _leaf(evidence.destroyed, trusted), _leaf(evidence.granted, trusted)
    if not isinstance(destroyed, KeyDestroyed) or not isinstance(granted, KeyGranted):
        raise NotProven("两条并非销毁与授予", "the two leaves are not a destruction and a grant")
    if (destroyed.custodian, destroyed.subject) != (granted.node, granted.subject) or destroyed.node != granted.node:
        raise NotProven("两条不属同一机关或同一密钥", "the two leaves are not of one node and one key")
    is_later = place_in(here, evidence.granted.seq) > place_in(there, evidence.destroyed.seq)
    if shard_named(here, 1) != shard_named(there, 1) or not is_later:
        raise NotProven("授予不在销毁之后", "the key was not given on after its destruction was signed")
    return Verdict("kept_key", (here,), here)


def _leaf(proven: ProvenLeaf, trusted: Trusted) -> tuple[AnyEvent | Unknown, str]:
    """What it says, and the log in which it is proven to stand."""
    head = _authored(proven.head, trusted)
    verify_inclusion(proven.seq, head.size, leaf_hash(proven.leaf), proven.path, head.root)
    return read(proven.leaf), head.origin


def _note_of(record: bytes) -> Note:
    """The checkpoint of a frame, or one by itself."""
    try:
        frame = decode_record(record)
    except WireInvalid:
        return parse_note(record)
    if not isinstance(frame, Frame):
        raise NotProven("所附不是日志帧", "the record is no frame of a log")
    return parse_note(frame.checkpoint.encode())


# --- by who stands above --------------------------------------------------------------------------------------------


def _split(evidence: Split, trusted: Trusted) -> Verdict:
    ours, (_, held) = _authored(evidence.ours, trusted), _head(evidence.ours, trusted)
    theirs, said = _head(evidence.theirs, trusted)
    if ours.origin != theirs.origin:
        raise NotProven("两个检查点属不同日志", "the two heads are of different logs")
    _require_no_prefix(ours, theirs.size, theirs.root, evidence.prefix_root, evidence.proof)
    return Verdict(*_blamed(ours.origin, held, said), ours.origin)


def _blamed(origin: str, held: Sequence[Signed], said: Sequence[Signed]) -> tuple[str, tuple[str, ...]]:
    """Who signed both has lied. Else the author, if it signed both where nobody has seen it, or who cosigned without
    its signature: whoever cosigns must be able to show it."""
    both = sorted({one.verifier.name for one in held} & {one.verifier.name for one in said})
    if both == [origin] or origin in both:
        return "forked", (origin,)
    if both:
        return "cosigned_two_histories", tuple(both)
    return "cosigned_otherwise", (origin, *sorted({one.verifier.name for one in said}))


def _noted_otherwise(evidence: NotedOtherwise, trusted: Trusted) -> Verdict:
    head, ours = _authored(evidence.head, trusted), _authored(evidence.ours, trusted)
    verify_inclusion(evidence.seq, head.size, leaf_hash(evidence.leaf), evidence.path, head.root)
    leaf = read(evidence.leaf)
    noted = leaf.heads if isinstance(leaf, HeadsNoted) else ()
    roots = [decode64(one.root) for one in noted if (one.log, one.size) == (ours.origin, evidence.noted_size)]
    if not roots:
        raise NotProven("该条目未记此日志", "the leaf notes no such head of this log")
    _require_no_prefix(ours, evidence.noted_size, roots[0], evidence.prefix_root, evidence.proof)
    return Verdict("noted_otherwise", (ours.origin, head.origin), ours.origin)


def _rolled_back(evidence: RolledBack, trusted: Trusted) -> Verdict:
    """Later by more than clocks may be set back: a superior does not refuse to cosign meanwhile."""
    earlier, first = _head(evidence.earlier, trusted)
    later, then = _head(evidence.later, trusted)
    if earlier.origin != later.origin or later.size >= earlier.size:
        raise NotProven("后签者不更小", "what was signed later is no smaller head of the same log")
    times_s = {one.verifier.name: one.time_s for one in first if one.time_s is not None}
    for one in then:
        before_s = times_s.get(one.verifier.name)
        if one.time_s is not None and before_s is not None and one.time_s > before_s + _SKEW_S:
            return Verdict("witness_rolled_back", (one.verifier.name,), earlier.origin)
    raise NotProven(
        "没有已知密钥的见证方后签更小者（外部见证的密钥须由 --policy 给出）",
        "no witness whose key is known has signed the smaller head later; an outside witness's key a policy names",
    )


# --- reading --------------------------------------------------------------------------------------------------------


def _head(text: str, trusted: Trusted) -> tuple[Checkpoint, list[Signed]]:
    """A head and everybody who signed it and whose word counts. Raises NoteInvalid."""
    note = parse_note(text.encode())
    checkpoint = parse_checkpoint(note.text)
    origin = checkpoint.origin
    return checkpoint, verify(note, [*trusted.authors(origin), *trusted.witnesses(origin, checkpoint.size)])


def _authored(text: str, trusted: Trusted) -> Checkpoint:
    """A head that its own log signed. Raises NoteInvalid."""
    note = parse_note(text.encode())
    checkpoint = parse_checkpoint(note.text)
    verify(note, trusted.authors(checkpoint.origin))
    return checkpoint


def _origin_of(text: str) -> str:
    return text.partition("\n")[0]


def _frame(record: bytes, origin: str) -> Frame:
    frame = decode_record(record)
    if not isinstance(frame, Frame) or frame.log != origin:
        raise NotProven("所附不是该日志的帧", "the record is no frame of this log")
    return frame


def _entries(record: bytes, origin: str) -> tuple[int, list[bytes]]:
    frame = _frame(record, origin)
    return frame.first, [leaf_hash(entry) for entry in frame.entries]


def concerned(evidence: Evidence) -> list[str]:
    """The logs whose keys it takes to check this, each once."""
    return [origin for origin in dict.fromkeys(map(_origin_of, _heads(evidence))) if origin]


def _heads(evidence: Evidence) -> list[str]:
    match evidence:
        case Outlived():
            return [_origin_in(evidence.record)]
        case NotedOtherwise():
            return [evidence.head, evidence.ours]
        case KeptKey():
            return [evidence.destroyed.head, evidence.granted.head]
        case RolledBack():
            return [evidence.earlier]
        case _:
            return [evidence.ours, evidence.theirs]


def _origin_in(record: bytes) -> str:
    try:
        return _note_of(record).text
    except (NoteInvalid, NotProven):
        return ""


def certificates_for(evidence: Evidence | None, directory: Directory) -> list[str]:
    """The statements, superiors first, from which a stranger who knows the root alone gets all these keys."""
    codes = [directory.division_of(origin) for origin in (concerned(evidence) if evidence else [])]
    return list(dict.fromkeys(text for code in codes if code is not None for text in directory.chain(Division(code))))


def file_for(by: str, fault: Fault, met: Met, directory: Directory) -> bytes:
    """The file in which a fault leaves the node `by`, with what a stranger needs to judge it."""
    certificates = certificates_for(read_evidence(fault.evidence), directory)
    told = (fault.kind, fault.subject, fault.detail, met.times, met.first_us, met.last_us)
    return msgspec.json.encode(EvidenceFile(by, *told, fault.evidence, certificates))


class Judged(NamedTuple):
    """An evidence file, and whom it convicts, or why nobody (then verdict is null)."""

    file: EvidenceFile
    verdict: Verdict | None
    why_not: NotProven | None


def judge(data: bytes, root: str | None, policies: Iterable[Policy] = ()) -> Judged:
    """Judge the file in foreign bytes. root: fingerprint of the pinned root's certificate (hex), or null: then only the
    policies say whose keys count. Raises EvidenceUnreadable.
    """
    file = read_file(data)
    known: list[Trusted] = [ByPolicies(policies)]
    if root is not None:
        known.append(ByRoot(Directory(root).adding_what_holds(file.certificates)[0]))
    evidence = read_evidence(file.evidence)
    if evidence is None:
        why = "this fault keeps no two signed statements that contradict each other; it is a trace, no proof"
        return Judged(file, None, NotProven("此故障未留有互相矛盾的签名陈述，只作线索", why))
    try:
        return Judged(file, convict(evidence, _Together(known)), None)
    except NotProven as error:
        return Judged(file, None, error)


class _Together:
    """Keys from several places."""

    def __init__(self, known: Sequence[Trusted]) -> None:
        self._known = known

    def authors(self, origin: str) -> Sequence[Verifier]:
        """Of all of them."""
        return [key for one in self._known for key in one.authors(origin)]

    def witnesses(self, origin: str, size: int) -> Sequence[Verifier]:
        """Of all of them."""
        return [key for one in self._known for key in one.witnesses(origin, size)]

    def ended_by(self, note: Note, checkpoint: Checkpoint) -> str:
        """What any of them says."""
        return next((said for one in self._known if (said := one.ended_by(note, checkpoint))), "")
