"""Routes from a problem to an allocation."""

from __future__ import annotations

from megdt_opt.solving.door import methods, solve

__all__ = ["methods", "solve"]
