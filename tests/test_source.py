"""Code is shown as it runs, without the docstring that says it in words."""

import pytest

from pnoc_lib import source
from pnoc_lib.evaluation import diagrams
from pnoc_lib.priors import puzzle


def plain(x):
    # a comment stays
    return x + 1


class Counted:
    def double(self, x):
        """Twice
        x.
        """
        return 2 * x


def only_words():
    """Nothing else."""


def test_a_function_without_its_docstring():
    assert source.without_docstring(plain) == "def plain(x):\n    # a comment stays\n    return x + 1"
    assert source.without_docstring(Counted.double) == "def double(self, x):\n    return 2 * x"
    assert source.without_docstring(only_words) == 'def only_words():\n    """Nothing else."""'  # else it were no code
    with pytest.raises(TypeError):
        source.shown(len)


def test_what_is_shown_runs():
    text = source.shown(puzzle.tile, puzzle.merge).data
    assert text.startswith("```python\ndef tile(") and "\n\ndef merge(" in text and '"""' not in text
    compile(text.removeprefix("```python\n").removesuffix("\n```"), "shown", "exec")


@pytest.mark.parametrize(
    ("on", "eraser", "unused"), [(False, None, 3), (True, "oc", 1), (True, "noc", 0), (False, "noc", 1)]
)
def test_figure_3_pales_what_a_strategy_does_not_use(on, eraser, unused):
    axis = diagrams.strategy(puzzle=on, eraser=eraser).axes[0]
    words = [text.get_text() for text in axis.texts]
    assert words.count("not used") == unused
    assert (f"{eraser} (fixed)" in words) == (eraser is not None)
