"""Names of mechanisms, precisions, stages and models, and the plugins that add names.

Files and messages carry names alone. A name is looked up among what this process has registered, and a module is
imported only because whoever started the process said so: by `load_plugin`, by `--plugin`, or by installing a package
with an entry point. Nothing that a file or a message names is imported.
"""

from __future__ import annotations

import importlib
import importlib.util
import re
import sys
import traceback
from collections.abc import Iterable
from importlib import metadata
from pathlib import Path
from typing import Any, Generic, TypeVar

from megdt_opt.errors import InvalidInput

Entry = TypeVar("Entry")

MECHANISM_PLUGINS = "megdt_opt.mechanisms"
"""Group of the entry points whose modules register mechanisms, precisions and stages."""

NAME = re.compile(r"[A-Za-z][A-Za-z0-9_.+-]{0,39}")
"""What a registered name looks like."""

LOAD_IT = "load the plugin that registers it: --plugin MODULE, or megdt_opt.load_plugin"
"""What to do about a name that is not known, for messages."""

_NAME_IT = "Name a module on Python's path, or its file."

_plugins: dict[str, None] = {}
_registries: list[Registry[Any]] = []
_groups: set[str] = set()


class Registry(Generic[Entry]):
    """What the package and its users have registered of one kind, by name.

    Parameters
    ----------
    what : str
        What is registered, for messages: "mechanism".
    group : str
        Entry points that may register more; their modules are imported when a name is first asked for that is not
        known.
    """

    def __init__(self, what: str, group: str) -> None:
        self._what = what
        self._group = group
        self._built_in: dict[str, Entry] = {}
        self._own: dict[str, Entry] = {}
        _registries.append(self)

    @property
    def built_in(self) -> tuple[str, ...]:
        """Names of the package's own entries, in the order in which they were registered."""
        return tuple(self._built_in)

    @property
    def own(self) -> tuple[str, ...]:
        """Names that users have registered, in their order."""
        return tuple(self._own)

    @property
    def names(self) -> tuple[str, ...]:
        """All names, the package's first."""
        return (*self._built_in, *self._own)

    def add(self, name: str, entry: Entry, *, built_in: bool = False, replace: bool = False) -> None:
        """Register an entry.

        Parameters
        ----------
        name : str
        entry : object
        built_in : bool
            Whether it is the package's own.
        replace : bool
            Whether it may take the place of a user's entry of the same name.

        Raises
        ------
        InvalidInput
            Where the name is taken (small and capital letters count as the same), or is none.
        """
        if not isinstance(name, str) or not NAME.fullmatch(name):
            expected = "a letter, then letters, digits and _ . + -, at most 40 in all"
            raise InvalidInput(f"name of the {self._what}", name, expected, "Choose a plainer name.")
        for taken in (*self._built_in, *(own for own in self._own if not (replace and own == name))):
            if taken.casefold() == name.casefold():
                expected = f"a name other than {taken!r}, which is registered"
                raise InvalidInput(f"name of the {self._what}", name, expected, "Choose another name.")
        (self._built_in if built_in else self._own)[name] = entry

    def find(self, name: str) -> Entry | None:
        """The entry of this name; None where there is none, in installed plugins either."""
        if name not in self._built_in and name not in self._own:
            _load_installed(self._group)
        return self._built_in.get(name, self._own.get(name))

    def require(self, name: str, field: str | None = None) -> Entry:
        """The entry of this name.

        Raises
        ------
        InvalidInput
            Where there is none; names those that are known, and how to make others known.
        """
        found = self.find(name)
        if found is None:
            raise InvalidInput(
                self._what if field is None else field,
                name,
                f"one of {list(self.names)}",
                f"Choose one of them, or {LOAD_IT}.",
            )
        return found


