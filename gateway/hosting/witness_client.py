"""The log's side of a witness outside the line of command: asks it over HTTP to cosign (C2SP tlog-witness)."""

import time
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Final

import httpx2
import msgspec

from gateway.hosting.config import FurtherWitness, OutsideWitness
from gateway.hosting.status import WitnessStatus
from sync.exchange.channel import ChannelDown
from sync.exchange.exchange import Standing
from sync.exchange.faults import ROLLED_BACK, Fault, contradiction
from sync.exchange.store_postgres import PostgresStore, PostgresTx
from sync.proofs.note import NoteInvalid, parse_note, parse_vkey
from sync.proofs.tree import Latest
from sync.proofs.witness import Question, RolledBack, cosignature_in, question, signed_s, size_held, take_answer

TIMEOUT_S: Final = 10.0
FRESH_S: Final = 3_600.0
"""So often a witness is asked at the least: for the same head, too, under a newer time."""
LATE_S: Final = 2 * FRESH_S
"""After so long without a cosignature, which is two that were missed, a witness is late: an alarm."""

_MAX_ANSWER_BYTES: Final = 64 * 1024
_CONTRADICTIONS: Final = ("behind", "differs_above")
_MEANING: Final[Mapping[int, tuple[str, str]]] = MappingProxyType(
    {
        400: ("见证方读不懂请求，请核对双方版本", "it could not read the request; compare the two programs' versions"),
        403: (
            "见证方登记的日志公钥不同，请其重新登记",
            "it has another key for this log; have it watch the present one",
        ),
        404: ("见证方没有登记本日志，请其登记日志公钥", "it does not know this log; have it watch the log's key"),
        409: ("见证方所存与本日志不符，见故障", "what it holds is not this log's history; see the faults"),
        422: ("见证方所存与本日志不符，见故障", "what it holds is not this log's history; see the faults"),
        429: ("见证方要求放慢，稍后再试", "it asks for fewer requests; it is asked again later"),
        503: ("见证方暂不能签，其时钟可能有误", "it cannot sign now; its clock may be wrong"),
    }
)


class WitnessTrouble(ChannelDown):
    """A witness did not cosign. It is asked again by itself; the words say what its operator or this one's can do."""

    def __init__(self, name: str, zh: str, en: str) -> None:
        super().__init__(f"witness {name}: {zh} / {en}")
        self.zh = zh
        self.en = en


def newest(tx: PostgresTx) -> str | None:
    """The note of the newest own head."""
    return tx.newest_note(tx.own_log())


