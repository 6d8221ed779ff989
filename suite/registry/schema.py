"""A JSON Schema of benchmarks.yaml, so that editors complete and check it."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any, Final

from pydantic import TypeAdapter

from suite.provenance import targets
from suite.registry.binding import adapter_of, is_json
from suite.registry.extends import EXTENDS, KEEP, KEPT
from suite.registry.launchers import kinds
from suite.registry.registry import Document


def registry_schema() -> dict[str, Any]:
    """Return the schema: the registry's own keys, and the arguments of the known losses and benchmarks."""
    schema = TypeAdapter(Document).json_schema(by_alias=True)
    schema["$schema"] = "https://json-schema.org/draft/2020-12/schema"
    schema["title"] = "benchmarks.yaml"
    properties = schema["properties"]
    properties["defaults"] = {"type": "array", "description": "Hydra's defaults list"}
    # an override of some fields; which kind of launcher it overrides stands in another file
    launchers = [schema["$defs"][kind.__name__] for kind in kinds().values()]
    fields = {name: field for launcher in launchers for name, field in launcher["properties"].items() if name != "kind"}
    properties["launcher"] = {"type": "object", "properties": {"kind": {"type": "string"}, **fields}}
    schema["required"] = [name for name in schema["required"] if name != "launcher"]
    properties["losses"]["additionalProperties"] = _entry("suite.losses", _loss)
    definitions = schema["$defs"]
    definitions["BenchmarkEntry"] |= _entry("suite.benchmarks", _benchmark, definitions["BenchmarkEntry"])
    study = _study(schema)
    outer = {name: schema.pop(name) for name in ("$schema", "title")}
    definitions = schema.pop("$defs") | study.pop("$defs")
    return {**outer, "if": {"required": [EXTENDS]}, "then": study, "else": schema, "$defs": definitions}


_PARTS: Final = ("BenchmarkEntry", "Metric")
"""Definitions of which a study may write a part, since the rest is the suite's."""


def _study(whole: Mapping[str, Any]) -> dict[str, Any]:
    """Return the schema of a registry that extends the suite's: the same keys, of which it may leave out any."""
    study: dict[str, Any] = json.loads(json.dumps(whole).replace("#/$defs/", "#/$defs/study."))
    names = {"type": "array", "items": {"type": "string"}}
    kept = {section: names for section in KEPT}
    study["properties"][EXTENDS] = {"const": "suite"}
    study["properties"][KEEP] = {"type": "object", "properties": kept, "additionalProperties": False}
    study["required"] = ["experiment"]
    for part in (*(study["$defs"][name] for name in _PARTS), study["properties"]["losses"]["additionalProperties"]):
        part["required"] = []
    study["$defs"] = {f"study.{name}": definition for name, definition in study["$defs"].items()}
    return {name: value for name, value in study.items() if name not in ("$schema", "title")}


def _entry(group: str, then: Callable[[str], dict[str, Any]], base: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """Return the schema of an entry: known classes with their arguments, any other class with any arguments."""
    paths = list(targets.short_names(group).values())
    target = {"type": "string", "description": "dotted path of the class", "examples": paths}
    properties = {**(base or {}).get("properties", {}), "_target_": target}
    required = list((base or {}).get("required", ["_target_"]))
    named = [
        {"if": {"required": ["_target_"], "properties": {"_target_": {"enum": [name, path]}}}, "then": then(path)}
        for name, path in targets.short_names(group).items()
    ]
    return {"type": "object", "required": required, "properties": properties, "allOf": named}


def _loss(path: str) -> dict[str, Any]:
    arguments = _arguments("suite.losses", path)
    sweep = {"anyOf": [{"type": "object"}, {"type": "array", "items": {"type": "object"}}]}
    own = {"_target_": {}, "label": {"type": "string"}, "sweep": sweep, "search": {"type": "object"}}
    return {"properties": {**own, **arguments}, "additionalProperties": False}


def _benchmark(path: str) -> dict[str, Any]:
    arguments = _arguments("suite.benchmarks", path)
    settings = {"type": "object", "properties": arguments, "additionalProperties": False}
    return {"properties": {"profiles": {"additionalProperties": settings}}}


def _arguments(group: str, path: str) -> Mapping[str, Any]:
    parameters = targets.resolve(path, group).parameters or ()
    return {p.name: _argument(p) for p in parameters}


def _argument(parameter: targets.Parameter) -> dict[str, Any]:
    adapter = adapter_of(parameter.annotation)
    if adapter is None:
        return {}
    reference = {"type": "string", "pattern": r"\$\{.+\}", "description": "a setting of the benchmark"}
    value = {"anyOf": [adapter.json_schema(), reference]}
    known = parameter.default not in (targets.REQUIRED, targets.UNKNOWN) and is_json(parameter.default)
    return {**value, "default": parameter.default} if known else value