def load_plugin(plugin: str) -> None:
    """Import a module that registers mechanisms, precisions, stages or models.

    Processes that this one starts, of an execution or of a sweep, load it as well. On the command line it is
    `--plugin MODULE`. Modules of the entry points "megdt_opt.mechanisms" and "megdt_opt.models" of installed packages
    need not be loaded.

    Parameters
    ----------
    plugin : str
        Name of a module that Python finds, or the path of its file, which ends in ".py".

    Returns
    -------
    None

    Raises
    ------
    InvalidInput
        Where there is no such module, importing it fails, or it registers nothing.

    Examples
    --------
    >>> from pathlib import Path
    >>> from megdt_opt import load_plugin
    >>> _ = Path("my_precision.py").write_text('''
    ... from megdt_opt import register_precision
    ... register_precision(
    ...     "rounded",
    ...     encode=lambda values: {"": values.round(1)},
    ...     decode=lambda parts, shape: parts[""],
    ...     quality="rounded to one decimal",
    ... )
    ... ''')
    >>> load_plugin("my_precision.py")
    """
    if not isinstance(plugin, str):
        expected = "the name of a module, or the path of its file, as text"
        raise InvalidInput("plugin", plugin, expected, "Give text, as in `load_plugin('mine.py')`.")
    is_file, known, before = plugin.endswith(".py"), plugin, _count()
    module = Path(plugin).stem if is_file else plugin
    imported = module in sys.modules
    if not is_file and not all(plugin.split(".")):
        expected = "the name of a module, or the path of a file that ends in .py"
        raise InvalidInput("plugin", plugin, expected, _NAME_IT)
    try:
        known = str(Path(plugin).resolve()) if is_file else plugin
        _import_file(Path(known)) if is_file else importlib.import_module(known)
    except InvalidInput as error:
        raise error.within(f"plugin {plugin}") from None
    except Exception as error:
        why = f"{type(error).__name__}: {error}"
        expected = f"a module that can be imported ({why})"
        raise InvalidInput("plugin", plugin, expected, _where_it_fails(known, is_file, error)) from error
    if not imported and _count() == before:
        del sys.modules[module]
        expected = "a module that registers a mechanism, a precision, a stage or a model when it is imported"
        remedy = "Call a `register_...` function at its top level, or leave the plugin out."
        raise InvalidInput("plugin", plugin, expected, remedy)
    _plugins[known] = None


def _count() -> int:
    """How many names users have registered in this process, of all kinds."""
    return sum(len(registry.own) for registry in _registries)


def _where_it_fails(known: str, is_file: bool, error: Exception) -> str:
    """What to do about a plugin whose import fails: the line of its file, where it came so far."""
    file = known
    if not is_file:
        try:
            spec = importlib.util.find_spec(known)
        except (ImportError, ValueError):
            spec = None
        file = "" if spec is None or spec.origin is None else spec.origin
    at = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == file]
    if isinstance(error, SyntaxError) and error.filename == file:
        at = [error.lineno]
    return f"The file fails in line {at[-1]}: correct it there." if at else _NAME_IT


def load_plugins(plugins: Iterable[str]) -> None:
    """`load_plugin` of each."""
    for plugin in plugins:
        load_plugin(plugin)


def loaded_plugins() -> tuple[str, ...]:
    """What `load_plugin` has loaded in this process, in order: what processes that it starts are to load."""
    return tuple(_plugins)


def _import_file(path: Path) -> None:
    """Import a module from its file, once, under the name of the file."""
    there = sys.modules.get(path.stem)
    if there is not None:
        if Path(str(getattr(there, "__file__", ""))).resolve() == path:
            return
        expected = f"a file named otherwise than the module {path.stem!r}, which is loaded"
        raise InvalidInput("", path.name, expected, "Rename the file.")
    spec = importlib.util.spec_from_file_location(path.stem, path)
    if spec is None or spec.loader is None or not path.is_file():
        raise InvalidInput("", path.name, "a Python file", "Correct the path.")
    module = importlib.util.module_from_spec(spec)
    sys.modules[path.stem] = module
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[path.stem]
        raise


def _load_installed(group: str) -> None:
    """Import the modules of a group of entry points, once in a process."""
    if group in _groups:
        return
    _groups.add(group)
    for point in metadata.entry_points(group=group):
        try:
            point.load()
        except Exception as error:
            source = f"{group}, entry point {point.name} of {point.dist.name if point.dist else 'a package'}"
            expected = f"a module that can be imported and registered ({type(error).__name__}: {error})"
            raise InvalidInput(source, point.value, expected, "Repair or uninstall that package.") from error
