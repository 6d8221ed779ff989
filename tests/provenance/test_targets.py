"""What classes take and which code they run, read without importing them."""

import ast
import sys
from typing import Annotated, Literal

import pytest
from annotated_types import Gt

from suite.provenance import modules, targets
from suite.provenance.targets import REQUIRED, UNKNOWN, Parameter, TargetError, resolve
from suite.registry.binding import bind
from tests.conftest import ROOT, Project, forget_sources


def parameters(project: Project, text: str, name: str = "Loss") -> tuple[Parameter, ...] | None:
    project.write(text, "mine.py")
    found = resolve(f"mine.{name}", "suite.losses")
    assert "mine" not in sys.modules
    return found.parameters


FORWARD = "    def forward(self, pairs): ...\n"


def test_an_initialiser(project: Project) -> None:
    text = f"class Loss:\n    def __init__(self, a: int, b: float = -1.5, *, c: str = 'x', d=None): ...\n{FORWARD}"
    assert parameters(project, text) == (
        Parameter("a", int, REQUIRED),
        Parameter("b", float, -1.5),
        Parameter("c", str, "x"),
        Parameter("d", UNKNOWN, None),
    )


def test_any_keyword_is_not_checked(project: Project) -> None:
    text = f"class Loss:\n    def __init__(self, a: int = 1, **rest): ...\n{FORWARD}"
    assert parameters(project, text) is None
    assert bind(resolve("mine.Loss", "suite.losses"), {"z": 3}) == ({"z": 3}, [])


def test_dataclasses_inherit_and_override(project: Project) -> None:
    project.write(
        "from dataclasses import dataclass\n@dataclass\nclass Base:\n    a: int = 1\n    b: float = 2.0\n", "base.py"
    )
    text = (
        "from dataclasses import KW_ONLY, InitVar, dataclass, field\n"
        "from typing import ClassVar\nfrom base import Base\n"
        "WIDTH = 64\n@dataclass(frozen=True)\nclass Loss(Base):\n    b: float = 3.0\n    c: int = WIDTH\n"
        "    kind: ClassVar[str] = 'x'\n    _: KW_ONLY\n    d: list[int] = field(default_factory=lambda: [1, 2])\n"
        "    e: int = field(default=5)\n    f: int = field(init=False)\n    g: InitVar[int] = 7\n"
        "    h: dict[str, int] = field(default_factory=dict)\n" + FORWARD
    )
    assert parameters(project, text) == (
        Parameter("a", int, 1),
        Parameter("b", float, 3.0),
        Parameter("c", int, 64),
        Parameter("d", list[int], [1, 2]),
        Parameter("e", int, 5),
        Parameter("g", int, 7),
        Parameter("h", dict[str, int], {}),
    )


def test_an_inherited_initialiser(project: Project) -> None:
    text = (
        "from torch import nn\nclass Base(nn.Module):\n    def __init__(self, a: int = 1): ...\n"
        f"class Loss(Base):\n{FORWARD}"
    )
    assert parameters(project, text) == (Parameter("a", int, 1),)


def test_what_an_unknown_base_or_decorator_takes_is_not_checked(project: Project) -> None:
    assert parameters(project, "import attr\n@attr.define\nclass Loss:\n    a: int = 1\n" + FORWARD) is None
    assert parameters(project, "from pydantic import BaseModel\nclass Loss(BaseModel):\n    a: int = 1\n") is None


def test_annotations(project: Project) -> None:
    text = (
        "from __future__ import annotations\nfrom typing import Literal\nimport torch\n"
        "from suite.parameters import Positive\nclass Count: ...\nclass Loss:\n"
        "    def __init__(self, a: Positive, b: Literal['x', 'y'], "
        "c: 'int | None', d: torch.dtype, e: Count, f: Own): ...\n" + FORWARD
    )
    found = parameters(project, text)
    assert found is not None
    assert [p.annotation for p in found[:3]] == [Annotated[float, Gt(0)], Literal["x", "y"], int | None]
    # the author's own types, even those named like one of the suite's: checked when the class is constructed
    assert [p.annotation for p in found[3:]] == [UNKNOWN, UNKNOWN, UNKNOWN]


