"""CITATION.cff can be read by what reads such files, and invents nothing."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[1]
CITED = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
# Of the Citation File Format 1.2.0: its schema's required keys, and those that ours has beside them.
REQUIRED, ALLOWED = (
    {"authors", "cff-version", "message", "title"},
    {"type", "abstract", "license", "keywords", "references"},
)


def test_it_has_the_keys_that_the_format_requires() -> None:
    """And none that the format does not know."""
    assert set(CITED) >= REQUIRED
    assert set(CITED) <= REQUIRED | ALLOWED
    assert (CITED["cff-version"], CITED["type"], CITED["license"]) == ("1.2.0", "software", "Apache-2.0")
    assert all(isinstance(CITED[name], str) and CITED[name] for name in ("title", "message", "abstract"))


def test_its_authors_are_an_entity() -> None:
    """Persons have other keys."""
    assert CITED["authors"] == [{"name": "The Soundings authors"}]


@pytest.mark.parametrize("reference", CITED["references"], ids=lambda r: r["authors"][0]["family-names"])
def test_a_reference_is_whole_and_is_of_a_study(reference: dict[str, object]) -> None:
    """Its paper has a recipe, whose first line names its first author and its year."""
    assert set(reference) >= {"authors", "title", "type"}
    first = reference["authors"][0]["family-names"]  # type: ignore[index]
    recipe = (ROOT / "sweeps" / "recipes" / f"{first.lower()}.py").read_text(encoding="utf-8")
    assert recipe.startswith(f'"""{first} et al. {reference["year"]},')
    assert str(reference["url"]).removeprefix("https://arxiv.org/abs/") in str(reference["notes"])
