"""Dataset card: README.md of a prepared dataset, read by people, `load_dataset` and the Hub."""

from collections.abc import Mapping
from typing import Any

import jinja2
import yaml

from hf_lesion.data.splits import OFFICIAL_TEST
from hf_lesion.labels import CODES, NAMES, NOTICE

TEMPLATE = "card.md.jinja"
# The Hub's `size_categories`: (exclusive upper bound of rows, name).
SIZE_CATEGORIES = ((1_000, "n<1K"), (10_000, "1K<n<10K"), (100_000, "10K<n<100K"))


def build_card(record: Mapping[str, Any], *, name: str = "path/to/this/folder") -> str:
    """Return the text of README.md: YAML front matter with the data files, then Markdown.

    `name` is the folder or Hub id that the example calls `load_dataset` with.
    """
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("hf_lesion.data"),
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        keep_trailing_newline=True,
    )
    splits = list(record["images"])
    rows = [
        (f"{NAMES[code]} (`{code}`)", [record["counts"][split][code] for split in splits])
        for code in CODES
    ]
    rows += [(f"**{unit}**", [record[unit][s] for s in splits]) for unit in ("images", "lesions")]
    text = environment.get_template(TEMPLATE).render(
        record=record,
        name=name,
        rows=rows,
        notice=NOTICE,
        official_test=OFFICIAL_TEST,
        image=_describe_image(record),
        # Absent in records of earlier versions.
        description=f": {record['description']}" if record.get("description") else "",
    )
    front = yaml.safe_dump(_front_matter(record), sort_keys=False, allow_unicode=True)
    return f"---\n{front}---\n\n{text}"


def _describe_image(record: Mapping[str, Any]) -> str:
    """Describe how the image files were stored."""
    framing = record.get("framing")
    if not framing:
        return "the original file, never re-encoded"
    size = framing["image_size"]
    parts = ["cropped to the centre square"] if framing["centre_crop"] else []
    parts += [f"resized to {size} pixels on the shorter side"] if size else []
    enlarged = record.get("enlarged")
    note = f"; {enlarged:,} of them were enlarged" if enlarged else ""
    return f"{' and '.join(parts)} ({framing['images']}; masks likewise: {framing['masks']}){note}"


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
