import base64
import re
import time
from collections.abc import Iterator
from datetime import timedelta
from html import unescape
from html.parser import HTMLParser
from pathlib import Path
from typing import get_args
from uuid import uuid4

import httpx2
import pytest

from domain.clocks import shanghai_date
from domain.commands import AnyCommand, Petitioner
from gateway.catalog import words
from gateway.hosting.clock import SystemClock
from tests.gateway.conftest import BASE, COUNTY, PASSWORD, VILLAGE, Browser, Office, Town, wait_until

TEMPLATES = Path(__file__).parents[2] / "gateway" / "templates"


class Forms(HTMLParser):
    """The forms of a page: action -> fields with their values, hidden ones included."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str]]] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        if tag == "form":
            self.found.append((given.get("action", ""), {}))
        elif tag == "input" and self.found and "name" in given:
            self.found[-1][1][given["name"]] = given.get("value", "")


def form(page: httpx2.Response, action: str, **having: str) -> dict[str, str]:
    """The fields of the page's form for `action` whose fields have these values."""
    for to, fields in Forms(page.text).found:
        if to == action and having.items() <= fields.items():
            return fields
    raise AssertionError(f"no form for {action}")


def filling(**changes: str) -> dict[str, str]:
    return {
        "title": "大棚补偿",
        "body": "修路占用大棚。",
        "claim_0": "补偿大棚",
        "claim_1": "公开名单",
        "category": "020000",
        "name": "张桂兰",
        "phone": "13900000000",
    } | changes


def registration(page: httpx2.Response, **changes: str) -> dict[str, str]:
    more = {"channel": "visit", "matter_class": "claim_petition"}
    return form(page, "/register") | filling() | more | changes


def register(browser: Browser) -> str:
    """The path of a case registered on the page."""
    page = browser.post("/register", registration(browser.get("/register")))
    assert page.status_code == 200, page.text
    found = re.search(r'href="(/cases/[0-9a-f-]{36})"', page.text)
    assert found is not None
    return found[1]


def take(browser: Browser, case: str, command: str, **fields: str) -> httpx2.Response:
    """Take a step on the case page with the hidden fields that the page gives."""
    hidden = form(browser.get(case), f"{case}/steps", command=command)
    return browser.post(f"{case}/steps", hidden | fields)


@pytest.fixture
def village(town: Town) -> Office:
    return town.village


@pytest.fixture
def clerk(village: Office) -> Browser:
    return village.browser("clerk")


@pytest.fixture
def handler(village: Office) -> Browser:
    return village.browser("handler")


def citizen(office: Office) -> Browser:
    return Browser(office.client())


# --- the petitioner -----------------------------------------------------------------------------------------------


def test_a_petitioner_files_keeps_the_receipt_follows_and_rates(village: Office) -> None:
    browser = citizen(village)
    receipt = browser.post("/file", form(browser.get("/file"), "/file") | filling())
    assert receipt.status_code == 200
    assert "<svg" in receipt.text
    assert "张桂兰" not in receipt.text
    kept = form(receipt, "/receipt")
    file = browser.post("/receipt", kept)
    assert file.headers["content-disposition"].startswith("attachment")
    assert file.content.startswith(b"huiyin-receipt-file/v0 ")
    followed = browser.post("/follow", {}, files={"receipt": ("kept.receipt", base64.b64decode(kept["data"]))})
    assert "登记" in followed.text
    assert "第22条" in followed.text
    code = re.search(r"[0-9a-f]{8}( [0-9a-f]{8}){7}", receipt.text)
    assert code is not None
    assert form(browser.post("/follow", {"code": code[0]}), "/follow/rate").get("rating_code", "") == ""
    rating = form(followed, "/follow/rate") | {"office": "satisfied", "unit": "dissatisfied"}
    assert "评价已记录" in browser.post("/follow/rate", rating).text
    assert browser.post("/follow/rate", rating | {"key": str(uuid4()), "unit": "satisfied"}).status_code == 422


