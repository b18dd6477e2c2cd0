"""Trainings that are watched or stopped where their networks learn: `Learner.update`, once a turn."""

from contextlib import contextmanager

import pytest

from pnoc_lib.engine import learner


@contextmanager
def updates(before=lambda own, at: None, after=lambda own, at: None):
    """Within the block `before(learner, iteration)` and `after(...)` are called around every update of a learner."""
    update = learner.Learner.update

    def watched(self, loss):
        before(self, self.moment)
        update(self, loss)
        after(self, self.moment)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(learner.Learner, "update", watched)
        yield


@contextmanager
def iterations():
    """The iterations in which the first network of a training learned, with the title it goes by."""
    done = []
    with updates(lambda own, at: done.append(at) if own.name == "generator" else None):
        yield done


@contextmanager
def stopped_at(iteration, *, of=1):
    """The block ends with KeyboardInterrupt in an iteration (of the second training, ...), its update not yet made."""
    left = [of]

    def stop(own, at):
        if own.name == "generator" and at == iteration:
            left[0] -= 1
            if left[0] == 0:
                raise KeyboardInterrupt

    with updates(stop), pytest.raises(KeyboardInterrupt):
        yield
