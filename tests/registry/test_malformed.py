"""Malformed registries and command lines: exit status 2, the place, a sentence that helps, and nothing written."""

from dataclasses import dataclass, field

import pytest

from tests.conftest import REGISTRY, Project


@dataclass(frozen=True)
class Edit:
    """A mistake in the registry: `old` replaced by `new`; what the report must say, a line of it each."""

    name: str
    old: str
    new: str
    says: tuple[tuple[str, ...], ...]
    files: dict[str, str] = field(default_factory=dict)


def edit(name: str, old: str, new: str, *says: tuple[str, ...], **files: str) -> object:
    return pytest.param(Edit(name, old, new, says, files), id=name)


def rejected(project: Project, says: tuple[tuple[str, ...], ...], *arguments: str) -> None:
    """Assert status 2, one problem a tuple with all of its words, in this order, and nothing written."""
    before = project.tree()
    status, out, errors = project.suite(*arguments)
    listed = [line.strip() for line in errors.splitlines()[1:]]
    assert status == 2, (out, errors)
    assert out == ""
    assert errors.splitlines()[0] == (
        f"error: {len(says)} problem{'s' if len(says) > 1 else ''} in what was given; nothing was done"
    ), errors
    for words, line in zip(says, listed, strict=True):
        assert line.startswith(words[0]), (words, line)
        for word in words:
            assert word in line, (word, line)
    assert project.tree() == before
    assert not (project.folder / "results").exists()


F = "benchmarks.yaml"
TEMPERATURE = '"${host_temperature}"'
INFONCE = "suite.losses.InfoNCE"
END = "slices:\n"

