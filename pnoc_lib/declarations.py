"""What a cell of parameters declares: type, default, and the range that its comment states. Each is said there alone.

    delta_noc: float = 0.2  # normalised CAM above which hard erasure cuts, in [0, 1]; paper 0.2

A comment is read up to its first semicolon. Ranges are: `in [0, 1]`, `in (0, 1]`, `at least 1`, `at most 16`,
`more than 0`, `a multiple of 32`; at its beginning `cam | puzzle | p-noc`; `not empty`; `that exists`, of a file or
folder. A bound may be the name of another parameter (`at least resize_min`). Elements of lists are measured one by one.
"""

from __future__ import annotations

import ast
import difflib
import io
import re
import tokenize
import typing
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

Rule = Callable[[Any, Mapping[str, Any]], "str | None"]  # (value, all values) -> what is wrong, or None

_NUMBER = r"-?\d+(?:\.\d+)?(?:e-?\d+)?"
_BOUND = rf"({_NUMBER}|[a-z]\w*)"
_INTERVAL = re.compile(rf"\bin ([\[(])({_NUMBER}), ?({_NUMBER})([\])])")
_CHOICES = re.compile(r"([\w.+-]+(?: \| [\w.+-]+)+)(?=[,:]|$)")


@dataclass(frozen=True)
class Parameter:
    """One declared parameter.

    kind: the type of its annotation. default: the literal. comment: all that its cell says of it.
    """

    name: str
    kind: Any
    default: Any
    comment: str = ""

    def rules(self) -> Iterator[Rule]:
        """The ranges that the comment states, each as a rule; the default is always among the choices."""
        text = self.comment.partition(";")[0]
        each_ = each if typing.get_origin(self.kind) is list else lambda rule: rule
        for low_end, low, high, high_end in _INTERVAL.findall(text):
            if (low_end, high_end) == ("[", "]"):
                yield each_(between(number(low), number(high)))
                continue
            yield each_(at_least(number(low)) if low_end == "[" else more_than(number(low)))
            yield each_(at_most(number(high)) if high_end == "]" else less_than(number(high)))
        for words, rule in _COMPARED.items():
            for bound in re.findall(rf"\b{words} {_BOUND}", text):
                yield each_(rule(number(bound)))
        if choices := _CHOICES.match(text):
            yield each_(one_of(*choices[1].split(" | "), *([self.default] if isinstance(self.default, str) else [])))
        if "not empty" in text:
            yield non_empty()
        if "that exists" in text:
            yield each_(path_exists())


def declared(source: str) -> dict[str, Parameter]:
    """Parameters by name, from the text of the cell that declares them; nothing for a text that is no Python."""
    try:
        tree = ast.parse(source)
        tokens = [token for token in tokenize.generate_tokens(io.StringIO(source).readline)]
    except (SyntaxError, tokenize.TokenError):  # a cell with magics
        return {}
    comments = {token.start[0]: token.string.lstrip("# ") for token in tokens if token.type == tokenize.COMMENT}
    found = {}
    for node in tree.body:
        if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name) and node.value is not None:
            name, kind = node.target.id, eval(ast.unparse(node.annotation), {"Optional": typing.Optional})
            try:
                default = ast.literal_eval(node.value)
            except ValueError:
                default = None
            lines = range(node.lineno, node.end_lineno + 1)
            comment = " ".join(comments[line] for line in lines if line in comments)
            found[name] = Parameter(name, kind, default, comment)
    return found


def number(text: str) -> float | str:
    """A bound: a number, or else the name of another parameter."""
    try:
        return int(text)
    except ValueError:
        pass
    try:
        return float(text)
    except ValueError:
        return text


def at_least(low: float | str) -> Rule:
    """At least `low`, a number or the name of another parameter."""
    return _compare("at least", low, lambda value, bound: value >= bound)


def at_most(high: float | str) -> Rule:
    """At most `high`, a number or the name of another parameter."""
    return _compare("at most", high, lambda value, bound: value <= bound)


def more_than(low: float | str) -> Rule:
    """More than `low`, a number or the name of another parameter."""
    return _compare("more than", low, lambda value, bound: value > bound)


def less_than(high: float | str) -> Rule:
    """Less than `high`, a number or the name of another parameter."""
    return _compare("less than", high, lambda value, bound: value < bound)


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
        named = ", ".join(str(choice) or '""' for choice in dict.fromkeys(choices))
        return f"must be one of {named}" + (f" (did you mean {close[0]}?)" if close else "")

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


_COMPARED = {"at least": at_least, "at most": at_most, "more than": more_than, "a multiple of": multiple_of}
