"""The pages in a real Chromium: what only a browser can tell."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, ViewportSize, sync_playwright

from gateway.web.assets import VENDOR
from tests.gateway.conftest import PASSWORD, Town, free_port, serve

CHROMIUM = Path("/usr/bin/chromium")
WIDTHS = (1280, 375)

pytestmark = [
    pytest.mark.skipif(not CHROMIUM.exists(), reason="no Chromium at /usr/bin/chromium: install it to test pages"),
    pytest.mark.skipif(not VENDOR.exists(), reason="no page assets: run `npm ci` and `python -m gateway.web.assets`"),
]


@pytest.fixture(scope="module")
def site(town: Town) -> Iterator[str]:
    port = free_port()
    stop = serve(town.village.app, port)
    yield f"http://127.0.0.1:{port}"
    stop()


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    arguments = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=str(CHROMIUM), args=arguments)
        yield browser
        browser.close()


def open_page(chromium: Browser, site: str, *, width: int = 1280, **options: Any) -> tuple[Page, list[str]]:
    """A page and the complaints that the browser writes to its console, such as about the content policy."""
    page = chromium.new_context(viewport=ViewportSize(width=width, height=900), base_url=site, **options).new_page()
    complaints: list[str] = []
    page.on("console", lambda said: complaints.append(said.text) if said.type in {"error", "warning"} else None)
    page.on("pageerror", lambda error: complaints.append(str(error)))
    return page, complaints


def sign_in(page: Page, role: str) -> None:
    page.goto("/login")
    page.fill("[name=login]", role)
    page.fill("[name=password]", PASSWORD)
    page.click("main form button")


def register(page: Page) -> str:
    """The path of the case that is registered."""
    page.goto("/register")
    page.fill("[name=title]", "大棚补偿")
    page.fill("[name=body]", "修路占用大棚。")
    page.fill("[name=claim_0]", "补偿大棚")
    page.click("main form button")
    return page.locator("text=返回事项").get_attribute("href") or ""


@pytest.mark.parametrize("width", WIDTHS)
def test_no_page_is_wider_than_its_screen_or_breaks_the_content_policy(
    chromium: Browser, site: str, width: int
) -> None:
    page, complaints = open_page(chromium, site, width=width)
    for path in ("/", "/file", "/follow", "/denounce", "/login"):
        page.goto(path)
        assert overflow_px(page) == 0, path
    sign_in(page, "clerk")
    register(page)
    for path in ("/duties", "/cases", "/register", "/node"):
        page.goto(path)
        assert overflow_px(page) == 0, path
    page.goto("/duties")
    page.click("main table a")
    assert overflow_px(page) == 0
    assert complaints == []
    page.context.close()


def overflow_px(page: Page) -> int:
    found: int = page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
    return found


def test_a_petitioner_files_without_any_script(chromium: Browser, site: str) -> None:
    page, _ = open_page(chromium, site, java_script_enabled=False)
    page.goto("/file")
    page.fill("[name=title]", "路灯不亮")
    page.fill("[name=body]", "三组路灯坏了一个月。")
    page.fill("[name=claim_0]", "修好路灯")
    page.click("main form button")
    assert page.locator(".qr svg").count() == 1
    with page.expect_download() as download:
        page.click("text=下载回执文件")
    page.goto("/follow")
    page.set_input_files("#f-receipt", str(download.value.path()))
    page.click("form[action='/follow'] button")
    assert page.locator("text=办理过程").count() == 1
    page.context.close()


def test_the_first_key_leads_to_the_content_and_every_field_has_its_label(chromium: Browser, site: str) -> None:
    page, _ = open_page(chromium, site)
    page.goto("/file")
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    assert page.url.endswith("#main")
    unlabelled = page.evaluate(
        "[...document.querySelectorAll('main input:not([type=hidden]), main textarea, main select')]"
        ".filter(field => !field.labels.length).map(field => field.name)"
    )
    assert unlabelled == []
    page.context.close()


def test_a_filter_of_the_case_list_works_as_soon_as_it_is_chosen(chromium: Browser, site: str) -> None:
    page, complaints = open_page(chromium, site)
    sign_in(page, "clerk")
    listed = f"#found a[href='{register(page)}']"
    page.goto("/cases?scope=filed")
    assert page.locator(listed).count() == 1
    page.select_option("[name=status]", "declined")
    page.wait_for_selector(listed, state="detached")
    page.wait_for_url("**status=declined**")
    assert complaints == []
    page.context.close()


def test_a_clock_is_legible_without_its_colour(chromium: Browser, site: str) -> None:
    page, _ = open_page(chromium, site)
    sign_in(page, "handler")
    register(page)
    page.goto("/duties")
    said = page.locator("table .clock").all_inner_texts()
    assert said
    assert all(any(word in text for word in ("期限内", "临期", "今日到期", "已逾期")) for text in said)
    page.context.close()


def test_what_is_printed_is_the_paper_alone(chromium: Browser, site: str) -> None:
    page, _ = open_page(chromium, site)
    sign_in(page, "handler")
    register(page)
    page.click("text=返回事项")
    page.click("summary:has-text('受理') >> nth=0")
    page.click("details[open] form button")
    page.click("text=打印 >> nth=0")
    page.wait_for_selector(".paper")
    page.emulate_media(media="print")
    assert page.locator(".masthead").is_hidden()
    assert page.locator(".paper").is_visible()
    page.context.close()
