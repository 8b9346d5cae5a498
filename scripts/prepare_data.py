"""Turn HAM10000, fetched from Dataverse or in any layout, into a Parquet dataset, split by lesion.

python scripts/prepare_data.py --download --output data/ham10000
"""

import argparse
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hf_lesion.errors import list_offenders, one_line_errors

if TYPE_CHECKING:
    from hf_lesion.data.selection import Selection

EXAMPLES = """\
--source takes the files in any layout they come in, as folders or zip archives: as downloaded from
Harvard Dataverse (https://doi.org/10.7910/DVN/DBW86T), the copy on Kaggle, or the ISIC 2018
challenge's (Task 3). Masks (<image_id>_segmentation.png) are taken where there are some.

--download fetches about 2.8 GB (the official test set 0.4 GB more) into --download_dir,
checks every archive by Dataverse's MD5 and every image by its published SHA-256, and goes on from
where it was cut when you run it again. Where the network is closed, fetch the files by hand and
pass their folder as --source.

examples:
  python scripts/prepare_data.py --download --with_masks --output data/ham10000
  python scripts/prepare_data.py --source ../shared/data/HAM10000 --output data/ham10000
  python scripts/prepare_data.py --source archive.zip --output data/other --seed 1 \\
      --fractions 0.8 0.1 0.1
  python scripts/prepare_data.py --source HAM10000 --output data/single --subset single-image
  python scripts/prepare_data.py --source HAM10000 --output data/same --split_file splits.csv
  python scripts/prepare_data.py --source HAM10000 --output data/ham10000_256 \\
      --image_size 256 --centre_crop
"""
COLUMN_WIDTH = 12
SUBSETS = ("all", "one-per-lesion", "single-image")
DATAVERSE = "https://dataverse.harvard.edu"
DOWNLOAD_FOLDER = "HAM10000_download"
# What `datasets.load_dataset` does not take as a plain part of a path.
PATTERN = re.compile(r"[*?\[\]{}]|::")


