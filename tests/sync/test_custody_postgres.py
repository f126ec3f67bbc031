import base64
import time
from collections.abc import Iterator, Sequence
from datetime import date
from pathlib import Path
from uuid import UUID

import msgspec
import psycopg
import pytest
from psycopg_pool import ConnectionPool

from domain.events import (
    AnyEvent,
    Closed,
    ErasureConfirmed,
    ErasureOrdered,
    EventId,
    KeyDestroyed,
    KeyGranted,
    LegOpened,
    MaterialAdded,
    Registered,
    encode,
    tag_of,
)
from sync.ledger.append import Act, Append, NewEvent
from sync.ledger.reader import register_log
from sync.ledger.writer import Writer
from sync.proofs.merkle import Frontier, MemoryHashes, Prover, leaf_hash, verify_inclusion
from sync.sealed.acts import Destruction, PartsBeside
from sync.sealed.custody import (
    Custody,
    Erased,
    OpeningMissing,
    Placed,
)
from sync.sealed.custody_postgres import PostgresCases
from sync.sealed.sealing import Recipient, SealBroken, seal_texts
from sync.trust.escrow import new_escrow
from sync.trust.keys import NodeKeys, generate_keys, load_keys, rotate_recipient
from tests.sync.chance import Chance
from tests.sync.postgres_acts import Sql
from tests.sync.sealed_case import CASE, CLERK, LEADER, NAME, TEXTS, TOWNSHIP, VILLAGE, envelope, values

ORIGIN = f"huiyin.example/{VILLAGE}/1"


