import pytest
from torch import nn

from hf_lesion.errors import InputError
from hf_lesion.models.forward import find_head


def test_the_last_linear_layer_with_as_many_outputs_as_classes():
    model = nn.Sequential(nn.Linear(4, 7), nn.Linear(7, 7), nn.Linear(7, 3))
    assert find_head(model, 7) is model[1]


def test_a_model_without_one_is_refused():
    with pytest.raises(InputError, match=r"^Conv2d has no linear layer with 7 outputs, so it has"):
        find_head(nn.Conv2d(3, 7, 1), 7)
