"""The catalogue of refusals: each has its own name, two languages, and a test in which it is met."""

import re
from pathlib import Path

import pytest

from domain import decisions, refusals, refusals_of_papers, sealed, supervision
from domain.refusals import Refusal

MODULES = (refusals, refusals_of_papers, sealed, supervision)
CATALOGUE = sorted(
    {
        shape
        for module in MODULES
        for shape in vars(module).values()
        if isinstance(shape, type) and issubclass(shape, Refusal) and shape is not Refusal
    },
    key=lambda shape: shape.__name__,
)
TESTS = "\n".join(path.read_text("utf-8") for path in Path(__file__).parent.glob("test_*.py"))


def test_the_door_to_the_rules_knows_them_all() -> None:
    assert len(CATALOGUE) > 50
    assert decisions.decide.__doc__


def test_no_two_refusals_share_a_code() -> None:
    codes = [shape.code for shape in CATALOGUE]
    assert len(set(codes)) == len(codes)


@pytest.mark.parametrize("shape", CATALOGUE, ids=lambda shape: shape.__name__)
def test_a_refusal_says_in_two_languages_what_is_wrong_and_what_to_do(shape: type[Refusal]) -> None:
    zh, en = shape.says
    assert re.fullmatch(r"[a-z]+(_[a-z]+)*", shape.code)
    assert re.search("[一-鿿]{4}", zh)
    assert en.isascii()
    assert re.search("[，；]", zh), "the sentence says what is wrong, then what to do"
    assert re.search("[;,]", en)
    assert set(re.findall(r"{(\w+)}", zh)) >= set(re.findall(r"{(\w+)}", en)) - {"role", "en_roles", "en"}
    assert shape.__doc__


@pytest.mark.parametrize("shape", CATALOGUE, ids=lambda shape: shape.__name__)
def test_every_refusal_is_met_in_a_test(shape: type[Refusal]) -> None:
    assert re.search(rf"refused\(\s*{shape.__name__},", TESTS)
