"""The README.md of a prepared dataset: what `load_dataset` and the Hub read, and people too."""

from collections.abc import Mapping
from typing import Any

import yaml

from hf_lesion.data.splits import OFFICIAL_TEST
from hf_lesion.labels import CODES, NAMES, NOTICE

# The Hub's own steps of "size_categories" (the largest number of rows, its name).
SIZE_CATEGORIES = ((1_000, "n<1K"), (10_000, "1K<n<10K"), (100_000, "10K<n<100K"))

TEXT = """
# HAM10000, prepared

Dermoscopic images of pigmented skin lesions in seven diagnoses, made by
`scripts/prepare_data.py` of hf_lesion{description}.

{notice}

```python
from datasets import load_dataset

dataset = load_dataset("{name}")
```

## Contents

{table}

- Splits are by lesion: all images of a lesion are in one split, {origin}.
  `splits.csv` names the split of every image; `prepare_data.py --split_file` takes it back.{subset}
- `image`: {image}. `mask`: the lesion (white) by Tschandl et al.; null
  for {without_mask} images. `label`: the diagnosis. `lesion_id`, `image_id`, `dx_type` (how the
  diagnosis was confirmed), `age` (years, null where unknown), `sex`, `localization`, `dataset` (the
  source): as in the original metadata.{official_test}
- {published} of the images are byte for byte the published 600×450 files.
- {left_out} images of the metadata were left out (`prepared.json` names them).
- Fingerprint of the content: `{fingerprint}`.

## Limits

- Two clinics, in Austria and Australia. Skin tone is not recorded; darker skin is hardly in it.
- Source and diagnosis are confounded: of the `vidir_molemax` images 94 % are nevi.
- Diagnoses were confirmed in unequal ways (`dx_type`): melanomas by histopathology, many nevi by
  follow-up alone.
- Seven diagnoses, and no image of anything else. A few images show the same skin under two
  lesion_ids.
- For research and teaching; not for decisions about a person's skin.

## Licence and citation

CC BY-NC 4.0. Tschandl P., Rosendahl C., Kittler H. *The HAM10000 dataset, a large collection of
multi-source dermatoscopic images of common pigmented skin lesions.* Scientific Data 5:180161
(2018), doi:10.1038/sdata.2018.161; data: doi:10.7910/DVN/DBW86T.
"""

AS_IT_WAS = "the file as it was, never re-encoded"

SUBSET_TEXTS = {
    "all": "",
    "one-per-lesion": "\n- Only one image of each lesion is in it: that with the first image_id.",
    "single-image": "\n- Only lesions of which there is a single image are in it.",
}

OFFICIAL_TEST_TEXT = """
- `official_test` is the test set of the ISIC 2018 challenge, Task 3, as published; its `lesion_id`
  is null where it is not known. It was never split."""


def build_readme(record: Mapping[str, Any], *, name: str = "path/to/this/folder") -> str:
    """Return the text of README.md.

    Args:
        record: What `prepared.json` holds.
        name: Of the folder or on the Hub, by which `load_dataset` finds it.

    Returns:
        YAML front matter with the data files of each split, then Markdown.
    """
    front = yaml.safe_dump(_front_matter(record), sort_keys=False, allow_unicode=True)
    text = TEXT.format(
        name=name,
        notice=NOTICE,
        table=_table(record),
        origin=_origin(record),
        subset=SUBSET_TEXTS[record["subset"]],
        published=f"{record['published']:,}",
        official_test=OFFICIAL_TEST_TEXT if OFFICIAL_TEST in record["images"] else "",
        without_mask=record["without_mask"],
        image=_say_image(record),
        description=_say_description(record),
        left_out=record["left_out"]["count"],
        fingerprint=record["fingerprint"],
    )
    return f"---\n{front}---\n{text}"


def _say_description(record: Mapping[str, Any]) -> str:
    """Return what the images are; nothing in records of earlier versions."""
    return f": {record['description']}" if record.get("description") else ""


def _say_image(record: Mapping[str, Any]) -> str:
    """Return what was done to the images."""
    framing = record.get("framing")
    if not framing:
        return AS_IT_WAS
    size = framing["image_size"]
    parts = ["cut to the centre square"] if framing["centre_crop"] else []
    parts += [f"resized to {size} pixels on the shorter side"] if size else []
    enlarged = record.get("enlarged")
    note = f"; {enlarged:,} of them were smaller and had to be enlarged" if enlarged else ""
    return f"{' and '.join(parts)} ({framing['images']}; masks alike: {framing['masks']}){note}"


def _origin(record: Mapping[str, Any]) -> str:
    if record["split_file"] is not None:
        return f"as `{record['split_file']}` names it"
    fractions = ", ".join(f"{name} {part:g}" for name, part in record["fractions"].items())
    return (
        f"at random (seed {record['seed']}), stratified\n"
        f"  by diagnosis; fractions of the lesions: {fractions}"
    )


def _front_matter(record: Mapping[str, Any]) -> dict[str, Any]:
    total = sum(record["images"].values())
    sizes = [name for largest, name in SIZE_CATEGORIES if total < largest]
    config = {
        "config_name": "default",
        # load_dataset's cache knows a folder by its name and this front matter, not by its files:
        # without the hash it would go on serving a dataset that has been replaced.
        "description": f"Content {record['content']}",
        "data_files": [
            {"split": split, "path": f"data/{split}-*.parquet"} for split in record["images"]
        ],
    }
    return {
        "pretty_name": "HAM10000, prepared",
        "license": "cc-by-nc-4.0",
        "task_categories": ["image-classification"],
        "tags": ["medical", "dermatology", "dermoscopy", "HAM10000"],
        **({"size_categories": sizes[:1]} if sizes else {}),
        "configs": [config],
    }


def _table(record: Mapping[str, Any]) -> str:
    counts, splits = record["counts"], list(record["images"])
    lines = [
        "| | " + " | ".join(splits) + " | all |",
        "| --- |" + " ---: |" * (len(splits) + 1),
    ]
    for code in CODES:
        row = [counts[split][code] for split in splits]
        lines.append(_line(f"{NAMES[code]} (`{code}`)", row))
    for title in ("images", "lesions"):
        lines.append(_line(f"**{title}**", [record[title][split] for split in splits]))
    return "\n".join(lines)


def _line(title: str, numbers: list[int]) -> str:
    return f"| {title} | " + " | ".join(f"{number:,}" for number in [*numbers, sum(numbers)]) + " |"
