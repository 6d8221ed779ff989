"""Notebooks executed as Jupyter does, each by a kernel of its own.

``python -m tests.notebook.kernels docs/plain_pytorch.ipynb`` writes what comes out into a notebook.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path
from typing import Any

import nbformat
from nbclient import NotebookClient
from traitlets.config import Config

from tests.cluster import environment
from tests.waiting import PATIENCE_S


class Watched(NotebookClient):
    """Keeps what was written into a line that is written over: a notebook itself keeps the last text alone."""

    def __init__(self, *arguments: Any, **settings: Any) -> None:
        super().__init__(*arguments, **settings)
        self.updates: list[str] = []

    def process_message(self, msg: dict[str, Any], cell: Any, cell_index: int) -> Any:
        """Note an update on its way into the notebook."""
        if msg["msg_type"] == "update_display_data":
            self.updates.append(msg["content"]["data"]["text/plain"])
        return super().process_message(msg, cell, cell_index)


def execute(notebook: Any, folder: Path, runtime: Path) -> Watched:
    """Execute a notebook in a folder; its kernel keeps its own files, and listens at sockets, in `runtime`.

    Raises
    ------
    nbclient.exceptions.CellExecutionError
        If a cell does.
    """
    own = dict.fromkeys(("JUPYTER_RUNTIME_DIR", "JUPYTER_CONFIG_DIR", "IPYTHONDIR"), str(runtime))
    settings = Config(KernelManager={"transport": "ipc", "connection_file": str(runtime / "kernel.json")})
    client = Watched(
        notebook, kernel_name="python3", timeout=PATIENCE_S, config=settings,
        record_timing=False, coalesce_streams=True, resources={"metadata": {"path": str(folder)}},
    )  # fmt: skip
    # not forked: Jupyter asks for the kernel's group, which it kills, as soon as there is a process
    client.execute(env={**environment(is_forked=False), **own})
    return client


def notebook_of(*cells: str) -> Any:
    """Return a notebook with these cells of code."""
    return nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in cells])


def main() -> None:
    """Execute notebooks, and write their outputs into them."""
    for file in map(Path, sys.argv[1:]):
        notebook = nbformat.read(file, 4)
        with tempfile.TemporaryDirectory() as runtime:
            execute(notebook, file.parent, Path(runtime))
        for cell in notebook.cells:
            cell.metadata.clear()
        nbformat.write(notebook, file)


if __name__ == "__main__":
    main()
