"""The clocks of a case as its page and the API show them."""

from datetime import timedelta

from domain.calendar import seed_calendar
from domain.clocks import DAY_US, day_start_us
from gateway.reading.case_view import running_clocks
from tests.given import GAOYANG, MONDAY, QI, City, office


def test_the_time_to_object_is_shown_while_it_lasts_and_never_as_overdue() -> None:
    city = City.of()
    case = city.at(office(QI), "clerk").registers()
    city.at(office(QI)).hands_over(case, office(GAOYANG), MONDAY + timedelta(days=40))
    city.syncs()

    def shown(days: int) -> dict[str, str]:
        now_us = day_start_us(MONDAY) + days * DAY_US
        clocks = running_clocks(city.file(case), city.history, seed_calendar(), now_us)
        return {clock.rule: clock.stage for clock in clocks}

    assert {"objection", "accept_notice", "report_back"} == set(shown(3))
    assert "objection" not in shown(12)
    assert shown(20)["accept_notice"] == "overdue"
