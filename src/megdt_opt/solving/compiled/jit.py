"""The decorator of the compiled kernels."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar, cast

import numba

from megdt_opt.solving.compiled.folder import folder

Function = TypeVar("Function", bound=Callable[..., Any])


def kernel(function: Function) -> Function:
    """Compile a function at its first call, or take it from the cache."""
    config: Any = numba.config
    before = config.CACHE_DIR
    config.CACHE_DIR = str(folder())
    try:
        return cast(Function, numba.njit(cache=True, error_model="numpy")(function))
    finally:
        config.CACHE_DIR = before
