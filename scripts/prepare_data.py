r"""Prepare HAM10000 as a Parquet dataset that is split by lesion.

--source accepts folders and zip archives in the layouts of Harvard Dataverse
(https://doi.org/10.7910/DVN/DBW86T), the copy on Kaggle, and the ISIC 2018 challenge (Task 3).
Masks (<image_id>_segmentation.png) are included if present.

--download downloads about 2.8 GB (0.4 GB more with the official test set) to --download_dir, and
verifies archives by the MD5 of Dataverse and images by their published SHA-256. To resume an
interrupted download, run the same command. Without network access, download the files manually and
pass their folder as --source.

Examples:
  python scripts/prepare_data.py --download --with_masks --output data/ham10000
  python scripts/prepare_data.py --source ../shared/data/HAM10000 --output data/ham10000
  python scripts/prepare_data.py --source archive.zip --output data/other --seed 1 \
      --fractions 0.8 0.1 0.1
  python scripts/prepare_data.py --source HAM10000 --output data/single --subset single-image
  python scripts/prepare_data.py --source HAM10000 --output data/same --split_file splits.csv
  python scripts/prepare_data.py --source HAM10000 --output data/ham10000_256 \
      --image_size 256 --centre_crop
"""

import argparse
from pathlib import Path
from typing import Any

from hf_lesion import cli
from hf_lesion.errors import list_offenders, one_line_errors

SUBSETS = ("all", "one-per-lesion", "single-image")
DATAVERSE = "https://dataverse.harvard.edu"
DOWNLOAD_FOLDER = "HAM10000_download"


def parse_arguments() -> argparse.Namespace:
    """Parse the command line."""
    parser = cli.build_parser(__doc__)
    origin = parser.add_argument_group("source").add_mutually_exclusive_group(required=True)
    origin.add_argument("--source", type=Path, help="folder or zip archive with HAM10000")
    origin.add_argument("--download", action="store_true", help="download from Harvard Dataverse")
    flag: dict[str, Any] = {"action": "store_true"}
    add = parser.add_argument_group("download").add_argument
    add("--with_masks", **flag, help="also download the lesion masks")
    help_text = "also prepare the test set of ISIC 2018 Task 3, as the split official_test"
    add("--with_official_test", **flag, help=help_text)
    help_text = f"folder of the archives (default: {DOWNLOAD_FOLDER} next to --output)"
    add("--download_dir", type=Path, metavar="DIR", help=help_text)
    add("--base_url", metavar="URL", help=f"URL of a mirror of Dataverse (default: {DATAVERSE})")
    add = parser.add_argument_group("split").add_argument
    add("--seed", type=int, default=0, help="seed of the split (default: 0)")
    names = ("TRAIN", "VALIDATION", "TEST")
    fractions: dict[str, Any] = {"type": float, "nargs": 3, "metavar": names}
    help_text = "fractions of the lesions in each split (default: 0.7 0.15 0.15)"
    add("--fractions", **fractions, default=(0.7, 0.15, 0.15), help=help_text)
    help_text = "use a published split: the splits.csv of a prepared dataset"
    add("--split_file", type=Path, metavar="CSV", help=help_text)
    help_text = "the first image of each lesion, or lesions with one image (default: all)"
    add("--subset", choices=SUBSETS, default="all", help=help_text)
    add = parser.add_argument_group("images (default: files are stored unchanged)").add_argument
    help_text = "resize the shorter side of images and masks to N pixels; store JPEG, quality 75"
    add("--image_size", type=int, metavar="N", help=help_text)
    help_text = "crop to the centre square first, for 600×450 pixels to the box (75, 0, 525, 450)"
    add("--centre_crop", **flag, help=help_text)
    add = parser.add_argument
    cli.add_shared(parser, "output", required=True, help="folder to create")
    help_text = "reject files that differ from the published ones (implied by --download)"
    add("--originals_only", **flag, help=help_text)
    add("--allow_missing", **flag, help="leave out missing and damaged images")
    cli.add_shared(parser, "overwrite")
    arguments = parser.parse_args()
    for option in ("with_masks", "download_dir", "base_url"):
        if arguments.source and getattr(arguments, option):
            parser.error(f"--{option} needs --download")
    return arguments


def download_source(arguments: argparse.Namespace) -> Path:
    """Download the files and return their folder."""
    from hf_lesion.data.download import download

    folder: Path = arguments.download_dir or arguments.output.with_name(DOWNLOAD_FOLDER)
    download(
        folder,
        with_masks=arguments.with_masks,
        with_official_test=arguments.with_official_test,
        base_url=arguments.base_url or DATAVERSE,
    )
    return folder


def format_summary(record: dict[str, Any], output: Path) -> str:
    """Return counts by split and diagnosis, missing images, and the line that loads the dataset."""
    import pandas as pd

    table = pd.DataFrame(record["counts"])
    table = pd.concat([table, pd.DataFrame([record["images"], record["lesions"]])])
    table.index = pd.Index([*record["counts"]["train"], "images", "lesions"])
    table["all"] = table.sum(axis=1)
    lines = [table.map("{:,}".format).to_string()]
    described = [record, record["official_test"]] if "official_test" in record else [record]
    lines += ["", *(part["description"] for part in described), *_missing(record)]
    load = f'Load it:  datasets.load_dataset("{output}")'
    return "\n".join([*lines, f"Dataset: {output}", load])


def _missing(record: dict[str, Any]) -> list[str]:
    left_out, lines = record["left_out"], []
    if left_out["count"]:
        names = sorted([*left_out["no_file"], *left_out["unreadable"]])
        lines.append(f"Left out: {left_out['count']} images: {list_offenders(names)}")
    if left_out["no_row"]:
        names = left_out["no_row"]
        lines.append(f"Left out, not in the metadata: {len(names)} images: {list_offenders(names)}")
    if left_out["unscored"]:
        unscored = list_offenders(left_out["unscored"])
        lines.append(f"Left out, not scored by the challenge: {unscored}")
    if record["without_mask"]:
        broken = len(left_out["unreadable_masks"])
        note = f", {broken} of them with an unreadable mask" if broken else ""
        lines.append(f"Without mask: {record['without_mask']} images{note}")
    if record["enlarged"]:
        lines.append(f"Enlarged: {record['enlarged']} images")
    return lines


@one_line_errors
def main() -> None:
    """Prepare the dataset and print its summary."""
    arguments = parse_arguments()
    from hf_lesion.data.build import Selection, check_output, prepare  # heavy: after --help
    from hf_lesion.data.resizing import Resize
    from hf_lesion.data.splits import check_options, read_splits

    fractions = tuple(arguments.fractions)
    resize = Resize(arguments.image_size, arguments.centre_crop)  # checks them
    if arguments.download:  # report invalid options before the download
        check_options(fractions=fractions, seed=arguments.seed)
        check_output(None, arguments.output, overwrite=arguments.overwrite)
        if arguments.split_file:
            read_splits(arguments.split_file)
    record = prepare(
        download_source(arguments) if arguments.download else arguments.source,
        arguments.output,
        seed=arguments.seed,
        fractions=fractions,
        allow_missing=arguments.allow_missing,
        overwrite=arguments.overwrite,
        selection=Selection(
            subset=arguments.subset,
            split_file=arguments.split_file,
            official_test=arguments.with_official_test,
            originals_only=arguments.originals_only or arguments.download,
        ),
        resize=resize,
    )
    print(format_summary(record, arguments.output))


if __name__ == "__main__":
    main()
