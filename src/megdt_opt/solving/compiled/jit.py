"""The decorators of the compiled kernels, and how numba is to compile them.

Left alone, numba optimises each function with all that it calls and makes machine code of it, once more in each of its
callers, and one more version for each constant that is handed over. Here a function that only kernels call is linked
into them and optimised there, has one version, and, where it makes no array, does not count who holds one.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar, cast

import numba
import numba.extending
from numba.core.codegen import JITCodeLibrary
from numba.core.compiler import Compiler, DefaultPassBuilder, Flags
from numba.core.targetconfig import ConfigStack
from numba.core.typed_passes import AnnotateTypes, InlineOverloads, NopythonRewrites
from numba.core.untyped_passes import (
    DeadBranchPrune,
    GenericRewrites,
    InlineClosureLikes,
    LiteralPropagationSubPipelinePass,
)

from megdt_opt.solving.compiled.folder import folder

Function = TypeVar("Function", bound=Callable[..., Any])

_UNUSED = (
    AnnotateTypes, DeadBranchPrune, GenericRewrites, InlineClosureLikes, InlineOverloads,
    LiteralPropagationSubPipelinePass,
)  # fmt: skip
"""Passes of numba for what no kernel has: notes on types, branches on constants, exceptions, closures."""

_DEFAULTS = {name: option.default for name, option in Flags.options.items()}


class _Flags(Flags):
    """Numba's settings of a function, which it compares for every operator: the same values, found faster."""

    def values(self) -> dict[str, Any]:
        return _DEFAULTS | self._values


class _Linked(JITCodeLibrary):
    """Code that goes into that of kernels only: it is not optimised by itself, and no machine code is made of it."""

    def _optimize_final_module(self) -> None:
        pass

    def _finalize_final_module(self) -> None:
        self._finalized = True

    def get_pointer_to_function(self, name: str) -> int:
        return 0

    @property
    def codegen(self) -> Any:
        return self

    def set_env(self, name: str, environment: Any) -> None:
        """Only code that Python calls looks its environment up."""


class _Whole(JITCodeLibrary):
    """Code of a kernel: optimised with all that is linked into it, and not by itself before."""

    def _optimize_functions(self, module: Any) -> None:
        module.data_layout = self._codegen._data_layout


class _Compiler(Compiler):
    """Numba's compiler without the passes that no kernel needs."""

    def __init__(self, typing: Any, target: Any, library: Any, arguments: Any, result: Any, flags: Flags, names: Any):
        cast(Any, super().__init__)(typing, target, library, arguments, result, cast(Any, _Flags)(flags), names)

    def define_pipelines(self) -> list[Any]:
        # numba has no types
        state, usual = self.state, cast(Any, DefaultPassBuilder)
        # arrays that an expression makes are what the rewriting is for
        unused = _UNUSED if state.flags.nrt else (*_UNUSED, NopythonRewrites)
        linked = state.flags.no_cpython_wrapper
        state.library = cast(Any, _Linked if linked else _Whole)(state.targetctx.codegen(), state.func_id.func_qualname)
        if not linked:
            state.library.enable_object_caching()
        manager = usual.define_nopython_pipeline(state)
        manager.passes = [entry for entry in manager.passes if entry[0] not in unused]
        manager.finalize()
        return [manager]


def _kept(**options: bool) -> Callable[[Function], Function]:
    def compile_later(function: Function) -> Function:
        # typed by halves: two of the options and the settings are missing there
        compile_with: Any = numba.njit
        config: Any = numba.config
        before = config.CACHE_DIR
        config.CACHE_DIR = str(folder(Path(function.__code__.co_filename).parent))
        try:
            settings = {"cache": True, "error_model": "numpy", "pipeline_class": _Compiler, **options}
            return cast(Function, compile_with(**settings)(function))
        finally:
            config.CACHE_DIR = before

    return compile_later


def _plain(kind: Any) -> Any:
    """The type of a constant without its value, and one type for whole numbers."""
    kind = cast(Any, numba.types).unliteral(kind)
    return numba.types.int64 if kind == numba.types.int32 else kind


def _holds_arrays(kind: Any) -> bool:
    if isinstance(kind, numba.types.BaseTuple):
        return any(_holds_arrays(part) for part in cast(Any, kind))
    return isinstance(kind, numba.types.Array)


def _linked(makes_arrays: bool) -> Callable[[Function], Function]:
    def compile_later(function: Function) -> Function:
        compiled: Any = _kept(no_cpython_wrapper=True, no_cfunc_wrapper=True, cache=False, _nrt=makes_arrays)(function)
        version_for = compiled.get_call_template

        def version_for_any_value(arguments: Any, named: Any) -> Any:
            found = version_for(
                [_plain(kind) for kind in arguments], {key: _plain(kind) for key, kind in named.items()}
            )
            counted = makes_arrays and cast(Any, ConfigStack)().top().nrt
            if not counted and _holds_arrays(compiled.overloads[tuple(found[2])].signature.return_type):
                raise numba.errors.TypingError(f"nobody would free the array that {function.__name__} hands back")
            return found

        compiled.get_call_template = version_for_any_value
        return cast(Function, compiled)

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
    """A function that only kernels call and that makes no arrays; what it hands back are numbers.

    It may call one that makes arrays, but none that hands them back, as nobody would free those. It is kept with each
    kernel that calls it, and not on its own, which would take twice the room.
    """
    return _linked(makes_arrays=False)(function)


def making(function: Function) -> Function:
    """An `inner` function that makes arrays."""
    return _linked(makes_arrays=True)(function)
