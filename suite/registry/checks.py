"""What the registry's files say, held against what there is: classes, arguments, data sets, and each other."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from suite.problems import InputError, Problem, choices, shown
from suite.provenance import targets
from suite.registry import members
from suite.registry.binding import bind
from suite.registry.claims import At, Claim, Trials
from suite.registry.places import KeyPath, Lines, dotted, relative
from suite.registry.registry import BenchmarkEntry, Document, LossEntry, Registry, Slice
from suite.registry.search import Axis
from suite.text.naming import is_path

if TYPE_CHECKING:
    from suite.data import Store

RESERVED: Final = {
    "loss": ("all", "references", "default"),
    "benchmark": ("all", "default"),
    "slice": ("all", "references", "selection"),
}

#: Of a database behind MLflow.
EXPERIMENT_LIMIT: Final = 250

_ANYTHING: Final = targets.Target("", "", "", None)


class _Checks:
    def __init__(self, document: Document, file: Path, lines: Lines, known: Sequence[Problem]) -> None:
        self.document = document
        self.file = relative(file)
        self.lines = lines
        self.reported = [problem.key for problem in known]
        self.problems: list[Problem] = []

    def is_reported(self, key: str) -> bool:
        """Whether something is known to be wrong at, above or below a key."""
        return any(f"{a}.".startswith(f"{b}.") for one in self.reported for a, b in ((one, key), (key, one)))

    def complain(self, path: KeyPath, message: str) -> None:
        self.problems.append(Problem(self.lines(path), dotted(path), message))

    def names(self) -> None:
        document = self.document
        for kind, section, named in (
            ("loss", "losses", document.losses),
            ("benchmark", "benchmarks", document.benchmarks),
            ("slice", "slices", document.slices),
            ("claim", "claims", document.claims),
        ):
            for name in named:
                if name in RESERVED.get(kind, ()):
                    self.complain((section, name), f"{name!r} is a built-in selection: no {kind} may have this name")
                elif not re.fullmatch(r"[A-Za-z]\w*(-\w+)*", name):
                    message = f"{name!r} will not do as a name: letters, digits, _ and -, beginning with a letter"
                    self.complain((section, name), message)
        for name in document.slices:
            if name in document.losses or name in document.benchmarks:
                self.complain(("slices", name), "this name is taken by a loss or a benchmark")
        if len(document.experiment) > EXPERIMENT_LIMIT:
            self.complain(("experiment",), f"is longer than the {EXPERIMENT_LIMIT} characters that MLflow takes")
        for benchmark, entry in document.benchmarks.items():
            if not is_path(entry.metric.name):
                message = (
                    f"{entry.metric.name!r} will not do: MLflow would not take it; expected a name or a path of names, "
                    "as in bias/gender, without an empty part"
                )
                self.complain(("benchmarks", benchmark, "metric", "name"), message)
            for name in entry.references:
                if name in document.losses:
                    self.complain(("benchmarks", benchmark, "references", name), "this name is taken by a loss")

    def losses(self) -> Iterator[tuple[str, LossEntry]]:
        for name, entry in self.document.losses.items():
            path: KeyPath = ("losses", name)
            if "_target_" in entry:
                target = self.resolved(entry["_target_"], "suite.losses", (*path, "_target_"))
            else:
                self.complain((*path, "_target_"), "is missing: name the class, e.g. suite.losses.InfoNCE")
                target = _ANYTHING
            arguments = {k: v for k, v in entry.items() if k not in ("_target_", "sweep", "search", "label")}
            if not isinstance(entry.get("label", ""), str):
                self.complain((*path, "label"), f"expected a text, got {entry['label']!r}")
            search = entry.get("search", {})
            axes = members.axes((*path, "search"), search, "loss", target, [arguments], self.complain)
            loss = LossEntry(name, target, arguments, axes=axes)
            of_sweep = list(members.loss_members(loss, entry.get("sweep", {}), self.complain))
            for argument, message in bind(target, arguments)[1]:
                # what refers to a setting of the benchmark is checked with each benchmark
                if "${" not in str(arguments.get(argument, "")):
                    self.complain((*path, argument), message)
            yield from ((one.name, one) for one in (loss, *of_sweep))

    def hosts(
        self,
        losses: dict[str, LossEntry],
        found: Mapping[str, targets.Target],
        settings: Mapping[tuple[str, str], Mapping[str, Any]],
    ) -> dict[str, tuple[Axis, ...]]:
        """Return what searches may set of the benchmarks, and add the members that follow from it to the losses."""
        axes, sweeps = {}, {}
        for name, entry in self.document.benchmarks.items():
            path: KeyPath = ("benchmarks", name)
            given = [arguments for (benchmark, _), arguments in settings.items() if benchmark == name]
            axes[name] = members.axes((*path, "search"), entry.search, "benchmark", found[name], given, self.complain)
            sweeps[name] = members.swept((*path, "sweep"), entry.sweep, found[name], given, self.complain)
        of_hosts = list(members.host_members(losses, sweeps, self.complain))
        trials = list(members.trial_members(losses.values(), self.document.budget, any(axes.values())))
        losses |= {one.name: one for one in (*of_hosts, *trials)}
        return axes

    def benchmarks(self) -> tuple[dict[str, targets.Target], dict[tuple[str, str], dict[str, Any]]]:
        found: dict[str, targets.Target] = {}
        settings: dict[tuple[str, str], dict[str, Any]] = {}
        for name, entry in self.document.benchmarks.items():
            found[name] = self.resolved(entry.target, "suite.benchmarks", ("benchmarks", name, "_target_"))
            for profile, arguments in entry.profiles.items():
                settings[name, profile], wrong = bind(found[name], arguments)
                for argument, message in wrong:
                    self.complain(("benchmarks", name, "profiles", profile, argument), message)
            self.resources(name, entry, found[name], settings)
            self.compute(name, entry, found[name])
            for profile in (
                () if self.is_reported(f"benchmarks.{name}") else set(entry.estimate_s) - set(entry.profiles)
            ):
                message = f"the benchmark has no such profile; {choices(profile, entry.profiles)}"
                self.complain(("benchmarks", name, "estimate_s", profile), message)
        return found, settings

    def resources(
        self,
        name: str,
        entry: BenchmarkEntry,
        target: targets.Target,
        settings: Mapping[tuple[str, str], Mapping[str, Any]],
    ) -> None:
        """Check that what is to be spread over several processes can be."""
        for profile, resources in entry.resources.items():
            path: KeyPath = ("benchmarks", name, "resources", profile)
            batch = settings.get((name, profile), {}).get("batch")
            if profile not in entry.profiles:
                self.complain(path, f"the benchmark has no such profile; {choices(profile, entry.profiles)}")
            elif resources.processes > 1 and target.path and not targets.has_flag(target, "distributed"):
                message = "this benchmark cannot be spread over several processes: its class does not say"
                self.complain(path, f"{message} 'distributed: ClassVar[bool] = True'")
            elif isinstance(batch, int) and batch % resources.processes:
                self.complain(path, f"a batch of {batch} cannot be divided by {resources.processes} processes")

    def compute(self, name: str, entry: BenchmarkEntry, target: targets.Target) -> None:
        """Check that what is to be traded for speed can be."""
        for profile, compute in entry.compute.items():
            path: KeyPath = ("benchmarks", name, "compute", profile)
            if profile not in entry.profiles:
                self.complain(path, f"the benchmark has no such profile; {choices(profile, entry.profiles)}")
            elif compute.compile and target.path and not targets.has_flag(target, "compiles"):
                message = (
                    "this benchmark has nothing to compile: its class does not say 'compiles: ClassVar[bool] = True'"
                )
                self.complain((*path, "compile"), message)

    def resolved(self, path: Any, group: str, key: KeyPath) -> targets.Target:
        """Resolve a target; a stand-in that takes anything if it leads nowhere, so that the rest can be checked."""
        try:
            if not isinstance(path, str):
                raise targets.TargetError(
                    f"{shown(path)} will not do: expected a dotted path such as suite.losses.InfoNCE"
                )
            target = targets.resolve(path, group)
            targets.code(target)  # a module that it imports may be broken, too
            return target
        except targets.TargetError as error:
            self.complain(key, str(error))
            return _ANYTHING

    def data(self, folder: Path) -> Store:
        """Return the data sets that there are, the registry's own catalogues in `folder` among them."""
        from suite.data import CatalogueError, Store

        try:
            store = Store.of(folder / path for path in self.document.catalogues)
        except CatalogueError as error:
            self.problems += [Problem(f"{p.file}:{p.line}", "", p.message) for p in error.problems]
            return Store()
        for name, entry in self.document.benchmarks.items():
            for index, dataset in enumerate(entry.data):
                if dataset not in store.catalogue:
                    path = ("benchmarks", name, "data", index)
                    message = f"no data set {dataset!r}; {choices(dataset, store.catalogue)}"
                    self.problems.append(Problem(self.lines(path), f"benchmarks.{name}.data", message))
        return store

    def across(self, registry: Registry) -> None:
        document = self.document
        for field, message in document.launcher.problems():
            self.complain(("launcher", *field.split(".")), message)
        for name in document.launcher.named_benchmarks():
            if name not in document.benchmarks:
                message = f"no benchmark {name!r}; {choices(name, document.benchmarks)}"
                self.complain(("launcher", "benchmarks", name), message)
        if document.baseline not in document.losses:
            message = f"no loss {document.baseline!r}; {choices(document.baseline, document.losses)}"
            self.complain(("baseline",), message)
        both = sorted(set(registry.seeds) & set(registry.selection_seeds))
        if both:
            message = f"{shown(both)} are also evaluation seeds: what is chosen with a seed may not be reported with it"
            self.complain(("selection_seeds",), message)
        self.slices(registry)
        self.claims(registry)
        self.published(registry)
        for name, entry in registry.losses.items():
            if entry.sweep_of is None:
                self.references(registry, name, entry)

    def slices(self, registry: Registry) -> None:
        slices = registry.document.slices
        inherited = [name for name in slices if self.lines.file(("slices", name)) not in ("", self.file)]
        for name in [*inherited, *(name for name in slices if name not in inherited)]:
            problems = list(self.slice(registry, name, slices[name]))
            if problems and name in inherited:
                del slices[name]  # of what the study did not keep, or replaced
            else:
                self.problems += problems

    def slice(self, registry: Registry, name: str, entry: Slice) -> Iterator[Problem]:
        from suite.registry.selection import SelectionError, select_benchmarks, select_losses

        def problem(path: KeyPath, key: KeyPath, message: str) -> Problem:
            return Problem(self.lines(("slices", name, *path)), dotted(("slices", name, *key)), message)

        losses_are_broken = any(key.startswith("losses.") for key in [*self.reported, *(p.key for p in self.problems)])
        if not entry.parts():
            yield problem((), (), f"selects nothing; {choices('', ('benchmarks', 'losses', 'seeds', 'profile'))}")
        for kind, select in (("losses", select_losses), ("benchmarks", select_benchmarks)):
            listed = [text for text in getattr(entry, kind) or () if not (losses_are_broken and "@" in text)]
            if getattr(entry, kind) == []:
                yield problem((kind,), (kind,), "must not be empty")
            # one by one, to say which; a negation means something only beside the others
            negated = any(text.startswith("~") for text in listed)
            for index, texts in enumerate([listed] if negated else [[text] for text in listed or ()]):
                try:
                    select(registry, texts)
                except SelectionError as error:
                    yield problem((kind, index), (kind,), str(error))

    def claims(self, registry: Registry) -> None:
        said: dict[Claim, str] = {}
        for name, claim in registry.document.claims.items():
            path: KeyPath = ("claims", name)
            same = said.setdefault(replace(claim, source=""), name)
            if same != name:
                self.complain(path, f"says the same as {same}, and would be tested twice")
            if (claim.loss, claim.loss_at) == (claim.than, claim.at):
                self.complain((*path, "than"), f"{claim.loss} would be compared with itself")
            self.claimed(registry, path, "loss", claim.loss, claim.loss_at)
            self.claimed(registry, path, "than", claim.than, claim.at)
            known = registry.document.benchmarks
            for index, benchmark in enumerate(claim.benchmarks or ()):
                if benchmark not in known:
                    message = f"no benchmark {benchmark!r}; {choices(benchmark, known)}"
                    self.complain((*path, "benchmarks", index), message)

    def claimed(self, registry: Registry, claim: KeyPath, side: str, loss: str, at: At) -> None:
        """Check one side of a claim: that there is such a loss, and that it can have such a configuration."""
        place = (*claim, "loss_at" if side == "loss" else "at")
        entry = registry.losses.get(loss)
        if entry is None:
            self.declared_loss(registry, (*claim, side), loss)
        elif entry.trial:
            message = f"{loss!r} is a trial of a search: name the loss, {entry.sweep_of}"
            self.complain((*claim, side), f"{message}; `{place[-1]}` says the best of how many trials")
        elif at == "declared":
            return
        elif entry.sweep_of is not None:
            self.complain(place, f"{loss} is one configuration; only 'declared' means anything here")
        elif not registry.selection_seeds:
            self.complain(place, f"{shown_at(at)} is chosen with selection_seeds, and the registry has none")
        elif at in ("validated", "median"):
            is_swept = any(other.is_of_sweep and other.sweep_of == loss for other in registry.losses.values())
            if not is_swept and not self.is_reported(f"losses.{loss}.sweep"):
                message = f"{loss} has no sweep to choose from; {shown_at(at)} means nothing here"
                self.complain(place, message)
        elif not any(other.trial and other.sweep_of == loss for other in registry.losses.values()):
            message = f"neither {loss} nor a benchmark declares a search; {shown_at(at)} means nothing here"
            self.complain(place, message)

    def declared_loss(self, registry: Registry, path: KeyPath, name: str) -> None:
        """Check that a published figure is about a loss as it is declared."""
        if name in registry.document.losses:
            return
        if name in registry.losses:
            what = "search" if registry.losses[name].trial else "sweep"
            message = f"{name!r} is a member of a {what}: name the loss, {registry.losses[name].sweep_of}"
        else:
            message = f"no loss {name!r}; {choices(name, registry.document.losses)}"
        self.complain(path, message)

    def published(self, registry: Registry) -> None:
        for benchmark, entry in registry.document.benchmarks.items():
            for index, figure in enumerate(entry.published):
                path: KeyPath = ("benchmarks", benchmark, "published", index)
                self.declared_loss(registry, (*path, "loss"), figure.loss)
                if figure.profile is not None and figure.profile not in entry.profiles:
                    message = f"the benchmark has no such profile; {choices(figure.profile, entry.profiles)}"
                    self.complain((*path, "profile"), message)

    def references(self, registry: Registry, name: str, entry: LossEntry) -> None:
        """Check the arguments that refer to settings of a benchmark, in the first benchmark where they fail."""
        told: Counter[str] = Counter()
        for benchmark, profile in registry.settings:
            if self.is_reported(f"benchmarks.{benchmark}"):
                continue
            for argument, message in registry.bind_loss(name, benchmark, profile)[1]:
                if "${" in str(entry.arguments.get(argument, "")) and not told[argument]:
                    told[argument] += 1
                    self.complain(("losses", name, argument), f"in benchmark {benchmark}: {message}")


def shown_at(at: At) -> str:
    """Write which configuration is meant as the registry has it."""
    return f"trials: {at.trials}" if isinstance(at, Trials) else repr(at)


def checked_registry(document: Document, file: Path, lines: Lines, known: Sequence[Problem] = ()) -> Registry:
    """Look up what a document names, and return the registry.

    Parameters
    ----------
    document : Document
    file : Path
        Where it comes from.
    lines : Lines
        Where its keys stand.
    known : sequence of Problem
        What is wrong with it already: it stands in for these, so nothing more is said of the same keys.

    Raises
    ------
    InputError
        With these problems and every other one.
    """
    checks = _Checks(document, file, lines, known)
    checks.names()
    losses = dict(checks.losses())
    found, settings = checks.benchmarks()
    axes = checks.hosts(losses, found, settings)
    registry = Registry(document, file, losses, found, settings, checks.data(file.parent), axes)
    checks.across(registry)
    new = [problem for problem in checks.problems if not checks.is_reported(problem.key)]
    if known or new:
        raise InputError([*known, *new])
    return registry
