"""Where a unit stands: 12-digit division codes, their tiers, and the tree of superiors that routing follows.

Codes are those of GB/T 2260 (six digits: province, city, county) and GB/T 10114 (three for the township,
three for the village). Digits only suggest a superior: districts, regiments and departments are subordinate
as they were enrolled, so a `Topology` decides wherever there is one.
"""

from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Literal, NewType

import msgspec

from domain.errors import DomainError

Division = NewType("Division", str)
Tier = Literal["village", "township", "county", "city"]

_DIGITS = 12
_PREFIXES: tuple[tuple[int, Tier], ...] = ((4, "city"), (6, "county"), (9, "township"), (12, "village"))


class DivisionInvalid(DomainError):
    """Not a division code of one of the four tiers. Correct the code; a retry cannot help."""

    code = "division_invalid"

    def __init__(self, text: str) -> None:
        super().__init__(
            f"“{text[:20]}”不是有效的行政区划代码，请填写市、县、乡、村的12位数字代码",
            f'"{text[:20]}" is no division code; enter the 12 digits of a city, county, township or village',
            field="division",
        )


class DivisionUnknown(DomainError):
    """The topology at hand does not know this division. Enrol it first, or correct the code."""

    code = "division_unknown"

    def __init__(self, code: Division) -> None:
        super().__init__(
            f"层级关系中没有{code}，请核对代码，或先由上级登记该节点",
            f"{code} is not in the topology; check the code, or have its superior enrol it first",
            field="division",
        )


class DivisionNotBelow(DomainError):
    """A way down was asked for between divisions of which one is not above the other. Send it upward."""

    code = "division_not_below"

    def __init__(self, ancestor: Division, descendant: Division) -> None:
        super().__init__(
            f"{descendant}不是{ancestor}的下级，请报上级机关转送",
            f"{descendant} is not below {ancestor}; pass it up to a superior of both",
            field="division",
        )


class TopologyLoop(DomainError):
    """A division would be its own superior. Correct the parents before they are signed."""

    code = "topology_loop"

    def __init__(self, code: Division) -> None:
        super().__init__(
            f"{code}成了自己的上级，请更正层级关系",
            f"{code} would be its own superior; correct the parents given",
            field="parents",
        )


def division(text: str) -> Division:
    """The code in `text`, exactly 12 ASCII digits naming a city or something below one; DivisionInvalid."""
    is_number = len(text) == _DIGITS and text.isascii() and text.isdigit()
    if not is_number or "00" in (text[:2], text[2:4]):
        raise DivisionInvalid(text)
    return Division(text)


def tier_of(code: str) -> Tier:
    """The tier whose digits are the last that are not all zero. A label only; raises DivisionInvalid."""
    valid = division(code)
    return next(tier for digits, tier in _PREFIXES if not valid[digits:].strip("0"))


def parent_of(code: str) -> Division | None:
    """The superior that the digits suggest; None for a city. Raises DivisionInvalid.

    A town directly under a city (441900003000) has no county digits: its superior is the city.
    """
    valid = division(code)
    for digits, _ in reversed(_PREFIXES):
        shorter = valid[:digits].ljust(_DIGITS, "0")
        if shorter != valid:
            return Division(shorter)
    return None


def is_below(code: str, ancestor: str) -> bool:
    """Whether `ancestor` stands strictly above `code` by their digits. Raises DivisionInvalid."""
    above = division(ancestor)
    step = parent_of(code)
    while step is not None and step != above:
        step = parent_of(step)
    return step == above


class Topology(msgspec.Struct, frozen=True):
    """Who stands directly under whom, as enrolled: each division -> its superior; roots have no entry.

    What is neither key nor value here is unknown (DivisionUnknown), however plausible its digits.
    Raises TopologyLoop when made from parents that run in a circle.
    """

    parents: Mapping[Division, Division]

    def __post_init__(self) -> None:
        msgspec.structs.force_setattr(self, "parents", MappingProxyType(dict(self.parents)))
        for code in self.parents:
            seen = {code}
            step = self.parents.get(code)
            while step is not None:
                if step in seen:
                    raise TopologyLoop(step)
                seen.add(step)
                step = self.parents.get(step)

    @classmethod
    def by_digits(cls, divisions: Iterable[Division]) -> "Topology":
        """The tree that the digits suggest among `divisions`; a missing tier is skipped over."""
        known = frozenset(divisions)
        parents: dict[Division, Division] = {}
        for code in sorted(known):
            step = parent_of(code)
            while step is not None and step not in known:
                step = parent_of(step)
            if step is not None:
                parents[code] = step
        return cls(parents)

    def path_up(self, code: Division) -> tuple[Division, ...]:
        """`code` itself, then each superior in turn up to the root. Raises DivisionUnknown."""
        if code not in self.parents and code not in self.parents.values():
            raise DivisionUnknown(code)
        path = [code]
        while (superior := self.parents.get(path[-1])) is not None:
            path.append(superior)
        return tuple(path)

    def is_below(self, code: Division, ancestor: Division) -> bool:
        """Whether `ancestor` stands strictly above `code`. Raises DivisionUnknown."""
        return ancestor in self.path_up(code)[1:]

    def next_hop(self, ancestor: Division, descendant: Division) -> Division:
        """The child of `ancestor` that leads to `descendant`; DivisionUnknown, DivisionNotBelow."""
        path = self.path_up(descendant)
        if ancestor not in path[1:]:
            raise DivisionNotBelow(ancestor, descendant)
        return path[path.index(ancestor) - 1]

    def common_superior(self, a: Division, b: Division) -> Division | None:
        """The nearest division strictly above both (共同的上一级), or None when nobody stands above both.

        Strictly: no organ rules on a dispute in which it takes part itself. Raises DivisionUnknown.
        """
        above_b = self.path_up(b)[1:]
        return next((step for step in self.path_up(a)[1:] if step in above_b), None)
