"""Turn HAM10000 in its original layout into a Parquet dataset, split by lesion.

python scripts/prepare_data.py --source ../shared/data/HAM10000 --output data/ham10000
"""

import argparse
from pathlib import Path
from typing import Any

from hf_lesion.errors import list_offenders, one_line_errors

EXAMPLES = """\
--source is the folder with HAM10000_metadata.csv; the images (both parts) and, if you have them,
the masks (<image_id>_segmentation.png) may lie in any folders below.

examples:
  python scripts/prepare_data.py --source ../shared/data/HAM10000 --output data/ham10000
  python scripts/prepare_data.py --source HAM10000 --output data/other --seed 1 \\
      --fractions 0.8 0.1 0.1
  python scripts/prepare_data.py --source ../shared/data/HAM10000 --output data/ham10000_sharp \\
      --sharper ../shared/data/HAM10000_224
"""
COLUMN_WIDTH = 12


def parse_arguments() -> argparse.Namespace:
    """Return the command line's options."""
    parser = argparse.ArgumentParser(
        description="Turn HAM10000 in its original layout into a Parquet dataset, split by lesion.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("--source", type=Path, required=True, help="folder with HAM10000_metadata.csv and images")
    add("--output", type=Path, required=True, help="folder to make")
    add("--seed", type=int, default=0, help="of the split (default: 0)")
    add(
        "--fractions",
        type=float,
        nargs=3,
        default=(0.7, 0.15, 0.15),
        metavar=("TRAIN", "VALIDATION", "TEST"),
        help="of the lesions in each split (default: 0.7 0.15 0.15)",
    )
    add("--sharper", type=Path, help="folder with 224×224 centre cuts, used where there is one")
    add("--allow_missing", action="store_true", help="leave out missing and broken images")
    add("--overwrite", action="store_true", help="replace a dataset prepared before")
    return parser.parse_args()


def format_summary(record: dict[str, Any], output: Path) -> str:
    """Return the counts per split and diagnosis, what is missing, and how to load the dataset."""
    splits = list(record["images"])
    codes = list(record["counts"][splits[0]])
    lines = [_row("", [*splits, "all"])]
    lines += [_numbers(code, [record["counts"][split][code] for split in splits]) for code in codes]
    lines += [_numbers(key, list(record[key].values())) for key in ("images", "lesions")]
    if "copies" in record:
        lines.append(_numbers("sharp", [record["copies"][split]["sharp"] for split in splits]))
    lines += ["", *_missing(record), f"Dataset: {output}"]
    lines.append(f'Load it:  datasets.load_dataset("{output}")')
    return "\n".join(lines)


def _missing(record: dict[str, Any]) -> list[str]:
    left_out, lines = record["left_out"], []
    if left_out["count"]:
        names = sorted([*left_out["no_file"], *left_out["unreadable"]])
        lines.append(f"Left out: {left_out['count']} images: {list_offenders(names)}")
    if record["without_mask"]:
        broken = len(left_out["unreadable_masks"])
        note = f", {broken} of them with a mask that cannot be read" if broken else ""
        lines.append(f"Without mask: {record['without_mask']} images{note}")
    return lines


def _numbers(title: str, numbers: list[int]) -> str:
    return _row(title, [f"{number:,}" for number in [*numbers, sum(numbers)]])


def _row(title: str, cells: list[str]) -> str:
    return f"{title:<{COLUMN_WIDTH}}" + "".join(f"{cell:>{COLUMN_WIDTH}}" for cell in cells)


@one_line_errors
def main() -> None:
    """Prepare the dataset and print what is in it."""
    arguments = parse_arguments()
    from hf_lesion.data.dataset import prepare  # heavy: after --help

    record = prepare(
        arguments.source,
        arguments.output,
        seed=arguments.seed,
        fractions=tuple(arguments.fractions),
        sharper=arguments.sharper,
        allow_missing=arguments.allow_missing,
        overwrite=arguments.overwrite,
    )
    print(format_summary(record, arguments.output))


if __name__ == "__main__":
    main()