def parse_arguments() -> argparse.Namespace:
    """Return the command line's options."""
    parser = argparse.ArgumentParser(
        description="Turn HAM10000 into a Parquet dataset, split by lesion.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    origin = parser.add_argument_group("where from").add_mutually_exclusive_group(required=True)
    origin.add_argument("--source", type=Path, help="folder or zip archive with what you have")
    origin.add_argument("--download", action="store_true", help="fetch it from Harvard Dataverse")
    _add_download_options(parser)
    _add_split_options(parser)
    _add_framing_options(parser)
    add = parser.add_argument
    add("--output", type=Path, required=True, help="folder to make")
    add(
        "--originals_only",
        action="store_true",
        help="refuse images and masks that are not the published files (always with --download)",
    )
    add("--allow_missing", action="store_true", help="leave out missing and broken images")
    add("--overwrite", action="store_true", help="replace a dataset prepared before")
    arguments = parser.parse_args()
    for option in ("with_masks", "download_dir", "base_url"):
        if arguments.source and getattr(arguments, option):
            parser.error(f"--{option} goes with --download: a --source is taken as it is")
    return arguments


def _add_download_options(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument_group("download").add_argument
    add("--with_masks", action="store_true", help="also fetch the lesion masks")
    add(
        "--with_official_test",
        action="store_true",
        help="also fetch the official ISIC 2018 Task 3 test set (with --source: take it from "
        "there) and write it as the split official_test",
    )
    add(
        "--download_dir",
        type=Path,
        metavar="DIR",
        help=f"where the archives stay (default: {DOWNLOAD_FOLDER} beside --output)",
    )
    add("--base_url", metavar="URL", help=f"of a mirror of Dataverse (default: {DATAVERSE})")


def _add_split_options(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument_group("split").add_argument
    add("--seed", type=int, default=0, help="of the split (default: 0)")
    add(
        "--fractions",
        type=float,
        nargs=3,
        default=(0.7, 0.15, 0.15),
        metavar=("TRAIN", "VALIDATION", "TEST"),
        help="of the lesions in each split (default: 0.7 0.15 0.15)",
    )
    add(
        "--split_file",
        type=Path,
        metavar="CSV",
        help="a published split to take back: the splits.csv of a dataset prepared before",
    )
    add(
        "--subset",
        choices=SUBSETS,
        default="all",
        help="one-per-lesion: of each lesion the image with the first image_id; "
        "single-image: lesions with one image only (default: all)",
    )


def _add_framing_options(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument_group("images (default: files are stored byte for byte)").add_argument
    add(
        "--image_size",
        type=int,
        metavar="N",
        help="resize the shorter side to N pixels, masks alike, and store JPEGs of quality 75",
    )
    add(
        "--centre_crop",
        action="store_true",
        help="cut the centre square first: of a 600×450 original the box (75, 0, 525, 450)",
    )


def fetch(arguments: argparse.Namespace) -> Path:
    """Fetch the files, and return their folder."""
    from hf_lesion.data.download import download

    folder = arguments.download_dir or arguments.output.with_name(DOWNLOAD_FOLDER)
    download(
        folder,
        with_masks=arguments.with_masks,
        with_official_test=arguments.with_official_test,
        base_url=arguments.base_url or DATAVERSE,
    )
    return Path(folder)


def build_selection(arguments: argparse.Namespace) -> "Selection":
    """Return what of the source is prepared."""
    from hf_lesion.data.selection import Selection

    return Selection(
        subset=arguments.subset,
        split_file=arguments.split_file,
        official_test=arguments.with_official_test,
        originals_only=arguments.originals_only or arguments.download,
    )


def format_summary(record: dict[str, Any], output: Path) -> str:
    """Return the counts per split and diagnosis, what is missing, and how to load the dataset."""
    splits = list(record["images"])
    codes = list(record["counts"][splits[0]])
    lines = [_row("", [*splits, "all"])]
    lines += [_numbers(code, [record["counts"][split][code] for split in splits]) for code in codes]
    lines += [_numbers(key, list(record[key].values())) for key in ("images", "lesions")]
    described = [record, record["official_test"]] if "official_test" in record else [record]
    lines += ["", *(part["description"] for part in described), *_missing(record)]
    function = "datasets.load_dataset"
    if PATTERN.search(str(output.resolve())):  # it would read the path as a pattern
        function = "hf_lesion.data.reader.open_splits"
    return "\n".join([*lines, f"Dataset: {output}", f'Load it:  {function}("{output}")'])


def _missing(record: dict[str, Any]) -> list[str]:
    left_out, lines = record["left_out"], []
    if left_out["count"]:
        names = sorted([*left_out["no_file"], *left_out["unreadable"]])
        lines.append(f"Left out: {left_out['count']} images: {list_offenders(names)}")
    if left_out["no_row"]:
        names = left_out["no_row"]
        lines.append(f"Without row: {len(names)} images, left out: {list_offenders(names)}")
    if left_out["unscored"]:
        unscored = list_offenders(left_out["unscored"])
        lines.append(f"Not scored by the challenge, left out: {unscored}")
    if record["without_mask"]:
        broken = len(left_out["unreadable_masks"])
        note = f", {broken} of them with a mask that cannot be read" if broken else ""
        lines.append(f"Without mask: {record['without_mask']} images{note}")
    if record["enlarged"]:
        lines.append(f"Enlarged: {record['enlarged']} images, which gain no detail by it")
    return lines


def _numbers(title: str, numbers: list[int]) -> str:
    return _row(title, [f"{number:,}" for number in [*numbers, sum(numbers)]])


def _row(title: str, cells: list[str]) -> str:
    return f"{title:<{COLUMN_WIDTH}}" + "".join(f"{cell:>{COLUMN_WIDTH + 2}}" for cell in cells)


@one_line_errors
def main() -> None:
    """Prepare the dataset and print what is in it."""
    arguments = parse_arguments()
    from hf_lesion.data.build import check_output, prepare  # heavy: after --help
    from hf_lesion.data.framing import Framing
    from hf_lesion.data.splits import check_options, read_splits

    fractions = tuple(arguments.fractions)
    framing = Framing(arguments.image_size, arguments.centre_crop)
    if arguments.download:  # what is wrong is said before hours of download, not after
        check_options(fractions=fractions, seed=arguments.seed)
        check_output(None, arguments.output, overwrite=arguments.overwrite)
        if arguments.split_file:
            read_splits(arguments.split_file)
    record = prepare(
        fetch(arguments) if arguments.download else arguments.source,
        arguments.output,
        seed=arguments.seed,
        fractions=fractions,
        allow_missing=arguments.allow_missing,
        overwrite=arguments.overwrite,
        selection=build_selection(arguments),
        framing=framing,
    )
    print(format_summary(record, arguments.output))


if __name__ == "__main__":
    main()