def test_whoever_types_the_code_is_asked_for_the_rating_code_that_stands_on_the_receipt_alone(village: Office) -> None:
    browser = citizen(village)
    receipt = browser.post("/file", form(browser.get("/file"), "/file") | filling()).text
    code, rating_code = re.search(r"[0-9a-f]{8}( [0-9a-f]{8}){7}", receipt), re.search(r">([A-Z2-7]{10})<", receipt)
    assert code is not None
    assert rating_code is not None
    followed = browser.post("/follow", {"code": code[0]})
    assert rating_code[1] not in followed.text
    rating = form(followed, "/follow/rate") | {"office": "satisfied", "unit": "satisfied"}
    guessed = browser.post("/follow/rate", rating | {"rating_code": "AAAAAAAAAA"})
    assert guessed.status_code == 422
    assert "评价码不正确" in guessed.text
    typed = rating_code[1][:5].lower() + " " + rating_code[1][5:]
    assert "评价已记录" in browser.post("/follow/rate", rating | {"rating_code": typed}).text


def test_what_came_from_above_is_said_to_be_verified_here_and_not_to_be_cosigned_there(
    town: Town, handler: Browser
) -> None:
    county = town.county.browser("clerk")
    case = register(county)
    moved = take(county, case, "hand_over", to=f"{VILLAGE}.office", mode="transfer", reason="属地办理")
    assert moved.status_code < 400, moved.text
    wait_until(lambda: handler.get(case).status_code == 200)
    page = handler.get(case).text
    assert "已固证" in page
    assert "作者以外的一方已核验" in page
    assert "上级已核验并会签" not in page
    event = handler.get(f"{case}/events/{case.rpartition('/')[2]}").text
    assert "或由本节点核验收存" in event
    assert "直接上级已会签" not in event


def test_the_same_form_sent_twice_files_once(village: Office) -> None:
    browser = citizen(village)
    filled = form(browser.get("/file"), "/file") | filling()
    one, two = (browser.post("/file", filled) for _ in range(2))
    assert form(one, "/receipt") == form(two, "/receipt") or "〔" in two.text
    assert re.findall(r"登〔\d+〕\d+第\d+号", one.text) == re.findall(r"登〔\d+〕\d+第\d+号", two.text)


def test_an_incomplete_form_comes_back_with_every_problem_and_what_was_typed(village: Office) -> None:
    browser = citizen(village)
    refused = browser.post("/file", form(browser.get("/file"), "/file") | {"title": "只有主题", "phone": "not a phone"})
    assert refused.status_code == 422
    for problem in ("请填写“事情经过”", "请填写“诉求”"):
        assert problem in refused.text
    assert 'href="#f-body"' in refused.text
    assert 'value="只有主题"' in refused.text
    refused = browser.post("/file", form(refused, "/file") | filling(phone="not a phone"))
    assert "“电话”不符合要求" in refused.text
    assert "数字、空格、+和-，5至20位" in refused.text


def test_digits_as_a_chinese_keyboard_gives_them_are_digits(village: Office) -> None:
    browser = citizen(village)
    filed = browser.post("/file", form(browser.get("/file"), "/file") | filling(phone="１３９－００００　００００"))
    assert filed.status_code == 200, filed.text
    assert re.search(r"最迟于 \d{4}-\d\d-\d\d \d\d:\d\d 写入日志", filed.text)


def test_a_code_that_was_mistyped_is_told_so(village: Office) -> None:
    browser = citizen(village)
    assert "64位" in browser.post("/follow", {"code": "12 34"}).text
    assert "没有找到该回执" in browser.post("/follow", {"code": "ab" * 32}).text


def letters(organ: Browser) -> dict[str, dict[str, str]]:
    """The letters that this desk is shown, each with the fields of the form that opens it."""
    return {to: fields for to, fields in Forms(organ.get("/sealed").text).found if to.startswith("/sealed/")}