EDITS = [
    # YAML
    edit("syntax", "seeds: 0-3", "seeds: [0, 1", (f"{F}:4", "not valid YAML")),
    edit("tab", "  blobs:", "\tblobs:", (f"{F}:10", "not valid YAML", "indent with spaces")),
    edit("duplicate-key", "seeds: 0-3\n", "seeds: 0-3\nseeds: 1\n", (f"{F}:4: seeds", "twice", "line 3")),
    edit(
        "duplicate-keys-everywhere",
        "    host_temperature: 0.5",
        "    host_temperature: 0.5\n    host_temperature: 0.4\n    data: []\n    data: []",
        (f"{F}:14: benchmarks.blobs.host_temperature", "twice"),
        (f"{F}:16: benchmarks.blobs.data", "twice"),
    ),
    edit("empty", REGISTRY, "", (f"{F}:1", "expected keys and values")),
    edit("comment", REGISTRY, "# later\n", (f"{F}:1", "expected keys and values")),
    edit("list", REGISTRY, "- a\n- b\n", (f"{F}:1", "expected keys and values")),
    edit("two-documents", "seeds: 0-3", "---\nseeds: 0-3", (f"{F}:3", "not valid YAML")),
    edit("tag", "seeds: 0-3", "seeds: !python/object 3", (f"{F}:3", "not valid YAML", "tag")),
    edit("key-of-list", "seeds: 0-3", "? [a, b]\n: 3\nseeds: 0-3", (f"{F}:3", "not valid YAML", "unhashable")),
    edit("control-character", "experiment: toy", "experiment: t\x01y", (f"{F}:2", "not valid YAML")),
    edit("alias-of-itself", "experiment: toy", "experiment: &a {b: *a}", (f"{F}:1", "contains itself")),
    # keys at the top
    edit("missing-key", "experiment: toy\n", "", (f"{F}:1: experiment", "is missing")),
    edit(
        "misspelt-key",
        "baseline:",
        "basline:",
        (f"{F}:1: baseline", "is missing"),
        (f"{F}:5: basline", "unknown key", "did you mean 'baseline'?", "selection_seeds"),
    ),
    edit(
        "unknown-key", "seeds: 0-3", "seeds: 0-3\nretries: 3", (f"{F}:4: retries", "unknown key", "Valid: experiment")
    ),
    edit(
        "defaults",
        "defaults: [{launchers@launcher: local}, _self_]",
        "defaults: local",
        (f"{F}:1: defaults", "[launch"),
    ),
    edit("defaults-without-self", ", _self_]", "]", (f"{F}:1: defaults", "_self_")),
    # seeds
    edit("seeds-word", "seeds: 0-3", "seeds: many", (f"{F}:3: seeds", "'many'", "such as 0-4")),
    edit("seeds-backwards", "seeds: 0-3", "seeds: 3-0", (f"{F}:3: seeds", "3-0 runs backwards")),
    edit("seeds-float", "seeds: 0-3", "seeds: 1.5", (f"{F}:3: seeds", "1.5", "a range such as 0-4")),
    edit("seeds-bool", "seeds: 0-3", "seeds: true", (f"{F}:3: seeds", "true will not do", "a range such as 0-4")),
    edit("seeds-negative", "seeds: 0-3", "seeds: -1", (f"{F}:3: seeds", "must not be negative")),
    edit("seeds-none", "seeds: 0-3", "seeds: []", (f"{F}:3: seeds", "must not be empty")),
    edit("seeds-too-many", "seeds: 0-3", "seeds: 0-9999999999", (f"{F}:3: seeds", "more than 100000 seeds")),
    edit("seeds-overlap", "10-11", "3-5", (f"{F}:4: selection_seeds", "[3]", "also evaluation seeds")),
    # benchmarks
    edit(
        "metric-key",
        "metric: {name: accuracy, goal: maximise, margin: 0.01}\n    host_temperature: 0.5",
        "metric: {name: accuracy, goal: maximise, margins: 0.01}\n    host_temperature: 0.5",
        (f"{F}:12: benchmarks.blobs.metric.margin:", "is missing"),
        (
            f"{F}:12: benchmarks.blobs.metric.margins",
            "unknown key",
            "did you mean 'margin'?",
            "Valid: name, goal, margin",
        ),
    ),
    edit(
        "metric-values",
        "metric: {name: accuracy, goal: maximise, margin: 0.01}\n    host_temperature: 0.5",
        "metric:\n      name: 3\n      goal: maximize\n      margin: small\n    host_temperature: 0.5",
        (f"{F}:13: benchmarks.blobs.metric.name", "3 will not do", "expected text"),
        (f"{F}:14: benchmarks.blobs.metric.goal", "did you mean 'maximise'?", "'minimise'"),
        (f"{F}:15: benchmarks.blobs.metric.margin", "'small' will not do", "expected a number"),
    ),
    edit(
        "profile",
        "{smoke: {epochs: 3},",
        "{smoek: {epochs: 3},",
        (f"{F}:16", "smoek", "did you mean 'smoke'?", "paper"),
    ),
    edit(
        "metric-name",
        "metric: {name: accuracy, goal: maximise, margin: 0.01}\n    host_temperature: 0.5",
        "metric: {name: recall@10/, goal: maximise, margin: 0.01}\n    host_temperature: 0.5",
        (f"{F}:12: benchmarks.blobs.metric.name", "MLflow would not take it", "without an empty part"),
    ),
    edit("experiment-name", "experiment: toy", f"experiment: {'x' * 300}", (f"{F}:2: experiment", "250 characters")),
    edit("no-profiles", "{smoke: {}, mini: {}}", "{}", (f"{F}:21: benchmarks.nothing.profiles", "must not be empty")),
    edit(
        "resources",
        "estimate_s: {smoke: 1}",
        "resources: {paper: {gpus: 2}, smoke: {gpu: 2}, mini: {nodes: 2}}",
        (f"{F}:15: benchmarks.blobs.resources.mini", "cannot be spread", "distributed: ClassVar[bool] = True"),
        (f"{F}:15: benchmarks.blobs.resources.paper", "no such profile", "Valid: smoke, mini"),
        (f"{F}:15: benchmarks.blobs.resources.smoke.gpu", "did you mean 'gpus'?"),
    ),
    edit(
        "compute",
        "estimate_s: {smoke: 1}",
        "compute: {paper: {compile: true}, smoke: {precison: bfloat16}, mini: {compile: true}}",
        (f"{F}:15: benchmarks.blobs.compute.mini.compile", "nothing to compile", "compiles: ClassVar[bool] = True"),
        (f"{F}:15: benchmarks.blobs.compute.paper", "no such profile", "Valid: smoke, mini"),
        (f"{F}:15: benchmarks.blobs.compute.smoke.precison", "did you mean 'precision'?"),
    ),
    edit(
        "compute-values",
        "estimate_s: {smoke: 1}",
        "compute: {smoke: {precision: float16, deterministic: 0}}",
        (f"{F}:15: benchmarks.blobs.compute.smoke.deterministic", "0"),
        (f"{F}:15: benchmarks.blobs.compute.smoke.precision", "'float32' or 'bfloat16'"),
    ),
    edit("estimate", "{smoke: 1}", "{paper: 1}", (f"{F}:15: benchmarks.blobs.estimate_s.paper", "Valid: smoke, mini")),
    edit("reference", "chance: once", "chance: twice", (f"{F}:14", "chance", "expected 'once' or 'per_seed'")),
    edit("reference-and-loss", "chance: once", "cosine: once", (f"{F}:14", "references.cosine", "taken by a loss")),
    edit(
        "benchmark-argument",
        "{smoke: {epochs: 3},",
        "{smoke: {epoch: 3},",
        (f"{F}:16: benchmarks.blobs.profiles.smoke.epoch:", "did you mean 'epochs'?", "Valid: epochs, batch, pause_s"),
    ),
    edit(
        "benchmark-value", "{smoke: {epochs: 3},", "{smoke: {epochs: 0},", (f"{F}:16", "smoke.epochs", "must be >= 1")
    ),
    edit("benchmark-key", "host_temperature: 0.5", "host_temp: 0.5", (f"{F}:13", "did you mean 'host_temperature'?")),
    edit(
        "dataset",
        "    references:",
        "    data: [fashion_mnits]\n    references:",
        (f"{F}:14", "did you mean 'fashion_mnist'?"),
    ),
    edit("data-no-list", "    references:", "    data: fashion_mnist\n    references:", (f"{F}:14", "expected a list")),
    edit("benchmark-name", "  nothing:", "  all:", (f"{F}:17: benchmarks.all", "built-in selection")),
    edit(
        "host-temperature",
        "host_temperature: 0.5",
        "host_temperature: warm",
        (f"{F}:13", "'warm'", "expected a number"),
    ),
    # losses
    *(
        edit(
            f"temperature-{value}",
            TEMPERATURE,
            value,
            (f"{F}:8: losses.infonce.temperature", f"{value} will not do", why),
        )
        for value, why in (
            ("-1", "must be > 0"),
            ("0", "must be > 0"),
            (".nan", "a finite number"),
            (".inf", "a finite number"),
            ("'0.1'", "expected a number, without quotes"),
            ("true", "expected a number"),
            ("[0.1]", "expected a number"),
        )
    ),
    edit("required", f", temperature: {TEMPERATURE}", "", (f"{F}:8", "InfoNCE needs a value for 'temperature'")),
    edit(
        "undefined",
        "${host_temperature}",
        "${hots_temperature}",
        (f"{F}:8", "blobs", "did you mean 'host_temperature'?"),
    ),
    edit("interpolation", "${host_temperature}", "${host_temperature", (f"{F}:8: losses.infonce", "expected ${name}")),
    edit("no-target", f"_target_: {INFONCE}, ", "", (f"{F}:8: losses.infonce._target_", "is missing", INFONCE)),
    edit(
        "loss-not-a-map",
        "{_target_: tests.toys.Cosine, sweep: {scale: [2.0, 10.0]}}",
        "3",
        (f"{F}:7", "keys and values"),
    ),
    edit("loss-name", "  infonce:", "  references:", (f"{F}:8: losses.references", "built-in selection")),
    edit("loss-name-with-at", "  infonce:", "  a@b:", (f"{F}:8: losses.a@b", "letters, digits, _ and -")),
    edit("baseline", "baseline: cosine", "baseline: cosin", (f"{F}:5: baseline", "did you mean 'cosine'?", "infonce")),
    # sweeps
    edit(
        "sweep-parameter", "scale: [2.0, 10.0]", "scael: [2.0]", (f"{F}:7: losses.cosine.sweep.scael", "mean 'scale'?")
    ),
    edit("sweep-empty", "[2.0, 10.0]", "[]", (f"{F}:7: losses.cosine.sweep.scale", "must not be empty")),
    edit("sweep-scalar", "[2.0, 10.0]", "2.0", (f"{F}:7: losses.cosine.sweep.scale", "expected a list of values")),
    edit("sweep-no-map", "{scale: [2.0, 10.0]}", "[2.0]", (f"{F}:7: losses.cosine.sweep", "{temperature: [0.1, 0.2]}")),
    edit(
        "sweep-range",
        TEMPERATURE,
        f"{TEMPERATURE}, sweep: {{temperature: [0.1,\n    -1]}}",
        (f"{F}:9: losses.infonce.sweep.temperature.1", "-1 will not do", "must be > 0"),
    ),
    edit("sweep-twice", "[2.0, 10.0]", "[2.0, 2]", (f"{F}:7: losses.cosine.sweep.scale.1", "twice")),
    # slices
    edit(
        "slice-loss", '"cosine@*"', "cosin", (f"{F}:24: slices.scales.losses", "did you mean 'cosine'?", "references")
    ),
    edit(
        "slice-benchmark", END, f"{END}  a: {{benchmarks: [blob]}}\n", (f"{F}:23: slices.a.benchmarks", "mean 'blobs'?")
    ),
    edit("slice-key", "losses: [all,", "loses: [all,", (f"{F}:23: slices.default.loses", "did you mean 'losses'?")),
    edit("slice-of-itself", "[all, references]", "[default]", (f"{F}:23: slices.default.losses", "contains itself")),
    edit(
        "slices-in-a-ring",
        END,
        f"{END}  a: {{losses: [b]}}\n  b: {{losses: [a]}}\n",
        (f"{F}:23: slices.a.losses", "'b' contains itself"),
        (f"{F}:24: slices.b.losses", "'a' contains itself"),
    ),
    edit("slice-name", "  scales:", "  blobs:", (f"{F}:24: slices.blobs", "taken by a loss or a benchmark")),
    edit("slice-seeds", "seeds: 1-2", "seeds: 2-1", (f"{F}:24: slices.scales.seeds", "runs backwards")),
    edit("slice-empty", "{losses: [all, references]}", "{}", (f"{F}:23: slices.default", "selects nothing")),
    # targets
    edit("no-module", INFONCE, "nowhere.Loss", (f"{F}:8: losses.infonce._target_", "no module named 'nowhere'")),
    edit("module-typo", INFONCE, "suiet.losses.InfoNCE", (f"{F}:8", "'suiet'", "did you mean 'suite'?")),
    edit("no-class", INFONCE, "suite.losses.InfoNEC", (f"{F}:8", "did you mean 'InfoNCE'?", "TemperatureFree")),
    edit("no-submodule", INFONCE, "suite.loses.InfoNCE", (f"{F}:8", "no submodule 'loses'", "did you mean 'losses'?")),
    edit("no-submodule-below", INFONCE, "suite.losses.infonse.InfoNCE", (f"{F}:8", "did you mean 'infonce'?")),
    edit("a-module", INFONCE, "suite.losses", (f"{F}:8", "a module, not a class", "InfoNCE")),
    edit("relative", INFONCE, ".losses.InfoNCE", (f"{F}:8", "'.losses.InfoNCE'", "expected a dotted path")),
    edit("empty-path", INFONCE, "''", (f"{F}:8: losses.infonce._target_", "expected a dotted path")),
    edit("number-as-path", INFONCE, "3", (f"{F}:8: losses.infonce._target_", "3 will not do", "dotted path")),
    edit("no-entry-point", INFONCE, "infonec", (f"{F}:8", "neither a dotted path nor an entry point of suite.losses")),
    edit("benchmark-as-loss", INFONCE, "tests.toys.Nothing", (f"{F}:8", "is not a loss", "'forward'")),
    edit("loss-as-benchmark", "tests.toys.Nothing", INFONCE, (f"{F}:18", "is not a benchmark", "'task'")),
    edit("no-benchmark", "tests.toys.Nothing", "tests.toys.Nothin", (f"{F}:18", "did you mean 'Nothing'?", "Blobs")),
    edit("not-a-class", INFONCE, "mine.RATE", (f"{F}:8", "not a class or function", "0.5"), mine="RATE = 0.5\n"),
    edit("broken-module", INFONCE, "mine.Loss", (f"{F}:8", "mine.py:2 is not Python"), mine="\ndef (:\n"),
    edit(
        "broken-helper",
        INFONCE,
        "mine.Loss",
        (f"{F}:8: losses.infonce._target_", "helper.py:1 is not Python"),
        mine="import helper\ndef Loss(temperature): ...\n",
        helper="x = (\n",
    ),
    edit("attribute", INFONCE, "mine.A.b", (f"{F}:8", "mine.A is not a module"), mine="class A:\n  def b(self): ...\n"),
    # several at once, of files, of losses, of benchmarks
    edit(
        "all-at-once",
        REGISTRY,
        REGISTRY.replace(
            "maximise, margin: 0.01}\n    host_temperature: 0.2", "up, margin: 0}\n    host_temperature: 0.2"
        )
        .replace("tests.toys.Cosine", "tests.toys.Cosin")
        .replace("baseline: cosine", "baseline: cosin")
        .replace("{epochs: 3, pause_s: 0.02}", "{epochs: two, pause: 0.02}")
        .replace("seeds: 0-3", "seeds: 0--3"),
        (f"{F}:3: seeds", "0--3"),
        (f"{F}:5: baseline", "did you mean 'cosine'?"),
        (f"{F}:7: losses.cosine._target_", "did you mean 'Cosine'?"),
        (f"{F}:16: benchmarks.blobs.profiles.mini.epochs", "'two'"),
        (f"{F}:16: benchmarks.blobs.profiles.mini.pause:", "did you mean 'pause_s'?"),
        (f"{F}:19: benchmarks.nothing.metric.goal", "'up'"),
        (f"{F}:19: benchmarks.nothing.metric.margin", "must be > 0"),
    ),
]


