"""The auditor's pages: at every step they show what the projections show as of that moment, forwards and backwards."""

import re
from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest
from playwright.sync_api import Browser as Chromium

from domain.commands import Accept, Claim, Close, HandOver, Petitioner, Register
from domain.events import Actor, CaseId, ClaimId, LegOpened, Registered, Role
from gateway.auditing.judging import judge
from gateway.auditing.trusting import Pins
from gateway.dossier import making, of_node
from gateway.dossier.deriving import derive
from gateway.dossier.shape import read_files
from gateway.node import Node
from gateway.reading import knowing
from gateway.reading import office_history as office_history_of
from gateway.reading.history import History
from gateway.reading.knowing import case_history
from gateway.reading.office_history import office_history
from projections import duties
from projections.moment import Moment, position_at
from projections.timeline import timeline
from sync.ledger import reader as ledger_reader
from sync.trust.keys import CommandId
from tests.gateway import test_browser
from tests.gateway.conftest import COUNTY, VILLAGE, Browser, Office, Town, free_port, serve, wait_until
from tests.gateway.test_browser import open_page, overflow_px, sign_in

NAME = "张桂兰"


def give(node: Node, command: object, role: Role) -> list[object]:
    actor = Actor(account=UUID(int=1), role=role, unit=node.office)
    return list(node.desk.do(command, actor, CommandId(uuid4())).events)  # type: ignore[arg-type]


def petition() -> Register:
    """What the village registers."""
    return Register(
        channel="visit",
        matter_class="claim_petition",
        category="020000",
        issue_region=VILLAGE,
        received_on=date(2026, 1, 5),
        petitioner=Petitioner(name=NAME, phone="13900000000"),
        title="大棚补偿",
        body="修路占用大棚。",
        claims=(Claim(claim=ClaimId(uuid4()), text="补偿大棚"),),
    )


@pytest.fixture(scope="module")
def case(town: Town) -> UUID:
    """A case of the village, handed to the county, accepted and ended there, all of which both know."""
    village, county = town.village.node, town.county.node
    registered, opened = give(village, petition(), "clerk")[:2]
    assert isinstance(registered, Registered)
    assert isinstance(opened, LegOpened)
    id_ = CaseId(registered.id)
    given = HandOver(case=id_, leg=opened.leg, to=county.office, mode="transfer", reason="属其职责")
    give(village, given, "handler")

    def present() -> object:
        known = county.files.get(id_)
        leg = known.file.present_leg if known else None
        return leg and leg.opened_us and leg.unit == county.office and leg

    wait_until(lambda: bool(present()))
    leg = present()
    give(county, Accept(case=id_, leg=leg.id), "handler")  # type: ignore[attr-defined]
    give(county, Close(case=id_, leg=leg.id, ending="agreement"), "handler")  # type: ignore[attr-defined]
    wait_until(lambda: all(_is_ended(office, id_) for office in town))
    for office in town:
        office.node.await_views(office.node.reader.head().pos)
    return id_


def _is_ended(office: Office, case: CaseId) -> bool:
    known = office.node.files.get(case)
    return known is not None and known.file.is_ended


def told(node: Node, case: UUID) -> History:
    return case_history(node, case)


@pytest.mark.parametrize("name", ["county", "village"])
def test_at_every_step_the_history_is_what_the_projections_show_as_of_that_moment(
    town: Town, case: UUID, name: str
) -> None:
    node = getattr(town, name).node
    history, last = told(node, case), node.reader.head().pos
    moments = [step.at_us for step in history.steps] + [step.learned_us for step in history.steps]
    assert len(history.steps) >= 8
    for at_us in [*moments, *reversed(moments), moments[0] - 1]:
        at = Moment(as_of_us=at_us, pos=position_at(node.reader.read, last, at_us))
        shown = timeline(node.reader.read_case, case, at)
        known = [step for step in history.learned if step.is_known(node.here, at_us)]
        assert [(entry.tag, entry.seq) for entry in shown] == [(step.tag, step.seq) for step in known]
        with node.pool.connection() as conn:
            running = duties.of_case(conn, case, at)
        clocks = history.clocks(at_us, node.around.calendar(), node.here)
        assert {(one.rule, one.due_on, one.unit) for one in running} == {
            (one.rule, one.due_date, one.unit) for one in clocks
        }
        holder = _holder(node, case, at)
        view = history.views(at_us)[node.here]
        assert view.known == len(shown)
        assert holder in (None, view.accountable)


