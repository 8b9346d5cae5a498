import numpy as np
import pytest
from PIL import Image

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
@pytest.mark.parametrize(
    ("mode", "size"), [("RGB", (200, 150)), ("L", (150, 200)), ("RGB", (1, 1))]
)
def test_size_and_mode_are_kept_and_the_stream_decides(draw, mode, size):
    image = skin(size, mode)
    before = image.tobytes()
    first, again, other = (draw(image, np.random.default_rng(seed)) for seed in (1, 1, 2))
    assert (first.size, first.mode) == (size, mode)
    assert image.tobytes() == before
    assert first.tobytes() == again.tobytes()
    assert size == (1, 1) or first.tobytes() != other.tobytes()


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


def test_vignette_darkens_the_corners_and_leaves_the_middle():
    image = skin()
    before = np.asarray(image).astype(int)
    after = np.asarray(draw_vignette(image, np.random.default_rng(0), radius=0.6)).astype(int)
    assert (after[55:95, 70:130] == before[55:95, 70:130]).all()
    assert after[[0, 0, -1, -1], [0, -1, 0, -1]].max() < 20
    assert (after <= before).all()
