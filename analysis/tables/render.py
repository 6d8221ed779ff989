"""A table as Markdown, LaTeX, CSV, HTML, or for the terminal. The same table gives the same bytes."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal

from analysis.tables.html import html
from analysis.tables.table import Cell, Table

if TYPE_CHECKING:
    from rich.table import Table as RichTable

LATEX = {
    "\\": r"\textbackslash{}", "&": r"\&", "%": r"\%", "$": r"\$", "#": r"\#", "_": r"\_", "{": r"\{", "}": r"\}",
    "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "<": r"\textless{}", ">": r"\textgreater{}",
    "|": r"\textbar{}", '"': r"\textquotedbl{}", "±": r"$\pm$", "↑": r"$\uparrow$", "↓": r"$\downarrow$", "—": "---",
    "…": r"\dots{}", "→": r"$\rightarrow$", "τ": r"$\tau$", "⁺": r"\textsuperscript{+}",
    "⁻": r"\textsuperscript{$-$}", "\n": " ",
}  # fmt: skip
LAST_LATIN = 0x17F  # what LaTeX's T1 fonts have
#: Stands as a comment over every table.
LATEX_NEEDS = r"needs \usepackage[utf8]{inputenc}, \usepackage[T1]{fontenc}, \usepackage{booktabs,graphicx}"
LONGEST = 40  # characters of a cell that stands in one line
MARKDOWN = re.compile(r"([\\`*|\[\]<>])")


def markdown(table: Table) -> str:
    """Write a table as Markdown, one block after the other."""
    table = table.labelled()
    parts = [_md(table.caption), ""]
    for block in table.blocks:
        lines = [[block.title, *table.header[1:]], ["---"] * len(table.header)]
        parts += ["| " + " | ".join(_md(text) if text != "---" else text for text in line) + " |" for line in lines]
        for label, cells in block.rows:
            texts = [_md(label), *(f"**{_md(cell.text)}**" if cell.bold else _md(cell.text) for cell in cells)]
            parts.append("| " + " | ".join(texts) + " |")
        parts.append("")
    parts += [f"- {_md(note)}" for note in table.notes]
    return "\n".join(parts).rstrip() + "\n"


def latex(table: Table) -> str:
    """Write a table as a LaTeX float, no wider than a line, under a comment with the packages that it needs.

    Columns of sentences become paragraphs; any other table that is too wide is made smaller.
    """
    table = table.labelled()
    label = f"tab:{_slug(table.profile)}-{_slug(table.name)}"
    lines = [
        f"% {LATEX_NEEDS}",
        r"\begin{table}",
        r"\centering",
        rf"\caption{{{escape_latex(table.caption)}}}",
        rf"\label{{{label}}}",
    ]
    kinds = "".join(_latex_column(table, i) for i in range(len(table.header) - 1))
    lines += [r"\resizebox{\ifdim\width>\linewidth\linewidth\else\width\fi}{!}{%"]
    lines += [rf"\begin{{tabular}}{{l{kinds}}}", r"\toprule"]
    lines.append(" & ".join(escape_latex(text) for text in table.header) + r" \\")
    for block in table.blocks:
        lines.append(r"\midrule")
        if table.is_titled:
            lines.append(rf"\multicolumn{{{len(table.header)}}}{{l}}{{\emph{{{escape_latex(block.title)}}}}} \\")
        for label, cells in block.rows:
            lines.append(" & ".join([escape_latex(label), *(_latex_cell(cell) for cell in cells)]) + r" \\")
    lines += [r"\bottomrule", r"\end{tabular}}"]
    if table.notes:
        lines += [r"\par\smallskip\begin{flushleft}\footnotesize"]
        lines += [escape_latex(note) + r"\\" for note in table.notes[:-1]] + [escape_latex(table.notes[-1])]
        lines += [r"\end{flushleft}"]
    return "\n".join([*lines, r"\end{table}"]) + "\n"


def csv(table: Table) -> str:
    """Write the figures of a table unrounded, one a line."""
    return str(table.data.to_csv(index=False, lineterminator="\n"))


def show(table: Table) -> None:
    """Print a table under its caption, with the same figures, and its notes.

    Headers and sentences are folded to the width of the terminal; numbers never are: a table of more numbers than fit
    is printed in parts, each with the labels of the rows. In a pipe or a file it is wider than a terminal instead.
    """
    from rich.console import Console
    from rich.text import Text

    widths = [_width(table, i) for i in range(len(table.header))]
    wide = Console().width
    is_seen = sys.stdout.isatty()
    parts = _parts(widths, wide) if is_seen else [list(range(1, len(widths)))]
    needed = max(_taken(widths, part) for part in parts)
    console = Console(width=max(wide, needed), soft_wrap=not is_seen)
    console.print(Text(table.caption))
    for part in parts:
        console.print(_rich(table, part, widths))
    for note in table.notes:
        console.print(note, markup=False, highlight=False)


def _parts(widths: list[int], room: int) -> list[list[int]]:
    """Divide columns of cells into parts that fit beside the labels, of one column at least."""
    parts: list[list[int]] = [[]]
    for column in range(1, len(widths)):
        if parts[-1] and _taken(widths, [*parts[-1], column]) > room:
            parts.append([])
        parts[-1].append(column)
    return parts


def _taken(widths: list[int], columns: list[int]) -> int:
    """Return the characters that the labels and some columns take, with their borders."""
    return sum(widths[column] + 3 for column in (0, *columns)) + 1


def _rich(table: Table, columns: list[int], widths: list[int]) -> RichTable:
    """Return some columns of a table for the terminal, beside the labels of its rows."""
    from rich.table import Table as RichTable
    from rich.text import Text

    shown = RichTable()
    for i in (0, *columns):
        justify: Literal["left", "right"] = "right" if i else "left"
        shown.add_column(Text(table.header[i]), justify=justify, overflow="fold", min_width=widths[i])
    for block in table.blocks:
        shown.add_section()
        if table.is_titled:
            shown.add_row(Text(block.title, style="italic"))
        for label, cells in block.rows:
            beside = (cells[i - 1] for i in columns)
            shown.add_row(Text(label), *(Text(cell.text, style="bold" if cell.bold else "") for cell in beside))
    return shown


def _width(table: Table, column: int) -> int:
    """Return the characters that a column needs at least for its cells, if they are not sentences, and its header."""
    from rich.cells import cell_len

    texts = [label if column == 0 else cells[column - 1].text for block in table.blocks for label, cells in block.rows]
    longest = max(map(cell_len, texts), default=0)
    word = max(map(cell_len, table.header[column].split()), default=0)
    return max(longest if longest <= LONGEST else LONGEST // 2, min(word, LONGEST // 2))


FORMATS: Final[dict[str, Callable[[Table], str]]] = {".md": markdown, ".tex": latex, ".csv": csv, ".html": html}


def write(tables: Iterable[Table], folder: Path) -> list[Path]:
    """Write tables in every format into ``folder/<profile>`` and return the paths."""
    written = []
    for table in tables:
        for suffix, make in FORMATS.items():
            path = folder / folder_of(table.profile) / (_slug(table.name) + suffix)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(make(table), encoding="utf-8")
            written.append(path)
    return written


def folder_of(profile: str) -> str:
    """Return the name of the folder with the files of a profile."""
    return _slug(profile)


def escape_latex(text: str) -> str:
    """Escape what LaTeX would take for a command; what its fonts lack is named by its code point."""
    return "".join(
        LATEX.get(one) or (one if ord(one) <= LAST_LATIN else rf"\texttt{{U+{ord(one):04X}}}") for one in text
    )


def _latex_column(table: Table, index: int) -> str:
    longest = max((len(cells[index].text) for block in table.blocks for _, cells in block.rows), default=0)
    return r"p{16em}" if longest > LONGEST else "c"


def _latex_cell(cell: Cell) -> str:
    return rf"\textbf{{{escape_latex(cell.text)}}}" if cell.bold else escape_latex(cell.text)


def _md(text: str) -> str:
    return MARKDOWN.sub(r"\\\1", " ".join(text.split()))


def _slug(name: str) -> str:
    return re.sub(r"[^\w.-]", "_", name).lstrip(".") or "table"
