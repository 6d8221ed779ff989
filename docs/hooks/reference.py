"""Writes the reference that the code itself knows: the registry from its schema, the commands from the parsers."""

import argparse
import inspect
import re
from collections.abc import Iterator, Mapping
from typing import Any

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files

from analysis.cli.main import make_parser as make_analysis_parser
from suite.cli.arguments import make_parser
from suite.registry.launchers import kinds
from suite.registry.schema import registry_schema

ATTRIBUTES = "\n\nAttributes\n----------\n"
REGISTRY = """# The registry

What `benchmarks.yaml` may hold, made from the schema that it is checked against (`python -m suite schema` prints it,
for editors). In a registry with `extends: suite` all but `experiment` may be left out:
[a study of your own](../docs/study.md#the-registry-extends-the-suites). Parameters of losses are those of
[their classes](../docs/losses/losses.md), ranges of a search are described in
[tuning](../docs/tuning.md#search-spaces), launchers in [on your cluster](../docs/cluster.md).
"""
COMMANDS = """# Commands

What each command says with `--help`. `suite` is the same as `python -m suite`.
"""


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages that are generated."""
    for name, text in (("registry", registry_page()), ("commands", commands_page())):
        files.append(File.generated(config, f"reference/{name}.md", content=text))
    return files


def registry_page() -> str:
    """Return every key of the registry with its type, default and meaning."""
    schema = registry_schema()
    parts = {"The file": schema["else"]} | {
        name: definition for name, definition in schema["$defs"].items() if not name.startswith("study.")
    }
    return "\n".join([REGISTRY, *(line for name, part in parts.items() for line in _section(name, part))]) + "\n"


def commands_page() -> str:
    """Return the help of every command."""
    suite_parsers, analysis_parsers = make_parser()[1], _commands(make_analysis_parser())
    lines = [COMMANDS]
    for module, parsers in (("suite", suite_parsers), ("analysis", analysis_parsers)):
        for name, parser in parsers.items():
            lines += [f"## {module} {name}", "", "```text", parser.format_help().rstrip(), "```", ""]
    return "\n".join(lines)


def _commands(parser: argparse.ArgumentParser) -> Mapping[str, argparse.ArgumentParser]:
    (adder,) = (action for action in parser._actions if isinstance(action, argparse._SubParsersAction))
    return adder.choices


def _section(name: str, part: Mapping[str, Any]) -> Iterator[str]:
    text = part.get("description", "").partition(ATTRIBUTES)[0]
    inherited = [inspect.getdoc(base) or "" for base in reversed(getattr(kinds_by_name().get(name), "__mro__", ()))]
    meanings = {
        key: told for each in [*inherited, part.get("description", "")] for key, told in _meanings(each).items()
    }
    yield f"## {name}\n\n{_code(text)}\n\n| key | type | default | meaning |\n|---|---|---|---|"
    for key, field in part.get("properties", {}).items():
        default = "required" if key in part.get("required", ()) else _value(field.get("default"))
        told = meanings.get(key) or next((text for text in meanings.values() if f"`{key}`" in text), "")
        cells = (f"`{key}`", _type(field), default, told or field.get("description", ""))
        yield "| " + " | ".join(cells) + " |"
    yield ""


def kinds_by_name() -> dict[str, type]:
    """Return the launchers' classes, whose settings are documented where they are inherited from."""
    return {kind.__name__: kind for kind in kinds().values()}


def _meanings(docstring: str) -> dict[str, str]:
    """Return what a docstring says of each attribute."""
    listed = docstring.partition(ATTRIBUTES)[2] + "\n"
    found = re.findall(r"^(\S.*?) : .*\n((?:    .*\n?|\n(?=    ))*)", listed, re.MULTILINE)
    return {name: _code(" ".join(text.split())) for names, text in found for name in names.split(", ")}


def _type(field: Mapping[str, Any]) -> str:
    if "$ref" in field:
        name = field["$ref"].rpartition("/")[2]
        return f"[{name}](#{name.lower()})"
    if one_of := field.get("anyOf") or field.get("oneOf"):
        return " or ".join(_type(one) for one in one_of if one.get("type") != "null")
    if "enum" in field or "const" in field:
        return " or ".join(_value(value) for value in field.get("enum", [field.get("const")]))
    if field.get("type") == "array":
        return f"list of {_type(field['items'])}" if field.get("items") else "list"
    if field.get("type") == "object":
        inner = field.get("additionalProperties")
        keys = field.get("propertyNames", {}).get("enum")
        by = " or ".join(_value(key) for key in keys) if keys else "name"
        return f"by {by}: {_type(inner)}" if isinstance(inner, dict) and inner.get("type") != "object" else "mapping"
    return str(field.get("type", "any")) + "".join(
        f" {sign} {field[bound]}"
        for bound, sign in (("minimum", "≥"), ("exclusiveMinimum", ">"), ("maximum", "≤"), ("exclusiveMaximum", "<"))
        if bound in field
    )


def _value(value: Any) -> str:
    return "" if value is None else f"`{value}`" if value != "" else "empty"


def _code(text: str) -> str:
    """Write reStructuredText's code and roles as Markdown's."""
    return re.sub(r":\w+:`([^`]+)`", r"`\1`", text).replace("``", "`").replace("|", r"\|")