@pytest.mark.parametrize("mistake", EDITS)
def test_malformed_registry(project: Project, mistake: Edit) -> None:
    project.edit(mistake.old, mistake.new)
    for name, text in mistake.files.items():
        project.write(text, f"{name}.py")
    rejected(project, mistake.says, "plan", "--profile", "smoke")


C = "command line"
COMMANDS: list[tuple[list[str], list[tuple[str, ...]]]] = [
    # overrides: the file's checks, located at the override
    (["plan", "benchmark.blobs.data=[]"], [(f"{C}: benchmark.blobs.data=[]", "did you mean 'benchmarks'?")]),
    (["plan", "benchmarks.blobs.profiles.mini.epoch=3"], [(f"{C}: bench", "did you mean 'epochs'?", "pause_s")]),
    (["plan", "+benchmarks.blobs.profiles.mini.epoch=3"], [(f"{C}: +bench", "did you mean 'epochs'?")]),
    (["plan", "benchmarks.blobs.profiles.mini.epochs=two"], [(f"{C}: bench", "'two'", "expected a whole number")]),
    (["plan", "benchmarks.blobs.metric.goal=maximize"], [(f"{C}: bench", "did you mean 'maximise'?")]),
    (["run", "launcher.workers=0"], [(f"{C}: launcher.workers=0", "must be >= 1 or 'auto'")]),
    (["run", "launcher.worker=2"], [(f"{C}: launcher.worker=2", "did you mean 'workers'?")]),
    (
        ["run", "launcher=sulrm"],
        [(f"{C}: launcher=sulrm", "no launcher 'sulrm'; did you mean 'slurm'?", "Valid: debug")],
    ),
    (["plan", "losses.infonce.temperature=-1"], [(f"{C}: losses.infonce.temperature=-1", "must be > 0")]),
    (["plan", "losses.infonce.temperature=nan"], [(f"{C}: losses.infonce.temperature=nan", "a finite number")]),
    (["plan", "losses.infonce._target_=suite.losses.Infonce"], [(f"{C}: losses.infonce._target_", "mean 'InfoNCE'?")]),
    (["plan", "losses.cosine.scael=3"], [(f"{C}: losses.cosine.scael=3", "did you mean 'scale'?")]),
    (["plan", "~losses.cosin"], [(f"{C}: ~losses.cosin", "did you mean 'cosine'?", "infonce")]),
    (["plan", "seeds=many"], [(f"{C}: seeds=many", "such as 0-4")]),
    (["plan", "seeds=0,1"], [(f"{C}: seeds=0,1", "a list has brackets: seeds=[0,1]")]),
    (["plan", "seeds.first=1"], [(f"{C}: seeds.first=1", "a range such as 0-4")]),
    (["plan", "seeds=[1"], [(f"{C}: seeds=[1", "expected key=value, +key=value or ~key")]),
    (["plan", "a b=3"], [(f"{C}: a b=3", "expected key=value")]),
    (["plan", "=3"], [(f"{C}: =3", "no key before the =")]),
    (["plan", "hydra.run.dir=x"], [(f"{C}: hydra.run.dir=x", "mean nothing here")]),
    (["plan", "blobs"], [(f"{C}: blobs", "expected key=value", "--benchmarks")]),
    (
        ["plan", "baseline=cosin", "foo=2", "losses.infonce.temperature=0", "launcher.workers=0"],
        [
            (f"{C}: baseline=cosin", "did you mean 'cosine'?"),
            (f"{C}: foo=2", "unknown key"),
            (f"{C}: launcher.workers=0", ">= 1"),
            (f"{C}: losses.infonce.temperature=0", "> 0"),
        ],
    ),
    (["plan", "--benchmarks", "blobs", "baseline=cosin"], [(f"{C}: baseline=cosin", "did you mean 'cosine'?")]),
    # selections
    (["plan", "--benchmarks", "blob"], [(f"{C}: --benchmarks", "did you mean 'blobs'?", "nothing")]),
    (["plan", "--losses", "cosin"], [(f"{C}: --losses", "did you mean 'cosine'?", "references", "scales")]),
    (["plan", "--losses", "cosine@scael=2.0"], [(f"{C}: --losses", "did you mean 'cosine@scale=2.0'?")]),
    (["plan", "--losses", "c*x"], [(f"{C}: --losses", "no loss or slice 'c*x'")]),
    (["plan", "--benchmarks", "~all"], [(f"{C}: --benchmarks", "'~all' leaves no benchmark")]),
    (["plan", "--losses", "~all"], [(f"{C}: --losses", "'~all' leaves no loss")]),
    (["plan", "--seeds", "~0-3"], [(f"{C}: --seeds", "'~0-3' leaves no seed")]),
    (["plan", "--seeds", "4-0"], [(f"{C}: --seeds", "4-0 runs backwards")]),
    (["plan", "--seeds", "-1"], [(f"{C}: --seeds", "'-1' is not a seed", "selection", "scales")]),
    (["plan", "--seeds", "a"], [(f"{C}: --seeds", "'a' is not a seed")]),
    (["plan", "--profile", "mni"], [(f"{C}: --profile", "blobs", "mean 'mini'?"), (f"{C}: --profile", "nothing")]),
    (
        ["run", "--losses", "cosin", "--benchmarks", "blob", "--seeds", "x"],
        [(f"{C}: --benchmarks", "blobs"), (f"{C}: --losses", "cosine"), (f"{C}: --seeds", "'x'")],
    ),
    # options and commands
    (["plna"], [(C, "'plna'", "did you mean 'plan'?", "schema")]),
    ([], [(C, "required: COMMAND")]),
    (["plan", "--loses", "x"], [(f"{C}: --loses", "did you mean '--losses'?", "--registry")]),
    (["plan", "--sed=1", "--jsn"], [(f"{C}: --jsn", "mean '--json'?"), (f"{C}: --sed=1", "mean '--seeds'?")]),
    (["plan", "--registry"], [(C, "--registry: expected one argument")]),
    (["run", "--rerun", "stael"], [(f"{C}: --rerun stael", "did you mean 'stale'?", "failed, done")]),
    (["run", "--launcher", "lcoal"], [(f"{C}: --launcher lcoal", "did you mean 'local'?")]),
    (["logs"], [(C, "required: key")]),
    (["logs", "abc"], [(f"{C}: abc", "no run", "begins with 'abc'")]),
    (["logs", "abc", "def"], [(f"{C}: def", "one argument too many")]),
    (["data", "fecth"], [(C, "did you mean 'fetch'?", "verify")]),
    (["data", "list", "fashion_mnits"], [(f"{C}: fashion_mnits", "did you mean 'fashion_mnist'?")]),
    (["data", "list", "--registry", "bench.yaml"], [("bench.yaml", "no such file")]),
    (["data", "describe"], [(f"{C}: data describe", "name the files")]),
    (["data", "describe", "a.csv", "b.csv"], [(f"{C}: a.csv", "no such file"), (f"{C}: b.csv", "no such file")]),
    (["plan", "--registry", "benchmark.yaml"], [("benchmark.yaml", "no such file", "did you mean 'benchmarks.yaml'?")]),
    (["plan", "--registry", "."], [(".", "cannot be read")]),
]


@pytest.mark.parametrize(("arguments", "says"), [pytest.param(a, s, id=" ".join(a) or "nothing") for a, s in COMMANDS])
def test_malformed_command_line(project: Project, arguments: list[str], says: list[tuple[str, ...]]) -> None:
    rejected(project, tuple(says), *arguments)


@pytest.mark.parametrize(
    "arguments", [["run", "--losses", "cosin"], ["plan", "--sed", "1"], ["run", "seeds=x"]], ids=" ".join
)
def test_malformed_command_line_in_a_process_of_its_own(project: Project, arguments: list[str]) -> None:
    before = project.tree()
    ended = project.process(*arguments)
    assert ended.returncode == 2
    assert ended.stdout == ""
    assert ended.stderr.startswith("error: 1 problem in what was given; nothing was done\n  command line: ")
    assert "Traceback" not in ended.stderr
    assert project.tree() == before


def test_a_well_formed_registry_has_no_problem(project: Project) -> None:
    status, _, errors = project.suite("plan", "--profile", "smoke")
    assert (status, errors) == (0, "registry  benchmarks.yaml (experiment toy)\n")
