"""The decorator of the compiled kernels."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar, cast

import numba
import numba.extending

from megdt_opt.solving.compiled.folder import folder

Function = TypeVar("Function", bound=Callable[..., Any])


def _kept(**options: bool) -> Callable[[Function], Function]:
    def compile_later(function: Function) -> Function:
        # typed by halves: two of the options and the settings are missing there
        compile_with: Any = numba.njit
        config: Any = numba.config
        before = config.CACHE_DIR
        config.CACHE_DIR = str(folder(Path(function.__code__.co_filename).parent))
        try:
            return cast(Function, compile_with(**{"cache": True, "error_model": "numpy", **options})(function))
        finally:
            config.CACHE_DIR = before

    return compile_later


def _stay_whole(typing_context: Any) -> Any:
    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        builder.function.attributes.add("noinline")
        return context.get_dummy_value()

    return numba.types.void(), generate


stay_whole: Any = numba.extending.intrinsic(_stay_whole)
"""Called first in a large function: LLVM must not copy it into its callers, which is what takes long to compile."""


def _bits(typing_context: Any, number: Any) -> Any:
    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.bitcast(arguments[0], context.get_value_type(numba.types.int64))

    return numba.types.int64(numba.types.float64), generate


bits: Any = numba.extending.intrinsic(_bits)
"""The bits of a float as a whole number."""


def _number_at(typing_context: Any, address: Any, place: Any) -> Any:
    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        kind = context.get_value_type(numba.types.float64)
        return builder.load(builder.gep(builder.inttoptr(arguments[0], kind.as_pointer()), [arguments[1]]))

    return numba.types.float64(numba.types.int64, numba.types.int64), generate


number_at: Any = numba.extending.intrinsic(_number_at)
"""A float of a table by the table's address: an array would be counted in and out at every call, as long as the call
itself takes. The caller keeps the table."""


def _melt(typing_context: Any) -> Any:
    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        builder.function.attributes.add("alwaysinline")
        return context.get_dummy_value()

    return numba.types.void(), generate


melt: Any = numba.extending.intrinsic(_melt)
"""Called first in a small function that runs for every option: LLVM copies it into its callers."""


def kernel(function: Function) -> Function:
    """Compile a function at its first call, or take it from the cache."""
    return _kept()(function)


def threaded(function: Function) -> Function:
    """A kernel that lets other threads of Python run meanwhile."""
    return _kept(nogil=True)(function)


def inner(function: Function) -> Function:
    """The same for a function that only kernels call: without what Python would need to call it, half the work.

    It is kept with each kernel that calls it, and not on its own, which would take twice the room.
    """
    return _kept(no_cpython_wrapper=True, no_cfunc_wrapper=True, cache=False)(function)
