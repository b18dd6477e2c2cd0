"""The dense CRF: its energies by hand, its settings as in the code published with the paper, its pool of processes."""

import os
import subprocess
import sys

import numpy as np
import psutil
import pytest
from pydensecrf.densecrf import DenseCRF2D

from pnoc_lib.engine import crf, processes


def scene(seed: int = 0, size: tuple[int, int] = (30, 41)) -> tuple[np.ndarray, np.ndarray]:
    """Two flat regions with a little noise, and labels whose border lies four pixels off."""
    generator = np.random.default_rng(seed)
    truth = np.zeros(size, np.int64)
    truth[:, size[1] // 2 :] = 1
    image = np.where(truth[..., None] == 1, 200, 40) + generator.integers(-3, 4, (*size, 3))
    return image.astype(np.uint8), np.roll(truth, 4, axis=1) * (np.arange(size[1]) > 3)


def load(seed: int) -> tuple:
    return (*scene(seed), 2, crf.AFFINITY_LABELS)


def fail(number: int) -> int:
    if number == 3:
        raise ValueError("number 3 fails")
    return number


def test_energies_of_labels_by_hand():
    energy = crf.unary_from_labels(np.array([[0, 2]]), 3, 0.7)
    np.testing.assert_allclose(energy[:, 0, 0], -np.log([0.7, 0.15, 0.15]), rtol=1e-6)
    np.testing.assert_allclose(energy[:, 0, 1], -np.log([0.15, 0.15, 0.7]), rtol=1e-6)


def test_energies_of_probabilities_are_clipped():
    energy = crf.unary_from_probabilities(np.array([1.0, 0.0, 0.25]).reshape(3, 1, 1))
    np.testing.assert_allclose(energy.ravel(), -np.log([1, 1e-5, 0.25]), rtol=1e-6)


def test_settings_are_those_of_the_published_code():
    assert crf.AFFINITY_LABELS == crf.PRIORS == crf.SALIENCY == crf.Settings(10, 0.7, (3, 3), (50, 5, 10))
    assert crf.Settings(1, 0.9, (3, 3), (50, 5, 10)) == crf.PSEUDO_MASKS
    assert crf.Settings(10, None, (3, 3), (80, 13, 10)) == crf.ALPHA_LABELS
    assert crf.Settings(10, None, (1, 3), (67, 3, 4)) == crf.SEGMENTATION
    assert (
        str(crf.PSEUDO_MASKS) == "dense CRF: labels at 0.9, 1 iteration, Gaussian 3 px x3, bilateral 50 px 5 grey x10"
    )


def test_labels_move_to_the_edge_of_the_image():
    image, labels = scene()
    truth = (image[..., 0] > 120).astype(np.uint8)
    refined = crf.refine_labels(image, labels, 2, crf.AFFINITY_LABELS)
    assert refined.dtype == np.uint8 and (labels != truth).mean() > 0.09 and (refined == truth).all()


def test_probabilities_move_to_the_edge_of_the_image_too():
    image, labels = scene()
    probabilities = np.where(np.arange(3)[:, None, None] == 2 * labels, 0.7, 0.15)
    refined = crf.refine_probabilities(image, probabilities, crf.ALPHA_LABELS)
    assert (refined == 2 * (image[..., 0] > 120)).all()


def test_an_absent_class_changes_nothing():
    image, labels = scene()
    two = np.where(np.arange(2)[:, None, None] == labels, 0.8, 0.2)
    three = np.concatenate([two[:1], np.zeros_like(two[:1]), two[1:]])
    kept = crf.refine_probabilities(image, three, crf.SEGMENTATION)
    np.testing.assert_array_equal(kept, 2 * crf.refine_probabilities(image, two, crf.SEGMENTATION))
    np.testing.assert_array_equal(kept, crf.refine_probabilities(image, three, crf.SEGMENTATION, present=0))


@pytest.mark.parametrize("value", [0, 1])
def test_one_label_everywhere_stays(value):
    image, labels = scene()
    constant = np.full_like(labels, value)
    assert (crf.refine_labels(image, constant, 1 + value, crf.AFFINITY_LABELS) == value).all()
    field = crf._field(image, 2, crf.AFFINITY_LABELS)
    energy = crf._infer(field, crf.unary_from_labels(constant, 2, 0.7), crf.AFFINITY_LABELS)  # the CRF agrees
    assert (energy.argmax(0) == value).all()


@pytest.mark.parametrize("size", [(1, 1), (1, 9), (9, 1), (2, 3)])
def test_tiny_images(size):
    image = np.zeros((*size, 3), np.uint8)
    labels = (np.arange(size[0] * size[1]).reshape(size) > 2).astype(int)
    assert crf.refine_labels(image, labels, 2, crf.AFFINITY_LABELS).shape == size


def test_the_image_is_not_changed_and_may_be_read_only():
    image, labels = scene()
    image.setflags(write=False)
    before = labels.copy()
    crf.refine_labels(image, labels, 2, crf.AFFINITY_LABELS)
    np.testing.assert_array_equal(labels, before)


def test_pool_gives_the_bytes_of_one_process():
    serial = list(crf.refine_many(crf.refine_labels, range(5), load, workers=1))
    pool = list(crf.refine_many(crf.refine_labels, range(5), load, workers=2))
    assert [a.tobytes() for a in serial] == [b.tobytes() for b in pool]


@pytest.mark.parametrize("workers", [1, 2])
def test_an_error_in_a_process_comes_back(workers):
    results = processes.each(fail, range(6), lambda number: (number,), workers=workers)
    assert [next(results) for _ in range(3)] == [0, 1, 2]
    with pytest.raises(ValueError, match="number 3 fails"):
        list(results)


def test_few_items_are_loaded_ahead():
    seen = []
    results = processes.each(fail, [0, 1, 2] + [4] * 20, lambda number: seen.append(number) or (number,), workers=2)
    next(results)
    assert len(seen) == 2 * (1 + processes.AHEAD)
    results.close()  # and ends without doing the rest


def test_bad_input_gets_one_sentence():
    image, labels = scene()
    with pytest.raises(ValueError, match=r"labels must be 0 to 1, got 0 to 255: void has no place"):
        crf.refine_labels(image, np.where(labels == 1, 255, 0), 2, crf.AFFINITY_LABELS)
    with pytest.raises(ValueError, match=r"image is \(30, 41\) and the labels are \(29, 41\)"):
        crf.refine_labels(image, labels[1:], 2, crf.AFFINITY_LABELS)
    with pytest.raises(ValueError, match="uint8 RGB, got float64"):
        crf.refine_labels(image / 255, labels, 2, crf.AFFINITY_LABELS)
    with pytest.raises(ValueError, match="use refine_probabilities"):
        crf.refine_labels(image, labels, 2, crf.SEGMENTATION)
    with pytest.raises(ValueError, match="use refine_labels"):
        crf.refine_probabilities(image, labels[None] * 1.0, crf.AFFINITY_LABELS)


def test_several_labels_of_an_image_are_refined_as_one_by_one():
    generator = np.random.default_rng(0)
    image = generator.integers(0, 255, (30, 40, 3), np.uint8)
    several = [generator.integers(0, 3, (30, 40)) for _ in range(3)]
    several.insert(1, np.full((30, 40), 2))  # all the same: nothing is asked of the CRF
    settings = crf.AFFINITY_LABELS
    alone = [crf.refine_labels(image, labels, 3, settings) for labels in several]
    together = crf.refine_several(image, several, 3, settings)
    assert all(map(np.array_equal, alone, together)) and not np.array_equal(alone[0], alone[2])
    assert crf.refine_several(image, [], 3, settings) == []


def test_it_is_pydensecrf_on_this_image():
    generator = np.random.default_rng(1)
    image, labels = generator.integers(0, 255, (21, 34, 3), np.uint8), generator.integers(0, 3, (21, 34))
    plain = DenseCRF2D(34, 21, 3)
    plain.setUnaryEnergy(crf.unary_from_labels(labels, 3, 0.7).reshape(3, -1))
    plain.addPairwiseGaussian(sxy=3, compat=3)
    plain.addPairwiseBilateral(sxy=50, srgb=5, rgbim=image, compat=10)
    wanted = np.asarray(plain.inference(10)).reshape(3, 21, 34).argmax(0)
    assert np.array_equal(crf.refine_labels(image, labels, 3, crf.AFFINITY_LABELS), wanted)


def test_no_process_of_a_pool_outlives_a_kill(tmp_path, root):
    script = tmp_path / "work.py"
    script.write_text(
        "import os, time\nfrom pnoc_lib.engine import processes\n"
        "if __name__ == '__main__':\n"
        "    for pid in processes.each(os.getpid, range(40), lambda k: time.sleep(0.05) or (), workers=2):\n"
        "        print(pid, flush=True)\n"
    )
    environment = os.environ | {"PYTHONPATH": str(root)}
    working = subprocess.Popen([sys.executable, script], env=environment, stdout=subprocess.PIPE, text=True)
    working.stdout.readline()
    children = psutil.Process(working.pid).children(recursive=True)
    assert len(children) >= 2
    working.kill()
    working.wait()  # its children may hold its output open: that is not read to its end
    _, alive = psutil.wait_procs(children, timeout=10)
    for child in alive:
        child.kill()
    assert not alive