def _holder(node: Node, case: UUID, at: Moment) -> str | None:
    """Who holds the case, by the view that lateness is charged by; nobody once it is ended."""
    from projections.moment import lasts
    from projections.tables_postgres import LIVE

    with node.pool.connection() as conn:
        query = f"select unit from {LIVE}.custody c where case_id = %(case)s and {lasts('c', 'opened')}"
        row = conn.execute(query, {"case": case} | at.values()).fetchone()
    return row[0] if row else None


def test_no_tier_is_said_to_have_known_more_than_had_been_recorded_by_then(town: Town, case: UUID) -> None:
    shown = town.county.browser("auditor").get(f"/audit/cases/{case}?step=1").text
    counts = [(int(known), int(of)) for known, of in re.findall(r'class="number">(\d+) / (\d+)</td>', shown)]
    assert counts
    assert all(known <= of for known, of in counts), "several events are recorded in one moment"
    assert any(known for known, _ in counts)


def test_between_two_tiers_the_upper_one_is_shown_not_to_know_yet_and_who_answered_is_told_all_the_same(
    town: Town, case: UUID
) -> None:
    history = told(town.county.node, case)
    first = history.steps[0]
    views = history.views(first.at_us)
    assert views[COUNTY].known == 0
    assert views[COUNTY].missing == (0, 1, 2)
    assert views[COUNTY].is_sure
    assert history.accountable(first.at_us) == f"{VILLAGE}.office"
    assert history.accountable(history.steps[-1].at_us) == f"{COUNTY}.office"


def test_the_villages_own_page_shows_by_the_countys_signature_that_the_county_knew(town: Town, case: UUID) -> None:
    wait_until(lambda: COUNTY in told(town.village.node, case).steps[0].known)
    knew = told(town.village.node, case).steps[0].known[COUNTY]
    assert knew.how == "cosigned"
    assert knew.at_us >= told(town.village.node, case).steps[0].recorded_us


def test_the_links_lead_from_the_first_step_to_the_last_and_back_through_every_one(town: Town, case: UUID) -> None:
    browser = town.county.browser("auditor")
    count = len(told(town.county.node, case).steps)
    forward = list(_walk(browser, f"/audit/cases/{case}", "next"))
    assert [number for number, _ in forward] == list(range(1, count + 1))
    backward = list(_walk(browser, f"/audit/cases/{case}?step={count}", "prev"))
    assert [number for number, _ in backward] == list(range(count, 0, -1))
    assert dict(forward) == dict(backward), "a step is the same from both sides"


def _walk(browser: object, path: str, rel: str) -> Iterator[tuple[int, str]]:
    while path:
        html = browser.get(path).text  # type: ignore[attr-defined]
        number = int(re.findall(r"第 (\d+) 步，共", html)[0])
        yield number, html[html.index("所看时刻") : html.index("</footer>")]
        found = re.findall(rf'href="([^"]+)" rel="{rel}"', html)
        path = found[0] if found else ""


def test_a_moment_that_is_typed_shows_what_had_been_recorded_by_then(town: Town, case: UUID) -> None:
    browser = town.county.browser("auditor")
    before = browser.get(f"/audit/cases/{case}?at=2020-01-01T00:00").text
    assert "第 0 步" in before
    assert "此刻尚无任何记录" in before
    after = browser.get(f"/audit/cases/{case}?at=2099-01-01T00:00").text
    assert f"第 {len(told(town.county.node, case).steps)} 步" in after
    assert browser.get(f"/audit/cases/{case}?at=soon").status_code == 422


def test_an_office_is_stepped_through_over_a_period_with_what_it_answered_for(town: Town, case: UUID) -> None:
    node = town.county.node
    history = told(node, case)
    found = office_history(node, f"{COUNTY}.office", history.steps[0].at_us, history.steps[-1].at_us + 1)
    own = [step for step in found.history.steps if step.event.case == case]
    assert {step.tag for step in own} >= {"leg.handed_over.v0", "leg.opened.v0", "leg.accepted.v0", "leg.closed.v0"}
    assert not found.is_cut
    given = next(step for step in own if step.tag == "leg.accepted.v0")
    assert case in {one.case for one in found.history.held(given.at_us)}
    assert case in {one for one, _ in found.history.clocks(given.at_us, node.around.calendar())}
    assert office_history(node, COUNTY, 0, 1).history.steps == []
    page = town.county.browser("auditor").get(f"/audit/units/{COUNTY}.office")
    assert page.status_code == 200
    assert "leg.accepted" not in page.text, "it is told in words"


