"""A case replayed out of a bundle: what had happened by then, who knew of it, who answered."""

import sys
from collections.abc import Iterator
from pathlib import Path
from uuid import UUID

import msgspec
import pytest

from domain.events import Accepted, CaseId, HandedOver, LegOpened, Registered, Unknown, encode, read
from gateway.__main__ import main
from gateway.auditing.replaying import Replay, read_case, read_unit
from gateway.auditing.telling_replay import told, walk
from gateway.reading.history import History
from tests.auditing.conftest import Made
from tests.auditing.forging import Parts
from tests.gateway.conftest import COUNTY, VILLAGE


def handed_up(folder: Path) -> UUID:
    """The case that the village gave to the county."""
    for log in Parts.of(folder).logs:
        for leaf in log.leaves:
            event = read(leaf)
            if isinstance(event, HandedOver) and event.case is not None:
                return event.case
    raise AssertionError("nothing was handed over")


@pytest.fixture
def replayed_case(made: Made) -> Replay:
    return read_case([made.county], handed_up(made.county))


@pytest.fixture
def replay(replayed_case: Replay) -> History:
    return replayed_case.history


def own_line(head: str) -> str:
    """The line of a head's author, who signs first."""
    return head[head.index("\n\n") + 2 :].splitlines(keepends=True)[0]


def at(replay: History, shape: type, last: bool = False) -> int:
    """When an event of this kind was recorded."""
    times = [step.at_us for step in replay.steps if isinstance(step.event, shape)]
    return times[-1 if last else 0]


def test_a_case_is_told_from_its_registration_on(replay: History) -> None:
    assert isinstance(replay.steps[0].event, Registered)
    assert [step.seq for step in replay.steps if step.log.split("/")[1] == VILLAGE] == sorted(
        step.seq for step in replay.steps if step.log.split("/")[1] == VILLAGE
    )
    assert all(step.has_effect for step in replay.steps)


def test_who_answered_changes_when_the_receiver_opens_the_case(replay: History) -> None:
    assert replay.accountable(at(replay, Registered) - 1) is None
    assert replay.accountable(at(replay, HandedOver)) == f"{VILLAGE}.office"
    assert replay.accountable(at(replay, LegOpened, last=True)) == f"{COUNTY}.office"


def test_each_tier_knows_what_it_wrote_at_once_and_what_another_wrote_later(replay: History) -> None:
    registered = replay.steps[0]
    assert registered.known[VILLAGE].how == "wrote"
    assert registered.known[COUNTY].how == "order"
    assert registered.known[COUNTY].at_us > registered.known[VILLAGE].at_us
    views = replay.views(registered.known[VILLAGE].at_us)
    assert views[VILLAGE].known == 3, "the case, its first leg and its key are one act"
    assert views[VILLAGE].accountable == f"{VILLAGE}.office"
    assert views[COUNTY] == (0, None, (0, 1, 2), True)
    assert replay.views(2**62)[COUNTY].accountable == f"{COUNTY}.office"


def test_what_came_down_to_a_tier_its_own_bundle_shows(made: Made, replay: History) -> None:
    assert replay.views(2**62)[VILLAGE].accountable == f"{VILLAGE}.office", "the county's bundle alone cannot tell"
    both = read_case([made.county, made.village], handed_up(made.county)).history
    assert {view.accountable for view in both.views(2**62).values()} == {f"{COUNTY}.office"}


def test_what_had_happened_grows_with_time(replay: History) -> None:
    assert replay.happened(0) == []
    moments = sorted(step.at_us for step in replay.steps)
    assert [len(replay.happened(moment)) for moment in moments] == sorted(
        len(replay.happened(moment)) for moment in moments
    )
    assert len(replay.happened(moments[-1])) == len(replay.steps)


def test_a_noted_head_proves_that_a_third_tier_knew(made: Made, tmp_path: Path) -> None:
    """The county's log in the village's hands would be another's word: what it noted counts as known by then."""
    parts = Parts.of(made.county)
    parts.manifest = msgspec.structs.replace(parts.manifest, division=VILLAGE)
    for log in parts.logs:
        log.heads = [head[: head.index("\n\n") + 2] + own_line(head) for head in log.heads]
    folder = parts.write(tmp_path / "b", made.keys.county)
    replay = read_case([folder], handed_up(made.county)).history
    assert replay.steps[0].known[COUNTY].how == "note"


def test_an_event_of_a_newer_version_is_a_step_and_one_that_is_none_is_not(made: Made, tmp_path: Path) -> None:
    parts = Parts.of(made.county)
    case = handed_up(made.county)
    log = parts.log(VILLAGE)
    last = read(log.leaves[-1])
    assert not isinstance(last, Unknown)
    body = encode(msgspec.structs.replace(last, case=CaseId(case)))
    tag = body[: body.index(b",")]
    log.leaves += [body.replace(tag, b'{"type":"newer.v9"'), body.replace(b'"law":', b'"law" :')]
    parts.reorder()
    replayed = read_case([parts.write(tmp_path / "b", made.keys.county)], case)
    steps = replayed.history.steps
    assert steps[-1].tag == "newer.v9"
    assert "newer.v9" in next(iter(told(replayed).step(len(steps) - 1)))


def test_keys_lead_forwards_and_backwards_and_never_beyond(replayed_case: Replay) -> None:
    keys: Iterator[str] = iter(["p", "n", "n", "p", "G", "n", "g", "x", "q"])
    said: list[str] = []
    walk(told(replayed_case), lambda: next(keys), said.append)
    steps = [int(line[1 : line.index("/")]) for line in said if line.startswith("[")]
    count = len(replayed_case.history.steps)
    assert steps == [1, 1, 2, 3, 2, count, count, 1, 1]


