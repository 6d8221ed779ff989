"""A smoke campaign, its tables and its report in shells, locales and folders as users have them."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests.cluster import TOY, prepare_store, suite_here, toy_registry
from tests.conftest import ROOT
from tests.shells import users
from tests.slurm.sites import Figures, named

CAMPAIGN = ["--profile", "smoke", "--losses", "good", "--seeds", "0-1"]
#: One interpreter more is as much work as all four runs, and finds the same shell.
ALONE = "launcher.workers=1"
LATIN = "en_US.ISO-8859-1"
#: In values of variables, what stands for a folder of the test's own.
HOME, DATA, LOCALES = "<home>", "<data>", "<locales>"


@dataclass(frozen=True)
class Shell:
    """Where a user types: all variables that are set, the name of the folder that they work in, and who they are."""

    folder: str
    variables: Mapping[str, str] = field(default_factory=dict)
    user: int | None = None


# What Python makes of LC_ALL=C by itself, UTF-8, is switched off: the harder case.
ASCII = {"LC_ALL": "C", "PYTHONCOERCECLOCALE": "0", "PYTHONUTF8": "0"}
SHELLS = {
    "env -i; spaces, quotes": Shell("""Anne's "own" results"""),
    "HOME is read-only; %41, 100%": Shell("100% of pct%41x", {"HOME": HOME}, users.BERT),
    "a uid without an entry, no HOME; %j, ?": Shell("x%j #1 why?", {"SUITE_DATA_DIR": DATA}, users.ANNE),
    "LC_ALL=C; unicode": Shell("größe ✓ 結果", ASCII),
    "LC_ALL=en_US.ISO-8859-1; unicode": Shell("größe ✓ 結果", {"LC_ALL": LATIN, "LOCPATH": LOCALES}),
}


@pytest.fixture(scope="module")
def calm(tmp_path_factory: pytest.TempPathFactory) -> Figures:
    """The metrics of the campaign in this process."""
    folder = tmp_path_factory.mktemp("calm")
    toy_registry(folder)
    done = suite_here(folder, "run", *CAMPAIGN, "--quiet", "--launcher", "debug")
    assert done.returncode == 0, done.stderr
    return named(folder)


@pytest.fixture
def place() -> Iterator[Path]:
    """A folder that every user can reach, unlike those of pytest."""
    with tempfile.TemporaryDirectory(prefix="shells-") as name:
        os.chmod(name, 0o755)
        yield Path(name)


def latin_locale(place: Path) -> None:
    """Make the locale, which few machines have."""
    place.mkdir()
    command = ["localedef", "-i", "en_US", "-f", "ISO-8859-1", place / LATIN]
    if shutil.which("localedef") is None or subprocess.run(command, capture_output=True).returncode:
        pytest.skip(f"needs the sources of the locale {LATIN} (Debian: apt-get install locales)")


def prepared(place: Path, shell: Shell) -> tuple[Path, dict[str, str]]:
    """Make the folder that a user works in, with a registry and toys of their own; and the variables that are set."""
    folder, home = place / shell.folder, place / "home"
    folder.mkdir()
    (folder / "benchmarks.yaml").write_text(TOY.replace("tests.toys", "my_toys"), encoding="utf-8")
    shutil.copy(ROOT / "tests" / "toys.py", folder / "my_toys.py")
    home.mkdir()
    if shell.user != users.ANNE:  # hers is made by the campaign
        (folder / "results").mkdir()
        prepare_store(folder)
    if LOCALES in shell.variables.values():
        latin_locale(place / "locales")
    if shell.user is not None and os.geteuid() == 0:
        for path in (place, folder, *folder.rglob("*")):
            os.chown(path, shell.user, users.GROUP)
    home.chmod(0o555)
    places = {HOME: home, DATA: place / "data", LOCALES: place / "locales"}
    return folder, {name: str(places.get(value, value)) for name, value in shell.variables.items()}


@pytest.mark.parametrize("name", SHELLS)
def test_a_campaign_its_tables_and_its_report_come_to_the_same_end(name: str, place: Path, calm: Figures) -> None:
    shell = SHELLS[name]
    if shell.user is not None and (why := users.obstacle()):
        pytest.skip(why)
    folder, variables = prepared(place, shell)
    before = {*os.listdir(folder), "results", "__pycache__"}
    # on a busy machine `run` leaves a store that takes minutes to be made to `sync`
    sync = [] if (folder / "results" / "mlflow.db").exists() else [["suite", "sync"]]
    for module, *words in (["suite", "run", *CAMPAIGN, ALONE], *sync, ["analysis", "report"]):
        done = users.run([sys.executable, "-m", module, *words], folder, variables, shell.user)
        assert done.returncode == 0, done.stdout + done.stderr
        assert "Traceback" not in done.stderr and "Error" not in done.stderr, done.stderr
    assert named(folder) == calm
    results = folder / "results"
    page, table = results / "report.html", results / "tables" / "smoke" / "main.md"
    for file in (page, table):
        assert "infonce" in file.read_text(encoding="utf-8"), file
    assert (results / "plots" / "smoke").is_dir()
    # nothing strays: into HOME, or into a folder whose name somebody has made of a part of this one's
    assert not list((place / "home").iterdir())
    beside = {"home", shell.folder, *({link} if (link := hidden(place)) else ())}
    assert set(os.listdir(place)) - {"locales", "data"} == beside
    assert set(os.listdir(folder)) <= before


def hidden(place: Path) -> str | None:
    """Return the name of the link around a folder with a percent sign."""
    return next((path.name for path in place.glob(".suite-*") if path.is_symlink()), None)