@pytest.mark.parametrize("path", ["/audit", "/audit/cases/{case}", "/audit/units/410221000000"])
def test_who_handles_cases_and_who_runs_the_machine_see_no_page_of_the_auditor(
    town: Town, case: UUID, path: str
) -> None:
    assert town.county.browser("auditor").get(path.format(case=case)).status_code == 200
    for role in ("clerk", "handler", "operator"):
        assert town.county.browser(role).get(path.format(case=case)).status_code == 403
    assert town.county.client().get(path.format(case=case)).status_code in (303, 401)


def test_what_is_not_here_is_not_found(town: Town) -> None:
    browser = town.village.browser("auditor")
    assert browser.get(f"/audit/cases/{uuid4()}").status_code == 404
    for unit in (COUNTY, "x", f"{VILLAGE}.nobody"):
        assert browser.get(f"/audit/units/{unit}").status_code == 404
    assert browser.get("/audit?case=nothing").status_code == 422


def test_a_case_is_found_by_its_number(town: Town, case: UUID) -> None:
    known = town.county.node.files.get(CaseId(case))
    assert known is not None
    assert known.file.registered is not None
    browser = town.county.browser("auditor")
    assert browser.get(f"/audit?case={known.file.registered.number}").headers["location"] == f"/audit/cases/{case}"
    assert browser.get(f"/audit?unit={COUNTY}.office").headers["location"] == f"/audit/units/{COUNTY}.office"


def test_no_page_of_the_auditor_shows_anything_sealed(town: Town, case: UUID) -> None:
    browser = town.county.browser("auditor")
    for path in (f"/audit/cases/{case}?step=99", f"/audit/units/{COUNTY}"):
        assert NAME not in browser.get(path).text


@pytest.fixture(scope="module")
def site(town: Town) -> Iterator[str]:
    port = free_port()
    stop = serve(town.county.app, port)
    yield f"http://127.0.0.1:{port}"
    stop()


@pytest.mark.parametrize(
    ("query", "params", "index"),
    [
        (knowing._COSIGNED, ([0], [1], [0], ["x"]), "cosignature_witness"),
        (knowing._NOTED, ([1], 8, [VILLAGE]), "ledger_heads"),
        (office_history_of._CASES, (1, 0, 100, 10), "ledger_log_seq"),
        (office_history_of._LEAF, (1, 0), "ledger_log_seq"),
        (ledger_reader.OF_CASES, ([UUID(int=1)],), "ledger_case"),
    ],
)
def test_what_the_page_asks_the_ledger_an_index_answers(
    town: Town, query: str, params: tuple[object, ...], index: str
) -> None:
    with town.county.node.pool.connection() as conn, conn.transaction():
        conn.execute("set local enable_seqscan = off")
        plan = conn.execute(f"explain {query}", params).fetchall()  # type: ignore[arg-type]
    assert index in str(plan)


def taken(browser: Browser, case: UUID, tmp_path: Path, **fields: str) -> Path:
    csrf = re.findall(r'name="csrf" value="([^"]+)"', browser.get(f"/audit/cases/{case}").text)[0]
    answer = browser.post(f"/audit/cases/{case}/evidence", {"csrf": csrf, **fields})
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-disposition"] == f'attachment; filename="huiyin-{case}.zip"'
    (tmp_path / "case.zip").write_bytes(answer.content)
    return tmp_path / "case.zip"


@pytest.mark.parametrize("name", ["county", "village"])
def test_the_evidence_that_a_page_gives_is_sound_and_signed_by_the_node(
    town: Town, case: UUID, tmp_path: Path, name: str
) -> None:
    office = getattr(town, name)
    path = taken(office.browser("auditor"), case, tmp_path)
    judged = judge(path, Pins(office.node.around.directory().root_fingerprint))
    assert [one.code for one in judged.findings if one.severity != "notice"] == []
    assert "excerpt" not in {one.code for one in judged.findings}
    assert judged.steps + judged.dossier.left_out >= 8
    assert NAME.encode() not in b"".join(read_files(path).values())


