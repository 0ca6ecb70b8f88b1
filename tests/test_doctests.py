"""Examples in docstrings do what they say."""

from __future__ import annotations

import doctest
import importlib

import pytest

from tests.test_layout import FILES, ROOT

WITH_EXAMPLES = [file for file in FILES if "\n    >>> " in (ROOT / file).read_text(encoding="utf-8")]


@pytest.mark.parametrize("file", WITH_EXAMPLES)
def test_an_example_gives_what_stands_below_it(file: str) -> None:
    """Of every module that has one."""
    module = importlib.import_module(file.removesuffix(".py").replace("/", "."))
    found = doctest.testmod(module, optionflags=doctest.REPORT_NDIFF)
    assert (found.failed, found.attempted > 0) == (0, True)


def test_whoever_plans_has_an_example() -> None:
    """`grid`, `Sweep` and `Search`, with which every study is written."""
    assert {"sweeps/engine/plan.py", "sweeps/engine/search/search.py"} <= {*WITH_EXAMPLES}
