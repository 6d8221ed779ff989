import math
import re
from html.parser import HTMLParser

from analysis.tables.html import html
from analysis.tables.table import Block, Cell, Table

TABLE = Table(
    "main",
    "mini",
    "A caption with <b> & \"quotes\".",
    ["", "accuracy ↑", "remark"],
    [
        Block("Losses", [("infonce", [Cell("0.5 ± 0.1", True, 0.51234567890123), Cell("a < b")])]),
        Block("References", [("chance", [Cell("—", value=math.nan), Cell("")])]),
    ],
    ["A note </table>."],
)  # fmt: skip


class Reader(HTMLParser):
    """Collects tags with their attributes, and the text inside of each."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[str] = []
        self.open: list[str] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if data.strip():
            self.texts.append(data)


def test_every_element_is_closed_and_every_text_is_escaped() -> None:
    read = Reader(html(TABLE))
    assert read.open == []
    assert "b" not in [tag for tag, _ in read.tags]
    assert TABLE.caption in read.texts
    assert "a < b" in read.texts
    assert "A note </table>." in read.texts


def test_headers_say_what_they_head() -> None:
    headers = [attributes for tag, attributes in Reader(html(TABLE)).tags if tag == "th"]
    assert [one["scope"] for one in headers] == ["col", "col", "rowgroup", "row", "rowgroup", "row"]
    assert headers[2]["colspan"] == "3"


def test_cells_carry_their_unrounded_value_to_sort_by() -> None:
    assert re.findall(r'data-value="([^"]*)"', html(TABLE)) == ["0.51234567890123"]


def test_the_best_is_bold() -> None:
    assert re.findall(r"<strong>(.*?)</strong>", html(TABLE)) == ["0.5 ± 0.1"]


def test_the_title_of_a_single_block_heads_the_labels() -> None:
    text = html(Table("t", "mini", "Caption.", ["", "x"], [Block("Settings", [("a", [Cell("1")])])]))
    assert '<th scope="col">Settings</th>' in text
    assert "rowgroup" not in text


def test_a_table_without_rows_is_still_a_table() -> None:
    read = Reader(html(Table("t", "mini", "Caption.", ["", "x"], [])))
    assert read.open == []
    assert [tag for tag, _ in read.tags] == ["table", "caption", "span", "thead", "tr", "td", "th"]
