from pathlib import Path

import pytest
import torch
from safetensors import SafetensorError

from hf_lesion.errors import InputError
from hf_lesion.training.interruption import explain_exhaustion

MEMORY = (
    r"^Out of memory with 32 images per step\. Pass --per_device_train_batch_size 16 "
    r"--gradient_accumulation_steps 2 for the same effective batch, or a smaller --image_size\.$"
)


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (torch.OutOfMemoryError("CUDA out of memory."), MEMORY),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to"), MEMORY),
        (SafetensorError("I/O error: File too large"), r"not be written to out; the disk may be"),
    ],
)
def test_a_lack_of_memory_or_room_names_the_way_out(error, message):
    with pytest.raises(InputError, match=message), explain_exhaustion(Path("out"), 32):
        raise error


def test_other_errors_pass():
    with pytest.raises(RuntimeError, match=r"^shapes$"), explain_exhaustion(Path("out"), 32):
        raise RuntimeError("shapes")