def test_names_are_followed_through_re_exports_and_aliases(project: Project) -> None:
    project.write("from .inner import Loss as Renamed\nAlias = Renamed\n", "package/__init__.py")
    project.write(f"class Loss:\n    def __init__(self, a: int): ...\n{FORWARD}", "package/inner.py")
    for name in ("package.Renamed", "package.Alias", "package.inner.Loss"):
        found = resolve(name, "suite.losses")
        assert (found.path, found.module, found.name) == (name, "package.inner", "Loss")
        assert found.parameters == (Parameter("a", int, REQUIRED),)


def test_a_function_is_a_target(project: Project) -> None:
    assert parameters(project, "def Loss(a: int, b: float = 1.0): ...\n") == (
        Parameter("a", int, REQUIRED),
        Parameter("b", float, 1.0),
    )


def test_what_source_does_not_tell_is_imported(project: Project) -> None:
    project.write("import functools\ndef base(a, b=2): ...\nLoss = functools.partial(base, b=3)\n", "mine.py")
    assert resolve("mine.Loss", "suite.losses").parameters == (Parameter("a"), Parameter("b", UNKNOWN, 3))
    project.write("raise RuntimeError('no licence')\nLoss = 1 + 1\n", "angry.py")
    with pytest.raises(TargetError, match="importing angry failed: RuntimeError: no licence"):
        resolve("angry.Loss", "suite.losses")


