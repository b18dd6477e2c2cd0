import subprocess
import sys

import nbformat
import papermill
import pytest
from nbformat.v4 import new_code_cell, new_notebook
from papermill.exceptions import PapermillExecutionError

from pnoc_lib import parameters

CELL = """
epochs: int = 3
lr: float = 0.1
strategy: str = "cam"
download: bool = False
scales: list[float] = [0.5, 1.0]
low: int = 320
high: int = 640
limit: int | None = None
"""

CAM_OR_PUZZLE = parameters.one_of("cam", "puzzle")
EACH_POSITIVE = parameters.each(parameters.more_than(0))


def namespace(**changes):
    """What the set-up cell sees after the parameters cell and whatever papermill injected."""
    space = {"In": [""], "Out": {}, "_i": "", "__name__": "__main__"}
    exec(CELL, space)
    return space | changes


def complaint(space, **rules):
    with pytest.raises(parameters.ParameterError) as error:
        parameters.check(space, **rules)
    return str(error.value)


def test_good_parameters_come_back_in_the_order_of_the_cell():
    space = namespace(lr=1)
    settings = parameters.check(space, epochs=parameters.at_least(1), strategy=parameters.one_of("cam", "puzzle"))
    assert list(settings) == ["epochs", "lr", "strategy", "download", "scales", "low", "high", "limit"]
    assert settings["lr"] == 1.0 and isinstance(settings["lr"], float)
    assert settings["scales"] == [0.5, 1.0] and settings["limit"] is None


def test_show_puts_every_parameter_in_a_small_table():
    settings = parameters.check(namespace())
    table = parameters.show(settings, across=3)
    assert table.shape == (3, 3)  # eight parameters
    told = table.to_numpy().T.ravel()
    assert told[2] == "strategy = 'cam'" and told[-2] == "limit = None" and told[-1] == ""
    assert parameters.show({}).empty


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"epochs": 2.5}, "a parameter is wrong: epochs must be int, got 2.5 (float)"),
        ({"epochs": True}, "epochs must be int, got True (bool)"),
        ({"epochs": "3"}, "epochs must be int, got '3', a text"),
        ({"lr": "fast"}, "lr must be float, got 'fast', a text"),
        ({"lr": float("nan")}, "lr must be float, got nan, which is not finite"),
        ({"lr": float("inf")}, "lr must be float, got inf, which is not finite"),
        ({"strategy": 7}, "strategy must be str, got 7, a number: papermill passes text with -r NAME VALUE"),
        ({"download": "true"}, "download must be bool, got 'true', a text: papermill reads -p NAME True"),
        ({"download": 1}, "download must be bool, got 1 (int)"),
        ({"scales": 0.5}, "scales must be list[float], got 0.5 (float)"),
        ({"scales": [0.5, "1"]}, "scales element 1 must be float, got '1', a text"),
        ({"scales": "[0.5, 1]"}, "scales must be list[float], got '[0.5, 1]', a text: papermill reads -y"),
        ({"limit": "all"}, "limit must be int or None, got 'all', a text"),
        ({"epoch": 5}, "unknown parameter 'epoch': did you mean 'epochs'?"),
        ({"zzz": None}, "unknown parameter 'zzz': known are epochs, lr, strategy"),
    ],
)
def test_wrong_types_and_unknown_names_are_told(changes, sentence):
    assert sentence in complaint(namespace(**changes))


@pytest.mark.parametrize(
    ("name", "value", "rule", "sentence"),
    [
        ("epochs", 0, parameters.at_least(1), "epochs must be at least 1, got 0"),
        ("epochs", 99, parameters.at_most(15), "epochs must be at most 15, got 99"),
        ("lr", 0, parameters.more_than(0), "lr must be more than 0, got 0.0"),
        ("lr", 1.5, parameters.between(0, 1), "lr must be between 0 and 1, got 1.5"),
        ("low", 100, parameters.multiple_of(32), "low must be a multiple of 32, got 100"),
        ("high", 319, parameters.at_least("low"), "high must be at least low = 320, got 319"),
        ("strategy", "puzle", CAM_OR_PUZZLE, "must be one of cam, puzzle (did you mean puzzle?), got 'puzle'"),
        ("strategy", "", parameters.non_empty(), "strategy must not be empty, got ''"),
        ("scales", [1.0, -1.0], EACH_POSITIVE, "scales element 1 must be more than 0, got [1.0, -1.0]"),
        ("strategy", "no/such", parameters.path_exists(), "strategy must be an existing file or folder, got 'no/such'"),
        ("epochs", 7, (parameters.at_least(1), parameters.at_most(5)), "epochs must be at most 5, got 7"),
    ],
)  # fmt: skip
def test_values_out_of_range_are_told(name, value, rule, sentence):
    assert sentence in complaint(namespace(**{name: value}), **{name: rule})
    assert parameters.check(
        namespace(), **({name: rule} if name not in ("low", "strategy") else {})
    )  # the default keeps it


