"""Batches and samples are functions of (seed, epoch, index)."""

import pickle

import numpy as np
import pytest
import tiny
import torch

from pnoc_lib.data.augment import TrainingTransform
from pnoc_lib.data.samples import TrainingSamples, mix
from pnoc_lib.engine.order import TrainingOrder

TRANSFORM = TrainingTransform(24, 20, 40, (0.5, 0.5, 0.5), (0.5, 0.5, 0.5), "randaugment")


def order(**changes):
    return list(TrainingOrder(**({"count": 11, "batch_size": 3, "epochs": 4, "seed": 0} | changes)))


def test_an_epoch_has_every_image_at_most_once():
    batches = order()
    assert len(batches) == len(TrainingOrder(11, 3, 4, 0)) == 4 * 3  # the incomplete fourth batch is dropped
    for epoch in range(4):
        keys = [key for batch in batches[3 * epoch : 3 * epoch + 3] for key in batch]
        indices = {index for _, index in keys}
        assert {e for e, _ in keys} == {epoch}
        assert len(indices) == 9
        assert indices <= set(range(11))


def test_every_image_has_its_turn():
    assert {index for batch in order(epochs=12) for _, index in batch} == set(range(11))


def test_epochs_and_seeds_differ():
    batches = order()
    assert [i for _, i in batches[0]] != [i for _, i in batches[3]]
    assert order(seed=1) != batches
    assert order() == batches


@pytest.mark.parametrize("start", range(13))
def test_a_later_start_is_the_tail(start):
    assert order(start=start) == order()[start:]
    assert len(TrainingOrder(11, 3, 4, 0, start=start)) == 12 - start


@pytest.mark.parametrize("world", [1, 2, 3])
def test_processes_share_each_batch(world):
    whole = order(batch_size=6, count=20)
    parts = [order(batch_size=6, count=20, rank=rank, world=world) for rank in range(world)]
    assert len(whole) == 4 * 3
    for batch, *shards in zip(whole, *parts, strict=True):
        assert {len(shard) for shard in shards} == {6 // world}
        assert sorted(key for shard in shards for key in shard) == sorted(batch)


def test_one_whole_batch_an_epoch():
    assert [len(batch) for batch in order(count=3)] == [3] * 4


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    return tiny.squares(tmp_path_factory.mktemp("tiny"), 6)[0]


def test_a_sample_is_the_same_at_every_call_and_in_every_process(images):
    samples = TrainingSamples(images, TRANSFORM, seed=3)
    image, label = samples[2, 4]
    torch.manual_seed(99)
    again, _ = pickle.loads(pickle.dumps(samples))[2, 4]  # as a worker process gets it
    torch.testing.assert_close(image, again, rtol=0, atol=0)
    assert image.shape == (3, 24, 24)
    assert label.dtype == torch.float32
    assert label.tolist() == images.label("i004").tolist()


def test_a_sample_differs_by_epoch_index_and_seed(images):
    samples = TrainingSamples(images, TRANSFORM, seed=3)
    others = [samples[1, 4], samples[2, 3], TrainingSamples(images, TRANSFORM, seed=4)[2, 4]]
    for image, _ in others:
        assert not torch.equal(image, samples[2, 4][0])


def test_samples_leave_the_global_random_numbers_alone(images):
    torch.manual_seed(5)
    np.random.seed(5)
    before, numbers = torch.get_rng_state(), np.random.get_state()[1].copy()
    TrainingSamples(images, TRANSFORM, seed=3)[0, 0]
    order()
    assert torch.equal(torch.get_rng_state(), before)
    assert (np.random.get_state()[1] == numbers).all()


def test_mix_tells_its_numbers_apart():
    seeds = {mix(a, b, c) for a in range(8) for b in range(8) for c in range(8)}
    assert len(seeds) == 512
    assert all(0 <= seed < 2**63 for seed in seeds)
    assert mix(1, 2, 3) == mix(1, 2, 3)
