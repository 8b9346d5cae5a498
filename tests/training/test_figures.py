import numpy as np

from hf_lesion.synthetic.lesions import draw_lesion
from hf_lesion.training.augmentation import AUGMENTATIONS
from hf_lesion.training.figures import VIEWS, plot_augmentations


def shown(figure):
    """Return the pixels of each row's views by the row's name."""
    rows, name = {}, ""
    for axes in figure.axes:
        name = axes.get_ylabel() or name
        rows.setdefault(name, []).append(np.asarray(axes.images[0].get_array()))
    return rows


def test_every_augmentation_has_a_row_and_all_but_none_vary():
    lesions = [draw_lesion(dx, seed=1)[0] for dx in ("mel", "vasc")]
    rows = shown(plot_augmentations(lesions))
    assert list(rows) == [*AUGMENTATIONS, "mixup", "cutmix"]
    assert all(len(views) == VIEWS for views in rows.values())
    for name, views in rows.items():
        differs = [not np.array_equal(views[0], view) for view in views[1:]]
        assert differs == [name != "none"] * (VIEWS - 1), name
    again = shown(plot_augmentations(lesions))
    assert all(np.array_equal(a, b) for a, b in zip(rows["strong"], again["strong"], strict=True))
