import numpy as np
import pytest
import torch

from hf_lesion.explain.views import VIEWS, lay_back, show


def test_what_each_of_eight_views_shows_is_laid_back_to_where_it_was():
    assert len(set(VIEWS)) == 8
    picture = torch.rand(2, 3, 48, 64)
    for view in VIEWS:
        shown = show(picture, view)
        assert shown.shape == picture.shape
        assert not torch.equal(shown, picture)
        back = lay_back(shown.numpy()[:, 0], view)
        seen = ~np.isnan(back)
        assert np.array_equal(back[seen], picture.numpy()[:, 0][seen])
        assert seen.mean() == pytest.approx((15 / 16) ** 2)
