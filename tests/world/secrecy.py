"""What must be hidden in a world at rest: what people wrote, in every form that bytes give it, and the keys to it."""

import base64
import json
import re
import zlib
from collections.abc import Iterable, Iterator
from typing import Final
from urllib.parse import quote

from domain.case import CaseFile
from domain.divisions import Division
from domain.events import (
    CaseId,
    HandedOver,
    KeyGranted,
    Objected,
    ObjectionRuled,
    OrderIssued,
    TakenOver,
    Unknown,
    read,
)
from domain.parts import node_of
from sync.sealed.sealing import DataKey, SealBroken
from tests.world.machine import Machine
from tests.world.people import ID_NUMBER, MARK, PHONE
from tests.world.world import World

_STREAM: Final = re.compile(rb"\x78[\x01\x5e\x9c\xda]|\x1f\x8b\x08")
"""How a zlib or gzip stream begins."""


def _needles() -> dict[str, bytes]:
    """Each thing that somebody wrote, in each form, by what to call it."""
    found: dict[str, bytes] = {}
    for name, text in (("a word", MARK), ("a phone number", PHONE), ("an identity number", ID_NUMBER)):
        raw = {code: text.encode(code) for code in ("utf-8", "utf-16-le", "utf-16-be", "gb18030")}
        raw["json"] = json.dumps(text)[1:-1].encode()
        raw["percent"] = quote(text, safe="").encode()
        for code, data in raw.items():
            found[f"{name} in {code}"] = data
            found[f"{name} in {code} and hex"] = data.hex().encode()
            found[f"{name} in {code} and HEX"] = data.hex().upper().encode()
            for ahead in range(3):
                found[f"{name} in {code} and base64, {ahead}"] = _base64_core(data, ahead)
    return found


def _base64_core(data: bytes, ahead: int) -> bytes:
    """The characters of base64 that stand for `data` alone, where so many bytes of the last three come before it."""
    coded = base64.b64encode(bytes(ahead) + data)
    return coded[(ahead * 8 + 5) // 6 : (ahead + len(data)) * 8 // 6]


NEEDLES: Final = _needles()


def kept_secret(world: World) -> Iterator[str]:
    """Nothing that anybody wrote crossed a link, was logged, or is stored on any node, in whatever form."""
    yield from _told("crossed a link", world.links.crossed)
    yield from _told("was logged", (repr(entry).encode() for entry in world.logged))
    stored: dict[bytes, str] = {}
    for machine in world.machines.values():
        stored |= dict.fromkeys(machine.stored(), f"is stored at {machine.here}")
    if any(_told("", stored)):
        for data, where in stored.items():
            yield from _told(where, [data])


def _told(where: str, blobs: Iterable[bytes]) -> Iterator[str]:
    haystack = b"\0".join(blobs)
    haystack += b"\0".join(_unfolded(haystack))
    yield from (f"{name} {where}" for name, needle in NEEDLES.items() if needle in haystack)


def _unfolded(data: bytes) -> Iterator[bytes]:
    """Whatever stands compressed anywhere in it."""
    for start in _STREAM.finditer(data):
        try:
            yield zlib.decompressobj(wbits=47).decompress(data[start.start() :], 1 << 20)
        except zlib.error:
            continue


def keys_kept(world: World) -> Iterator[str]:
    """No node holds a key, or can open one that passes through it, without a duty in that very case."""
    for case in world.city.cases():
        file = world.city.casework.desk.file(case)
        if file is not None and file.registered is not None:
            may_read = _with_a_duty(world.city, case, file)
            for machine in world.machines.values():
                yield from _opened(machine, case, may_read)


def _with_a_duty(city: Machine, case: CaseId, file: CaseFile) -> set[Division]:
    """Who had a leg, was to have one, ruled, supervised, or wrote something down: by what happened in the case."""
    nodes = {leg.node for leg in file.legs.values()}
    for row in city.tables.ledger.of_case(case):
        event = read(row.body)
        match event:
            case Unknown():
                continue
            case HandedOver():
                nodes.add(node_of(event.to))
            case Objected():
                nodes.add(event.ruler)
            case ObjectionRuled():
                nodes.add(node_of(event.holder))
            case OrderIssued() | TakenOver():
                nodes.add(node_of(event.unit))
        if not isinstance(event, KeyGranted) and event.sealed:
            nodes.add(event.node)
    return nodes


def _opened(machine: Machine, case: CaseId, may_read: set[Division]) -> Iterator[str]:
    """Tries the node's own keys on every wrapped key that lies there, whoever it is said to be for."""
    if machine.here in may_read:
        return
    for row in machine.tables.ledger.of_case(case):
        event = read(row.body)
        for part, _ in enumerate(event.grants if isinstance(event, KeyGranted) else ()):
            wrapped = machine.tables.beside.get((row.log_id, row.seq, part))
            if wrapped is not None and _opens(machine, case, event.subject, wrapped):  # type: ignore[union-attr]
                yield f"{machine.here} has no duty in {case} and can open a key of it"


def _opens(machine: Machine, case: CaseId, subject: str, wrapped: bytes) -> bool:
    for key in machine.keys.recipients:
        try:
            DataKey.unwrap(wrapped, key.private, case, subject, machine.here)
        except SealBroken:
            continue
        return True
    return False
