import os
from pathlib import Path

from gateway.restored import RESTORED, Behind, Forked, Restored, Resume, mark_of, may_write, take_mark_away
from sync.merkle import Frontier, leaf_hash

OURS = [leaf_hash(bytes([number])) for number in range(10)]


def root_at(size: int) -> bytes:
    assert size <= len(OURS), "only what stands here can be asked for"
    return Frontier().extend(OURS[:size])[0].root()


def test_a_node_whose_superior_holds_a_part_of_its_log_goes_on() -> None:
    assert may_write(10, root_at, 7, root_at(7)) == Resume()
    assert may_write(10, root_at, 10, root_at(10)) == Resume()


def test_a_node_whose_superior_holds_nothing_goes_on() -> None:
    assert may_write(10, root_at, 0, b"") == Resume()
    assert may_write(0, root_at, 0, b"") == Resume()


def test_a_node_whose_superior_holds_more_writes_nothing() -> None:
    assert may_write(10, root_at, 11, os.urandom(32)) == Behind(own_size=10, held_size=11)
    assert may_write(0, root_at, 1, os.urandom(32)) == Behind(own_size=0, held_size=1)


def test_a_node_whose_superior_holds_other_leaves_writes_nothing() -> None:
    other = Frontier().extend([*OURS[:6], leaf_hash(b"other")])[0].root()
    assert may_write(10, root_at, 7, other) == Forked(held_size=7)


def test_the_mark_stands_until_it_is_taken_away(tmp_path: Path) -> None:
    (tmp_path / "trust").mkdir()
    assert mark_of(tmp_path) is None
    (tmp_path / RESTORED).write_text('{"made_us":5,"pos":9,"own_size":3}')
    assert mark_of(tmp_path) == Restored(made_us=5, pos=9, own_size=3)
    take_mark_away(tmp_path)
    assert mark_of(tmp_path) is None
    take_mark_away(tmp_path)
