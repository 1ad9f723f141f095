"""Writes schema.json and docs/report.md from `schema.py`.

python -m imccompiler.report.document docs/report.md
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from imccompiler.report.schema import Report

SCHEMA_FILE = Path(__file__).parent / "schema.json"

_HEAD = """\
# report.json

Generated from `imccompiler/report/schema.py` by `python -m imccompiler.report.document
docs/report.md`. The same as a JSON Schema (2020-12): `imccompiler/report/schema.json`.

`imcc compile -o DIR` writes `DIR/report.json`; `imcc simulate`, `imcc run` and `imcc compile
--check` fill the sections `simulated`, `run` and `check` of the same file. A value is null
where nothing was found out. Units are in the names; energies are of one image. Numbers under
`latency_ns`, `interval_ns` and `energy_pj` are the compiler's plan, those under `simulated`
what the timing simulator measured on the emitted program, those under `lower_bound` what
nothing can beat.
"""


def json_schema() -> dict[str, Any]:
    """JSON Schema 2020-12 of report.json."""
    schema = Report.model_json_schema(mode="serialization")
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema}


def schema_text() -> str:
    """Content of schema.json."""
    return json.dumps(json_schema(), indent=2) + "\n"


def markdown() -> str:
    """Content of docs/report.md."""
    schema = json_schema()
    definitions: dict[str, Any] = schema["$defs"]
    parts = [_HEAD, _section("Report", schema)]
    parts += [_section(name, definitions[name]) for name in sorted(definitions)]
    return "\n".join(parts)


def _section(name: str, schema: dict[str, Any]) -> str:
    summary = " ".join(schema.get("description", "").split())
    lines = [f"## {name}", summary, "", "| key | type | meaning |", "|---|---|---|"]
    lines += [
        f"| `{key}` | {_type(value)} | {value.get('description', '')} |"
        for key, value in schema["properties"].items()
    ]
    return "\n".join(lines) + "\n"


def _type(value: dict[str, Any]) -> str:
    if "$ref" in value:
        name = value["$ref"].rpartition("/")[2]
        return f"[{name}](#{name.lower()})"
    if "anyOf" in value:
        return " or ".join(_type(option) for option in value["anyOf"])
    if "enum" in value or "const" in value:
        return ", ".join(f"`{option}`" for option in value.get("enum", [value.get("const")]))
    if isinstance(items := value.get("items"), dict):
        return f"list of {_type(items)}"
    if isinstance(entries := value.get("additionalProperties"), dict):
        return f"map of {_type(entries)}"
    return str(value.get("type", "any"))


def main() -> None:
    """Write both files."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("document", type=Path, help="where docs/report.md is")
    target: Path = parser.parse_args().document
    SCHEMA_FILE.write_text(schema_text(), encoding="utf-8")
    target.write_text(markdown(), encoding="utf-8")


if __name__ == "__main__":
    main()
