"""Check a notebook's parameters before anything runs: names, types and ranges, all problems in one sentence.

papermill injects whatever it is given and only warns about a name it does not know. A set-up cell calls

    settings = parameters.check(globals(), epochs=parameters.at_least(1), strategy=parameters.one_of("cam"))

and stops there if something is wrong. The annotated literals of the cell tagged `parameters` are the declaration.
"""

from __future__ import annotations

import ast
import difflib
import math
import types
import typing
from collections.abc import Callable, Iterable, Mapping, MutableMapping
from pathlib import Path
from typing import Any

import pandas as pd

Rule = Callable[[Any, Mapping[str, Any]], "str | None"]  # (value, all values) -> what is wrong, or None

_LITERALS = (bool, int, float, str, list, dict, tuple, type(None))
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
    (bool, int, float, str, list, dict, `list[float]`, `int | None`, ...). An int will do for a float.
    rules: for some parameters a rule, or several, of this module.
    Raises ParameterError, with every problem in one sentence, for: a value of another type, a float that is not
    finite, a value that breaks its rule, a parameter without a value, an unknown name.

    An unknown name is one that is neither annotated nor private and holds a literal: what papermill injects for a
    misspelt `-p`. It is looked for until a check succeeds: in a live session the cells below may have made any
    number of variables by the time the set-up cell runs again. A name that was complained about is removed, so that
    a corrected cell can be run again without a restart of the kernel.
    """
    types_ = _annotations(namespace)
    problems = [
        f"rule for {name!r}, which is no parameter: annotate it in the parameters cell"
        for name in rules
        if name not in types_
    ]
    values: dict[str, Any] = {}
    for name, expected in types_.items():
        if name not in namespace:
            problems.append(f"{name} has no value: give it one in the parameters cell")
            continue
        value = namespace[name]
        if problem := _type_problem(value, expected):
            problems.append(f"{name} {problem}")
        else:
            values[name] = _converted(value, expected)
    for name, some in rules.items():
        if values.get(name) is None:
            continue  # of a wrong type, which was said, or None, which its type allows
        for rule in [some] if callable(some) else some:
            if problem := rule(values[name], values):
                problems.append(f"{name} {problem}, got {values[name]!r}")
    if not namespace.get(_CHECKED):
        for name in _unknown(namespace, types_):
            close = difflib.get_close_matches(name, types_, n=1, cutoff=0.5)
            hint = f"did you mean {close[0]!r}?" if close else f"known are {', '.join(types_)}"
            problems.append(f"unknown parameter {name!r}: {hint}")
            del namespace[name]
    if problems:
        count = "a parameter is wrong" if len(problems) == 1 else f"{len(problems)} problems with the parameters"
        raise ParameterError(f"{count}: {'; '.join(problems)}")
    namespace[_CHECKED] = True
    return values


def show(settings: Mapping[str, Any], *, across: int = 3) -> pd.DataFrame:
    """The checked parameters as a small table to echo: `name = value` as Python writes it, down `across` columns."""
    cells = [f"{name} = {value!r}" for name, value in settings.items()]
    rows = -(-len(cells) // across)
    columns = {" " * k: pd.Series(cells[k * rows : (k + 1) * rows]) for k in range(across)}
    return pd.DataFrame(columns).fillna("").set_axis([""] * rows, axis=0)


def at_least(low: float | str) -> Rule:
    """At least `low`, a number or the name of another parameter."""
    return _compare("at least", low, lambda value, bound: value >= bound)


def at_most(high: float | str) -> Rule:
    """At most `high`, a number or the name of another parameter."""
    return _compare("at most", high, lambda value, bound: value <= bound)


def more_than(low: float | str) -> Rule:
    """More than `low`, a number or the name of another parameter."""
    return _compare("more than", low, lambda value, bound: value > bound)


def multiple_of(step: int | str) -> Rule:
    """A multiple of `step`, a number or the name of another parameter."""
    return _compare("a multiple of", step, lambda value, bound: value % bound == 0)


def between(low: float, high: float) -> Rule:
    """In [low, high], both ends included."""
    return lambda value, _: None if low <= value <= high else f"must be between {low} and {high}"


def one_of(*choices: Any) -> Rule:
    """One of `choices`; the nearest one is suggested for a misspelt text."""

    def rule(value: Any, _: Mapping[str, Any]) -> str | None:
        if value in choices:
            return None
        close = difflib.get_close_matches(str(value), [str(choice) for choice in choices], n=1)
        return f"must be one of {', '.join(map(str, choices))}" + (f" (did you mean {close[0]}?)" if close else "")

    return rule


def non_empty() -> Rule:
    """A text or list that is not empty."""
    return lambda value, _: None if len(value) else "must not be empty"


def path_exists() -> Rule:
    """A file or folder that exists; the empty text stands for none and is fine."""
    return lambda value, _: None if not value or Path(value).exists() else "must be an existing file or folder"


def each(rule: Rule) -> Rule:
    """Every element of a list keeps `rule`; the first that does not is told by its position, from 0."""

    def check_each(value: Any, values: Mapping[str, Any]) -> str | None:
        problems = ((i, rule(element, values)) for i, element in enumerate(value))
        return next((f"element {i} {problem}" for i, problem in problems if problem), None)

    return check_each


def _compare(words: str, bound: float | str, holds: Callable[[Any, Any], bool]) -> Rule:
    def rule(value: Any, values: Mapping[str, Any]) -> str | None:
        if not isinstance(bound, str):
            return None if holds(value, bound) else f"must be {words} {bound}"
        if bound not in values or holds(value, values[bound]):  # a bound of a wrong type was complained about itself
            return None
        return f"must be {words} {bound} = {values[bound]!r}"

    return rule


def _annotations(namespace: Mapping[str, Any]) -> dict[str, Any]:
    """Types by parameter name, from `__annotations__` or, where Python keeps none (3.14), from the cells that ran."""
    notes = dict(namespace.get("__annotations__") or {})
    if not notes:
        for cell in namespace.get("In") or []:
            try:
                statements = ast.parse(cell).body
            except SyntaxError:  # a cell with magics
                continue
            for node in statements:
                if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
                    notes[node.target.id] = ast.unparse(node.annotation)
    return {
        name: eval(note, {"Optional": typing.Optional}) if isinstance(note, str) else note
        for name, note in notes.items()
        if not name.startswith("_")
    }


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