def test_a_moment_is_told_with_what_each_tier_knew(replayed_case: Replay) -> None:
    said = "\n".join(told(replayed_case).moment(at(replayed_case.history, HandedOver)))
    assert f"accountable then: {VILLAGE}.office" in said
    assert "leg.handed_over.v0" in said
    assert f"{COUNTY} 至少知道" in said


def replayed(monkeypatch: pytest.MonkeyPatch, *words: str) -> int:
    monkeypatch.setattr(sys, "argv", ["huiyin", "audit", "replay", *words])
    with pytest.raises(SystemExit) as left:
        main()
    return int(left.value.code or 0)


def test_the_command_tells_all_steps_or_one_moment(
    made: Made, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    case = str(handed_up(made.county))
    assert replayed(monkeypatch, str(made.county), "--case", case) == 0
    assert capsys.readouterr().out.startswith("[1/")
    assert replayed(monkeypatch, str(made.county), "--case", case, "--at", "2036-01-01T00:00") == 0
    assert "accountable" in capsys.readouterr().out


@pytest.mark.parametrize(
    "words",
    [["--case", "x"], ["--case", str(UUID(int=1))], ["--case", str(UUID(int=1)), "--at", "soon"]],
)
def test_what_is_asked_for_wrongly_is_refused_by_name(
    made: Made, monkeypatch: pytest.MonkeyPatch, words: list[str]
) -> None:
    assert replayed(monkeypatch, str(made.county), *words) == 2


def test_a_folder_that_is_no_bundle_ends_with_2(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert replayed(monkeypatch, str(tmp_path), "--case", str(UUID(int=1))) == 2
    assert len(capsys.readouterr().err.splitlines()) == 1


def test_an_office_is_replayed_over_a_period_with_what_it_answered_for(made: Made) -> None:
    case = handed_up(made.county)
    unit = f"{COUNTY}.office"
    whole = read_unit([made.county], unit, 0, 1 << 62)
    assert case in whole.history.cases
    tags = [step.tag for step in whole.history.steps if step.event.case == case]
    assert tags[:2] == ["leg.handed_over.v0", "leg.opened.v0"], "what was given to it, and what it did"
    opened = next(step for step in whole.history.steps if step.tag == "leg.opened.v0" and step.event.case == case)
    assert case in {one.case for one in whole.history.held(opened.at_us)}
    assert case not in {one.case for one in whole.history.held(opened.at_us - 1)}
    said = "\n".join(told(whole).moment(opened.at_us))
    assert str(case) in said
    before = read_unit([made.county], unit, 0, opened.at_us)
    assert [step.at_us < opened.at_us for step in before.history.steps] == [True] * len(before.history.steps)
    assert len(before.history.steps) < len(whole.history.steps)
    division = read_unit([made.county], COUNTY, 0, 1 << 62)
    assert len(division.history.steps) >= len(whole.history.steps)


def test_who_wrote_nothing_and_was_given_nothing_has_no_history(made: Made) -> None:
    assert read_unit([made.county], "419999000000.office", 0, 1 << 62).history.steps == []


def test_a_superiors_cosignature_proves_that_it_knew_by_then(made: Made) -> None:
    """The village's own bundle: what the county signed came back down."""
    replay = read_case([made.village], handed_up(made.county)).history
    knew = replay.steps[0].known[COUNTY]
    assert knew.how == "cosigned"
    assert knew.at_us >= replay.steps[0].recorded_us


def test_the_clocks_that_run_at_a_step_are_told(made: Made) -> None:
    cases = {
        event.case
        for log in Parts.of(made.county).logs
        for leaf in log.leaves
        if isinstance(event := read(leaf), Accepted) and event.case is not None
    }
    replayed = read_case([made.county], cases.pop())
    accepted = next(n for n, step in enumerate(replayed.history.steps) if isinstance(step.event, Accepted))
    assert "《信访工作条例》第34条" in "\n".join(told(replayed).step(accepted))
    first = "\n".join(told(replayed).step(0))
    assert "《信访工作条例》第22条第1款" in first
    assert "《信访工作条例》第34条" not in first


def test_the_command_steps_through_an_office_and_begins_where_it_is_told_to(
    made: Made, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    bundle = str(made.county)
    assert replayed(monkeypatch, bundle, "--unit", f"{COUNTY}.office", "--from", "2020-01-01T00:00") == 0
    assert capsys.readouterr().out.startswith("[1/")
    assert replayed(monkeypatch, bundle, "--unit", COUNTY, "--step", "2") == 0
    assert capsys.readouterr().out.startswith("[2/")
    assert replayed(monkeypatch, bundle, "--unit", COUNTY, "--at", "2036-01-01T00:00") == 0
    assert "it answered for" in capsys.readouterr().out


@pytest.mark.parametrize(
    "words",
    [
        [],
        ["--unit", COUNTY, "--case", str(UUID(int=1))],
        ["--unit", "419999000000"],
        ["--unit", COUNTY, "--step", "99999"],
        ["--unit", COUNTY, "--step", "0"],
        ["--unit", COUNTY, "--from", "soon"],
    ],
)
def test_an_office_that_is_asked_for_wrongly_is_refused_by_name(
    made: Made, monkeypatch: pytest.MonkeyPatch, words: list[str]
) -> None:
    assert replayed(monkeypatch, str(made.county), *words) == 2
