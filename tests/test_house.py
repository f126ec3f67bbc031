"""The rules of the house, as tests: what the documents claim is there, and what the code promises is documented."""

import re
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

from gateway.config import NodeConfig
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


def test_no_module_has_grown_past_what_one_reads_in_a_sitting() -> None:
    long = {
        str(path.relative_to(ROOT)): n for path in modules() if (n := len(path.read_text("utf-8").splitlines())) > 620
    }
    assert long == {}


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


def test_every_command_that_a_document_shows_exists() -> None:
    shown = {
        match
        for document in DOCUMENTS
        for match in re.findall(r"huiyin ([a-z]+(?: [a-z]+)?)(?=[^\n]*\n)", document.read_text("utf-8"))
    }
    known = _commands()
    wrong = sorted(c for c in shown if c not in known and c.split()[0] not in known)
    assert wrong == []


def _commands() -> set[str]:
    script = """
import typer
from gateway.__main__ import app
def walk(command, path):
    for name, child in getattr(command, "commands", {}).items():
        print(" ".join([*path, name])); walk(child, [*path, name])
walk(typer.main.get_command(app), [])
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, cwd=ROOT)
    return set(done.stdout.split("\n")) - {""}


def test_the_makefile_has_every_target_the_readme_names() -> None:
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE))
    named = set(re.findall(r"`?make ([a-z]+)", (ROOT / "README.md").read_text("utf-8")))
    assert named <= targets


def test_nothing_in_the_rooms_says_it_will_be_done_later() -> None:
    later = re.compile(r"\b(TODO|FIXME|XXX|HACK)\b")
    assert [str(path) for path in modules() if later.search(path.read_text("utf-8"))] == []


def test_every_test_that_the_guarantees_name_exists() -> None:
    named = set(re.findall(r"`(test_\w+)`", (ROOT / "docs" / "guarantees.md").read_text("utf-8")))
    there = {
        m for path in (ROOT / "tests").rglob("*.py") for m in re.findall(r"def (test_\w+)", path.read_text("utf-8"))
    }
    assert sorted(named - there) == []
