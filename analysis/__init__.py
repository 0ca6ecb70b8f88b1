"""Tables, figures and intervals from finished runs, beside the published numbers.

In a notebook, as tables of pandas:

    import analysis
    analysis.rows("deepship_rates")
    analysis.predictions("deepship_rates", seeds="1-2")
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from analysis.engine.notebook import predictions, rows

__all__ = ["predictions", "rows"]


def __getattr__(name: str) -> Any:
    """Loads one of the two functions at its first use, so that a report that starts does not wait for it."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from analysis.engine import notebook

    return getattr(notebook, name)


def __dir__() -> list[str]:
    """The names that a notebook completes."""
    return [*globals(), *__all__]
