"""The code of an equation where it is taught: functions of the library as they are, without their docstrings."""

from __future__ import annotations

import ast
import inspect
import textwrap
from collections.abc import Callable

from IPython.display import Markdown


def shown(*functions: Callable) -> Markdown:
    """The sources of some functions, one below the other, for display in a notebook.

    Docstrings are left out: the text around the cell says what they say. Comments stay.
    Raises TypeError for what has no source, such as a built-in.
    """
    return Markdown("```python\n" + "\n\n".join(without_docstring(one) for one in functions) + "\n```")


def without_docstring(function: Callable) -> str:
    """Source of a function or class, dedented, without its own docstring."""
    text = textwrap.dedent(inspect.getsource(function)).rstrip()
    (node,) = ast.parse(text).body
    if ast.get_docstring(node) is None or len(node.body) < 2:
        return text
    lines = text.split("\n")
    doc = node.body[0]
    return "\n".join(lines[: doc.lineno - 1] + lines[doc.end_lineno :])
