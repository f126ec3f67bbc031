"""`huiyin demo --input FILE --exit`, as the README has it: a city founded for a file of messages."""

import csv
import re
from datetime import datetime, timedelta
from pathlib import Path
from statistics import median, quantiles

import pytest

from gateway.demo.messages import COLUMNS
from tests.city.conftest import FIRST_START_S
from tests.city.living import huiyin

pytestmark = [pytest.mark.city, pytest.mark.timeout(900)]

FIRST = datetime(2013, 5, 20, 9, 15)  # noqa: DTZ001  written as the file has it, in local time
DAYS = (3.5, 1.25, 61.0, 0.0, 20.0, 7.75, 89.5, 12.0)


def save(path: Path, first: datetime) -> Path:
    with path.open("w", encoding="utf-8", newline="") as file:
        out = csv.DictWriter(file, COLUMNS)
        out.writeheader()
        for number, days in enumerate(DAYS):
            received = first + timedelta(days=3 * number)
            out.writerow(
                {
                    "title": f"第 {number} 号院楼道灯不亮",
                    "body": f"第 {number} 号院楼道灯坏了半个月，老人晚上不敢下楼。",
                    "created_at": received.isoformat(" "),
                    "reply": f"您好，第 {number} 号院的楼道灯已修好。",
                    "replied_at": (received + timedelta(days=days)).isoformat(" "),
                }
            )
    return path


def test_the_summary_counts_what_the_file_says_and_older_letters_need_another_city(tmp_path: Path) -> None:
    city, letters = tmp_path / "letters", save(tmp_path / "letters.csv", FIRST)
    run = huiyin("demo", "--dir", str(city), "--input", str(letters), "--exit", limit_s=FIRST_START_S)
    assert run.returncode == 0, run.stdout + run.stderr
    found = re.search(r"(\d+) cases at the city, (\d+) closed, (\d+) events", run.stdout)
    told = re.search(r"days to reply: median ([\d.]+), p90 ([\d.]+), beyond 60: (\d+)", run.stdout)
    assert found, run.stdout
    assert told, run.stdout
    assert found.groups()[:2] == (str(len(DAYS)), str(len(DAYS)))
    assert told.groups() == (f"{median(DAYS):.1f}", f"{quantiles(DAYS, n=10, method='inclusive')[8]:.1f}", "2")

    older = save(tmp_path / "older.csv", FIRST - timedelta(days=365))
    refused = huiyin("demo", "--dir", str(city), "--input", str(older), "--exit", limit_s=FIRST_START_S)
    assert refused.returncode == 1
    assert "--dir" in refused.stderr
    assert "2012-05-20" in refused.stderr
