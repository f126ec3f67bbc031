"""A parent of a newer version says what its child cannot read: the child keeps it, says so, and goes on."""

from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path

import msgspec
import psycopg
import pytest

from domain.events import TAGS
from gateway.hosting.postgres_server import PostgresServer
from sync.exchange import wire
from sync.exchange.status import child_statuses
from sync.exchange.wire import EDITION, Cosigned, Introduction, Item, Up
from tests.sync.hierarchy import NEIGHBOUR, TOWNSHIP, VILLAGE, Hierarchy, Node, hierarchy

EDITIONS = Path(__file__).parent.parent / "golden" / "editions.txt"
NEWER = msgspec.msgpack.encode({"type": "notice.v7", "says": ["something", 1]})


@pytest.fixture
def nodes(postgres: PostgresServer) -> Iterator[Hierarchy]:
    with hierarchy(postgres, "newer", TOWNSHIP, VILLAGE) as built:
        built.settle()
        yield built


def says(parent: Node, *items: bytes) -> int:
    """The parent's next number to the village holds these items; the number."""
    with psycopg.connect(parent.dsn) as conn:
        row = conn.execute(
            "update child set down_size = down_size + 1 where division = %s returning down_size", (VILLAGE,)
        ).fetchone()
        assert row is not None
        body = msgspec.msgpack.encode([msgspec.Raw(item) for item in items])
        conn.execute("insert into down values (%s, %s, %s, 1)", (VILLAGE, row[0], body))
    return int(row[0])


def goes_on(nodes: Hierarchy) -> bool:
    """Whether the village takes its numbers and has what it says cosigned."""
    nodes[VILLAGE].chat(2)
    nodes.settle()
    sizes = nodes[TOWNSHIP].query("select down_size - down_acked from child where division = %s", (VILLAGE,))
    return sizes == [(0,)] and nodes[VILLAGE].secured() == nodes[VILLAGE].size()


@pytest.mark.parametrize("nearby", [False, True])
def test_an_item_of_a_newer_kind_is_kept_and_named_and_all_that_comes_with_and_after_it_is_taken(
    nodes: Hierarchy, nearby: bool
) -> None:
    village, township = nodes[VILLAGE], nodes[TOWNSHIP]
    known = wire.encode(wire.AskRange(village.origin, 0))
    number = says(township, NEWER, known) if nearby else says(township, NEWER)
    assert goes_on(nodes)
    assert village.faults() == {"item_unknown": f"down#{number}.0"}
    assert village.query("select seq, num, item from unread") == [(number, 0, NEWER)]


@pytest.mark.parametrize("item", [b"\xc0", b"\x01", msgspec.msgpack.encode({"type": "refused.v0"})])
def test_an_item_that_is_none_is_named_and_the_rest_of_its_letter_is_taken(nodes: Hierarchy, item: bytes) -> None:
    number = says(nodes[TOWNSHIP], item)
    assert goes_on(nodes)
    assert nodes[VILLAGE].faults() == {"item_invalid": f"down#{number}.0"}


def test_what_an_older_program_could_not_read_is_taken_after_the_upgrade(
    nodes: Hierarchy, monkeypatch: pytest.MonkeyPatch
) -> None:
    village, township = nodes[VILLAGE], nodes[TOWNSHIP]
    neighbour = Node(NEIGHBOUR, "", township.channel, township.clock, township)
    request, valid_from_us = neighbour.request, township.clock.at_us
    with monkeypatch.context() as older:
        older.setattr(wire, "_item", msgspec.msgpack.Decoder(Cosigned))
        older.setattr(wire, "_KINDS", frozenset({"cosigned.v0"}))
        township.exchange.admit(request, valid_from_us, valid_from_us + 10**12, township.recording(NEIGHBOUR))
        assert goes_on(nodes)
        assert set(village.faults()) == {"item_unknown"}
        assert NEIGHBOUR not in village.exchange.trust.directory.topology.parents

    village.crash()
    village.start()
    assert goes_on(nodes)
    assert NEIGHBOUR in village.exchange.trust.directory.topology.parents
    assert (village.faults(), village.query("select * from unread")) == ({}, [])


def test_a_certificate_of_a_newer_shape_is_kept_for_the_upgrade(nodes: Hierarchy) -> None:
    village = nodes[VILLAGE]
    newer = "huiyin-certificate/v7\n{}\n"
    number = says(nodes[TOWNSHIP], wire.encode(Introduction([newer, "no certificate"])))
    assert goes_on(nodes)
    village.crash()
    village.start()
    assert goes_on(nodes)
    assert village.faults()["item_unknown"] == f"down#{number}.0"
    assert village.query("select item from unread") == [(wire.encode(Introduction([newer])),)]


def test_a_parent_is_told_what_its_child_can_read(nodes: Hierarchy) -> None:
    assert goes_on(nodes)
    with nodes[TOWNSHIP].store.transaction() as tx:
        assert [child.knows for child in child_statuses(tx)] == [EDITION]


def test_the_edition_is_raised_with_whatever_can_be_read_beyond_it() -> None:
    kinds = {str(shape.__struct_config__.tag) for shape in (*Item.__args__, *Up.__args__)}
    digest = sha256(" ".join(sorted(TAGS | kinds)).encode()).hexdigest()
    known = dict(line.split(" ") for line in EDITIONS.read_text("ascii").splitlines())
    assert known[str(EDITION)] == digest, f"raise wire.EDITION and add a line: {EDITION + 1} {digest}"
    assert max(map(int, known)) == EDITION