def test_entry_points_are_short_names(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(targets, "short_names", lambda group: {"infonce": "suite.losses.InfoNCE"})
    assert resolve("infonce", "suite.losses") == resolve("suite.losses.InfoNCE", "suite.losses")
    with pytest.raises(TargetError, match="did you mean 'infonce'"):
        resolve("infonec", "suite.losses")


def test_a_method_may_come_from_a_base_of_unknown_source(project: Project) -> None:
    project.write("import json\nclass Loss(json.JSONEncoder): ...\nclass Not:\n    x = 1\n", "mine.py")
    resolve("mine.Loss", "suite.losses")
    with pytest.raises(TargetError, match=r"mine\.Not is not a loss: it has no method 'forward'"):
        resolve("mine.Not", "suite.losses")


@pytest.fixture
def family(project: Project) -> Project:
    """Two losses of a package, a helper that one of them imports, and a base that both do."""
    project.write("from family.a import A\nfrom family.b import B\n", "family/__init__.py")
    project.write("class Base:\n    def forward(self, pairs): ...\n", "family/base.py")
    project.write("from family.base import Base\nclass A(Base): ...\n", "family/a.py")
    project.write(
        "import json\nfrom . import helper\nfrom .base import Base\nfrom suite.parameters import Count\n"
        "class B(Base):\n    def __init__(self, count: Count): helper.helper()\n",
        "family/b.py",
    )
    project.write("def helper():\n    from family.deep import x\n", "family/helper.py")
    project.write("x = 1\n", "family/deep.py")
    return project


def codes() -> dict[str, dict[str, str]]:
    return {name: dict(targets.code(resolve(f"family.{name}", "suite.losses"))) for name in ("A", "B")}


def test_code_is_the_closure_of_imports(family: Project) -> None:
    found = codes()
    assert set(found["A"]) == {"family.a:A", "family.base:Base"}
    assert set(found["B"]) == {"family.b:B", "family.base:Base", "family.helper", "family.deep", "suite.parameters"}
    assert "family.a" not in sys.modules


def test_a_further_loss_changes_no_other(family: Project) -> None:
    before = codes()
    family.write("from family.a import A\nfrom family.b import B\nfrom family.c import C\n", "family/__init__.py")
    family.write("class C: ...\n", "family/c.py")
    assert codes() == before


@pytest.mark.parametrize(
    ("place", "changed"),
    [("a:A", {"A"}), ("b:B", {"B"}), ("helper", {"B"}), ("deep", {"B"}), ("base:Base", {"A", "B"})],
)
def test_an_edit_changes_what_uses_it(family: Project, place: str, changed: set[str]) -> None:
    before = codes()
    file = f"family/{place.partition(':')[0]}.py"
    *above, last = (family.folder / file).read_text().splitlines()
    family.write("\n".join([*above, f"{last}  # edited"]) + "\n", file)
    after = codes()
    assert {name for name in before if before[name] != after[name]} == changed
    for name in changed:
        assert {m for m in before[name] if before[name][m] != after[name][m]} == {f"family.{place}"}


def test_the_suites_own_losses_do_not_depend_on_each_other() -> None:
    forget_sources()
    infonce = targets.code(resolve("suite.losses.InfoNCE", "suite.losses"))
    assert "suite.losses.infonce" in infonce
    assert "suite.losses.base" in infonce
    assert not {"suite.losses", "suite.losses.dystress", "suite.losses.temperature_free"} & set(infonce)


def test_defaults_and_annotations_that_no_cache_could_have_for_keys(project: Project) -> None:
    text = (
        "from dataclasses import dataclass, field\nfrom typing import Annotated, Any, Literal\n"
        "@dataclass\nclass Loss:\n"
        "    layers: list[int] = field(default_factory=list)\n"
        "    options: dict[str, int] = field(default_factory=dict)\n"
        "    weights: Any = field(default_factory=lambda: [1.0, 2.0])\n"
        "    noted: Annotated[list[float], ['unit', 's']] = field(default_factory=list)\n"
        "    one_of: Literal[[1], [2]] = None\n" + FORWARD
    )
    project.write(text, "mine.py")
    found = resolve("mine.Loss", "suite.losses")
    assert set(targets.code(found, found)) == {"mine:Loss"}
    assert hash(found) == hash(resolve("mine.Loss", "suite.losses"))
    bound, wrong = bind(found, {"layers": [3], "noted": ["x"]})
    assert bound["layers"] == [3] and bound["options"] == {} and bound["weights"] == [1.0, 2.0]
    assert [name for name, _ in wrong] == ["noted"]


def test_a_benchmark_and_a_loss_with_lists_for_defaults_are_planned(project: Project) -> None:
    project.write(
        "from dataclasses import dataclass, field\nfrom suite.losses.base import Loss\n"
        "from tests.toys import Cosine, Nothing\n"
        "@dataclass(frozen=True)\nclass Layered(Nothing):\n    layers: list[int] = field(default_factory=list)\n"
        "class Weighted(Cosine):\n    def __init__(self, weights=[1.0, 2.0]): super().__init__()\n",
        "mine.py",
    )
    project.edit("    _target_: tests.toys.Nothing", "    _target_: mine.Layered")
    project.edit("_target_: tests.toys.Cosine, sweep: {scale: [2.0, 10.0]}", "_target_: mine.Weighted")
    project.edit('losses: ["cosine@*"]', "losses: [cosine]")
    status, out, errors = project.suite("plan", "--benchmarks", "nothing", "--json")
    assert status == 0, errors
    assert '"loss": "cosine"' in out


def test_imports_are_found_wherever_a_statement_may_stand() -> None:
    text = """\
try:
    import a
except ImportError:
    import b
else:
    import c
finally:
    import d
for _ in ():
    import e
else:
    import f
async def outer():
    async with x:
        class Inner:
            match y:
                case 1:
                    import g
                case _ if z:
                    from h import i
"""
    trees = [ast.parse(text), *(ast.parse(file.read_bytes()) for file in (ROOT / "suite").rglob("*.py"))]
    for tree in trees:
        expected = {node for node in ast.walk(tree) if isinstance(node, ast.Import | ast.ImportFrom)}
        assert expected <= set(modules._all_statements(tree))
    assert {node.names[0].name for node in modules._all_statements(trees[0]) if isinstance(node, ast.Import)} == set(
        "abcdefg"
    )
