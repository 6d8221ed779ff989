"""What a data catalogue says: YAML to typed data sets, every mistake reported with file and line."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from suite.data.dataset import UNPINNED, Dataset, Member, Package, Source
from suite.data.errors import CatalogueError, Problem

if TYPE_CHECKING:
    from yaml.nodes import MappingNode, Node

KINDS = {
    "pip": (r"[A-Za-z0-9._-]+==[A-Za-z0-9.+!_-]+", "NAME==VERSION"),
    "debian": (r"[a-z0-9][a-z0-9+.-]+=[A-Za-z0-9.+:~-]+", "NAME=VERSION"),
    "npm": (r"[a-z0-9][a-z0-9._-]*@[0-9][A-Za-z0-9.+-]*", "NAME@VERSION"),
    "url": (r"\S.*", "a URL or a path"),
    "torchvision": (r"[A-Za-z]\w*", "a class of torchvision.datasets"),
}

_UNKNOWN = "unknown"
"""In place of a package's checksum that nobody has published: then its members' checksums alone are held."""


def load_catalogue(*paths: Path) -> dict[str, Dataset]:
    """Read catalogues into one.

    Parameters
    ----------
    paths : Path
        YAML files of the shape that ``suite/data/catalogue.yaml`` describes. A data set may be in one of them only.

    Raises
    ------
    CatalogueError
        With every problem of every file, each with file and line.
    """
    problems: list[Problem] = []
    datasets: dict[str, Dataset] = {}
    defined: dict[str, str] = {}
    for path in paths:
        reader = _Reader(path, problems)
        for name, (line, dataset) in reader.datasets().items():
            if name in defined:
                problems.append(Problem(path, line, f"data set {name!r} is already defined at {defined[name]}"))
            defined[name] = f"{path}:{line}"
            if dataset is not None:
                datasets[name] = dataset
    if problems:
        raise CatalogueError(problems)
    return datasets


def did_you_mean(word: str, choices: Iterable[str]) -> str:
    """Return the valid choices as a clause, the likely one first."""
    choices = sorted(choices)
    close = difflib.get_close_matches(word, choices, n=1)
    hint = f"did you mean {close[0]!r}? " if close else ""
    return f"{hint}valid: {', '.join(choices) or 'none'}"


class _Reader:
    """Reads one file; notes what is wrong in `problems` and goes on."""

    def __init__(self, path: Path, problems: list[Problem]) -> None:
        self.path = path
        self.problems = problems

    def datasets(self) -> dict[str, tuple[int, Dataset | None]]:
        import yaml

        try:
            loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # where PyYAML was built without libyaml
            root = yaml.compose(self.path.read_text(encoding="utf-8"), Loader=loader)
        except OSError as error:
            self._note(1, f"cannot be read: {error.strerror}")
            return {}
        except UnicodeDecodeError as error:
            self._note(1, f"is not UTF-8: {error.reason} at byte {error.start}")
            return {}
        except yaml.MarkedYAMLError as error:
            line = error.problem_mark.line + 1 if error.problem_mark else 1
            self._note(line, f"is not valid YAML: {error.problem or error.context}")
            return {}
        except yaml.YAMLError as error:
            self._note(1, f"is not valid YAML: {error}")
            return {}
        if root is None:
            return {}
        entries = self._mapping(root, "a catalogue")
        return {name: (_line(node), self._dataset(name, node)) for name, node in entries.items()}

    def _dataset(self, name: str, node: Node) -> Dataset | None:
        if not re.fullmatch(r"[a-z0-9_]+", name):
            self._note(_line(node), f"data set name {name!r}: lower case letters, digits and _ only")
        before = len(self.problems)
        texts = ("title", "licence", "origin", "reference")
        fields = self._fields(node, f"data set {name!r}", required=(*texts, "members"), optional=("sources",))
        described = {key: self._text(fields[key], key) for key in texts if key in fields}
        if "origin" in fields and not re.match(r"https?://|package \S", described["origin"]):
            message = f"origin must be a URL, or 'package NAME' where there is no page, not {described['origin']!r}"
            self._note(_line(fields["origin"]), message)
        members = self._members(fields["members"]) if "members" in fields else {}
        sources = self._sources(fields["sources"], members) if "sources" in fields else ()
        supplied = {member for source in sources for member in source.members}
        if sources and (lacking := sorted(set(members) - supplied)):
            self._note(_line(node), f"no source of data set {name!r} supplies {', '.join(lacking)}")
        return None if len(self.problems) > before else Dataset(name, **described, members=members, sources=sources)

    def _members(self, node: Node) -> dict[str, Member]:
        members = {}
        entries = self._mapping(node, "members")
        if not entries:
            self._note(_line(node), "members must name at least one file")
        for name, entry in entries.items():
            folder = name.endswith("/")
            self._relative(name.removesuffix("/"), entry, "member")
            fields = self._content(entry, f"member {name!r}", ("by_name",) if folder else ())
            members[name] = Member(
                self._digest(fields.get("sha256"), 64, UNPINNED),
                self._size(fields["size"]) if "size" in fields else None,
                self._digest(fields.get("md5"), 32),
                self._size(fields.get("about")),
                folder,
                "by_name" in fields and self._flag(fields["by_name"]),
            )
            if folder and members[name].md5:
                self._note(_line(entry), f"member {name!r} is a folder: it has a sha256, no md5")
        return members

    def _content(
        self, node: Node, what: str, others: tuple[str, ...], required: tuple[str, ...] = ()
    ) -> dict[str, Node]:
        """Read what says which bytes a file has: one checksum, and its size exactly or roughly."""
        fields = self._fields(node, what, required, ("sha256", "md5", "size", "about", *others))
        for first, second in (("sha256", "md5"), ("size", "about")):
            if first not in fields and second not in fields:
                self._note(_line(node), f"{what} lacks {first!r} (or {second!r})")
            elif first in fields and second in fields:
                self._note(_line(fields[second]), f"{what} has {first!r} already")
        return fields

    def _sources(self, node: Node, members: Mapping[str, Member]) -> tuple[Source, ...]:
        from yaml.nodes import SequenceNode

        if not isinstance(node, SequenceNode):
            self._note(_line(node), "sources must be a list")
            return ()
        return tuple(source for entry in node.value if (source := self._source(entry, members)) is not None)

    def _source(self, node: Node, members: Mapping[str, Member]) -> Source | None:
        entries = self._mapping(node, "a source")
        kinds = [kind for kind in KINDS if kind in entries]
        if len(kinds) != 1:
            self._note(_line(node), f"a source has exactly one of {', '.join(KINDS)}; this one has {len(kinds)}")
            return None
        kind = kinds[0]
        packaged, what = kind != "torchvision", f"a {kind} source"
        required = (kind, "members", *(("file",) if packaged else ()))
        whole = self._whole(entries, members) if kind == "url" else None
        plain = whole is not None or not packaged
        fields = self._fields(node, what, required) if plain else self._content(node, what, (), required)
        spec = self._text(fields[kind], kind)
        pattern, shape = KINDS[kind]
        if not re.fullmatch(pattern, spec):
            self._note(_line(fields[kind]), f"{kind} must be {shape}, not {spec!r}")
        if kind == "url" and "://" not in spec:
            spec = str((self.path.parent / spec).resolve())
        inside = {}
        for name, entry in (self._mapping(fields["members"], "members") if "members" in fields else {}).items():
            if name not in members:
                self._note(_line(entry), f"unknown member {name!r}: {did_you_mean(name, members)}")
            path = self._text(entry, name)
            if name.endswith("/") != path.endswith("/"):
                self._note(_line(entry), f"a member and its path both end in '/' if it is a folder: {name!r}, {path!r}")
            self._relative(path.removesuffix("/"), entry, "path", whole=kind == "url" or path == "./")
            inside[name] = path
        return Source(kind, spec, inside, self._package(fields, whole) if packaged else None)

    def _whole(self, entries: Mapping[str, Node], members: Mapping[str, Member]) -> Member | None:
        """Return the one member that a source's file is, if the source does not say itself which bytes that has."""
        from yaml.nodes import MappingNode

        named = entries.get("members")
        if not isinstance(named, MappingNode) or entries.keys() & {"sha256", "md5", "size", "about"}:
            return None
        pairs = [(name, value.value) for name, _, value in _pairs(named)]
        return members.get(pairs[0][0]) if len(pairs) == 1 and pairs[0][1] == "." else None

    def _package(self, fields: Mapping[str, Node], whole: Member | None) -> Package:
        file = self._text(fields["file"], "file") if "file" in fields else ""
        if "file" in fields and (not self._relative(file, fields["file"], "file") or "/" in file):
            self._note(_line(fields["file"]), f"file must be a plain file name, not {file!r}")
        if whole is not None:
            return Package(file, whole.sha256, whole.size, whole.md5, whole.about)
        return Package(
            file,
            self._digest(fields.get("sha256"), 64, _UNKNOWN),
            self._size(fields["size"]) if "size" in fields else None,
            self._digest(fields.get("md5"), 32),
            self._size(fields.get("about")),
        )

    def _fields(
        self, node: Node, what: str, required: tuple[str, ...], optional: tuple[str, ...] = ()
    ) -> dict[str, Node]:
        entries = self._mapping(node, what)
        for key in sorted(entries.keys() - {*required, *optional}):
            self._note(_line(entries[key]), f"{what} has no {key!r}: {did_you_mean(key, (*required, *optional))}")
        for key in required:
            if key not in entries:
                self._note(_line(node), f"{what} lacks {key!r}")
        return entries

    def _mapping(self, node: Node, what: str) -> dict[str, Node]:
        from yaml.nodes import MappingNode

        if not isinstance(node, MappingNode):
            self._note(_line(node), f"{what} must be a mapping")
            return {}
        entries: dict[str, Node] = {}
        for name, key, value in _pairs(node):
            if name in entries:
                self._note(_line(key), f"{name!r} is given twice")
            entries[name] = value
        return entries

    def _text(self, node: Node, what: str) -> str:
        if not isinstance(node.value, str) or not node.value.strip():
            self._note(_line(node), f"{what} must be text")
            return ""
        return node.value.strip()

    def _digest(self, node: Node | None, digits: int, none: str | None = None) -> str:
        if node is None or node.value == none:
            return ""
        value = str(node.value)
        if not re.fullmatch(rf"[0-9a-f]{{{digits}}}", value):
            kind = "sha256" if digits == 64 else "md5"
            other = f", or {none}" if none else ""
            self._note(_line(node), f"{kind} must be {digits} hexadecimal digits in lower case{other}, not {value!r}")
        return value

    def _flag(self, node: Node) -> bool:
        if node.value not in ("true", "false"):
            self._note(_line(node), f"must be true or false, not {node.value!r}")
        return bool(node.value == "true")

    def _size(self, node: Node | None) -> int:
        if node is None:
            return 0
        if not isinstance(node.value, str) or not re.fullmatch(r"[0-9]+", node.value):
            self._note(_line(node), f"size must be a number of bytes, not {node.value!r}")
            return 0
        return int(node.value)

    def _relative(self, path: str, node: Node, what: str, whole: bool = False) -> str:
        plain = all(part not in ("", ".", "..") and not set(part) & {"\\", "\0"} for part in path.split("/"))
        if not plain and not (whole and path == "."):
            self._note(_line(node), f"{what} {path!r} must be a plain relative path, without '.', '..' or '\\'")
        return path

    def _note(self, line: int, message: str) -> None:
        self.problems.append(Problem(self.path, line, message))


def _pairs(node: MappingNode) -> Iterable[tuple[str, Node, Node]]:
    return ((str(key.value), key, value) for key, value in node.value)


def _line(node: Node) -> int:
    return int(node.start_mark.line) + 1
