import re

import numpy as np
import pytest
from PIL import Image
from scipy import ndimage

from hf_lesion.errors import InputError
from hf_lesion.synthetic.overlays import (
    draw_bubbles,
    draw_hair,
    draw_ink,
    draw_ruler,
    draw_vignette,
)

ALL = (draw_hair, draw_ruler, draw_ink, draw_bubbles, draw_vignette)


def skin(size=(200, 150), mode="RGB"):
    """A bright image whose every pixel differs a little from the next."""
    pixels = np.random.default_rng(0).integers(170, 230, (size[1], size[0], 3), dtype=np.uint8)
    return Image.fromarray(pixels).convert(mode)


def changed_share(before, after):
    differs = np.asarray(before) != np.asarray(after)
    return float((differs.any(axis=2) if differs.ndim == 3 else differs).mean())


@pytest.mark.parametrize("draw", ALL)
@pytest.mark.parametrize("mode", ["RGB", "L"])
@pytest.mark.parametrize("size", [(200, 150), (150, 200), (601, 449), (1, 1), (9, 7)])
def test_size_and_mode_are_kept_and_the_input_is_not_touched(draw, mode, size):
    image = skin(size, mode)
    before = image.tobytes()
    drawn = draw(image, np.random.default_rng(3))
    assert (drawn.size, drawn.mode) == (size, mode)
    assert drawn is not image
    assert image.tobytes() == before


@pytest.mark.parametrize("draw", ALL)
def test_the_same_stream_draws_the_same_and_another_something_else(draw):
    image = skin()
    first, again, other = (draw(image, np.random.default_rng(s)).tobytes() for s in (1, 1, 2))
    assert first == again
    assert first != other


@pytest.mark.parametrize(
    ("draw", "least", "most"),
    [
        (draw_hair, 0.003, 0.25),
        (draw_ruler, 0.003, 0.12),
        (draw_ink, 0.002, 0.12),
        (draw_bubbles, 0.0001, 0.06),
    ],
)
def test_strokes_change_some_pixels_and_leave_most_exactly_as_they_were(draw, least, most):
    image = skin()
    shares = [changed_share(image, draw(image, np.random.default_rng(s))) for s in range(12)]
    assert max(shares) < most
    assert np.median(shares) > least


@pytest.mark.parametrize("draw", [draw_hair, draw_ruler, draw_ink])
def test_strokes_scale_with_the_image(draw):
    def darkening(size):
        image = Image.new("L", size, 255)
        return np.mean(
            [255 - np.asarray(draw(image, np.random.default_rng(seed))).mean() for seed in range(6)]
        )

    assert darkening((800, 600)) == pytest.approx(darkening((200, 150)), rel=0.15)


@pytest.mark.parametrize("draw", [draw_hair, draw_bubbles])
def test_a_count_of_zero_draws_nothing_and_a_larger_count_more(draw):
    image = skin()
    few, many = (draw(image, np.random.default_rng(0), count=count) for count in (2, 30))
    assert draw(image, np.random.default_rng(0), count=0).tobytes() == image.tobytes()
    assert changed_share(image, few) < changed_share(image, many)


def test_hair_is_thin():
    image = skin((600, 450))
    drawn = draw_hair(image, np.random.default_rng(4), count=1)
    hair = (np.asarray(drawn) != np.asarray(image)).any(axis=2)
    # The widest hair is one unit (3 pixels here) and its smoothed edge.
    assert 0.5 < ndimage.distance_transform_edt(hair).max() <= 4


def test_ruler_ticks_are_separate_and_evenly_spaced():
    white = Image.new("L", (600, 450), 255)
    found = 0
    for seed in range(8):
        dark = np.asarray(draw_ruler(white, np.random.default_rng(seed))) < 128
        labels, count = ndimage.label(dark)
        # Ticks that the image's edge cuts have a centre elsewhere: look at the whole ones.
        inner = labels.copy()
        cut = np.unique(np.concatenate([labels[0], labels[-1], labels[:, 0], labels[:, -1]]))
        inner[np.isin(labels, cut)] = 0
        whole = [index for index in range(1, count + 1) if (inner == index).any()]
        if len(whole) < 5:
            continue
        found += 1
        centres = np.array(ndimage.center_of_mass(dark, labels, whole))
        along = np.linalg.svd(centres - centres.mean(axis=0))[2][0]
        gaps = np.diff(np.sort(centres @ along))
        assert gaps.std() < 0.1 * gaps.mean()
    assert found >= 4


def test_vignette_darkens_the_corners_and_leaves_the_middle():
    image = skin()
    before = np.asarray(image).astype(int)
    after = np.asarray(draw_vignette(image, np.random.default_rng(0), radius=0.6)).astype(int)
    assert (after[55:95, 70:130] == before[55:95, 70:130]).all()
    assert after[[0, 0, -1, -1], [0, -1, 0, -1]].max() < 20
    assert (after <= before).all()


def test_a_smaller_vignette_hides_more():
    image = skin()
    wide, narrow = (draw_vignette(image, np.random.default_rng(0), radius=r) for r in (0.9, 0.5))
    assert changed_share(image, wide) < changed_share(image, narrow)


@pytest.mark.parametrize("draw", ALL)
def test_other_modes_are_refused(draw):
    message = (
        "Overlays are drawn on images of mode RGB or L, got RGBA. "
        'Convert it first: image.convert("RGB").'
    )
    with pytest.raises(InputError, match=f"^{re.escape(message)}$"):
        draw(Image.new("RGBA", (20, 20)), np.random.default_rng(0))
