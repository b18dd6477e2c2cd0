"""Check a notebook's parameters before anything runs: names, types and ranges, all problems in one sentence.

papermill injects whatever it is given and only warns about a name it does not know. A set-up cell calls

    settings = parameters.check(globals())

and stops there if something is wrong. The annotated literals of the cell tagged `parameters`, with the ranges in their
comments, are the declaration (see `declarations`); whoever starts notebooks checks the same with `problems`.
"""

from __future__ import annotations

import difflib
import math
import types
import typing
from collections.abc import Iterable, Iterator, Mapping, MutableMapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from pnoc_lib.declarations import (
    Parameter,
    Rule,
    at_least,
    at_most,
    between,
    declared,
    each,
    more_than,
    multiple_of,
    non_empty,
    one_of,
    path_exists,
)

if TYPE_CHECKING:
    import pandas as pd

__all__ = [
    "Parameter",
    "ParameterError",
    "at_least",
    "at_most",
    "between",
    "check",
    "declared",
    "each",
    "more_than",
    "multiple_of",
    "non_empty",
    "one_of",
    "path_exists",
    "problems",
    "refused",
    "show",
]

_LITERALS = (bool, int, float, str, list, dict, tuple, type(None))
_LARGEST = 2**63 - 1  # random generators and tensors hold no larger number
_IPYTHON = {"In", "Out", "exit", "quit", "open", "get_ipython"}
_CHECKED = "_pnoc_parameters_checked"  # left in the namespace by the first check that succeeds


class ParameterError(ValueError):
    """One or more parameters of a notebook are wrong; the message names each and says what to do."""

    def _render_traceback_(self) -> list[str]:
        """What IPython shows in place of a traceback: the sentence alone."""
        return [f"ParameterError: {self}"]


def check(namespace: MutableMapping[str, Any], /, **rules: Rule | Iterable[Rule]) -> dict[str, Any]:
    """Check the parameters of a notebook and return them, in the order of the `parameters` cell.

    namespace: the notebook's `globals()`. Its annotated names are the parameters; the annotations are their types
    (bool, int, float, str, list, dict, `list[float]`, `int | None`, ...), the comments state their ranges. An int will
    do for a float.
    rules: a rule, or several, for parameters whose range a comment cannot state; they take its place.
    Raises ParameterError, with every problem in one sentence, for: a value of another type, a float that is not
    finite, a value that breaks its rule, a parameter without a value, an unknown name.

    An unknown name is one that is neither annotated nor private and holds a literal: what papermill injects for a
    misspelt `-p`. It is looked for until a check succeeds: in a live session the cells below may have made any
    number of variables by the time the set-up cell runs again. A name that was complained about is removed, so that
    a corrected cell can be run again without a restart of the kernel.
    """
    known = _declarations(namespace)
    problems_ = [
        f"rule for {name!r}, which is no parameter: annotate it in the parameters cell"
        for name in rules
        if name not in known
    ]
    absent = [name for name in known if name not in namespace]
    problems_ += [f"{name} has no value: give it one in the parameters cell" for name in absent]
    values = {name: namespace[name] for name in known if name in namespace}
    problems_ += problems(known, values, **rules)
    if not namespace.get(_CHECKED):
        for name in _unknown(namespace, known):
            close = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
            hint = f"did you mean {close[0]!r}?" if close else f"known are {', '.join(known)}"
            problems_.append(f"unknown parameter {name!r}: {hint}")
            del namespace[name]
    if problems_:
        count = "a parameter is wrong" if len(problems_) == 1 else f"{len(problems_)} problems with the parameters"
        raise ParameterError(f"{count}: {'; '.join(problems_)}")
    namespace[_CHECKED] = True
    return {name: _converted(value, known[name].kind) for name, value in values.items()}


def problems(known: Mapping[str, Parameter], values: Mapping[str, Any], /, **rules: Rule | Iterable[Rule]) -> list[str]:
    """What is wrong with values of declared parameters: their types, then their ranges; empty when nothing is.

    known: as from `declared`. values: of some or all of them; the others have their defaults. rules: see `check`.
    """
    found = []
    right = {name: one.default for name, one in known.items() if name not in values}
    for name, value in values.items():
        if problem := _type_problem(value, known[name].kind):
            found.append(f"{name} {problem}")
        else:
            right[name] = _converted(value, known[name].kind)
    for name in values:
        if right.get(name) is None:
            continue  # of a wrong type, which was said, or None, which its type allows
        some = rules.get(name) or tuple(known[name].rules())
        for rule in [some] if callable(some) else some:
            if problem := rule(right[name], right):
                found.append(f"{name} {problem}, got {right[name]!r}")
    return found


