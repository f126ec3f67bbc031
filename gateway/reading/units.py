"""The offices that are known here and what people call them."""

import re
from typing import Final

import msgspec

from domain.divisions import Division
from domain.events import Unit
from gateway.hosting.surroundings import OFFICE
from gateway.node import Node
from projections import cases

_UNIT: Final = re.compile(r"\b[0-9]{12}\.[a-z0-9_]{1,24}\b")


class UnitName(msgspec.Struct, frozen=True, kw_only=True):
    """An office by its code and name."""

    unit: Unit
    name: str


def known_units(node: Node) -> dict[Unit, str]:
    """Every office that a matter can be given to from here, by code: own, above and below."""
    offices = dict(node.around.units())
    nodes = {unit[:12] for unit in offices}
    with node.pool.connection() as conn:
        opened = {row.unit: row.name for row in cases.units(conn) if row.node in nodes}
    return offices | {unit: name for unit, name in opened.items() if unit not in offices}


def own_units(node: Node) -> dict[Unit, str]:
    """The offices of this node."""
    return {unit: name for unit, name in known_units(node).items() if unit.startswith(f"{node.here}.")}


class Names:
    """The names of offices and nodes, asked for once a page."""

    def __init__(self, node: Node) -> None:
        self._node = node
        self._units: dict[Unit, str] | None = None

    def unit(self, unit: str) -> str:
        """What people call the office; its node's name, and its code where it was never named here."""
        if self._units is None:
            with self._node.pool.connection() as conn:
                self._units = {row.unit: row.name for row in cases.units(conn)}
        node = self._node.around.name_of(Division(unit[:12]))
        return self._units.get(unit) or (node if unit[13:] == OFFICE else f"{node}（{unit[13:]}）")

    def in_words(self, text: str) -> str:
        """`text` with every code of an office replaced by what people call it."""
        return _UNIT.sub(lambda found: self.unit(found[0]), text)
