"""The pages in a real browser: no error, sorting and filtering, by keyboard as well."""

import pytest

from jax_origin.pages import audit_page, write_page

from .pages_data import CANDIDATES, FOREIGN, OWN, audited, mixed

pytestmark = pytest.mark.outer


@pytest.fixture
def opened(browser):
    """Opens a page; fails at the end if it had an error, or asked for anything."""
    context = browser.new_context(viewport={"width": 375, "height": 800})
    page = context.new_page()
    faults: list[str] = []
    page.on("console", lambda message: faults.append(message.text))
    page.on("pageerror", lambda error: faults.append(str(error)))
    page.on("dialog", lambda dialog: (faults.append("dialog"), dialog.dismiss()))
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    yield page
    assert faults == [] and all(url.startswith(("file:", "data:")) for url in asked)
    context.close()


def shown(page) -> list[str]:
    names = page.locator("#gallery > li:visible h3").all_inner_texts()
    return [name if len(name) < 20 else "hostile" for name in names]


def test_the_report_sorts_and_filters(tmp_path, opened):
    write_page(tmp_path / "report.html", audit_page(mixed(tmp_path), CANDIDATES, tmp_path))
    opened.goto((tmp_path / "report.html").as_uri())
    everything = ["1.png", "2.png", "3.png", "4.png", "hostile", "6.png", "torn.png"]
    assert shown(opened) == everything
    assert opened.locator("#shown").inner_text() == "7 of 7 shown"
    opened.select_option("#sort", "far")
    assert shown(opened)[-1] == "torn.png" and shown(opened)[0] == "2.png"
    opened.select_option("#sort", "place")
    assert shown(opened) == everything
    opened.get_by_label("not recognised").uncheck()
    assert shown(opened) == ["1.png", "3.png", "4.png", "6.png", "torn.png"]
    opened.get_by_label("not recognised").check()
    opened.get_by_label("only those that disagree").check()
    assert shown(opened) == ["2.png"]
    opened.get_by_label("only those that disagree").uncheck()
    opened.get_by_label("Find").fill("<SCRIPT>")
    assert shown(opened) == ["hostile"]
    assert opened.locator("#shown").inner_text() == "1 of 7 shown"
    # On a telephone nothing sticks out.
    assert opened.evaluate("document.documentElement.scrollWidth <= innerWidth")


def test_the_report_is_used_without_a_mouse(tmp_path, opened):
    write_page(tmp_path / "report.html", audit_page(mixed(tmp_path), CANDIDATES, tmp_path))
    opened.goto((tmp_path / "report.html").as_uri())
    opened.keyboard.press("Tab")
    assert opened.evaluate("document.activeElement.textContent") == "Go to the answer"
    reached = []
    for _ in range(40):
        opened.keyboard.press("Tab")
        where = "document.activeElement.id || document.activeElement.tagName"
        reached.append(opened.evaluate(where))
    assert {"sort", "find", "wrong", "SUMMARY", "INPUT"} <= set(reached)
    opened.locator("#gallery summary").first.focus()
    opened.keyboard.press("Enter")
    assert opened.locator("#gallery details").first.evaluate("each => each.open")


def test_a_page_of_many_images_opens_quickly(tmp_path, opened):
    paths = [str(tmp_path / f"a/{i}.png") for i in range(2000)]
    found = audited(dict.fromkeys(paths, OWN), dict.fromkeys(paths, FOREIGN))
    write_page(tmp_path / "report.html", audit_page(found, CANDIDATES, tmp_path))
    assert (tmp_path / "report.html").stat().st_size < 10_000_000
    opened.goto((tmp_path / "report.html").as_uri())
    assert opened.locator("#shown").inner_text() == "240 of 240 shown"
    opened.emulate_media(color_scheme="dark")
    assert opened.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(22, 24, 27)"
