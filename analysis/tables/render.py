"""A table as Markdown, LaTeX, CSV, HTML, or for the terminal. The same table gives the same bytes."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Final

from analysis.tables.html import html
from analysis.tables.table import Cell, Table

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
    is wider than the terminal.
    """
    from rich.console import Console
    from rich.table import Table as RichTable
    from rich.text import Text

    shown, widths = RichTable(), [_width(table, i) for i in range(len(table.header))]
    for i, (name, width) in enumerate(zip(table.header, widths, strict=True)):
        shown.add_column(Text(name), justify="left" if i == 0 else "right", overflow="fold", min_width=width)
    for block in table.blocks:
        shown.add_section()
        if table.is_titled:
            shown.add_row(Text(block.title, style="italic"))
        for label, cells in block.rows:
            shown.add_row(Text(label), *(Text(cell.text, style="bold" if cell.bold else "") for cell in cells))
    borders = 3 * len(widths) + 1
    console = Console(width=max(Console().width, sum(widths) + borders), soft_wrap=not sys.stdout.isatty())
    console.print(Text(table.caption))
    console.print(shown)
    for note in table.notes:
        console.print(note, markup=False, highlight=False)


def _width(table: Table, column: int) -> int:
    """Return the characters that a column needs at least for its cells, if they are not sentences, and its header."""
    texts = [label if column == 0 else cells[column - 1].text for block in table.blocks for label, cells in block.rows]
    longest = max(map(len, texts), default=0)
    word = max(map(len, table.header[column].split()), default=0)
    return max(longest if longest <= LONGEST else LONGEST // 2, word)


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
