"""The LaTeX tables, compiled."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from analysis.evidence.gather import gather
from analysis.read.collect import collect
from analysis.tables.render import latex
from analysis.tables.tables import all_tables
from suite.registry.claims import Claim, Declared, Published
from tests.analysis.frames import logged, row

HOSTILE = r"a_b&c%d$e#f{g}h~i^j\k<l>m|n*o"
PREAMBLE = r"""\documentclass{article}
\usepackage[utf8]{inputenc}
\usepackage[T1]{fontenc}
\usepackage{lmodern,booktabs,graphicx}
\begin{document}
"""


def compiled(content: str, folder: Path) -> subprocess.CompletedProcess[str]:
    if shutil.which("pdflatex") is None:
        if os.environ.get("SUITE_REQUIRE_BROWSER") == "1":
            pytest.fail("SUITE_REQUIRE_BROWSER=1, but there is no pdflatex on the path", pytrace=False)
        pytest.skip("needs pdflatex; as root on Debian, tests/analysis/report/install.sh installs it")
    (folder / "all.tex").write_text(f"{PREAMBLE}{content}\n\\end{{document}}\n", encoding="utf-8")
    command = ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "all.tex"]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, errors="replace", timeout=120)


def tables(name: str = HOSTILE) -> list[str]:
    """Every kind of table, with a name that a user could give."""
    rows = [
        row(benchmark, loss, seed, 0.5 + 0.01 * seed, margin=0.01, samples_per_s=1000.0)
        for benchmark in ("image", name)
        for loss in ("infonce", "dystress", name)
        for seed in range(4)
    ]
    rows += [row("image", name, seed, 0.4, kind="reference") for seed in range(4)]
    rows += [row("image", "dcl", 0, status="FAILED", failure=f"{name}: \n é → … τ ± ≥ 数")]
    rows += [
        row("image", f"infonce@temperature={t}", seed, None, purpose="selection", **{"val/accuracy": t})
        for t in (0.1, 0.2)
        for seed in (10, 11)
    ]
    claims = {"one": Claim(name, "not_worse", "infonce", "validated", name)}
    published = {"image": [Published("infonce", "accuracy", 0.5, name, name, profile="mini")]}
    evidence = gather(collect(logged(*rows)), Declared("infonce", claims, published), "mini")
    return [latex(table) for table in all_tables(evidence)]


def test_every_table_compiles_whatever_the_names(tmp_path: Path) -> None:
    done = compiled("\n\\clearpage\n".join(tables()), tmp_path)
    assert done.returncode == 0, done.stdout[-3000:]
    assert (tmp_path / "all.pdf").stat().st_size > 10_000


def test_no_table_is_wider_than_a_line(tmp_path: Path) -> None:
    done = compiled("\n\\clearpage\n".join(tables("a loss with a rather long name of its own")), tmp_path)
    assert done.returncode == 0 and r"Overfull \hbox" not in done.stdout


def test_a_table_with_a_raw_command_does_not_compile(tmp_path: Path) -> None:
    broken = tables()[0].replace(r"\_", "_")
    assert compiled(broken, tmp_path).returncode != 0
