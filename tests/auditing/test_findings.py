"""The findings and their document, held to each other; and nothing in a finding acts on a terminal."""

import re
from pathlib import Path

from gateway.auditing.findings import DETAIL_CHARS, KINDS_COUNTED, MEANINGS, Findings, harmless

DOCUMENT = Path(__file__).parent.parent.parent / "docs" / "auditing.md"


def test_the_document_of_auditing_explains_every_finding_as_the_program_does() -> None:
    rows = re.findall(r"^\| `(\w+)` \| (\w+) \| (.*) \|$", DOCUMENT.read_text("utf-8"), re.MULTILINE)
    assert rows == [(code, it.severity, f"{it.zh} / {it.en}") for code, it in MEANINGS.items()]


def test_every_finding_says_in_both_languages_what_it_means_and_what_to_do() -> None:
    for code, it in MEANINGS.items():
        for text in (it.zh, it.to_do_zh):
            assert re.search(r"[一-鿿]", text), code
        for text in (it.en, it.to_do_en):
            assert text.isascii(), code


def test_45_what_a_foreign_hand_wrote_cannot_move_the_cursor_or_turn_the_text_around() -> None:
    shown = harmless("a\x1b[2J\r\n\u202egnp.exe\u0000\u2028\U0001f600")
    assert shown.isprintable()
    assert shown.startswith("a\\x1b[2J\\r\\n\\u202egnp.exe\\x00\\u2028")


def test_a_finding_of_any_length_is_told_in_one_line() -> None:
    assert len(harmless("x" * 10_000_000)) == DETAIL_CHARS
    assert harmless("x" * DETAIL_CHARS) == "x" * DETAIL_CHARS


def test_however_many_logs_are_named_what_is_counted_stays_bounded() -> None:
    findings = Findings()
    for number in range(KINDS_COUNTED + 50):
        findings.add("log_hidden", f"log {number}")
    assert len(findings.counts) == KINDS_COUNTED + 1
    assert findings.untold() == {("log_hidden", ""): 30}
