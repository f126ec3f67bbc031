import base64
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.bounds import STATEMENT_CHARS
from domain.events import MAX_LEAF_BYTES
from sync.exchange.wire import (
    MAX_EVENT_BYTES,
    MAX_RECORD_BYTES,
    Acknowledge,
    AskDown,
    AskHeld,
    AskRange,
    AskReturn,
    Beside,
    Cosigned,
    Down,
    Enclosure,
    Frame,
    Held,
    Introduction,
    Letter,
    Refused,
    Returned,
    ReturnedAll,
    WireInvalid,
    decode_down,
    decode_item,
    decode_record,
    decode_up,
    encode,
    encode_items,
    signed_bytes,
)
from sync.sealed.sealing import MAX_SEALED_BYTES

GOLDEN = Path(__file__).parent.parent / "golden" / "wire.txt"
LOG = "huiyin.example/410221100201/1"
NOTE = f"{LOG}\n2\n47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=\n\n— {LOG} AAAAAA==\n"
ENTRIES = [b'{"type":"case.withdrawn.v0"}', b'{"type":"case.rated.v0"}']
ITEMS = [
    Cosigned(LOG, 2, b"r" * 32, "— witness AAAAAA==\n"),
    Introduction(["certificate"]),
    Enclosure(["410221100201"], LOG, 1, ENTRIES[0], [b"p" * 32], NOTE, [Beside(1, 0, b"sealed")]),
    AskRange(LOG, 3),
    Refused(LOG, 3, "fork"),
    Held(b"n" * 16, LOG, 2, NOTE),
    Returned(LOG, 3, NOTE, ENTRIES, [Beside(3, 0, b"sealed")]),
    ReturnedAll(b"n" * 16, LOG, 2),
]
SHAPES = {
    "frame": Frame(LOG, 3, NOTE, ENTRIES, [Beside(3, 0, b"sealed")]),
    "letter": Letter("410221100201", "410221100000", b"body", b"s" * 64),
    "acknowledge": Acknowledge(7, 1),
    "ask_down": AskDown(8),
    "ask_held": AskHeld(b"n" * 16),
    "ask_return": AskReturn(b"n" * 16),
    "down": Down(9, 8, encode_items(ITEMS)),
}


def test_every_shape_has_the_bytes_it_was_released_with() -> None:
    kept = dict(line.split(" ") for line in GOLDEN.read_text("ascii").splitlines())

    assert {name: base64.b64encode(encode(shape)).decode() for name, shape in SHAPES.items()} == kept


def test_every_shape_is_read_back_as_it_was_written() -> None:
    for name in ("frame", "letter"):
        assert decode_record(encode(SHAPES[name])) == SHAPES[name]
    for name in ("acknowledge", "ask_down", "ask_held", "ask_return"):
        assert decode_up(encode(SHAPES[name])) == SHAPES[name]
    assert [decode_item(item) for item in decode_down(encode(SHAPES["down"])).items] == ITEMS


def test_what_a_parent_says_is_nothing_a_child_can_say() -> None:
    with pytest.raises(WireInvalid):
        decode_up(encode(SHAPES["down"]))
    with pytest.raises(WireInvalid):
        decode_down(encode(SHAPES["acknowledge"]))


@pytest.mark.parametrize(
    "spoiled",
    [
        Frame(LOG + "\n", 3, NOTE, ENTRIES, []),
        Frame(LOG, -1, NOTE, ENTRIES, []),
        Frame(LOG, 3, NOTE, [], []),
        Frame(LOG, 3, NOTE, [b"x" * 65_536], []),
        Frame(LOG, 3, NOTE, [b"x"] * 501, []),
        Letter("41022110020\0", "410221100000", b"", b"s" * 64),
        Letter("410221100201", "410221100000", b"", b"s" * 63),
    ],
)
def test_what_no_column_or_reader_could_hold_is_refused(spoiled: Frame | Letter) -> None:
    with pytest.raises(WireInvalid):
        decode_record(encode(spoiled))


def test_a_record_beyond_the_limit_is_refused_unread() -> None:
    with pytest.raises(WireInvalid):
        decode_record(b"x" * (MAX_RECORD_BYTES + 1))


@given(st.binary(max_size=300))
def test_any_other_bytes_are_refused_by_name(data: bytes) -> None:
    for decode in (decode_record, decode_up, decode_down):
        with pytest.raises(WireInvalid):
            decode(data)


def test_the_largest_event_with_the_largest_sealed_text_fits_one_record_upward_and_downward() -> None:
    body, text, note = b"x" * MAX_LEAF_BYTES, b"y" * MAX_SEALED_BYTES, "n" * 8_192
    assert len(body) + len(text) <= MAX_EVENT_BYTES
    beside = [Beside(0, 0, text)]
    assert len(encode(Frame("l" * 200, 0, note, [body], beside))) <= MAX_RECORD_BYTES
    enclosure = Enclosure(["410221100201"] * 64, "l" * 200, 0, body, [b"h" * 32] * 63, note, beside)
    chain = ["c" * 2_000] * 8
    letter = encode(Down(1, 0, encode_items([Introduction([*chain, "r" * STATEMENT_CHARS]), enclosure])))
    assert len(encode(Letter("410221100201", "410221100000", letter, b"s" * 64, chain))) <= MAX_RECORD_BYTES


def test_a_signature_over_a_letter_is_good_for_one_reader_only() -> None:
    assert signed_bytes("410221100000", b"x") != signed_bytes("410221100201", b"x")
