"""Shows the notebooks of docs/ as pages, with the outputs that they were committed with."""

import base64
import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files

ROOT = Path(__file__).parents[2]
FENCE = "```"


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add a page for each notebook, and a file for each of its figures."""
    for notebook in sorted((ROOT / "docs").glob("*.ipynb")):
        cells = json.loads(notebook.read_text(encoding="utf-8"))["cells"]
        figures = [base64.b64decode(image) for cell in cells for image in _images(cell)]
        for number, figure in enumerate(figures):
            files.append(File.generated(config, f"docs/{notebook.stem}-{number}.png", content=figure))
        files.append(File.generated(config, f"docs/{notebook.stem}.md", content=page(notebook.name, cells)))
    return files


def on_page_markdown(markdown: str, **_: Any) -> str:
    """Have links to a notebook lead to its page."""
    return re.sub(r"\]\((\S+?)\.ipynb(#\S*)?\)", r"](\1.md\2)", markdown)


def page(name: str, cells: list[dict[str, Any]]) -> str:
    """Return a notebook as Markdown."""
    parts, figures = [], 0
    for cell in cells:
        source = "".join(cell["source"])
        if cell["cell_type"] == "markdown":
            parts.append(source)
            continue
        parts += [f"{FENCE}python\n{source}\n{FENCE}", *(f"{FENCE}text\n{text}\n{FENCE}" for text in _texts(cell))]
        for _ in _images(cell):
            parts.append(f"![what the cell above draws]({Path(name).stem}-{figures}.png)")
            figures += 1
    parts.insert(1, f'This page is a notebook: <a href="{name}" download>{name}</a>.')
    return "\n\n".join(parts) + "\n"


def _texts(cell: Mapping[str, Any]) -> Iterator[str]:
    for output in cell.get("outputs", ()):
        if output["output_type"] == "stream":
            yield "".join(output["text"]).rstrip()


def _images(cell: Mapping[str, Any]) -> Iterator[str]:
    for output in cell.get("outputs", ()):
        if "image/png" in output.get("data", {}):
            yield "".join(output["data"]["image/png"])