class Village:
    """A village's node as far as sealing goes: its keys, its writer, its custody."""

    def __init__(self, dsn: str, folder: Path) -> None:
        self.dsn = dsn
        self.folder = folder
        self.keys: NodeKeys = load_keys(folder)
        with psycopg.connect(dsn) as conn:
            self.log_id = register_log(conn, ORIGIN, VILLAGE, 1)
        self.pool = ConnectionPool(dsn, min_size=1, max_size=1, open=True)
        self.writer = Writer(dsn, self.log_id, lambda: time.time_ns() // 1000)
        self.writer.start()
        self.chance = Chance(11)
        self.custody = Custody(VILLAGE, self.keys.recipients, PostgresCases(self.pool.connection), self.chance)

    def close(self) -> None:
        self.writer.close()
        self.pool.close()

    def fields(self, account: UUID = CLERK, **fields: object) -> dict[str, object]:
        return envelope(self.chance, VILLAGE, account, **fields)

    def append(self, *events: tuple[AnyEvent, Sequence[bytes]], beside: Sequence[Act] = ()) -> list[Placed]:
        rows = [
            NewEvent(UUID(bytes=event.stream.bytes), event.version, tag_of(event), event.case, encode(event))
            for event, _ in events
        ]
        kept = [PartsBeside(event.stream, event.version, parts) for event, parts in events if parts]
        done = self.writer.append(Append(rows, beside=[*kept, *beside])).result()
        return [Placed(self.log_id, seq, event) for (event, _), seq in zip(events, done.seqs, strict=True)]

    def register(self, escrow: Recipient | None = None) -> tuple[str, Placed]:
        key, wrapped = self.custody.new_subject(CASE, escrow)
        envelope_fields = self.fields(
            id=CASE,
            stream=CASE,
            number="410221100201-2026-0001",
            channel="visit",
            matter_class="claim_petition",
            category="010203",
            issue_region=VILLAGE,
            received_on=date(2026, 1, 5),
            person_count=1,
            unit=f"{VILLAGE}.office",
            claims=(),
        )
        sealed, part = seal_texts(key, envelope_fields["id"], TEXTS, self.chance)
        registered = Registered(**(envelope_fields | {"sealed": (sealed,)}))
        granted = KeyGranted(**self.fields(subject=wrapped.subject, grants=wrapped.grants))
        placed, _ = self.append((registered, [part]), (granted, wrapped.parts))
        return wrapped.subject, placed

    def erase(self, subject: str) -> None:
        erasure, leg = self.chance.id_by(VILLAGE), self.chance.id_by(VILLAGE)
        on, of = {"stream": leg, "leg": leg}, {"stream": erasure, "erasure": erasure, "subject": subject}
        given = {"unit": f"{VILLAGE}.office", "mode": "registered", "from_leg": None, "sender": None, "report_by": None}
        opened = LegOpened(**self.fields(**on, **given))
        closed = Closed(**self.fields(**on, version=2, ending="agreement", claims=()))
        order = ErasureOrdered(**self.fields(**of, id=erasure, ground="retention_ended"))
        confirmed = ErasureConfirmed(**self.fields(LEADER, **of, version=2, custodians=(VILLAGE,)))
        self.append((opened, ()), (closed, ()), (order, ()), (confirmed, ()))
        destroyed = KeyDestroyed(**self.fields(erasure=erasure, subject=subject, custodian=VILLAGE))
        self.append((destroyed, ()), beside=[Destruction(CASE, subject)])
        self.custody.forget(CASE, subject)

    def rows(self, query: str) -> list[tuple[object, ...]]:
        with psycopg.connect(self.dsn) as conn:
            return conn.execute(query).fetchall()


@pytest.fixture
def village(database: str, tmp_path: Path) -> Iterator[Village]:
    generate_keys(tmp_path / "keys", ORIGIN)
    node = Village(database, tmp_path / "keys")
    yield node
    node.close()


def spellings(text: str) -> list[bytes]:
    """How a text might have slipped out: plain, wide, escaped, in hex, in base64 at any offset."""
    raw = text.encode()
    inner = [base64.b64encode(b"\0" * lead + raw)[4 if lead else 0 : -4] for lead in range(3)]
    escaped = text.encode("unicode_escape")
    return [raw, text.encode("utf-16-le"), text.encode("gb18030"), escaped, raw.hex().encode(), *inner]


def everything(village: Village) -> bytes:
    """Every byte of the database and of the key folder."""
    with psycopg.connect(village.dsn) as conn:
        tables = [row[0] for row in conn.execute("select tablename from pg_tables where schemaname = 'public'")]
        columns = [
            bytes(value) if isinstance(value, bytes) else str(value).encode()
            for table in tables
            for row in conn.execute(f'select * from "{table}"').fetchall()
            for value in row
        ]
    return b"\n".join([*columns, *(path.read_bytes() for path in village.folder.iterdir())])


def test_a_registration_is_read_back_from_the_database(village: Village) -> None:
    subject, placed = village.register()
    assert values(village.custody.open(CASE, placed)) == TEXTS
    assert village.custody.key(CASE, subject).subject == subject


def test_nothing_that_is_kept_holds_a_name_or_a_data_key(village: Village) -> None:
    secrets: list[bytes] = []
    chance = village.chance

    class Recording(Chance):
        def __call__(self, count: int) -> bytes:
            secrets.append(chance(count))
            return secrets[-1]

    village.custody = Custody(VILLAGE, village.keys.recipients, PostgresCases(village.pool.connection), Recording(0))
    village.register(Recipient(TOWNSHIP, new_escrow(Chance(9))[0].key))
    kept = everything(village)
    data_key = next(secret for secret in secrets if len(secret) == 32)
    assert b"case.registered.v0" in kept
    assert [spelling for spelling in spellings(NAME) if spelling in kept] == []
    assert data_key not in kept
    assert data_key.hex().encode() not in kept
    assert base64.b64encode(data_key) not in kept


def test_the_scan_would_find_a_name_that_was_kept(village: Village) -> None:
    village.append(
        (MaterialAdded(**village.fields(material=CASE, digest=None, size_bytes=1, law=NAME)), [NAME.encode("gb18030")])
    )
    kept = everything(village)
    assert [spelling for spelling in spellings(NAME) if spelling in kept] == [NAME.encode(), NAME.encode("gb18030")]


def test_rotating_the_key_files_keeps_older_cases_readable(village: Village) -> None:
    _, placed = village.register()
    rotate_recipient(village.folder)
    keys = load_keys(village.folder)
    again = Custody(VILLAGE, keys.recipients, PostgresCases(village.pool.connection), village.chance)
    assert keys.recipient.number == 2
    assert values(again.open(CASE, placed)) == TEXTS


def test_an_erasure_destroys_keys_and_texts_and_every_proof_still_holds(village: Village) -> None:
    subject, placed = village.register()
    query = "select seq, body, leaf from ledger where via = 0 order by seq"
    before = village.rows(query)
    openings = village.custody.open(CASE, placed)

    village.erase(subject)

    assert village.rows("select count(*) from beside") == [(0,)]
    after = village.rows(query)
    assert after[: len(before)] == before
    leaves = [bytes(leaf) for _, _, leaf in after]
    assert leaves == [leaf_hash(bytes(body)) for _, body, _ in after]
    prover = Prover(MemoryHashes(leaves), len(leaves))
    for seq, leaf in enumerate(leaves):
        verify_inclusion(seq, len(leaves), leaf, prover.inclusion(seq), prover.root())
    assert prover.root() == Frontier().extend(leaves)[0].root()
    said = placed.event.sealed[0].fields
    assert all(said[opening.path] == opening.commitment() for opening in openings)  # the citizen's receipt still opens
    with pytest.raises(Erased):
        village.custody.open(CASE, placed)


def test_an_erasure_leaves_the_other_subjects_of_the_case_alone(village: Village) -> None:
    subject, _ = village.register()
    other_key, wrapped = village.custody.new_subject(CASE, None)
    fields = village.fields(material=CASE, digest=None, size_bytes=1)
    both = [seal_texts(other_key, fields["id"], {"note": "证人的话"}, village.chance)]
    both.append(seal_texts(village.custody.key(CASE, subject), fields["id"], {"note": NAME}, village.chance))
    shared = MaterialAdded(**(fields | {"sealed": tuple(sealed for sealed, _ in both)}))
    granted = KeyGranted(**village.fields(subject=wrapped.subject, grants=wrapped.grants))
    placed, _ = village.append((shared, [part for _, part in both]), (granted, wrapped.parts))

    village.erase(subject)

    assert values(village.custody.open(CASE, placed, 0)) == {"note": "证人的话"}
    with pytest.raises(Erased):
        village.custody.open(CASE, placed, 1)


def test_a_destruction_that_is_not_recorded_destroys_nothing(village: Village) -> None:
    subject, placed = village.register()
    destroyed = KeyDestroyed(**village.fields(erasure=CASE, subject=subject, custodian=VILLAGE))
    failing = Sql("select 1 / 0")
    with pytest.raises(psycopg.errors.DivisionByZero):
        village.append((destroyed, ()), beside=[Destruction(CASE, subject), failing])
    village.custody.forget(CASE, subject)
    assert values(village.custody.open(CASE, placed)) == TEXTS


@pytest.mark.parametrize(
    "body", [b'{"type":"newer.v9","sealed":5}', b"[" * 60_000, b'{"sealed":[{"subject":"\\u0000"}]}', b"\xff"]
)
def test_no_strange_event_in_the_case_stops_an_erasure(village: Village, body: bytes) -> None:
    subject, _ = village.register()
    strange = NewEvent(Chance(50).uuid(), 1, "newer.v9", CASE, body)
    village.writer.append(Append([strange])).result()
    village.erase(subject)
    assert village.rows("select count(*) from beside") == [(0,)]


def test_deleting_rows_by_hand_is_told_from_an_erasure(village: Village) -> None:
    subject, placed = village.register()
    with psycopg.connect(village.dsn) as conn:
        conn.execute(*Destruction(CASE, subject).statement())
    with pytest.raises(OpeningMissing):
        village.custody.open(CASE, placed)


def test_texts_opened_with_the_wrong_event_are_refused(village: Village) -> None:
    _, placed = village.register()
    other = msgspec.structs.replace(placed.event, id=EventId(village.chance.uuid()))
    with pytest.raises(SealBroken):
        village.custody.open(CASE, Placed(placed.log_id, placed.seq, other))
