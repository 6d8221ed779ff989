"""A fingerprint holds the class that was used and what that uses, not the rest of its module."""

import hashlib
from collections.abc import Iterator

import pytest

from suite.provenance import definitions
from suite.provenance.machine import changed_modules
from tests.conftest import Project, forget_sources

MODULE = """\
import math
from helpers import scaled, unrelated
import lonely

SCALE = 2.0
OTHER = 3.0


def cube(x):
    return SCALE * x**3


class Base:
    def forward(self, pairs):
        return scaled(cube(pairs))


class Mine(Base):
    pass


class Another(Base):
    def forward(self, pairs):
        return OTHER * unrelated(pairs)
"""
HELPERS = "FACTOR = 2\n\n\ndef scaled(x):\n    return FACTOR * x\n\n\ndef unrelated(x):\n    return x\n"


@pytest.fixture
def lab(project: Project) -> Iterator[Project]:
    project.write(MODULE, "mine.py")
    project.write(HELPERS, "helpers.py")
    project.write("def nothing(): ...\n", "lonely.py")
    yield project
    forget_sources()


def code() -> dict[str, str]:
    return dict(definitions.code("mine", "Mine"))


USED = {"mine:Mine", "mine:Base", "mine:cube", "mine:SCALE", "helpers:scaled", "helpers:FACTOR"}


def test_it_holds_what_is_used(lab: Project) -> None:
    assert set(code()) == USED


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("class Another(Base):", "class Added(Base): ...\n\n\nclass Another(Base):"),
        ("OTHER = 3.0", "OTHER = 4.0"),
        ("OTHER = 3.0", "OTHER = 3.0\nMORE = [1, 2]\nlogger = logging.getLogger(__name__)"),
        ("import math", "import math\nimport logging\nfrom helpers import unrelated as again"),
        ("class Another(Base):", "@dataclass\nclass Another(Base):"),
        ("import math", "# about it\nimport math\n"),
        ("class Another", "if __name__ == '__main__':\n    print(1)\n\n\nclass Another"),
    ],
)
def test_what_it_does_not_use_changes_nothing(lab: Project, old: str, new: str) -> None:
    before = code()
    lab.write(MODULE.replace(old, new), "mine.py")
    assert changed_modules(before, code()) == []


@pytest.mark.parametrize(
    ("file", "old", "new", "says"),
    [
        ("mine.py", "    pass", "    scale = 2", ["mine.Mine"]),
        ("mine.py", "x**3", "x**5", ["mine.cube"]),
        ("mine.py", "SCALE = 2.0", "SCALE = 3.0", ["mine.SCALE"]),
        ("helpers.py", "FACTOR = 2", "FACTOR = 3", ["helpers.FACTOR"]),
        ("mine.py", "OTHER = 3.0", "OTHER = 3.0\nBase.forward = None", ["mine at its import (newly used)"]),
        ("mine.py", "OTHER = 3.0", "OTHER = 3.0\nprint(SCALE)", ["mine at its import (newly used)"]),
        ("mine.py", "OTHER = 3.0", "OTHER = patched()", ["mine at its import (newly used)"]),
        ("mine.py", "class Another", "@registered\nclass Another", ["mine at its import (newly used)"]),
        ("lonely.py", "def nothing(): ...", "import mine\nmine.SCALE = 4", ["lonely (newly used)"]),
        ("mine.py", "class Mine(Base)", "@final\nclass Mine(Base)", ["mine.Mine"]),
        (
            "helpers.py",
            "def unrelated",
            "FACTOR += 1\n\n\ndef unrelated",
            ["helpers at its import (newly used)", "helpers.FACTOR"],
        ),
    ],
)
def test_what_it_uses_makes_it_stale(lab: Project, file: str, old: str, new: str, says: list[str]) -> None:
    before = code()
    text = (lab.folder / file).read_text()
    assert text.count(old) == 1
    lab.write(text.replace(old, new), file)
    assert set(says) <= set(changed_modules(before, code()))


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("import math", "from math import *"),
        ("OTHER = 3.0", "def __getattr__(name): ..."),
        ("x**3", "getattr(x, 'cubed')"),
        ("class Base:", "class Base:\n    def __init_subclass__(cls): ..."),
        ("class Another(Base):", "class Another(Base, metaclass=type):"),
        ("class Mine(Base):\n    pass", "globals()['Mine'] = type('Mine', (Base,), {})"),
    ],
)
def test_where_the_source_does_not_tell_the_whole_module_counts(lab: Project, old: str, new: str) -> None:
    lab.write(MODULE.replace(old, new), "mine.py")
    assert code()["mine"] == hashlib.sha256((lab.folder / "mine.py").read_bytes()).hexdigest()
    assert not [entry for entry in code() if entry.startswith("mine:")]


def test_a_subclass_that_its_base_hears_of_counts_for_all_of_its_module(lab: Project) -> None:
    lab.write("class Registered:\n    def __init_subclass__(cls): ...\n", "bases.py")
    lab.write(MODULE.replace("import math", "from bases import Registered"), "mine.py")
    before = code()
    lab.write((lab.folder / "mine.py").read_text() + "\n\nclass Heard(Registered): ...\n", "mine.py")
    assert changed_modules(before, code()) == ["bases (newly used)", "mine at its import (newly used)"]


def test_modules_of_the_suite_count_as_a_whole() -> None:
    found = definitions.code("suite.losses.infonce", "InfoNCE")
    assert "suite.losses.infonce" in found and not [entry for entry in found if ":" in entry]


def test_fingerprints_of_whole_modules_agree_as_long_as_the_files_are_the_same(lab: Project) -> None:
    """As earlier versions of the suite recorded them: with modules, too, that the class does not use."""
    files = ("mine", "helpers", "lonely")
    recorded = {name: hashlib.sha256((lab.folder / f"{name}.py").read_bytes()).hexdigest() for name in files}
    assert changed_modules(recorded, code()) == []
    assert changed_modules({name: digest[:12] for name, digest in recorded.items()}, code()) == []
    lab.write(HELPERS + "\n# edited\n", "helpers.py")
    assert changed_modules(recorded, code()) == ["helpers"]


def test_two_losses_of_a_module_do_not_make_each_other_stale(lab: Project) -> None:
    """Their fingerprints meet in what both use alone: the tables compare them by entry."""
    one, other = code(), dict(definitions.code("mine", "Another"))
    assert one.keys() & other.keys() == {"mine:Base", "mine:cube", "mine:SCALE", "helpers:scaled", "helpers:FACTOR"}
    assert all(one[entry] == other[entry] for entry in one.keys() & other.keys())


def test_a_form_feed_which_ends_no_line_moves_no_line(lab: Project) -> None:
    pages = "\x0c\n" + MODULE.replace("\n\n\ndef cube", "\n\x0c\n\x0c\ndef cube").replace("# x", "\u2028")
    lab.write(pages, "mine.py")
    before = code()
    lab.write(pages.replace("return SCALE * x**3", "return SCALE * x**4"), "mine.py")
    assert changed_modules(before, code()) == ["mine.cube"]
    lab.write(pages.replace("OTHER * unrelated", "OTHER + unrelated"), "mine.py")
    assert not changed_modules(before, code())
