"""Evaluate a saved model on a dataset's validation split, by as many processes as are launched.

Started by test_scale.py: MODEL DATASET OUTPUT.
"""

import json
import sys
from pathlib import Path

from hf_lesion.data.reader import open_splits
from hf_lesion.models.build import load_classifier
from hf_lesion.training.arguments import LesionTrainingArguments, RecipeArguments
from hf_lesion.training.trainer import build_trainer

model, processor = load_classifier(sys.argv[1])
folder = Path(sys.argv[3])
arguments = LesionTrainingArguments(
    output_dir=str(folder / "trainer"), per_device_eval_batch_size=4, disable_tqdm=True
)
splits = open_splits(Path(sys.argv[2]))
trainer = build_trainer(model, processor, splits, RecipeArguments(dataset=sys.argv[2]), arguments)
metrics = trainer.evaluate()
if arguments.process_index == 0:
    seen = {"processes": arguments.world_size, "images": len(splits["validation"])}
    (folder / f"{arguments.world_size}.json").write_text(json.dumps({**seen, **metrics}))
