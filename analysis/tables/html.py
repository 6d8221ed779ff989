"""A table as HTML: a fragment for any page. The same table gives the same bytes."""

from __future__ import annotations

import math

from markupsafe import Markup, escape

from analysis.tables.table import Cell, Table


def html(table: Table) -> str:
    """Write a table as a fragment of HTML: the table with its caption, and a list of its notes.

    Every block is a ``tbody``; a block's title heads its rows where there are several. A cell that can be sorted by a
    number carries it, unrounded, as ``data-value``.
    """
    table = table.labelled()
    return table_element(table) + notes_list(table)


def table_element(table: Table) -> Markup:
    """Return the ``table`` alone, with its caption."""
    titled = len(table.blocks) > 1
    corner = table.header[0] or ("" if titled else "".join(block.title for block in table.blocks))
    header = Markup("").join(_header_cell(text) for text in (corner, *table.header[1:]))
    lines = [
        Markup('<table class="data">\n<caption><span>{}</span></caption>').format(table.caption),
        Markup("<thead>\n<tr>{}</tr>\n</thead>").format(header),
    ]
    for block in table.blocks:
        lines.append(Markup("<tbody>"))
        if titled and block.title:
            title = '<tr class="block"><th scope="rowgroup" colspan="{}">{}</th></tr>'
            lines.append(Markup(title).format(len(table.header), block.title))
        lines += [_row(label, cells) for label, cells in block.rows]
        lines.append(Markup("</tbody>"))
    return Markup("\n").join([*lines, Markup("</table>\n")])


def notes_list(table: Table) -> Markup:
    """Return the notes as a list; nothing without notes."""
    if not table.notes:
        return Markup("")
    items = Markup("\n").join(Markup("<li>{}</li>").format(note) for note in table.notes)
    return Markup('<ul class="notes">\n{}\n</ul>\n').format(items)


def _header_cell(text: str) -> Markup:
    return Markup('<th scope="col">{}</th>').format(text) if text else Markup("<td></td>")


def _row(label: str, cells: list[Cell]) -> Markup:
    return Markup('<tr><th scope="row">{}</th>{}</tr>').format(label, Markup("").join(_cell(cell) for cell in cells))


def _cell(cell: Cell) -> Markup:
    text = Markup("<strong>{}</strong>").format(cell.text) if cell.bold else escape(cell.text)
    if not math.isfinite(cell.value):
        return Markup("<td>{}</td>").format(text)
    return Markup('<td data-value="{!r}">{}</td>').format(float(cell.value), text)
