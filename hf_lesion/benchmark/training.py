"""Training steps: ours against a bare loop on tensors in memory, transformers' example and timm."""

import contextlib
import itertools
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import datasets
import torch
from transformers import BaseImageProcessor

from hf_lesion.benchmark.others import example_run, timm_run
from hf_lesion.benchmark.steps import Setting, time_steps, time_trainer
from hf_lesion.benchmark.timing import Candidate
from hf_lesion.training.arguments import LesionTrainingArguments, RecipeArguments
from hf_lesion.training.loss import build_loss
from hf_lesion.training.samples import collate
from hf_lesion.training.trainer import build_ingredients, build_trainer

IN_MEMORY = 4  # batches that the bare loop goes round


@dataclass(frozen=True)
class Options:
    """What may add speed to ours; the defaults are ours."""

    channels_last: bool = True
    optim: str = "adamw_torch_fused"
    workers: int = 0
    threads: int | None = None


def candidates(rows: datasets.Dataset, setting: Setting) -> list[Candidate]:
    """Return the bare loop first, the limit, then ours, transformers' example and timm."""
    found = [
        Candidate("bare loop, tensors in memory", _bare(rows, setting), is_timed=True),
        Candidate("ours", _ours(rows, setting, Options()), is_timed=True),
        Candidate("transformers' example", example_run(rows, setting), is_timed=True),
    ]
    if setting.model != "cnn":
        found.append(
            Candidate("timm's loader and defaults", timm_run(rows, setting), is_timed=True)
        )
    return found


def option_candidates(rows: datasets.Dataset, setting: Setting) -> list[Candidate]:
    """Return ours first, then ours with one setting changed each."""
    default = Options()
    variants = {
        "ours": default,
        "contiguous, not channels last": replace(default, channels_last=False),
        "AdamW not fused": replace(default, optim="adamw_torch"),
        "1 worker": replace(default, workers=1),
        "2 workers": replace(default, workers=2),
        "1 thread": replace(default, threads=1),
        "1 thread, 1 worker": replace(default, threads=1, workers=1),
    }
    return [
        Candidate(name, _ours(rows, setting, options), is_timed=True)
        for name, options in variants.items()
    ]


def _ours(rows: datasets.Dataset, setting: Setting, options: Options) -> Callable[[], float]:
    recipe = RecipeArguments(
        augmentation=setting.augmentation,  # type: ignore[arg-type]
        channels_last=options.channels_last,
    )
    splits = datasets.DatasetDict(train=rows, validation=rows.select(range(1)))

    def run() -> float:
        with tempfile.TemporaryDirectory() as folder, _threads(options.threads):
            arguments = LesionTrainingArguments(
                output_dir=folder,
                optim=options.optim,
                dataloader_num_workers=options.workers,
                eval_strategy="no",
                load_best_model_at_end=False,
                **setting.for_trainer(),
            )
            model, processor = setting.build()
            return time_trainer(build_trainer(model, processor, splits, recipe, arguments))

    return run


def _bare(rows: datasets.Dataset, setting: Setting) -> Callable[[], float]:
    """Return a loop with our settings on batches that were made before it starts."""
    with tempfile.TemporaryDirectory() as folder:
        arguments = LesionTrainingArguments(output_dir=folder)
    _, processor = setting.build()
    batches = _batches_in_memory(rows, setting, processor, arguments)
    loss_function = build_loss()

    def run() -> float:
        model, _ = setting.build()
        model.to(memory_format=torch.channels_last).train()
        optimizer = torch.optim.AdamW(
            model.parameters(),
            lr=arguments.learning_rate,
            weight_decay=arguments.weight_decay,
            fused=True,
        )

        def step(batch: dict[str, torch.Tensor]) -> None:
            labels = batch["labels"]
            loss = loss_function(model(pixel_values=batch["pixel_values"]), labels, len(labels))
            loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), arguments.max_grad_norm)
            optimizer.step()
            optimizer.zero_grad()

        return time_steps(step, itertools.cycle(batches), setting)

    return run


def _batches_in_memory(
    rows: datasets.Dataset,
    setting: Setting,
    processor: BaseImageProcessor,
    arguments: LesionTrainingArguments,
) -> list[dict[str, torch.Tensor]]:
    recipe = RecipeArguments(augmentation=setting.augmentation)  # type: ignore[arg-type]
    samples = build_ingredients(
        processor, datasets.DatasetDict(train=rows), recipe, arguments
    ).samples
    size = setting.batch_size
    return [
        collate([samples[(start + index) % len(samples)] for index in range(size)])
        for start in range(0, IN_MEMORY * size, size)
    ]


@contextlib.contextmanager
def _threads(count: int | None) -> Iterator[None]:
    """Compute with so many threads in the block; None leaves them as they are."""
    before = torch.get_num_threads()
    torch.set_num_threads(count or before)
    try:
        yield
    finally:
        torch.set_num_threads(before)
