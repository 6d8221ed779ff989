"""Makes the site of the checkout's own files: README, docs/, and whatever those pages link to, each at its own path.

So a link means the same in a plain viewer of the checkout and on the site, and none has to be written twice.
"""

import re
from collections.abc import Iterator
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files

ROOT = Path(__file__).parents[2]
STYLE = ROOT / "docs" / "hooks" / "site.css"
PAGES = ("README.md", "AGENTS.md", "CHANGELOG.md", "CONTRIBUTING.md")
LINK = re.compile(r"\]\(([^)\s#]+)[^)]*\)")


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Replace what lies in docs/ by the same under the checkout's paths, and add what is linked from there."""
    for file in [file for file in files if file.src_dir == config.docs_dir]:
        files.remove(file)
    found, to_read = set[Path](), [*(ROOT / page for page in PAGES), *(ROOT / "docs").rglob("*.md")]
    while to_read:
        path = to_read.pop()
        if path not in found:
            found.add(path)
            to_read += _linked(path) if path.suffix == ".md" else ()
    for path in sorted(found | {STYLE}):
        files.append(File.generated(config, path.relative_to(ROOT).as_posix(), abs_src_path=str(path)))
    return files


def _linked(page: Path) -> Iterator[Path]:
    """Return the files of the checkout that a page links to or shows."""
    for target in LINK.findall(page.read_text(encoding="utf-8")):
        file = (page.parent / target).resolve()
        if file.is_file() and file.is_relative_to(ROOT):
            yield file
