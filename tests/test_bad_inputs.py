"""The list of bad inputs: how many end in one sentence, and that none loses anything."""

import bad_inputs
import pytest


@pytest.fixture(scope="module")
def table():
    return bad_inputs.measure(bad_inputs.outcome)


def test_bad_inputs_get_a_sentence_and_good_ones_go_on(table):
    assert len(table) > 150
    bad = table[~table["kind"].isin(["sentence", "went on"])]
    assert bad.empty, bad.to_string()


@pytest.mark.parametrize(
    ("expected", "case", "kind"),
    [
        (bad_inputs.REFUSE, lambda root: None, "silently wrong"),
        (bad_inputs.GO_ON, lambda root: None, "went on"),
        (bad_inputs.GO_ON, lambda root: bad_inputs.right(False), "silently wrong"),
        (bad_inputs.REFUSE, lambda root: int("x"), "traceback"),
        (bad_inputs.REFUSE, lambda root: [][0], "traceback"),
        (bad_inputs.REFUSE, lambda root: bad_inputs.files.read_tensors(root / "no"), "sentence"),
        (bad_inputs.GO_ON, lambda root: bad_inputs.files.read_tensors(root / "no"), "silently wrong"),
        (bad_inputs.REFUSE, lambda root: bad_inputs.keeps((root / "a").unlink, root / "a"), "lost"),
    ],
)
def test_the_count_tells_the_kinds_apart(tmp_path, expected, case, kind):
    assert bad_inputs.outcome(expected, case, tmp_path)[0] == kind