def test_all_problems_come_in_one_sentence():
    message = complaint(namespace(epochs=0, lr="x", epoch=1), epochs=parameters.at_least(1))
    assert message.startswith("3 problems with the parameters: ")
    assert all(
        word in message for word in ("lr must be float", "epochs must be at least 1", "unknown parameter 'epoch'")
    )
    assert "\n" not in message


def test_a_bound_of_a_wrong_type_is_told_once():
    message = complaint(namespace(low="x"), high=parameters.at_least("low"))
    assert message.count("low") == 1


def test_none_is_not_measured_where_it_is_allowed():
    assert parameters.check(namespace(), limit=parameters.at_least(1))["limit"] is None
    assert "at least 1" in complaint(namespace(limit=0), limit=parameters.at_least(1))


def test_a_rule_without_a_parameter_is_told():
    assert "rule for 'epoch', which is no parameter" in complaint(namespace(), epoch=parameters.at_least(1))


def test_a_parameter_without_a_value_is_told():
    space = namespace()
    del space["lr"]
    assert "lr has no value" in complaint(space)


def test_variables_of_later_cells_are_no_parameters():
    space = namespace()
    parameters.check(space)
    space |= {"best": 0.4, "ids": ["a"]}  # cells below
    parameters.check(space)  # the set-up cell again


def test_a_corrected_cell_runs_again_in_the_same_kernel():
    space = namespace(epoch=5)
    complaint(space)
    assert parameters.check(space)["epochs"] == 3


def test_types_come_from_the_cells_where_python_keeps_no_annotations():
    space = namespace(epochs="x")
    del space["__annotations__"]
    space["In"] = ["%matplotlib inline", CELL]
    assert "epochs must be int" in complaint(space)


SETUP = """
from pnoc_lib import parameters
settings = parameters.check(globals(), epochs=parameters.at_least(1))
"""


@pytest.fixture
def notebook(tmp_path):
    cells = [
        new_code_cell(CELL, metadata={"tags": ["parameters"]}),
        new_code_cell(SETUP),
        new_code_cell("later = 1"),
        new_code_cell(SETUP + "print(settings['epochs'])"),
    ]
    spec = {"name": "python3", "display_name": "python3", "language": "python"}
    path = tmp_path / "tiny.ipynb"
    nbformat.write(new_notebook(cells=cells, metadata={"kernelspec": spec}), path)
    return path


def test_under_papermill_twice_in_one_kernel(notebook, tmp_path):
    done = papermill.execute_notebook(str(notebook), None, {"epochs": 5, "lr": 1}, progress_bar=False)
    assert done.cells[-1].outputs[0].text == "5\n"


def test_papermill_stops_at_an_unknown_parameter_with_one_sentence(notebook, tmp_path):
    with pytest.raises(PapermillExecutionError) as error:
        papermill.execute_notebook(str(notebook), str(tmp_path / "out.ipynb"), {"epoch": 5}, progress_bar=False)
    assert error.value.ename == "ParameterError"
    assert error.value.evalue == "a parameter is wrong: unknown parameter 'epoch': did you mean 'epochs'?"
    assert error.value.traceback == [f"ParameterError: {error.value.evalue}"]  # no frames of the library


def test_under_nbval(notebook):
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "--nbval-lax", "-q", "-p", "no:cacheprovider", str(notebook)],
        capture_output=True,
        text=True,
    )
    assert "4 passed" in done.stdout, done.stdout
