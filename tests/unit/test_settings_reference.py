"""docs/configuration.md is what the tree of settings says."""

from __future__ import annotations

from pathlib import Path

from gzsl_dist.config.command_line import setting_fields
from gzsl_dist.config.reference import reference

DOCS = Path(__file__).parents[2] / "docs"


def test_the_document_is_up_to_date() -> None:
    assert (DOCS / "configuration.md").read_text() == reference(), (
        "python -m gzsl_dist.config.reference > docs/configuration.md"
    )


def test_every_setting_is_in_it() -> None:
    text = reference()
    for name, field in setting_fields():
        assert f"| `{name}` |" in text
        assert field.description
        assert field.description in text
