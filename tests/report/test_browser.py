"""The page in a browser: accessible, without overflow, without requests, the same without scripts."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from bulkverify import RunReport
from tests.report.made import HOSTILE, ordinary, worst

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

REPORTS: dict[str, Callable[[], RunReport]] = {
    "ordinary": lambda: ordinary(missing=40, service="http://127.0.0.1:8000"),
    "worst": worst,
    "earlier": lambda: ordinary(findings=(), domains=None, curve=()),
}
DESKTOP, PHONE = 1240, 390

Open = Callable[..., "Page"]


@pytest.fixture
def opened(browser: "Browser", tmp_path: Path) -> Open:
    """Open a page, and note its requests and the complaints of the browser."""

    def opened(source: str, **options: Any) -> "Page":  # noqa: ANN401
        path = tmp_path / "report.html"
        path.write_text(source, encoding="utf-8")
        width, scheme = options.pop("width", DESKTOP), options.pop("scheme", "light")
        context = browser.new_context(
            viewport={"width": width, "height": 900}, color_scheme=scheme, **options
        )
        page = context.new_page()
        noted: list[str] = []
        page.on("request", lambda request: noted.append(f"request {request.url}"))
        page.on("console", lambda message: noted.append(f"console {message.text}"))
        page.on("pageerror", lambda error: noted.append(f"error {error}"))
        page.on("dialog", lambda dialog: noted.append(f"dialog {dialog.message}"))
        page.goto(path.as_uri())
        vars(page)["noted"] = noted
        return page

    return opened


def noted_by(page: "Page") -> list[str]:
    found: list[str] = vars(page)["noted"]
    return found


@pytest.mark.parametrize("report", ["ordinary", "worst"])
@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [DESKTOP, PHONE])
def test_axe_finds_no_violation(opened: Open, report: str, scheme: str, width: int) -> None:
    axe = pytest.importorskip("axe_playwright_python.sync_playwright")
    page = opened(REPORTS[report]().to_html(), width=width, scheme=scheme)
    found = axe.Axe().run(page)
    assert found.violations_count == 0, found.generate_report()
    assert len(found.response["passes"]) > 20


@pytest.mark.parametrize("report", REPORTS)
def test_nothing_is_wider_than_the_screen(opened: Open, report: str) -> None:
    page = opened(REPORTS[report]().to_html(small_domains=True))
    page.evaluate("document.querySelectorAll('details').forEach(one => one.open = true)")
    for width in (320, PHONE, 700, 900, DESKTOP):
        page.set_viewport_size({"width": width, "height": 900})
        wide = page.evaluate(
            "[...document.querySelectorAll('body *')]"
            ".filter(one => one.getBoundingClientRect().right > innerWidth + 0.5)"
            ".map(one => one.outerHTML.slice(0, 200))"
        )
        assert wide == []
        assert page.evaluate("document.documentElement.scrollWidth") == width


@pytest.mark.parametrize("report", REPORTS)
def test_the_page_requests_nothing_and_breaks_no_policy(opened: Open, report: str) -> None:
    page = opened(REPORTS[report]().to_html())
    assert noted_by(page) == [f"request {page.url}"]


def test_the_policy_stops_what_gets_into_the_page(opened: Open) -> None:
    alien = f"{HOSTILE}<script>document.title = 'broken'</script><style>body{{color:red}}</style>"
    page = opened(ordinary().to_html().replace("<main>", f"<main>{alien}"))
    assert page.title() == "List report"
    assert page.evaluate("getComputedStyle(document.body).color") != "rgb(255, 0, 0)"
    noted = noted_by(page)
    assert not [one for one in noted if one.startswith("dialog")]
    assert len([one for one in noted if "Content Security Policy" in one]) >= 3


def test_hostile_text_is_text_in_the_browser_too(opened: Open) -> None:
    page = opened(worst().to_html(small_domains=True))
    assert page.locator("img, script, iframe, object").count() == 0
    assert page.get_by_text(f"{HOSTILE}.example").count() >= 1
    isolated = page.evaluate(
        "[...new Set([...document.querySelectorAll('bdi')]"
        ".map(one => getComputedStyle(one).unicodeBidi))]"
    )
    assert isolated == ["isolate"]


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_page_looks_the_same_without_scripts(opened: Open, scheme: str) -> None:
    source = ordinary().to_html()
    with_scripts = opened(source, scheme=scheme).screenshot(full_page=True)
    without = opened(source, scheme=scheme, java_script_enabled=False).screenshot(full_page=True)
    assert with_scripts == without


def test_each_width_has_its_own_curve(opened: Open) -> None:
    for width, shown in ((DESKTOP, ".wide"), (PHONE, ".narrow")):
        page = opened(ordinary().to_html(), width=width)
        assert [page.locator(f".curve{name}").is_visible() for name in (".wide", ".narrow")] == [
            shown == ".wide",
            shown == ".narrow",
        ]
        assert page.locator(f".curve{shown} .serie-1 path").bounding_box() is not None


def test_the_bars_are_as_long_as_their_shares(opened: Open) -> None:
    page = opened(ordinary().to_html())
    bar = page.locator("#verdicts .more .bar").first
    box, part = bar.bounding_box(), bar.locator("rect").first.bounding_box()
    assert box is not None
    assert part is not None
    assert part["width"] / box["width"] == pytest.approx(14_500 / 19_300, abs=0.01)


def test_print_is_light_and_has_no_navigation(opened: Open) -> None:
    page = opened(ordinary().to_html(), scheme="dark", width=794)
    dark = page.evaluate("getComputedStyle(document.body).backgroundColor")
    page.emulate_media(media="print")
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    assert dark != "rgb(255, 255, 255)"
    assert not page.locator("nav").is_visible()
    assert len(page.pdf(format="A4")) > 10_000
