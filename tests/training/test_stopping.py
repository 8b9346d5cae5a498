import pytest
import torch

from hf_lesion.errors import InputError
from hf_lesion.training.stopping import out_of_memory_explained


@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError("CUDA out of memory."),
        RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes"),
    ],
)
def test_a_lack_of_memory_names_the_way_out(error):
    with pytest.raises(InputError) as refusal, out_of_memory_explained(32):
        raise error
    assert str(refusal.value) == (
        "There is not enough memory for 32 images at once. Pass --per_device_train_batch_size 16 "
        "--gradient_accumulation_steps 2 for the same effective batch, or a smaller --image_size."
    )


def test_other_errors_pass():
    with pytest.raises(RuntimeError, match=r"^shapes$"), out_of_memory_explained(32):
        raise RuntimeError("shapes")
