"""The rules of the house, as tests: what the documents claim is there, and what the code promises is documented."""

import re
import shlex
from pathlib import Path
from typing import Any

import msgspec
import pytest
import typer
from typer.exceptions import TyperException

from gateway.__main__ import app
from gateway.hosting.config import NodeConfig
from tests.domain.write_events_document import document as events_document

ROOT = Path(__file__).parent.parent
ROOMS = ("domain", "projections", "sync", "gateway")
DOCUMENTS = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")])


def modules() -> list[Path]:
    return sorted(path for room in ROOMS for path in (ROOT / room).rglob("*.py"))


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_link_in_a_document_leads_somewhere(document: Path) -> None:
    targets = re.findall(r"\]\(([^)#\s]+)(?:#[^)]*)?\)", document.read_text("utf-8"))
    missing = [t for t in targets if "://" not in t and not (document.parent / t).exists()]
    assert missing == []


def test_every_module_opens_with_a_sentence_that_says_what_it_is_for() -> None:
    silent = [
        str(path.relative_to(ROOT))
        for path in modules()
        if path.read_text("utf-8").strip() and not re.match(r'"""\S.*[.:?]', path.read_text("utf-8"), re.DOTALL)
    ]
    assert silent == []


CATALOGUE_LINES = 700
"""Of `domain/events.py`, which is looked things up in: every stored shape is to stand in one module."""


def test_no_module_has_grown_past_what_one_reads_in_a_sitting() -> None:
    lines = {str(path.relative_to(ROOT)): len(path.read_text("utf-8").splitlines()) for path in modules()}
    assert lines.pop("domain/events.py") <= CATALOGUE_LINES
    assert {name: count for name, count in lines.items() if count > 640} == {}


def test_the_document_of_events_is_what_the_shapes_say() -> None:
    assert (ROOT / "docs" / "events.md").read_text("utf-8") == events_document()


def test_every_setting_of_a_node_is_documented() -> None:
    text = (ROOT / "docs" / "operating.md").read_text("utf-8")

    def names(shape: type, prefix: str = "") -> list[str]:
        found: list[str] = []
        for field in msgspec.structs.fields(shape):
            inner = [t for t in getattr(field.type, "__args__", (field.type,)) if isinstance(t, type)]
            struct = next((t for t in inner if issubclass(t, msgspec.Struct)), None)
            path = f"{prefix}{field.name}"
            found += names(struct, f"{path}.") if struct else [path]
        return found

    assert [name for name in names(NodeConfig) if f"`{name}`" not in text] == []


def _shown(document: Path) -> list[tuple[str, bool]]:
    """Every `huiyin ...` of a document; True for a line to type, False for one that a sentence only names."""
    text = document.read_text("utf-8")
    fences = re.findall(r"^```\w*\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    lines = [line.split("#")[0] for fence in fences for line in fence.replace("\\\n", "").splitlines()]
    typed = [line for line in lines if line.startswith("huiyin ")]
    return [(line, True) for line in typed] + [(line, False) for line in re.findall(r"`(huiyin [^`]+)`", text)]


def _what_is_wrong_with(line: str, *, typed: bool) -> str:
    """What the command line would say to it; a sentence may leave out what is required, a line to type may not."""
    command: Any = typer.main.get_command(app)
    words = shlex.split(line)[1:]
    while words and words[0] in getattr(command, "commands", {}):
        command = command.commands[words.pop(0)]
    try:
        context = command.context_class(command, info_name=line)
        given, left_over, _ = command.make_parser(context).parse_args(words)
    except TyperException as refusal:
        return refusal.format_message()
    missing = [part.name for part in command.params if part.required and given.get(part.name) is None]
    return " ".join([*left_over, *(missing if typed else [])])


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_command_that_a_document_shows_exists_with_these_options(document: Path) -> None:
    shown = _shown(document)
    wrong = {line: said for line, typed in shown if (said := _what_is_wrong_with(line, typed=typed))}
    assert wrong == {}


@pytest.mark.parametrize(
    "line",
    [
        "huiyin nod run DIR",
        "huiyin node walk DIR",
        "huiyin node run DIR --fast",
        "huiyin demo --input",
        "huiyin node run DIR OTHER",
        "huiyin verify receipt FILE",
    ],
)
def test_a_command_that_does_not_exist_is_found_in_a_document(line: str) -> None:
    assert _what_is_wrong_with(line, typed=True)


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_module_that_a_document_tells_to_run_is_there(document: Path) -> None:
    named = re.findall(r"`python -m ([\w.]+)", document.read_text("utf-8"))
    missing = [name for name in named if not _is_run(ROOT / name.replace(".", "/"))]
    assert missing == []


def _is_run(module: Path) -> bool:
    return (module / "__main__.py").exists() or '__name__ == "__main__"' in module.with_suffix(".py").read_text("utf-8")


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_file_that_a_document_names_is_there(document: Path) -> None:
    """Paths that begin with a folder of ours; what a node keeps in its own folder is described, not here."""
    named = re.findall(rf"`((?:{'|'.join((*ROOMS, 'tests', 'docs', 'bench'))})/[\w./-]*)", document.read_text("utf-8"))
    missing = [name for name in named if not (ROOT / name).exists() and not (ROOT / f"{name}.py").exists()]
    assert missing == []


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_the_makefile_has_every_target_that_a_document_names(document: Path) -> None:
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE))
    named = set(re.findall(r"(?:`|^)make ([a-z]+)", document.read_text("utf-8"), re.MULTILINE))
    assert named - targets == set()


def test_nothing_in_the_rooms_says_it_will_be_done_later() -> None:
    later = re.compile(r"\b(TODO|FIXME|XXX|HACK)\b")
    assert [str(path) for path in modules() if later.search(path.read_text("utf-8"))] == []


def _tests_that_exist() -> set[str]:
    return {
        m for path in (ROOT / "tests").rglob("*.py") for m in re.findall(r"def (test_\w+)", path.read_text("utf-8"))
    }


def test_every_test_that_the_guarantees_name_exists() -> None:
    named = set(re.findall(r"`(test_\w+)`", (ROOT / "docs" / "guarantees.md").read_text("utf-8")))
    assert sorted(named - _tests_that_exist()) == []


def _attacks() -> dict[int, str]:
    """Number -> row of the table of attacks."""
    rows = re.findall(r"^\| (\d+) \|(.*)$", (ROOT / "docs" / "security.md").read_text("utf-8"), re.MULTILINE)
    numbers = [int(number) for number, _ in rows]
    assert len(numbers) == len(set(numbers))
    return {int(number): row for number, row in rows}


def test_every_one_of_the_seventy_attacks_has_its_row_and_a_test_or_the_reason_why_there_is_none() -> None:
    attacks = _attacks()
    assert sorted(attacks) == list(range(1, 71))
    untried = [number for number, row in attacks.items() if "`test_" not in row]
    assert [n for n in untried if "no such surface" not in attacks[n] and "Kafka" not in attacks[n]] == []


def test_every_test_that_the_document_of_security_names_exists_and_bears_the_number_of_its_row() -> None:
    text = (ROOT / "docs" / "security.md").read_text("utf-8")
    assert sorted(set(re.findall(r"`(test_\w+)`", text)) - _tests_that_exist()) == []
    misplaced = {
        number: other
        for number, row in _attacks().items()
        if (other := [n for n in re.findall(r"`test_(\d\d)_", row) if int(n) != number])
    }
    assert misplaced == {}
    tried = {number: row for number, row in _attacks().items() if "`test_" in row}
    assert [number for number, row in tried.items() if not re.search(rf"`test_(attacks?_)?{number:02}_", row)] == []
