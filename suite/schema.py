"""A JSON Schema of benchmarks.yaml, so that editors complete and check it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import TypeAdapter

from suite import targets
from suite.registry import Document, Launcher


def registry_schema() -> dict[str, Any]:
    """Return the schema: the registry's own keys, and the arguments of the suite's losses and benchmarks by ``_target_``."""
    schema = TypeAdapter(Document).json_schema(by_alias=True)
    schema["$schema"] = "https://json-schema.org/draft/2020-12/schema"
    schema["title"] = "benchmarks.yaml"
    properties = schema["properties"]
    properties["defaults"] = {"type": "array", "description": "Hydra's defaults list"}
    properties["launcher"] = {"type": "object", "properties": TypeAdapter(Launcher).json_schema()["properties"]}
    schema["required"] = [name for name in schema["required"] if name != "launcher"]
    losses = list(targets.short_names("suite.losses").values())
    properties["losses"]["additionalProperties"] = _entry("suite.losses", losses)
    profile = {"type": "object", "description": "constructor arguments of the benchmark's class"}
    for name, path in targets.short_names("suite.benchmarks").items():
        profile.setdefault("properties", {}).update(_arguments("suite.benchmarks", path))  # type: ignore[attr-defined]
        profile["description"] = f"{profile['description']}, {name}"
    return schema


def _entry(group: str, paths: list[str]) -> dict[str, Any]:
    """Return the schema of a loss entry: known classes with their arguments, any other class with any arguments."""
    known = [
        {
            "if": {"properties": {"_target_": {"const": path}}},
            "then": {
                "properties": {"_target_": {}, "sweep": {"type": "object"}, **_arguments(group, path)},
                "additionalProperties": False,
            },
        }
        for path in paths
    ]
    target = {"type": "string", "description": "dotted path of the class", "examples": paths}
    return {"type": "object", "required": ["_target_"], "properties": {"_target_": target}, "allOf": known}


def _arguments(group: str, path: str) -> Mapping[str, Any]:
    parameters = targets.resolve(path, group).parameters or ()
    return {p.name: _argument(p) for p in parameters}


def _argument(parameter: targets.Parameter) -> dict[str, Any]:
    if parameter.annotation is targets.UNKNOWN:
        return {}
    schema = TypeAdapter(parameter.annotation).json_schema()
    reference = {"type": "string", "pattern": r"\$\{.+\}", "description": "a setting of the benchmark"}
    value = {"anyOf": [schema, reference]}
    known = parameter.default not in (targets.REQUIRED, targets.UNKNOWN)
    return {**value, "default": parameter.default} if known else value