@contextmanager
def refused() -> Iterator[None]:
    """Within it a ValueError, of settings that do not fit each other, is a ParameterError: a sentence, no traceback."""
    try:
        yield
    except ParameterError:
        raise
    except ValueError as error:
        raise ParameterError(f"a parameter is wrong: {error}") from None


def show(settings: Mapping[str, Any], *, across: int = 3) -> pd.DataFrame:
    """The checked parameters as a small table to echo: `name = value` as Python writes it, down `across` columns."""
    import pandas as pd  # here, so that whoever starts notebooks need not wait for it

    cells = [f"{name} = {value!r}" for name, value in settings.items()]
    rows = -(-len(cells) // across)
    columns = {" " * k: pd.Series(cells[k * rows : (k + 1) * rows]) for k in range(across)}
    return pd.DataFrame(columns).fillna("").set_axis([""] * rows, axis=0)


def _declarations(namespace: Mapping[str, Any]) -> dict[str, Parameter]:
    """Parameters by name, from the cells that ran; what they do not tell, from `__annotations__`."""
    found: dict[str, Parameter] = {}
    for cell in namespace.get("In") or []:
        found |= declared(cell)
    for name, note in dict(namespace.get("__annotations__") or {}).items():
        kind = eval(note, {"Optional": typing.Optional}) if isinstance(note, str) else note
        found.setdefault(name, Parameter(name, kind, None))
    return {name: one for name, one in found.items() if not name.startswith("_")}


def _unknown(namespace: Mapping[str, Any], known: Iterable[str]) -> list[str]:
    names = set(namespace) - set(known) - _IPYTHON
    return sorted(name for name in names if not name.startswith("_") and isinstance(namespace[name], _LITERALS))


def _alternatives(expected: Any) -> tuple[Any, ...]:
    union = typing.get_origin(expected) in (typing.Union, types.UnionType)
    return typing.get_args(expected) if union else (expected,)


def _fits(value: Any, expected: Any) -> bool:
    if expected in (None, type(None)):
        return value is None
    if expected is Any:
        return True
    if isinstance(value, bool) or expected is bool:
        return isinstance(value, bool) and expected is bool
    if expected is float:
        return isinstance(value, (int, float)) and math.isfinite(value)
    return isinstance(value, typing.get_origin(expected) or expected)


def _type_problem(value: Any, expected: Any) -> str | None:
    """What is wrong with the type of `value`, as the end of a sentence; None when nothing is."""
    alternatives = _alternatives(expected)
    fitting = [kind for kind in alternatives if _fits(value, kind)]
    if not fitting:
        names = " or ".join(_name(kind) for kind in alternatives)
        return f"must be {names}, got {value!r}{_hint(value, alternatives)}"
    if isinstance(value, int) and abs(value) > _LARGEST:
        return f"must fit into 64 bits, got {value!r}"
    element = _element(fitting[0])
    if element is not None:
        for i, item in enumerate(value):
            if problem := _type_problem(item, element):
                return f"element {i} {problem}"
    return None


def _hint(value: Any, alternatives: tuple[Any, ...]) -> str:
    if isinstance(value, str):
        if bool in alternatives and value.lower() in ("true", "false"):
            return f", a text: papermill reads -p NAME {value.capitalize()} or -y 'NAME: {value.lower()}' as a bool"
        if value.lstrip().startswith("[") and any((typing.get_origin(kind) or kind) is list for kind in alternatives):
            return f", a text: papermill reads -y 'NAME: {value}' as a list"
        return ", a text"
    if isinstance(value, float) and not math.isfinite(value):
        return ", which is not finite"
    if str in alternatives and isinstance(value, (bool, int, float)):
        return ", a number: papermill passes text with -r NAME VALUE"
    return f" ({type(value).__name__})"


def _name(kind: Any) -> str:
    if kind in (None, type(None)):
        return "None"
    return str(kind) if typing.get_origin(kind) else kind.__name__


def _element(kind: Any) -> Any:
    """The type of the elements of `list[T]`; None where there is none to check."""
    return typing.get_args(kind)[0] if typing.get_origin(kind) is list else None


def _converted(value: Any, expected: Any) -> Any:
    """`value`, with the ints among declared floats made floats."""
    kind = next(kind for kind in _alternatives(expected) if _fits(value, kind))
    if kind is float:
        return float(value)
    return value if _element(kind) is None else [_converted(item, _element(kind)) for item in value]
