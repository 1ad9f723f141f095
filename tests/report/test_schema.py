from __future__ import annotations

import json
from pathlib import Path

import jsonschema
import pytest
from pydantic import ValidationError

from imccompiler.report.document import SCHEMA_FILE, json_schema, markdown, schema_text
from imccompiler.report.schema import Report

DOCUMENT = Path(__file__).parents[2] / "docs" / "report.md"
AGAIN = "run: python -m imccompiler.report.document docs/report.md"


def test_schema_file_and_document_are_up_to_date() -> None:
    assert SCHEMA_FILE.read_text(encoding="utf-8") == schema_text(), AGAIN
    assert DOCUMENT.read_text(encoding="utf-8") == markdown(), AGAIN


def test_schema_is_of_the_2020_draft_and_every_key_is_described() -> None:
    schema = json_schema()
    jsonschema.Draft202012Validator.check_schema(schema)
    for part in (schema, *schema["$defs"].values()):
        for key, value in part["properties"].items():
            assert value.get("description"), key


def test_report_is_valid_and_reads_back(report: Report) -> None:
    data = json.loads(report.model_dump_json())
    jsonschema.validate(data, json_schema(), jsonschema.Draft202012Validator)
    assert Report.model_validate_json(json.dumps(data)) == report


@pytest.mark.parametrize(
    ("key", "value"),
    [("latency_ns", -1.0), ("objective", "speed"), ("unknown", 1), ("format_version", 2)],
)
def test_schema_refuses_what_the_models_refuse(report: Report, key: str, value: object) -> None:
    data = {**json.loads(report.model_dump_json()), key: value}
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(data, json_schema(), jsonschema.Draft202012Validator)
    with pytest.raises(ValidationError):
        Report.model_validate_json(json.dumps(data))


def test_numbers_that_json_does_not_have_are_refused(report: Report) -> None:
    with pytest.raises(ValidationError):
        Report.model_validate({**report.model_dump(), "latency_ns": float("nan")})
