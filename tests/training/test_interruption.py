from pathlib import Path

import pytest
import torch

from hf_lesion.errors import InputError
from hf_lesion.training.interruption import explain_exhaustion


@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError("CUDA out of memory."),
        RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes"),
    ],
)
def test_a_lack_of_memory_names_the_way_out(error):
    with pytest.raises(InputError) as refusal, explain_exhaustion(Path("out"), 32):
        raise error
    assert str(refusal.value) == (
        "Out of memory with 32 images per step. Pass --per_device_train_batch_size 16 "
        "--gradient_accumulation_steps 2 for the same effective batch, or a smaller --image_size."
    )


def test_other_errors_pass():
    with pytest.raises(RuntimeError, match=r"^shapes$"), explain_exhaustion(Path("out"), 32):
        raise RuntimeError("shapes")
