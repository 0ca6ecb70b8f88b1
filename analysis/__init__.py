"""What the runs say: tables, figures and intervals, beside the published numbers.

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
    """The two functions, at their first use: a report that is started as a module waits for nothing here."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from analysis.engine import notebook

    return getattr(notebook, name)


def __dir__() -> list[str]:
    """What a notebook completes."""
    return [*globals(), *__all__]
