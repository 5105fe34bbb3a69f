"""Checks a study's config against its schema before any job starts: each fault is one line that names the key and the cause.

Snakemake's own `validate` does not name the nearest key that exists, and does not see keys that stand twice. The libraries
behind it, jsonschema and PyYAML, are used here; making the plan needs nothing more.
"""

from pathlib import Path
from typing import Any

import jsonschema
import yaml

from pofxy.study import plan


def check(config: dict, schema: Path, files: list[str]) -> dict:
    """The config with the schema's defaults filled in.

    Args:
        config: as Snakemake merged it from the config files and the command line.
        schema: a JSON schema (in YAML).
        files: the config files, read again to find keys that stand twice: YAML would silently keep the last.

    Raises:
        plan.ConfigError: every fault on a line of its own, with its key and cause.
    """
    for file in files:
        _check_unique(yaml.compose(Path(file).read_text(encoding="utf-8")), file)
    rules = yaml.safe_load(schema.read_text(encoding="utf-8"))
    faults = sorted(jsonschema.Draft202012Validator(rules).iter_errors(config), key=lambda error: list(map(str, error.path)))
    if faults:
        raise plan.ConfigError("\n".join(_explain(fault) for fault in faults))
    config = {key: part["default"] for key, part in rules["properties"].items() if "default" in part} | config
    plan.sources(config)
    plan.runs(config)
    return config


def _check_unique(node: yaml.Node | None, file: str) -> None:
    if isinstance(node, yaml.SequenceNode):
        for child in node.value:
            _check_unique(child, file)
    if isinstance(node, yaml.MappingNode):
        seen: dict[str, int] = {}
        for key, child in node.value:
            line = key.start_mark.line + 1
            if key.value in seen:
                raise plan.ConfigError(
                    f"{file}: '{key.value}' stands twice, on lines {seen[key.value]} and {line}; give one another name"
                )
            seen[key.value] = line
            _check_unique(child, file)


def _explain(fault: jsonschema.ValidationError) -> str:
    schema: Any = fault.schema
    instance: Any = fault.instance
    where = ".".join(str(part) for part in fault.absolute_path)
    if fault.validator == "additionalProperties":
        known = schema["properties"]
        unknown = [key for key in instance if key not in known]
        return "; ".join(f"{where + '.' if where else ''}{key}: unknown key{plan.nearest(key, known)}" for key in unknown)
    if fault.validator == "required":
        return f"{where or 'config'}: {fault.message}"
    wanted = schema.get("description", fault.message)
    return f"{where}: {fault.instance!r} is not valid: {wanted}"
