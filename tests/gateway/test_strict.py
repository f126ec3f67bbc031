import pytest

from domain.commands import AnyCommand, Petitioner, Register, Withdraw
from gateway.refusals import BodyInvalid, InputInvalid, TextUnsafe
from gateway.web.strict import convert, read_json, tidy

CASE = "018f3f3e-7b1a-7c00-8000-000000000001"


def withdrawing(reason: str) -> bytes:
    return f'{{"command": "withdraw", "case": "{CASE}", "reason": {reason}}}'.encode()


def test_a_command_is_read_by_its_name() -> None:
    command = read_json(withdrawing('"已协商解决"'), AnyCommand)
    assert isinstance(command, Withdraw)
    assert command.reason == "已协商解决"


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"{",
        b"\xff\xfe{\x00}\x00",
        b"\xef\xbb\xbf{}",
        b'{"a": NaN}',
        b'{"a": -Infinity}',
        b'{"a": 1e400}',
        b'{"a": 1.5}',
        b'{"a": ' + b"9" * 5000 + b"}",
        b"[" * 100_000,
        b"[" * 100_000 + b"]" * 100_000,
        b'{"command": "withdraw", "command": "rate"}',
        b'{"a": {"b": 1, "b": 2}}',
    ],
)
def test_bytes_that_are_not_json_with_one_meaning_are_refused(raw: bytes) -> None:
    with pytest.raises(BodyInvalid):
        read_json(raw, AnyCommand)


@pytest.mark.parametrize(
    "text",
    ['"\\u0000"', '"\\ud800"', '"a\\u202eb"', '"a\\u2066b"', '"e\\u0301"', '"a\\u200bb"', '"\\u001b[31m"', '"\x7f"'],
)
def test_text_that_hides_something_is_refused_with_its_field(text: str) -> None:
    with pytest.raises(TextUnsafe) as refused:
        read_json(withdrawing(text), AnyCommand)
    assert refused.value.field == "reason"


@pytest.mark.parametrize(
    ("raw", "field"),
    [
        (withdrawing('""'), "reason"),
        (withdrawing("5"), "reason"),
        (withdrawing('"x", "actor": "me"'), "actor"),
        (withdrawing('"x", "recorded_us": 1'), "recorded_us"),
        (b'{"command": "withdraw"}', "case"),
        (b'{"command": "close_the_petitioner"}', "command"),
        (b"[]", None),
    ],
)
def test_values_that_the_shape_does_not_allow_are_refused_with_their_path(raw: bytes, field: str | None) -> None:
    with pytest.raises(InputInvalid) as refused:
        read_json(raw, AnyCommand)
    assert refused.value.field == field


def test_a_refusal_says_in_chinese_what_is_wrong() -> None:
    with pytest.raises(InputInvalid, match="不能为空"):
        read_json(withdrawing('""'), AnyCommand)


def test_an_identity_number_of_the_wrong_form_is_refused() -> None:
    with pytest.raises(InputInvalid) as refused:
        convert({"name": "张三", "id_number": "41022119000229001"}, Petitioner)
    assert refused.value.field == "id_number"


def test_numbers_and_truth_values_of_a_form_are_read_from_text() -> None:
    assert convert({"name": "a"}, Petitioner, strict=False) == Petitioner(name="a")
    with pytest.raises(InputInvalid) as refused:
        convert({"person_count": "many"}, Register, strict=False)
    assert refused.value.field in {"person_count", "channel"}


def test_what_a_person_pasted_is_tidied_not_refused() -> None:
    assert tidy(" cafe\u0301\u200b\r\n第二行 ", "body") == "caf\u00e9\n第二行"


def test_a_direction_override_is_never_tidied_away() -> None:
    with pytest.raises(TextUnsafe):
        tidy("abc\u202edef", "body")
