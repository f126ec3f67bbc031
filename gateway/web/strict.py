"""Strict reading: JSON that has one meaning only, and text that shows as what it is."""

import json
import re
import unicodedata
from typing import Any, Final, NoReturn

import msgspec

from gateway.refusals import BodyInvalid, InputInvalid, TextUnsafe

DEPTH_MAX: Final = 16
"""A command nests four levels deep; what goes beyond this is no command."""

_INTEGER_DIGITS_MAX: Final = 18
_STRING = re.compile(rb'"(?:[^"\\]|\\.)*"', re.DOTALL)
_NOT_BRACKET = re.compile(rb"[^\[\]{}]+")
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")
_DIRECTION = re.compile(r"[\u202a-\u202e\u2066-\u2069]")
_INVISIBLE = re.compile(r"[\u00ad\u200b\u2060\ufeff\ufff9-\ufffb]")
_AT = re.compile(r"^(?P<what>.*?)(?: - at `(?P<where>.*)`)?$", re.DOTALL)
_NAMED_FIELD = re.compile(r"(missing required|contains unknown) field `(?P<name>[^`]*)`")


def read_json(raw: bytes, shape: Any) -> Any:
    """The value of `shape` (a Struct or a tagged union of Structs) in the JSON text `raw`.

    Raises BodyInvalid for bytes with no single meaning (double keys, NaN, depth, BOM, huge numbers), TextUnsafe
    for text that hides something, InputInvalid with the field's path for values the shape does not allow.
    """
    _refuse_depth(raw)
    try:
        value = json.loads(
            raw.decode("utf-8"),
            object_pairs_hook=_object,
            parse_int=_integer,
            parse_float=_no_float,
            parse_constant=_no_float,
        )
    except (UnicodeDecodeError, json.JSONDecodeError, RecursionError) as error:
        raise BodyInvalid(
            "请求体不是有效的 UTF-8 JSON，请更正后重试", "the body is no valid JSON in UTF-8; correct it and retry"
        ) from error
    _check_texts(value, "")
    return convert(value, shape)


def convert(value: Any, shape: Any, *, strict: bool = True) -> Any:
    """`value` (builtins) as `shape`. strict=False also reads numbers and booleans from form text. InputInvalid."""
    try:
        return msgspec.convert(value, shape, strict=strict)
    except (msgspec.ValidationError, OverflowError) as error:
        raise _input_invalid(str(error)) from error


def check_text(text: str, field: str | None) -> None:
    """TextUnsafe where `text` has control, direction or invisible characters, or is not in NFC."""
    if _CONTROL.search(text):
        raise _unsafe(field, "控制字符", "control characters")
    if _DIRECTION.search(text):
        raise _unsafe(field, "改变文字方向的字符", "characters that turn the direction of text")
    if _INVISIBLE.search(text):
        raise _unsafe(field, "不可见字符", "invisible characters")
    if any("\ud800" <= letter <= "\udfff" for letter in text):
        raise _unsafe(field, "不完整的字符（孤立代理项）", "half a character (a lone surrogate)")
    if not unicodedata.is_normalized("NFC", text):
        raise _unsafe(field, "未规范化的组合字符（应为 NFC）", "combining characters that are not in NFC")


def tidy(text: str, field: str) -> str:
    """What a person typed or pasted, in NFC with line feeds and without invisible characters; TextUnsafe."""
    plain = unicodedata.normalize("NFC", _INVISIBLE.sub("", text.replace("\r\n", "\n").replace("\r", "\n")))
    check_text(plain, field)
    return plain.strip()


def _refuse_depth(raw: bytes) -> None:
    depth = 0
    for bracket in _NOT_BRACKET.sub(b"", _STRING.sub(b"", raw)):
        depth += 1 if bracket in b"[{" else -1
        if depth > DEPTH_MAX:
            raise BodyInvalid(
                f"请求体嵌套超过{DEPTH_MAX}层，请按接口说明更正",
                f"the body nests deeper than {DEPTH_MAX} levels; see the OpenAPI",
            )


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        names = [name for name, _ in pairs]
        double = next(name for name in names if names.count(name) > 1)
        raise BodyInvalid(
            "请求体中同一字段出现了两次，请只保留一个",
            "a field stands twice in the body; keep only one",
            field=double if double.isprintable() else None,
        )
    return found


def _integer(digits: str) -> int:
    if len(digits) > _INTEGER_DIGITS_MAX:
        raise BodyInvalid("请求体中的整数过大，请更正", "an integer in the body is too large; correct it")
    return int(digits)


def _no_float(_text: str) -> NoReturn:
    raise BodyInvalid("请求体中只能使用整数，请更正", "only whole numbers are used here; correct the body")


def _check_texts(value: Any, path: str) -> None:
    match value:
        case str():
            check_text(value, path or None)
        case list():
            for index, item in enumerate(value):
                _check_texts(item, f"{path}[{index}]")
        case dict():
            for name, item in value.items():
                check_text(name, path or None)
                _check_texts(item, f"{path}.{name}" if path else name)
        case _:
            pass


def _unsafe(field: str | None, zh: str, en: str) -> TextUnsafe:
    return TextUnsafe(
        f"文字中含有{zh}，请重新输入纯文本", f"the text has {en}; type it again as plain text", field=field
    )


def _input_invalid(message: str) -> InputInvalid:
    found = _AT.match(message)
    what, where = (found["what"], found["where"] or "") if found else (message, "")
    named = _NAMED_FIELD.search(what)
    path = ".".join(part for part in (where.removeprefix("$").lstrip("."), named["name"] if named else "") if part)
    return InputInvalid(
        f"“{path or '请求体'}”不符合要求，请按说明更正（{_in_chinese(what)}）",
        f'"{path or "body"}" is not as required ({what}); correct it',
        field=path or None,
    )


_WORDS: Final = (
    (re.compile(r"^Object missing required field .*"), "必填项缺失"),
    (re.compile(r"^Object contains unknown field .*"), "没有这个字段"),
    (re.compile(r"^Invalid (?:enum )?value .*"), "不在可选范围内"),
    (re.compile(r"^Expected `str` matching regex '\\\\S'$"), "不能只填空格"),
    (re.compile(r"^Expected `str` matching regex .*"), "格式不正确"),
    (re.compile(r"^Expected `str` of length >= 1$"), "不能为空"),
    (re.compile(r"^Expected `(?:str|array)` of length >= (\d+)$"), r"长度至少为\1"),
    (re.compile(r"^Expected `(?:str|array)` of length <= (\d+)$"), r"长度至多为\1"),
    (re.compile(r"^Expected `int` >= (\d+)$"), r"不能小于\1"),
    (re.compile(r"^Expected `int` <= (\d+)$"), r"不能大于\1"),
    (re.compile(r"^Invalid UUID$"), "不是有效的 UUID"),
    (re.compile(r"^Invalid RFC3339.*|.*ISO8601.*|^Invalid date.*"), "不是有效的日期"),
    (re.compile(r"^Expected `(.+?)`, got `(.+?)`$"), r"应为 \1，实为 \2"),
)


def _in_chinese(what: str) -> str:
    for pattern, chinese in _WORDS:
        if pattern.match(what):
            return pattern.sub(chinese, what, count=1)
    return what
