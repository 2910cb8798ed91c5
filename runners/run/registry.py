"""Finding a method: one of the registry, or a class in a file outside this repository."""

import fnmatch
import importlib.util
import inspect
import sys
import traceback
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError

from eval.core import files
from eval.core.errors import UserError
from methods import METHODS, SELF_CONTAINED, Method
from methods.checked import HookError, checked
from methods.controls import CONTROLS
from runners.run import config
from runners.run.config import Settings


def build_method(name: str, params: dict[str, Any]) -> Method:
    """A method of the registry (its variant is in the parameters), or `path/to/file.py:Class`, parameters checked."""
    if ".py:" in name:
        kind = load_method_file(name)
    elif name.partition("@")[0] in METHODS | CONTROLS:
        kind = (METHODS | CONTROLS)[name.partition("@")[0]]
    else:
        raise UserError(f"unknown method {name!r}: choose one of {', '.join(METHODS)}, or path/to/file.py:Class")
    try:
        method: Method = TypeAdapter(kind).validate_python(params)
        checked(method)
        return method
    except HookError as error:
        raise UserError(str(error)) from error
    except ValidationError as error:
        raise UserError(config.explain(error, f"params of {name}", [field.name for field in fields(kind)])) from None


def expand(names: str) -> list[str]:
    """Comma-separated methods; `all` is every one that needs no other model, and `opsd@*` every fitting variant."""
    if names == "all":
        return list(SELF_CONTAINED)
    known = [f"{name}@{variant}" for name in METHODS for variant in config.variants(name)]
    found = []
    for name in names.split(","):
        fitting = fnmatch.filter(known, name) if "*" in name else [name]
        if not fitting:
            raise UserError(f"no variant fits {name!r}: choose from {', '.join(known)}")
        found += fitting
    return found


def label(settings: Settings, method: Method) -> str:
    """What tables and figures call a run's method."""
    variant = settings.method.partition("@")[2]
    return f"{method.label} ({variant})" if variant else method.label


def code_hash(kind: type[Method]) -> str:
    """Of the files that a method and those it is derived from are written in."""
    written_in = {inspect.getsourcefile(c) for c in kind.__mro__ if issubclass(c, Method) and c is not Method}
    return files.content_hash(sorted(Path(file) for file in written_in if file))


def complete(settings: Settings) -> tuple[Settings, Method]:
    """The method, and the settings with every parameter of it written out, defaults included."""
    method = build_method(settings.method, settings.params)
    return settings.model_copy(update={"params": asdict(method)}), method


def load_method_file(reference: str) -> type[Method]:
    """Import the class. Raises UserError where the file, the class or the contract is missing."""
    file, _, name = reference.rpartition(":")
    path = Path(file)
    if not path.is_file():
        raise UserError(f"no file {file!r}: write --method path/to/file.py:Class")
    spec = importlib.util.spec_from_file_location(f"outside_{path.stem}", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look their annotations up there
    try:
        spec.loader.exec_module(module)
    except (Exception, SystemExit) as error:
        lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == str(path)]
        line = error.lineno if isinstance(error, SyntaxError) else lines[-1] if lines else 1
        first = next(iter(str(error).splitlines()), "")
        raise UserError(f"{file}:{line}: {type(error).__name__}: {first[:200]}") from error
    kind = vars(module).get(name)
    if not (isinstance(kind, type) and issubclass(kind, Method)):
        raise UserError(f"{file} has no class {name!r} that is a methods.Method")
    if not getattr(vars(kind).get("__dataclass_params__"), "frozen", False):
        raise UserError(f"{file}: class {name} lacks its decorator: write @dataclass(frozen=True) above it")
    for attribute in ("name", "label"):
        if not isinstance(found := getattr(kind, attribute, None), str) or not found.strip() or not found.isprintable():
            raise UserError(f'{file}: class {name} has no {attribute}: write {attribute} = "..." in it')
    return kind
