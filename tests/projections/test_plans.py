"""Every hot query on ~20,000 cases: no page may read a big table from end to end."""

import json
from collections.abc import Callable, Iterator
from datetime import date
from typing import Any
from uuid import UUID

import psycopg
import pytest

from projections import board, cases, dealings, duties
from projections.cases import After, CaseFilter
from projections.following import prepare
from projections.moment import Moment
from projections.views_postgres import PostgresViews
from tests.projections.conftest import ALL
from tests.projections.stories import CITY, COUNTY, OFFICE, START_US, TOWN, WATER

BIG = {"case_file", "custody", "claim", "duty", "dispute", "heard"}
CASE = UUID(int=77)
DAY_US = 86_400_000_000
NOW = Moment(as_of_us=START_US + 400 * DAY_US, pos=10**6)
LAST_WEEK = Moment(as_of_us=START_US + 393 * DAY_US, pos=990_000)

# Twenty thousand cases over a year in 200 townships, one in twenty still open, each with a fight and two clocks.
_SEED = """
create temp table seed as select n, lpad(to_hex(n), 32, '0')::uuid as id, n * 40 as pos,
    START_US + n * 1728000000 as us, (410221000000 + 1000 * (n % 200))::text as node, n % 20 = 0 or n > 19000 as open
    from generate_series(1, 20000::bigint) n;
insert into views.case_file select id, 'N' || n, 'visit', 'claim_petition', lpad((n % 300)::text, 6, '0'), node,
    date '2026-03-02' + (n / 50)::int, 1, node, node || '.office', us, case when open then 'accepted' else 'closed' end,
    null, node, node || '.office', 1, null, null, null, null, pos, us from seed;
insert into views.claim select id, id, pos, us, pos + 9, us + 9, 0, 9223372036854775807 from seed;
insert into views.custody select id, id, node || '.office', node, 'registered', null, null, null, null, pos, us,
    case when open then 9223372036854775807 else pos + 30 end,
    case when open then 9223372036854775807 else us + 30000000 end, 0, 9223372036854775807 from seed;
insert into views.duty select id, id, rule, id,
    case when rule = 'handle' then null else node || '.office' end,
    case when rule = 'handle' then null else node end, us, null, 0, date '2026-05-01', us + 60 * 86400000000,
    us + 45 * 86400000000, null, false, pos, us, case when open then 9223372036854775807 else pos + 30 end,
    case when open then 9223372036854775807 else us + 30000000 end, not open, 0, 9223372036854775807
    from seed, (values ('handle'), ('accept_notice')) r (rule);
insert into views.dispute select id, pos, us, 'objected', id, node || '.office', null, 0, 9223372036854775807 from seed;
insert into views.node select distinct node, node, '410221000000', 1 from seed;
insert into views.unit select distinct node || '.office', node, node, 1 from seed;
insert into views.origin select row_number() over (), node, false from (select distinct node from seed) n;
insert into views.heard select o.log_id, step, step, step, step * 600000000
    from views.origin o, generate_series(1, 200::bigint) step;
analyze"""


@pytest.fixture(scope="module")
def city(postgres: Any) -> Iterator[str]:
    """The DSN of a database that holds a city's year."""
    postgres.create_database("city_of_plans", template="template_node")
    dsn = postgres.dsn("city_of_plans")
    with psycopg.connect(dsn, autocommit=True) as conn:
        prepare(PostgresViews(conn), ALL)
        for statement in _SEED.split(";\n"):
            conn.execute(statement.replace("START_US", str(START_US)))
    yield dsn
    with psycopg.connect(postgres.dsn(), autocommit=True) as conn:
        conn.execute("drop database city_of_plans with (force)")


class Explaining(psycopg.Cursor[Any]):
    """Explains what it executes instead."""

    plans: list[Any] = []  # noqa: RUF012  one test at a time reads it

    def execute(self, query: Any, params: Any = None, **options: Any) -> Any:
        plain = psycopg.Cursor(self.connection)
        (plan,) = plain.execute(f"explain (format json) {query}", params).fetchone() or (None,)
        self.plans.append(plan[0]["Plan"])
        return super().execute(query, params, **options)


def scanned(plan: dict[str, Any], is_limited: bool = False) -> set[str]:
    """The tables that a plan reads from end to end; the first rows of one, whichever they are, are no scan."""
    is_scan = plan["Node Type"] == "Seq Scan" and not (is_limited and "Filter" not in plan)
    own = {plan["Relation Name"]} if is_scan else set()
    return own.union(*(scanned(part, plan["Node Type"] == "Limit") for part in plan.get("Plans", [])))


@pytest.mark.parametrize(
    "ask",
    [
        lambda conn: cases.find(conn, CaseFilter()),
        lambda conn: cases.find(conn, CaseFilter(), after=After(date(2026, 6, 1), CASE)),
        lambda conn: cases.find(conn, CaseFilter(holder_unit=f"{TOWN}.office")),
        lambda conn: cases.find(conn, CaseFilter(holder_nodes=(TOWN, COUNTY), status="accepted")),
        lambda conn: cases.find(conn, CaseFilter(filing_node=TOWN)),
        lambda conn: cases.find(conn, CaseFilter(issue_region=TOWN)),
        lambda conn: cases.find(conn, CaseFilter(category="000123")),
        lambda conn: cases.find(conn, CaseFilter(number="N77")),
        lambda conn: cases.find(conn, CaseFilter(received_from=date(2026, 6, 1), received_to=date(2026, 6, 2))),
        lambda conn: cases.case(conn, CASE),
        lambda conn: duties.of_unit(conn, OFFICE, NOW),
        lambda conn: duties.of_unit(conn, OFFICE, LAST_WEEK),
        lambda conn: duties.of_case(conn, CASE, NOW),
        lambda conn: board.subtree(conn, CITY, NOW),
        lambda conn: board.units(conn, [TOWN, COUNTY], NOW, NOW.as_of_us - 7 * DAY_US),
        lambda conn: board.units(conn, [TOWN, COUNTY], LAST_WEEK, LAST_WEEK.as_of_us - 7 * DAY_US),
        lambda conn: board.cases_of(conn, OFFICE, "overdue", NOW),
        lambda conn: board.cases_of(conn, WATER, "bouncing", NOW),
        lambda conn: board.lateness(conn, CASE, NOW),
        lambda conn: dealings.of_unit(conn, OFFICE, START_US + 300 * DAY_US, START_US + 400 * DAY_US, 200),
        lambda conn: dealings.of_unit(conn, TOWN, START_US + 300 * DAY_US, START_US + 400 * DAY_US, 200),
    ],
)
def test_a_hot_query_never_reads_a_big_table_from_end_to_end(
    city: str, ask: Callable[[psycopg.Connection], object]
) -> None:
    Explaining.plans = []
    with psycopg.connect(city, autocommit=True, cursor_factory=Explaining) as conn:
        ask(conn)
    assert Explaining.plans
    for plan in Explaining.plans:
        assert not scanned(plan) & BIG, json.dumps(plan, indent=1)
