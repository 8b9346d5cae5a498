import itertools
import time

from hf_lesion.benchmark.steps import WARM_UP, Setting, time_steps

SLOW = 0.05


def test_the_clock_starts_after_the_warm_up():
    taken = []

    def step(batch):
        taken.append(batch)
        time.sleep(SLOW if len(taken) > WARM_UP else 4 * SLOW)

    seconds = time_steps(step, itertools.count(), Setting("cnn", 32, 1, steps=3))
    assert taken == list(range(WARM_UP + 3))
    assert 3 * SLOW <= seconds < 3 * SLOW + 2 * SLOW
