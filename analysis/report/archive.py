"""One archive for an artefact evaluation: the runs, what they claim, all that is made of them, and how to check it."""

from __future__ import annotations

import tempfile
import zipfile
from collections.abc import Mapping
from concurrent.futures import Executor
from importlib.metadata import version
from pathlib import Path
from typing import Final

from analysis.evidence.gather import Evidence
from analysis.read import bundle
from analysis.read.logged import Logged
from analysis.report.everything import write_everything
from suite.tracking.bundle import RUNS

EPOCH: Final = (1980, 1, 1, 0, 0, 0)
"""The time of every file in an archive: the same runs give the same bytes."""

README: Final = """\
# {experiment}

{runs} runs, made and analysed with contrastive-suite {version}. Nothing here has to be trusted: all of it is made from
`{file}`, which carries digests of its runs and of the claims that were declared for them (`manifest.json`).

| file | what |
|---|---|
| `report.html` | one page: verdicts, tables, figures, where every run comes from |
| `tables/`, `plots/` | every table as Markdown, LaTeX, CSV and HTML; every figure as SVG |
| `{file}` | a row a run: configuration, data checksums, code, machine, metrics, curves |
| `manifest.json` | experiment, claims, margins, commits, packages, machines, digests |

To make tables, figures and page again from the runs, byte for byte, where contrastive-suite {version} is installed
(from a checkout of it, `pip install PATH`, or from a wheel):

```sh
python -m analysis report --from {file} --out again
```

To train some of the runs again and compare, bit for bit on a machine of the same kind (in the folder of the study,
whose registry and losses are needed):

```sh
python -m suite verify --from {file} --sample 3
```
"""


def publish(logged: Logged, evidence: Mapping[str, Evidence], target: Path, pool: Executor) -> Path:
    """Write the archive and return it; the same runs give the same bytes.

    Parameters
    ----------
    logged : Logged
        All of it is written, whether it counts or not.
    evidence : mapping of profile to Evidence
        Of those runs.
    target : Path
        A ``.zip``, which is replaced if it is there.
    pool : Executor
        Draws the figures.

    Raises
    ------
    OSError
        If it cannot be written.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=target.parent) as temporary:
        folder = Path(temporary) / "content"
        bundle.write(logged, folder)
        write_everything(evidence, logged, folder, pool)
        text = README.format(
            experiment=logged.experiment,
            runs=len(logged.runs),
            version=version("contrastive-suite"),
            file=RUNS,
        )
        (folder / "README.md").write_text(text, encoding="utf-8")
        whole = Path(temporary) / "archive.zip"
        with zipfile.ZipFile(whole, "w", zipfile.ZIP_DEFLATED) as archive:
            for file in sorted(path for path in folder.rglob("*") if path.is_file()):
                entry = zipfile.ZipInfo(f"{target.stem}/{file.relative_to(folder).as_posix()}", EPOCH)
                entry.compress_type, entry.external_attr = zipfile.ZIP_DEFLATED, 0o644 << 16
                archive.writestr(entry, file.read_bytes())
        whole.replace(target)
    return target