class WitnessClient:
    """One thread asks, any may ask how it stands. The witness may be down for hours, which only costs lag."""

    def __init__(
        self,
        witness: OutsideWitness | FurtherWitness,
        store: PostgresStore,
        now_us: Callable[[], int],
        head: Callable[[PostgresTx], str | None] = newest,
        elapsed_s: Callable[[], float] = time.monotonic,
        is_sure: Callable[[], bool] = lambda: True,
    ) -> None:
        """head: the note that is to be cosigned. elapsed_s: a clock that never jumps. is_sure: whether now_us is."""
        self._witness = witness
        self._url = witness.url
        self._key = parse_vkey(witness.key)
        self._store = store
        self._now_us = now_us
        self._head = head
        self._elapsed_s = elapsed_s
        self._is_sure = is_sure
        self._held_size: int | None = None
        self._answered_size: int | None = None
        self._answered_s: float | None = None
        self._begun_s = elapsed_s()
        self._standing: Standing = "unanswered"
        self._trouble: WitnessTrouble | None = None
        self._http = httpx2.Client(timeout=TIMEOUT_S)

    @property
    def name(self) -> str:
        """The name of its key."""
        return self._key.name

    def close(self) -> None:
        """Give the connection back."""
        self._http.close()

    def ask(self) -> bool:
        """Ask once, if there is anything to cosign; the first time, and every hour, in any case.

        False, too, where it has to be asked again with the size that it has named. A witness that holds something else
        is a fault, kept with its evidence and over once it cosigns; one that holds less than it has cosigned is a fault
        that stands. Raises WitnessTrouble, so that the next question waits.
        """
        with self._store.transaction() as tx:
            note = self._head(tx)
            if note is None:
                return False
            asked = question(tx, self._key, note, self._held_size, again=self._is_stale())
        if asked is None:
            return False
        try:
            self._take(asked, *self._post(asked))
        except NoteInvalid as error:
            raise self._troubled(error.zh, error.en) from error
        self._trouble = None
        return self._held_size is None

    def _is_stale(self) -> bool:
        return self._answered_s is None or self._elapsed_s() - self._answered_s >= FRESH_S

    def _post(self, asked: Question) -> tuple[int, bytes]:
        body = b""
        try:
            with self._http.stream("POST", f"{self._url}/add-checkpoint", content=asked.body) as answer:
                for chunk in answer.iter_bytes():
                    body += chunk
                    if len(body) > _MAX_ANSWER_BYTES:
                        raise self._troubled("见证方的答复过长", "its answer is too long")
        except (httpx2.HTTPError, httpx2.InvalidURL) as error:
            raise self._troubled("无法连接见证方", f"it cannot be reached at {self._url}: {error}") from error
        return answer.status_code, body

    def _take(self, asked: Question, status: int, body: bytes) -> None:
        against = contradiction(asked, status, body)
        if against is not None:
            self._contradicted(against, status)
        if status not in (200, 409):
            said = body[:200].decode(errors="replace").strip()
            zh, en = _MEANING.get(status, (f"见证方答复 {status}", f"it answered {status}"))
            raise self._troubled(zh, f"{en} ({status}: {said})" if said else en)
        rolled_back = self._rolled_back(asked, size_held(body)) if status == 409 else None
        now_us = self._now_us()
        with self._store.transaction() as tx:
            held_size = take_answer(tx, asked, status, body, self._key, now_us, is_sure=self._is_sure())
            if rolled_back is not None:
                tx.fault([rolled_back], now_us)
            if held_size is None:
                tx.heal(_CONTRADICTIONS, [self._subject(asked)], now_us)
        self._held_size = held_size
        if held_size is None:
            self._answered_size, self._answered_s = asked.checkpoint.size, self._elapsed_s()

    def _contradicted(self, against: Fault, status: int) -> None:
        """It holds another history, or more of it: the fault stands until it cosigns. Raises WitnessTrouble."""
        against = msgspec.structs.replace(against, subject=self._name_of(against.subject))
        with self._store.transaction() as tx:
            tx.fault([against], self._now_us())
        self._standing = "behind" if against.kind == "behind" else "differs"
        zh, en = _MEANING[status]
        raise self._troubled(zh, f"{en}: {against.detail}")

    def _rolled_back(self, asked: Question, held: int) -> Fault | None:
        """The fault of a witness that holds less than it has cosigned: it was put back to an older state.

        To have that in its own hand it is asked to sign a head that it has forgotten to have gone beyond. The smaller
        head under the later time contradicts what it signed before; see sync.proofs.witness.RolledBack.
        """
        with self._store.transaction() as tx:
            latest = tx.latest(tx.own_log(), self.name)
            beyond = tx.head_beyond(tx.own_log(), max(held, 1) - 1)
            if latest is None or held >= latest.size or asked.old_size != latest.size:
                return None
            signed = tx.head_at(tx.own_log(), latest.size)
            smaller = None
            if beyond is not None and beyond.size < latest.size:
                smaller = question(tx, self._key, beyond.note, held, again=True)
        earlier = f"{signed.note if signed else ''}{latest.line}"
        later = "" if smaller is None else self._signed_later(smaller, latest)
        evidence = msgspec.json.encode(RolledBack(earlier, later, held))
        detail = f"{self.name} holds {held} leaves and has cosigned {latest.size}"
        return Fault(ROLLED_BACK, self.name, "", detail, evidence)

    def _signed_later(self, smaller: Question, latest: Latest) -> str:
        status, body = self._post(smaller)
        if status != 200:
            return ""
        line = cosignature_in(body, smaller.checkpoint, self._key)
        note = parse_note(smaller.body.partition(b"\n\n")[2]).with_lines([line])
        return note.to_bytes().decode() if line.time_s > signed_s(latest) else ""

    def _troubled(self, zh: str, en: str) -> WitnessTrouble:
        self._trouble = WitnessTrouble(self.name, zh, en)
        return self._trouble

    def _subject(self, asked: Question) -> str:
        return self._name_of(asked.checkpoint.origin)

    def _name_of(self, origin: str) -> str:
        """What a contradiction is about: the log, as with a superior, or which of the further witnesses says so."""
        return origin if isinstance(self._witness, OutsideWitness) else self.name

    def standing(self) -> Standing:
        """Whether the witness has, since this process began, cosigned the own log as it stands here."""
        with self._store.transaction() as tx:
            size = tx.tree(tx.own_log()).size
        return "agrees" if self._answered_size == size else self._standing

    def status(self, tx: PostgresTx, *, is_demanded: bool) -> WitnessStatus:
        """How it stands. is_demanded: whether no receipt is complete without it."""
        latest = tx.latest(tx.own_log(), self.name)
        trouble = self._trouble
        return WitnessStatus(
            name=self.name,
            url=self._url,
            is_demanded=is_demanded,
            cosigned_size=latest.size if latest else 0,
            signed_us=signed_s(latest) * 1_000_000 if latest else 0,
            is_late=self._silent_s(latest) > LATE_S,
            trouble_zh=trouble.zh if trouble else "",
            trouble_en=trouble.en if trouble else "",
        )

    def _silent_s(self, latest: Latest | None) -> float:
        """For how long it has cosigned nothing: since this process began, and where that is longer, since its last."""
        if self._answered_s is not None:
            return self._elapsed_s() - self._answered_s
        before_s = max(0, self._now_us() - latest.at_us) / 1_000_000 if latest else 0.0
        return max(before_s, self._elapsed_s() - self._begun_s)