def test_a_denunciation_shows_nothing_but_that_it_was_sealed_and_only_its_organ_opens_it(town: Town) -> None:
    organ = town.county.browser("discipline")
    earlier = set(letters(organ))
    browser = citizen(town.county)
    page = browser.get("/denounce")
    filled = form(page, "/denounce") | {"accused_unit": f"{VILLAGE}.office", "text": "修路款被村主任截留"}
    done = browser.post("/denounce", filled)
    assert done.status_code == 200
    assert "截留" not in done.text
    wait_until(lambda: set(letters(organ)) > earlier)
    assert "截留" not in organ.get("/sealed").text
    (letter,) = set(letters(organ)) - earlier
    assert "截留" in organ.post(letter, letters(organ)[letter]).text
    for role in ("leader", "supervisor", "clerk"):
        assert town.county.browser(role).get("/sealed").status_code == 404
    assert town.village.browser("discipline").get("/sealed").text.count("/sealed/") == 0


# --- the clerk and the handler ------------------------------------------------------------------------------------


def test_a_registered_matter_is_among_todays_duties_with_its_clock_in_words(village: Office, clerk: Browser) -> None:
    register(clerk)
    duties = clerk.get("/duties").text
    assert "期限内" in duties
    assert "期限如何计算" in duties
    assert "第22条" in duties
    assert "农村农业" in duties, "the clerk sees what it is about without opening it"


def test_a_case_goes_from_acceptance_to_service_through_the_page(clerk: Browser, handler: Browser) -> None:
    case = register(clerk)
    assert take(handler, case, "accept", kind="substantive").headers["location"] == f"{case}?done=1"
    page = handler.get(case)
    hidden = form(page, f"{case}/steps", command="issue_opinion")
    claims = sorted(set(re.findall(r'name="outcome\.([0-9a-f-]{36})"', page.text)))
    assert len(claims) == 2
    answers = {f"outcome.{claim}": "explain" for claim in claims} | {f"law.{claim}": "某条例第一条" for claim in claims}
    refused = handler.post(f"{case}/steps", hidden | answers)
    assert refused.status_code == 422
    assert "请填写“查明的事实”" in refused.text
    assert f'href="#f-issue_opinion-text.{claims[0]}"' in refused.text
    answers |= {f"text.{claim}": "说明如下。" for claim in claims} | {"facts": "经查属实。"}
    assert handler.post(f"{case}/steps", hidden | answers).status_code == 303
    paper = handler.post(*paper_of(handler.get(case), case, 1))
    for words_on_it in (
        "意见书",
        "张桂兰",
        "大棚补偿",
        "补偿大棚",
        "经查属实",
        "说明如下",
        "请求原办理机关、单位的上一级机关、单位复查",
        "校验码",
        "印章",
    ):
        assert words_on_it in paper.text
    opinion = opinion_of(handler.get(case))
    served = take(handler, case, "serve", paper=opinion, method="in_person", served_on=today())
    assert served.status_code == 303


