from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import psycopg
import pytest

from gateway.backup.backup import make_backup
from gateway.backup.backup_file import Cost
from gateway.backup.restore import Changes, restore_backup
from gateway.backup.restored import RESTORED, Restored, mark_of, take_mark_away
from gateway.hosting.config import Database, Identity, NodeConfig, write
from gateway.hosting.postgres_server import PostgresServer
from tests.sync.hierarchy import CITY, COUNTY, VILLAGE, Hierarchy, Node, hierarchy

PASSPHRASE = "green wheat 1978"


def quiet(_table: str, _size_bytes: int) -> None:
    pass


def save(node: Node, target: Path) -> None:
    folder = target.with_suffix(".folder")
    folder.mkdir()
    tier = "village" if node.division == VILLAGE else "county"
    identity = Identity(division=node.division, name="x", tier=tier, trust_domain="huiyin.example", parent=CITY)
    write(folder, NodeConfig(node=identity))
    make_backup(folder, node.dsn, target, PASSPHRASE, quiet, made_us=1, cost=Cost(64, 1, 1))


def lose_and_restore(node: Node, source: Path, empty: str) -> None:
    """The node's disk is gone; it starts again from the backup."""
    node.crash()
    restore_backup(source, source.with_suffix(".new"), PASSPHRASE, quiet, changes=Changes(database=Database(dsn=empty)))
    node.dsn = empty
    node.start()


@pytest.fixture
def empty(postgres: PostgresServer) -> Iterator[str]:
    """A database without any table; it outlives the nodes."""
    name = f"restored_{uuid4().hex}"
    postgres.create_database(name)
    yield postgres.dsn(name)
    with psycopg.connect(postgres.dsn(), autocommit=True) as conn:
        conn.execute(f'drop database "{name}" with (force)')


@pytest.fixture
def line(postgres: PostgresServer, empty: str) -> Iterator[Hierarchy]:
    with hierarchy(postgres, f"line_{uuid4().hex[:8]}", CITY, COUNTY, VILLAGE) as nodes:
        nodes[VILLAGE].chat(3)
        nodes[COUNTY].chat(2)
        nodes.heal(nodes.all_secured)
        yield nodes


def test_a_restored_node_asks_its_parent_and_goes_on_where_both_agree(
    line: Hierarchy, empty: str, tmp_path: Path
) -> None:
    village = line[VILLAGE]
    save(village, tmp_path / "backup")
    lose_and_restore(village, tmp_path / "backup", empty)
    assert village.exchange.standing() == "unanswered", "nothing has to be called for it to ask"
    line.settle()
    line.heal(lambda: village.exchange.standing() == "agrees")
    village.chat(2)
    line.heal(line.all_secured)
    assert line[CITY].log(village.origin) == village.log(village.origin)
    assert [node.faults() for node in line.nodes.values()] == [{}, {}, {}]


def test_a_node_restored_from_before_its_last_words_learns_that_it_is_behind(
    line: Hierarchy, empty: str, tmp_path: Path
) -> None:
    village, county = line[VILLAGE], line[COUNTY]
    save(village, tmp_path / "backup")
    village.chat(2)
    village.exchange.pump_seal()
    village.exchange.pump_up()  # on its way, and not yet taken in, when the disk is lost
    known = village.log(village.origin)
    lose_and_restore(village, tmp_path / "backup", empty)
    line.heal(lambda: village.exchange.standing() == "behind")
    assert county.log(village.origin) == known
    assert len(village.log(village.origin)) == len(known) - 2


def test_a_parent_restored_from_an_old_backup_gives_its_child_no_number_that_it_had_already(
    line: Hierarchy, empty: str, tmp_path: Path
) -> None:
    village, county = line[VILLAGE], line[COUNTY]
    save(county, tmp_path / "backup")
    ((kept,),) = county.query("select max(seq) from down where child = %s", (VILLAGE,))
    for _ in range(4):  # each is cosigned, so the village has more numbers than the backup knows of
        village.chat(1)
        line.settle()
    ((had,),) = county.query("select down_acked from child where division = %s", (VILLAGE,))
    assert had > kept
    lose_and_restore(county, tmp_path / "backup", empty)
    line.heal(lambda: county.exchange.standing() == "agrees")
    village.chat(1)
    line.heal(lambda: line.all_secured() and line[CITY].log(village.origin) == village.log(village.origin))
    ((first,),) = county.query("select min(seq) from down where child = %s and seq > %s", (VILLAGE, kept))
    assert first > had
    assert "down_lost" in village.faults(), "what was said in between may be lost, and that is not hidden"
    assert county.log(village.origin) == village.log(village.origin)


def test_the_mark_stands_until_it_is_taken_away(tmp_path: Path) -> None:
    (tmp_path / "trust").mkdir()
    assert mark_of(tmp_path) is None
    (tmp_path / RESTORED).write_text('{"made_us":5,"pos":9,"own_size":3}')
    assert mark_of(tmp_path) == Restored(made_us=5, pos=9, own_size=3)
    take_mark_away(tmp_path)
    assert mark_of(tmp_path) is None
    take_mark_away(tmp_path)
