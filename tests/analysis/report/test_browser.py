"""The report in a real browser."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Callable
from pathlib import Path

import pytest
from playwright.sync_api import Locator, Page

from analysis.tables.render import LATEX_NEEDS, escape_latex
from tests.analysis.report.pages import HOSTILE

Visit = Callable[..., Page]

CONTRASTS = """() => {
  const channels = (text) => text.match(/[\\d.]+/g).map(Number);
  const luminance = (text) => {
    const linear = (c) => c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4;
    const [r, g, b] = channels(text).slice(0, 3).map((c) => linear(c / 255));
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const behind = (element) => {
    for (; element; element = element.parentElement) {
      const colour = getComputedStyle(element).backgroundColor;
      if ((channels(colour)[3] ?? 1) > 0) return colour;
    }
    return "rgb(255, 255, 255)";
  };
  const found = {};
  for (const element of document.querySelectorAll("body *")) {
    const says = [...element.childNodes].some((node) => node.nodeType === 3 && node.textContent.trim());
    if (!says || !element.getClientRects().length || element.closest("script, noscript, svg")) continue;
    const [one, other] = [luminance(getComputedStyle(element).color), luminance(behind(element))];
    const ratio = (Math.max(one, other) + 0.05) / (Math.min(one, other) + 0.05);
    if (ratio < 4.5) found[`${element.tagName}.${element.className}`] = ratio;
  }
  return found;
}"""


def column(page: Page, index: int) -> list[str]:
    body = page.locator("#mini-table-1 tbody").first
    return body.locator(f"tr:not(.block, [hidden]) > :nth-child({index + 1})").all_inner_texts()


def references(page: Page) -> list[str]:
    return page.locator("#mini-table-1 tbody").nth(1).locator("tr:not(.block, [hidden]) th").all_inner_texts()


def first_run(page: Page) -> tuple[str, str]:
    """Return the address and the name of the first run of a loss in the list."""
    link = page.locator(".list tbody a", has_text="temperature_free").first
    return link.get_attribute("href") or "", link.inner_text()


def test_every_figure_is_drawn(visit: Visit) -> None:
    page = visit()
    measure = "all => all.map(i => [i.naturalWidth, i.clientWidth, i.clientHeight])"
    sizes = page.locator("figure img").evaluate_all(measure)
    assert len(sizes) == 2
    assert all(min(size) > 50 for size in sizes)
    assert all(page.locator("figure img").evaluate_all("all => all.map(i => i.alt.length > 0)"))


@pytest.mark.parametrize("width", [400, 1280])
def test_figures_keep_their_shape_and_their_letters_are_not_smaller_on_a_narrow_page(visit: Visit, width: int) -> None:
    page = visit(viewport={"width": width, "height": 900})
    measure = "all => all.map(i => [i.naturalWidth, i.naturalHeight, i.clientWidth, i.clientHeight])"
    for natural_width, natural_height, shown_width, shown_height in page.locator("figure img").evaluate_all(measure):
        assert shown_width / shown_height == pytest.approx(natural_width / natural_height, rel=0.01)
        assert shown_width == natural_width if width == 400 else shown_width <= natural_width


def test_every_link_has_a_target_on_the_page(visit: Visit) -> None:
    page = visit()
    links = page.locator("a[href]").evaluate_all("all => all.map(a => a.getAttribute('href'))")
    targets = set(page.locator("[id]").evaluate_all("all => all.map(e => '#' + e.id)"))
    static = {link for link in links if not link.startswith("#run-")}
    assert len(static) > 10
    assert static <= targets
    assert all(link.startswith("#") for link in links)


def test_ids_are_unique(visit: Visit) -> None:
    ids = visit().locator("[id]").evaluate_all("all => all.map(e => e.id)")
    assert len(ids) == len(set(ids))


def test_a_click_on_a_header_sorts_by_number_from_the_largest_and_keeps_blocks_together(visit: Visit) -> None:
    page = visit()
    before = column(page, 0)
    button = page.locator("#mini-table-1 thead button", has_text="accuracy")
    header = page.locator("#mini-table-1 thead th", has_text="accuracy")
    button.click()
    assert column(page, 0) == ["dystress", "temperature_free", "infonce", HOSTILE]
    assert header.get_attribute("aria-sort") == "descending"
    blocks = page.locator("#mini-table-1 tbody")
    assert [block.splitlines()[0].strip() for block in blocks.all_inner_texts()] == ["Losses", "References"]
    assert references(page) == ["raw", "untrained"]
    button.click()
    assert column(page, 0) == ["infonce", "temperature_free", "dystress", HOSTILE]
    assert header.get_attribute("aria-sort") == "ascending"
    button.click()
    assert column(page, 0) == before
    assert header.get_attribute("aria-sort") is None


@pytest.mark.parametrize("key", ["Enter", "Space"])
def test_a_key_on_a_header_sorts(visit: Visit, key: str) -> None:
    page = visit()
    page.locator("#mini-table-1 thead button", has_text="accuracy").focus()
    page.keyboard.press(key)
    assert column(page, 0)[:3] == ["dystress", "temperature_free", "infonce"]


def test_times_sort_from_the_smallest_and_words_by_letter(visit: Visit) -> None:
    page = visit()
    page.locator("#mini-table-2 thead button").nth(1).click()
    assert page.locator("#mini-table-2 tbody th").all_inner_texts() == ["row", "other"]
    assert page.locator("#mini-table-2 thead th").nth(1).get_attribute("aria-sort") == "ascending"
    page.locator("#mini-table-1 thead button", has_text="remark").click()
    assert references(page) == ["raw", "untrained"]


def tools(page: Page, table: str) -> Locator:
    return page.locator(f"{table} .tools")


def test_every_table_is_filtered_by_words_and_says_how_many_rows_are_left(visit: Visit) -> None:
    page = visit()
    box = tools(page, "#mini-table-1")
    box.get_by_label("Filter rows").fill("references raw")
    assert references(page) == ["raw"] and column(page, 0) == []
    assert not page.locator("#mini-table-1 tbody").first.is_visible()
    assert box.get_by_role("status").inner_text() == "1 of 6 rows"
    box.get_by_label("Filter rows").fill("")
    assert len(column(page, 0)) == 4 and len(references(page)) == 2
    count = "all => all.filter(t => t.querySelectorAll('tbody tr:not(.block)').length > 1).length"
    several = page.locator(".table table").evaluate_all(count)
    assert page.get_by_label("Filter rows").count() == several > 6
    assert page.locator(".tools").count() == page.locator(".table table").count()


def test_a_table_is_copied_as_csv_and_as_latex_as_it_is_shown(visit: Visit) -> None:
    page = visit(permissions=["clipboard-read", "clipboard-write"])
    box = tools(page, "#mini-table-1")
    page.locator("#mini-table-1 thead button", has_text="accuracy").click()
    box.get_by_label("Filter rows").fill("losses")
    box.get_by_role("button", name="Copy CSV").click()
    box.get_by_text("Copied as CSV").wait_for()
    rows = list(csv.reader(io.StringIO(page.evaluate("navigator.clipboard.readText()"))))
    assert rows[0] == ["block", "", "accuracy ↑", "remark"]
    assert rows[1] == ["Losses", "dystress", "10.2000 ± 0.1 (5)", "some words"]
    assert rows[-1][1] == HOSTILE and len(rows) == 5
    box.get_by_role("button", name="Copy LaTeX").click()
    box.get_by_text("Copied as LaTeX").wait_for()
    copied = page.evaluate("navigator.clipboard.readText()").splitlines()
    assert copied[0] == f"% {LATEX_NEEDS}"
    assert r"\textbf{10.2000 $\pm$ 0.1 (5)}" in copied[copied.index(r"\toprule") + 4]
    assert any(line.startswith(escape_latex(HOSTILE)) for line in copied)


@pytest.mark.parametrize("width", [400, 1280])
def test_verdicts_and_the_main_table_come_first_and_fit(visit: Visit, width: int) -> None:
    page = visit(viewport={"width": width, "height": 900})
    assert page.evaluate("document.documentElement.scrollWidth") == width
    assert page.locator(".glance").first.evaluate("table => table.getBoundingClientRect().right") <= width
    assert page.locator(".glance tbody .label").first.evaluate("label => label.getBoundingClientRect().bottom") < 900
    boxes = page.locator(".verdicts, .published").evaluate_all(
        "all => all.map(t => [t.scrollWidth, t.parentElement.clientWidth])"
    )
    assert boxes and all(table <= box for table, box in boxes)
    assert page.locator("#mini-table-1 .scroll").evaluate("box => box.getBoundingClientRect().right") <= width
    if width == 1280:
        assert page.locator("#mini-table-1 .scroll").evaluate("box => box.scrollWidth <= box.clientWidth")


def test_contents_unfold_lead_on_and_fold_again(visit: Visit) -> None:
    page = visit()
    contents, link = page.locator(".contents details"), page.locator(".contents a", has_text="Tables").first
    assert not link.is_visible()
    page.locator(".contents summary").click()
    page.keyboard.press("Escape")
    assert not link.is_visible() and page.evaluate("document.activeElement.tagName") == "SUMMARY"
    page.keyboard.press("Enter")
    link.click()
    assert contents.get_attribute("open") is None
    assert page.url.endswith("#mini-tables")
    edges = [page.locator(one).bounding_box() for one in (".contents", "#mini-tables-title")]
    assert edges[0] and edges[1] and edges[0]["y"] + edges[0]["height"] <= edges[1]["y"]


def test_choosing_a_run_shows_its_configuration_metrics_and_curves(visit: Visit) -> None:
    page = visit()
    _, name = first_run(page)
    page.locator(".list tbody a", has_text="temperature_free").first.click()
    run = page.locator("article.run")
    assert run.locator("h3").inner_text() == name
    assert page.evaluate("document.activeElement.textContent") == name
    assert "accuracy" in run.inner_text()
    titles = run.locator(".curve .title").all_text_contents()
    assert titles[:3] == ["train/loss", "train/similarity_positive", "train/similarity_negative"]
    assert "cosines, last batch" in titles
    lengths = run.locator(".curve path.line").evaluate_all("all => all.map(p => p.getTotalLength())")
    assert min(lengths) > 50
    assert page.locator(".list tr[aria-current]").count() == 1


def test_an_address_with_the_prefix_of_a_key_opens_the_run(visit: Visit, report: Path) -> None:
    page = visit("#run-nosuchkey%2")
    assert page.locator("#explorer .notice").inner_text() == "No run nosuchkey%2 is listed here."
    address, name = first_run(page)
    page.goto("about:blank")
    page.goto(f"{report.as_uri()}{address[:-1]}")
    assert page.locator("article.run h3").inner_text() == name


def test_the_list_of_runs_is_filtered_by_words_and_choices(visit: Visit) -> None:
    page = visit()
    total = int(page.locator(".found").first.inner_text().split()[2])
    page.get_by_label("Search").fill("graph dystress seed3")
    assert page.locator(".list tbody a").all_inner_texts() == ["graph / dystress / seed 3"]
    page.get_by_label("Search").fill("")
    page.locator("select").nth(1).select_option("image")
    found = int(page.locator(".found").first.inner_text().split()[0])
    assert 0 < found < total
    assert all(name.startswith("image / ") for name in page.locator(".list tbody a").all_inner_texts())


def test_everything_is_reached_by_tab_and_nothing_holds_it(visit: Visit) -> None:
    page = visit()
    page.get_by_label("Search").fill("graph dystress seed3")
    page.locator("h1").click()
    page.keyboard.press("Shift+Tab")
    assert page.evaluate("document.activeElement.className") == "skip"
    seen = []
    for _ in range(250):
        page.keyboard.press("Tab")
        tag = page.evaluate("(({tagName, id, className}) => `${tagName}.${id || className}`)(document.activeElement)")
        if tag.startswith("BODY"):
            break
        seen.append(tag)
    assert tag.startswith("BODY")
    assert {"BUTTON.theme", "A.", "DIV.scroll", "DIV.list", "INPUT.", "SELECT."} <= set(seen)


def test_what_has_the_focus_is_outlined(visit: Visit) -> None:
    page = visit()
    for _ in range(6):
        page.keyboard.press("Tab")
        style = page.evaluate("getComputedStyle(document.activeElement).outlineStyle")
        assert style == "solid"


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_stands_out_from_its_background(visit: Visit, scheme: str) -> None:
    page = visit(color_scheme=scheme)
    page.locator(".list tbody a", has_text="temperature_free").first.click()
    assert page.evaluate(CONTRASTS) == {}


def test_the_button_turns_the_page_dark_until_it_is_loaded_again(visit: Visit) -> None:
    page = visit(color_scheme="light")
    ground = "getComputedStyle(document.body).backgroundColor"
    light = page.evaluate(ground)
    page.locator("#theme").click()
    assert page.evaluate(ground) != light
    assert page.locator("#theme").get_attribute("aria-pressed") == "true"
    assert page.evaluate(CONTRASTS) == {}
    page.reload()
    assert page.evaluate(ground) == light


def test_names_from_users_are_text(visit: Visit) -> None:
    page = visit()
    assert page.locator("main b:not(figcaption b), main script").count() == 0
    assert page.locator("#mini-table-1 tbody th", has_text="alert").inner_text() == HOSTILE
    assert page.locator("#mini-missing").inner_text().count(HOSTILE) == 2
    page.get_by_label("Search").fill("alert")
    page.locator(".list tbody a").click()
    assert HOSTILE in page.locator("article.run h3").inner_text()
    assert HOSTILE in page.locator("article.run > p").first.inner_text()


def test_without_scripts_everything_but_the_runs_is_there(visit: Visit) -> None:
    page = visit(java_script_enabled=False)
    assert page.locator(".claim:visible").count() == 4
    assert page.locator("table.data:visible").count() >= 6
    assert page.locator("figure img:visible").count() == 2
    assert page.locator("noscript .notice").is_visible()
    assert not page.locator("#theme").is_visible()
    assert not page.locator("#explorer").is_visible()
    assert page.locator("thead button").count() == 0


@pytest.mark.parametrize("width", [320, 390, 768])
def test_a_narrow_page_scrolls_in_its_tables_only(visit: Visit, width: int) -> None:
    page = visit(viewport={"width": width, "height": 844})
    page.locator(".list tbody a", has_text="temperature_free").first.click()
    assert page.evaluate("document.documentElement.scrollWidth") == width
    wide = page.locator("#mini-table-2 .scroll")
    assert wide.evaluate("box => box.scrollWidth > box.clientWidth && getComputedStyle(box).overflowX === 'auto'")
    caption = page.locator("#mini-table-2 caption span")
    assert caption.evaluate("span => span.getBoundingClientRect().right") <= width


def test_it_prints_every_table_in_ink_on_paper(visit: Visit, tmp_path: Path) -> None:
    page = visit(color_scheme="dark")
    page.locator("#theme").click()
    page.locator("#theme").click()
    page.emulate_media(media="print")
    assert not page.locator("#theme, .contents, .filters, .list").filter(visible=True).count()
    assert page.evaluate(CONTRASTS) == {}
    assert page.locator("main table:visible").count() == page.locator("main table:not(.list table)").count()
    assert page.locator("tbody tr").first.evaluate("row => getComputedStyle(row).breakInside") == "avoid"
    page.set_viewport_size({"width": 680, "height": 1000})
    assert page.evaluate("document.documentElement.scrollWidth") == 680
    content = page.pdf(format="A4")
    assert content.startswith(b"%PDF-")
    assert len(re.findall(rb"/Type\s*/Page\b", content)) >= 3