def today() -> str:
    return shanghai_date(time.time_ns() // 1000).isoformat()


def paper_of(page: httpx2.Response, case: str, place: int) -> tuple[str, dict[str, str]]:
    """Where and with what the page's n-th paper is printed."""
    return [found for found in Forms(page.text).found if found[0].startswith(f"{case}/papers/")][place]


def opinion_of(page: httpx2.Response) -> str:
    found = re.findall(r'<option value="([0-9a-f-]{36})"[^>]*>信访事项处理意见书', page.text)
    return str(found[0])


def test_an_acceptance_notice_has_its_fields_and_no_remedy(clerk: Browser, handler: Browser) -> None:
    case = register(clerk)
    take(handler, case, "accept", kind="substantive")
    notice = handler.post(*paper_of(handler.get(case), case, 0)).text
    for field in ("受理告知书", "信访编号", "收到日期", "办理期限", "联系方式", "第34条"):
        assert field in notice
    assert "复查" not in notice
    assert "office" not in notice, "offices are called by their names"


def test_opening_sealed_text_shows_it_once_and_leaves_a_record(clerk: Browser) -> None:
    case = register(clerk)
    closed = clerk.get(case)
    assert "张桂兰" not in closed.text
    opened = clerk.post(f"{case}/read", form(closed, f"{case}/read"))
    assert "张桂兰" in opened.text
    assert "查阅密封内容" in clerk.get(case).text
    assert "张桂兰" not in clerk.get(case).text


def test_steps_that_the_law_forbids_now_are_shown_with_their_reason(clerk: Browser, handler: Browser) -> None:
    case = register(clerk)
    page = handler.get(case).text
    assert "目前不能办理的步骤及原因" in page
    unlawful = page.split("目前不能办理的步骤及原因")[1]
    assert "出具处理意见书" in unlawful
    assert not re.search(r"[0-9]{12}\.[a-z]", re.sub(r"<[^>]*>", "", unlawful)), "offices are called by their names"


def test_articles_and_papers_have_their_english_names(clerk: Browser, handler: Browser) -> None:
    case = register(clerk)
    take(handler, case, "accept", kind="substantive")
    page = handler.get(f"{case}?lang=en").text
    assert "Notice of acceptance" in page
    assert "Regulations on Petition Work, Art. 23" in page
    assert "《信访工作条例》" not in page


def test_the_page_of_a_late_case_says_who_held_it_on_the_late_days(clerk: Browser) -> None:
    received = shanghai_date(SystemClock().now_us()) - timedelta(days=40)
    page = clerk.post("/register", registration(clerk.get("/register"), received_on=received.isoformat()))
    late = re.search(r'href="(/cases/[0-9a-f-]{36})"', page.text)
    assert late is not None
    shown = clerk.get(late[1]).text.partition("逾期由谁承担")[2].partition("</ul>")[0]
    assert "葛岗村" in shown
    assert "25 天" in shown
    assert "逾期由谁承担" not in clerk.get(register(clerk)).text


def test_an_event_has_a_page_with_its_leaf(clerk: Browser) -> None:
    case = register(clerk)
    to = re.search(rf'href="({case}/events/[0-9a-f-]+)"', clerk.get(case).text)
    assert to is not None
    page = clerk.get(to[1]).text
    assert re.search(r"[0-9a-f]{64}", page)
    assert "test.example/410221100201/1" in page


def test_the_case_list_is_filtered_by_its_address(clerk: Browser) -> None:
    case = register(clerk)
    listed = f'href="{case}"'
    assert listed in clerk.get("/cases?scope=filed&category=02").text
    assert listed not in clerk.get("/cases?scope=filed&category=02&status=declined").text
    assert "没有符合条件的事项" in clerk.get(f"/cases?scope=filed&number={uuid4()}").text
    assert clerk.get("/cases?received_from=yesterday").status_code == 422


def test_text_of_a_petition_is_never_markup(clerk: Browser) -> None:
    attack = "<script>alert(1)</script>{{7*7}}'; DROP TABLE ledger"
    page = clerk.post("/register", registration(clerk.get("/register"), title=attack, body=attack, claim_0=attack))
    case = re.search(r"/cases/[0-9a-f-]{36}", page.text)
    assert case is not None
    opened = clerk.post(f"{case[0]}/read", form(clerk.get(case[0]), f"{case[0]}/read")).text
    assert "<script>alert" not in opened
    assert "{{7*7}}" in opened


# --- supervision, health, administration --------------------------------------------------------------------------


def pages(browser: Browser, path: str | None) -> Iterator[str]:
    """The pages of a list, one after the other."""
    while path is not None:
        text = browser.get(path).text
        yield text
        following = re.search(r'<a class="btn" href="([^"]+)" rel="next">', text)
        path = unescape(following[1]) if following else None


def test_the_board_shows_units_with_denominators_and_leads_to_their_cases(town: Town, clerk: Browser) -> None:
    case = register(clerk)
    supervisor = town.county.browser("supervisor")
    link = f"/board/{VILLAGE}.office/duties"
    wait_until(lambda: link in supervisor.get("/board").text)
    assert "不给信访人排名" in supervisor.get("/board").text
    wait_until(lambda: any(case in page for page in pages(supervisor, link)))
    assert supervisor.get(case).status_code == 200
    past = supervisor.get("/board?as_of=2026-01-01T00:00&known_by=2026-01-01T00:00")
    assert "2026-01-01 00:00" in past.text
    assert supervisor.get("/board?as_of=soon").status_code == 422
    assert clerk.get("/board").status_code == 403


def test_the_node_page_shows_the_child_and_no_secret(town: Town) -> None:
    page = town.county.browser("operator").get("/node").text
    assert VILLAGE in page
    assert "没有尚未消除的故障" in page, re.sub(r"\s*<[^>]+>\s*", " ", page)


def test_an_operator_opens_changes_and_closes_an_account_on_the_pages(village: Office) -> None:
    operator, login = village.browser("operator"), f"u{uuid4().hex[:8]}"
    new = {"login": login, "name": "李某", "password": PASSWORD, "role": "clerk", "unit": f"{VILLAGE}.office"}
    page = operator.get("/accounts")
    assert operator.post("/accounts", form(page, "/accounts") | new | {"login": "Not OK"}).status_code == 422
    assert operator.post("/accounts", {"csrf": form(page, "/accounts")["csrf"]} | new).status_code == 303
    account = re.search(rf'href="(/accounts/[0-9a-f-]+)">{login}<', operator.get("/accounts").text)
    assert account is not None
    csrf = form(operator.get(account[1]), account[1])["csrf"]
    changed = {"csrf": csrf, "act": "assign", "role": "auditor", "unit": f"{VILLAGE}.office"}
    assert operator.post(account[1], changed).status_code == 303
    assert operator.post(account[1], {"csrf": csrf, "act": "close"}).status_code == 303
    assert citizen(village).post("/login", {"login": login, "password": PASSWORD}).status_code == 422


def test_ending_a_session_signs_its_browser_out(village: Office) -> None:
    operator, victim = village.browser("operator"), village.browser("auditor")
    page = operator.get("/sessions")
    row = page.text.split("auditor")[1]
    to = re.search(r'action="(/sessions/[0-9a-f-]+)"', row)
    assert to is not None
    assert operator.post(to[1], form(page, to[1])).status_code == 303
    assert victim.get("/duties").headers["location"].startswith("/login")


def test_pages_of_other_roles_are_refused(village: Office, clerk: Browser) -> None:
    assert clerk.get("/accounts").status_code == 403
    assert village.browser("operator").get("/duties").status_code == 403
    assert village.browser("auditor").get("/register").status_code == 403


# --- the site -----------------------------------------------------------------------------------------------------


def test_who_is_not_signed_in_is_led_to_the_page_after_signing_in(village: Office) -> None:
    browser = citizen(village)
    asked = browser.get("/cases?scope=filed")
    assert asked.headers["location"] == "/login?next=%2Fcases%3Fscope%3Dfiled"
    fields = form(browser.get(asked.headers["location"]), "/login") | {"login": "clerk", "password": PASSWORD}
    assert browser.post("/login", fields).headers["location"] == "/cases?scope=filed"


@pytest.mark.parametrize("away", ["https://evil.example/", "//evil.example", "/\\evil.example", "javascript:alert(1)"])
def test_signing_in_never_leads_to_another_site(village: Office, away: str) -> None:
    answer = citizen(village).post("/login", {"login": "clerk", "password": PASSWORD, "next": away})
    assert answer.headers["location"] == "/duties"


def test_signing_in_gives_a_new_session_that_scripts_cannot_read(village: Office) -> None:
    browser = citizen(village)
    browser.http.cookies.set("huiyin", "chosen-by-somebody-else")
    answer = browser.post("/login", {"login": "clerk", "password": PASSWORD})
    cookie = answer.headers["set-cookie"]
    assert "chosen-by" not in cookie
    assert "HttpOnly" in cookie
    assert "samesite=lax" in cookie.lower()


def test_over_https_the_cookie_is_bound_to_the_host(village: Office) -> None:
    client = village.client()
    client.base_url = "https://huiyin.example"
    headers = {"origin": "https://huiyin.example"}
    answer = client.post("/login", data={"login": "clerk", "password": PASSWORD}, headers=headers)
    assert answer.headers["set-cookie"].startswith("__Host-huiyin=")
    assert "Secure" in answer.headers["set-cookie"]
    assert answer.headers["strict-transport-security"]


@pytest.mark.parametrize(
    "headers",
    [{}, {"origin": "https://evil.example"}, {"origin": BASE, "sec-fetch-site": "cross-site"}, {"origin": "null"}],
)
def test_a_form_from_elsewhere_changes_nothing(clerk: Browser, headers: dict[str, str]) -> None:
    filled = registration(clerk.get("/register"))
    assert clerk.http.post("/register", data=filled, headers=headers).status_code == 403


def test_a_form_without_the_sessions_token_changes_nothing(clerk: Browser) -> None:
    filled = registration(clerk.get("/register"))
    assert clerk.post("/register", filled | {"csrf": "guess"}).status_code == 403


def test_reading_a_page_never_signs_out_or_changes_anything(clerk: Browser) -> None:
    assert clerk.get("/logout").status_code == 405
    assert clerk.get("/duties").status_code == 200


def test_english_is_a_switch_that_stays(village: Office) -> None:
    browser = citizen(village)
    assert "提出诉求" in browser.get("/").text
    assert "File a petition" in browser.get("/?lang=en").text
    assert 'lang="en"' in browser.get("/follow").text
    assert "提出诉求" in browser.get("/?lang=zh").text


def test_every_word_of_the_templates_has_its_english() -> None:
    catalog = words("en")
    for template in TEMPLATES.glob("*.html"):
        for text in re.findall(r"""_\(["'](.+?)["'](?:, |\))""", template.read_text("utf-8")):
            assert catalog.gettext(text) != text, (template.name, text)


def test_every_page_allows_only_its_own_scripts_and_styles(village: Office, clerk: Browser) -> None:
    for page in (citizen(village).get("/"), clerk.get("/duties"), clerk.get("/nothing-here")):
        policy = page.headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "unsafe" not in policy
        assert not re.search(r"\sstyle=|\son[a-z]+=|<script>|https?://(?!127)", page.text)
        assert page.headers["x-content-type-options"] == "nosniff"


def test_no_form_and_no_command_asks_for_whereabouts_character_or_risk() -> None:
    pages = "".join(page.read_text("utf-8") for page in TEMPLATES.glob("*.html"))
    asked = {*re.findall(r'name="([\w.]+)', pages), *Petitioner.__struct_fields__}
    asked |= {field for command in get_args(AnyCommand) for field in command.__struct_fields__}
    assert {"title", "phone", "person_count", "received_on"} <= asked
    never = re.compile("travel|whereabout|companion|risk|character|stabil|rank|visit_count|mood|health")
    assert [field for field in asked if never.search(field)] == []


@pytest.mark.parametrize(
    "body",
    [
        b'--x\r\nContent-Disposition: form-data; name="code"\r\n\r\nnever ends',
        b"--x\r\n" * 20_000,
        b'--x\r\nContent-Disposition: form-data; name="' + b"a" * 100_000 + b'"\r\n\r\n1\r\n--x--\r\n',
        b"".join(b'--x\r\nContent-Disposition: form-data; name="f%d"\r\n\r\n1\r\n' % n for n in range(5_000))
        + b"--x--\r\n",
        b'--x\r\nContent-Disposition: form-data; name="receipt"; filename="../../etc/passwd"\r\n\r\nx\r\n--x--\r\n',
    ],
)
def test_a_malformed_upload_is_refused_by_name(village: Office, body: bytes) -> None:
    headers = {"content-type": "multipart/form-data; boundary=x", "origin": BASE}
    refused = village.client().post("/follow", content=body, headers=headers)
    assert refused.status_code in {400, 422}
    assert "Traceback" not in refused.text


def test_an_unknown_address_is_a_page_with_a_number_to_quote(village: Office) -> None:
    page = village.client().get(f"/cases-of-{COUNTY}")
    assert page.status_code == 404
    assert page.headers["x-request-id"] in page.text
