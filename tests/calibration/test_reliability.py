import json

import numpy as np
import pytest

from hf_lesion.calibration import metrics
from hf_lesion.calibration.fit import fit_reliability
from hf_lesion.calibration.reliability import FILE, Reliability, read_reliability
from hf_lesion.errors import InputError
from hf_lesion.io.records import write_record


def of(scores=(0.4, 0.8, 0.9), shares=(0.3, 0.9, 0.95)):
    known = {"weights_sha256": "", "fitted_on": {}, "cross_validated": {}}
    return Reliability(scores=scores, shares=shares, **known)


def with_top(top):
    """(N, 7) probabilities whose highest is this."""
    top = np.asarray(top, dtype=float)
    rest = np.repeat(((1 - top) / 6)[:, np.newaxis], 7, axis=1)
    rest[:, 5] = top
    return rest


def fit(top, is_right):
    scores, shares = fit_reliability(top, is_right)
    return of(tuple(scores.tolist()), tuple(shares.tolist()))


def test_the_share_is_interpolated_and_stays_beyond_the_ends():
    shares = of().share_right(with_top([0.25, 0.4, 0.5, 0.7, 0.9, 1.0]))
    assert shares == pytest.approx([0.3, 0.3, 0.45, 0.75, 0.95, 0.95])


def test_the_map_that_outcomes_were_drawn_from_is_found_again_and_keeps_its_promise():
    generator = np.random.default_rng(0)
    top, new = generator.uniform(0.2, 0.999, (2, 6000))
    fitted = fit(top, generator.random(6000) < top**2)
    assert fitted.share_right(with_top(new)) == pytest.approx(new**2, abs=0.09)
    is_right = generator.random(6000) < new**2
    kept = metrics.measure_reliability(fitted.share_right(with_top(new)), is_right)
    assert kept["metrics"]["ece"] < kept["chance"]["ece"]["upper"] + 0.01
    unmapped = metrics.measure_reliability(new, is_right)
    assert unmapped["metrics"]["ece"] > 5 * kept["metrics"]["ece"]


def test_a_map_never_falls_and_promises_no_certainty():
    top = np.linspace(0.3, 0.99, 500)
    falling = fit(top, top < 0.6)
    assert np.ptp(falling.shares) == pytest.approx(0)
    for right in (True, False):
        shares = fit(top, np.full(500, right)).share_right(with_top(top))
        assert shares == pytest.approx(float(right), abs=0.01)
        assert ((shares > 0) & (shares < 1)).all()


def test_few_images_or_equal_scores_give_a_map_too():
    assert len(fit(np.array([0.4, 0.9, 0.8]), np.array([False, True, True])).scores) <= 3
    equal = fit(np.full(100, 0.5), np.arange(100) < 70)
    assert equal.share_right(with_top([0.5])) == pytest.approx(0.7, abs=0.02)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"shares": [0.1, 0.2]}, "expected as many scores as shares"),
        ({"shares": [0.1, 0.3, 0.2]}, r"expected rising shares in \[0, 1\], got \(0.1"),
    ],
)
def test_a_damaged_map_is_refused(change, reason, tmp_path):
    file = write_record(tmp_path / FILE, of())
    file.write_text(json.dumps(json.loads(file.read_text()) | change))
    with pytest.raises(InputError, match=f"{FILE} is not a valid record: .*{reason}.* Fit it"):
        read_reliability(tmp_path)