def test_evidence_with_sealed_texts_is_recorded_before_a_text_is_shown_and_proves_it(
    town: Town, case: UUID, tmp_path: Path
) -> None:
    node = town.county.node
    before = len(told(node, case).steps)
    path = taken(town.county.browser("auditor"), case, tmp_path, openings="1")
    judged = judge(path, Pins(node.around.directory().root_fingerprint))
    assert [one.code for one in judged.findings if one.severity != "notice"] == []
    assert NAME.encode() in b"".join(read_files(path).values())
    noted = told(node, case).steps[before:]
    assert {step.tag for step in noted} == {"sealed.read.v0"}


def test_what_is_written_while_a_reading_is_recorded_is_read_only_once_that_is_recorded_too(
    town: Town, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    node, note = town.village.node, of_node._note
    registered, opened = give(node, petition(), "clerk")[:2]
    assert isinstance(registered, Registered)
    assert isinstance(opened, LegOpened)
    id_, to = CaseId(registered.id), town.county.node.office
    waiting = [HandOver(case=id_, leg=opened.leg, to=to, mode="transfer", reason="属其职责")]

    def noted(*said: Any) -> None:
        note(*said)
        while waiting:
            give(node, waiting.pop(), "handler")

    monkeypatch.setattr(of_node, "_note", noted)
    path = taken(town.village.browser("auditor"), id_, tmp_path, openings="1")
    judged = judge(path, Pins(node.around.directory().root_fingerprint))
    assert not waiting
    assert [one.code for one in judged.findings if one.severity != "notice"] == []
    assert "属其职责".encode() in b"".join(read_files(path).values())


OPEN = (
    "select count(*) from pg_stat_activity where xact_start < %b and pid <> pg_backend_pid() and state like 'idle in%%'"
)


def test_no_transaction_waits_while_the_papers_of_a_case_are_set(
    town: Town, case: UUID, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Setting a long case takes long, and the node has a handful of connections."""
    node, begun = town.county.node, []

    def watched(*said: Any) -> Any:
        with node.pool.connection() as conn:
            begun.extend(conn.execute("select clock_timestamp()").fetchone() or ())
            wait_until(lambda: conn.execute(OPEN, (begun[-1],)).fetchone() == (0,))
        return derive(*said)

    monkeypatch.setattr(making, "derive", watched)
    taken(town.county.browser("auditor"), case, tmp_path)
    assert begun


def test_only_an_auditor_takes_evidence_and_only_from_a_page(town: Town, case: UUID) -> None:
    for role in ("supervisor", "leader", "clerk"):
        browser = town.county.browser(role)
        csrf = re.findall(r'name="csrf" value="([^"]+)"', browser.get("/duties").text)[0]
        assert browser.post(f"/audit/cases/{case}/evidence", {"csrf": csrf}).status_code == 403
    assert town.county.browser("auditor").post(f"/audit/cases/{case}/evidence", {"csrf": "x"}).status_code == 403


chromium = test_browser.chromium


@pytest.mark.skipif(not test_browser.CHROMIUM.exists(), reason="no Chromium at /usr/bin/chromium")
@pytest.mark.skipif(not test_browser.VENDOR.exists(), reason="no page assets: run `npm ci`")
@pytest.mark.parametrize(("width", "language"), [(1280, "zh"), (375, "zh"), (375, "en")])
def test_the_page_works_without_script_and_mouse_on_any_screen(
    chromium: Chromium, site: str, case: UUID, width: int, language: str, tmp_path: Path
) -> None:
    page, complaints = open_page(chromium, site, width=width, java_script_enabled=False)
    sign_in(page, "auditor")
    for path in (f"/audit/cases/{case}?step=3&lang={language}", f"/audit/units/{COUNTY}.office", "/audit"):
        page.goto(path)
        page.screenshot(path=tmp_path / "page.png", full_page=True)
    page.goto(f"/audit/cases/{case}?step=3")
    page.focus("#go-next")
    page.keyboard.press("Enter")
    page.wait_for_url("**step=4")
    assert page.locator("li[aria-current=step]").count() == 1
    assert page.locator("svg circle.present").count() >= 1
    assert complaints == []
    page.context.close()
    page, _ = open_page(chromium, site, width=width)
    sign_in(page, "auditor")
    for path in (f"/audit/cases/{case}?step=3&lang={language}", f"/audit/units/{COUNTY}.office", "/audit"):
        page.goto(path)
        assert overflow_px(page) == 0, path
    page.context.close()
