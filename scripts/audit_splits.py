"""Audit the splits of a prepared dataset for leakage; exit 1 if they share a lesion or an image.

The exit code is 1 if a lesion or an identical file is in two splits. Near-duplicates (similar
images under two lesion_ids) are reported for review, with a sheet of thumbnails in --private, and
do not fail the audit.

--as measures the leakage of other splitting schemes on the same images:
  image-level  split by image, as with train_test_split
  copied-rows  keep lesions with one image, make three copies of each row, then split by row

Examples:
  python scripts/audit_splits.py --dataset data/ham10000
  python scripts/audit_splits.py --dataset data/ham10000 --as image-level
  python scripts/audit_splits.py --dataset data/ham10000 --as copied-rows --test_fraction 0.15
"""

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hf_lesion import cli
from hf_lesion.errors import one_line_errors

if TYPE_CHECKING:
    from hf_lesion.data.leakage import Scan
    from hf_lesion.data.near_duplicates import NearDuplicate

SCHEMES = ("image-level", "copied-rows")
EXIT_LEAK = 1
SHEET_FILE = "near_duplicates.png"
SHOWN_PAIRS = 12


def parse_arguments() -> argparse.Namespace:
    """Parse the command line."""
    parser = cli.build_parser(__doc__)
    cli.add_shared(parser, "dataset", required=True)
    add = parser.add_argument
    help_text = "audit this scheme instead of the splits of the dataset"
    add("--as", dest="scheme", choices=SCHEMES, help=help_text)
    add("--test_fraction", type=float, default=0.2, help="test fraction for --as (default: 0.2)")
    add("--seed", type=int, default=0, help="random seed for --as (default: 0)")
    output_help = "folder for leakage.json, or leakage_<scheme>.json (default: %(default)s)"
    cli.add_shared(parser, "output", default=Path("reports"), help=output_help)
    cli.add_shared(parser, "private")
    return parser.parse_args()


def format_record(record: dict[str, Any]) -> str:
    """Return the record as a table with a conclusion."""
    import pandas as pd

    scheme, near, seen = record["scheme"] or {}, record["near_duplicates"], record["test_rows_seen"]
    splits = ", ".join(
        f"{name} {split['rows']:,} rows of {split['lesions']:,} lesions"
        for name, split in record["splits"].items()
    )
    table = pd.DataFrame(
        {
            "splits": " / ".join(pair["splits"]),
            "shared lesions": len(pair["lesions"]),
            "identical images": len(pair["identical"]),
            "near-duplicates": "–" if near is None else pair["near_duplicates"],
        }
        for pair in record["pairs"]
    )
    table = table.set_index("splits").rename_axis(None).rename_axis("splits", axis=1)
    lines = [f"Splits {scheme.get('name', 'as prepared')}: {splits}", "", table.to_string(), ""]
    if near is not None:
        lines.append(f"Near-duplicates under two lesion_ids, within or between splits: {len(near)}")
        lines += map(_format_near_duplicate, near[:SHOWN_PAIRS])
        if len(near) > SHOWN_PAIRS:
            lines.append(f"  … and {len(near) - SHOWN_PAIRS} more")
        if skipped := record["candidates_not_compared"]:
            lines.append(f"  {skipped:,} weaker candidates were not compared.")
        lines.append("")
    lines.append(
        f"Test rows whose lesion or identical image is in train: {seen['seen']:,} of "
        f"{seen['rows']:,} ({seen['share']:.1%}){_format_average(scheme, 'share')}"
    )
    if scheme.get("name") == "copied-rows":
        lines.append(
            f"Test rows with both other copies in train: {seen['all_others_seen']:,} "
            f"({seen['share_all_others']:.1%}){_format_average(scheme, 'share_all_others')}"
        )
    if record["fingerprint"] != record["fingerprint_prepared"]:
        lines.append("Note: the files have changed since prepare_data.py wrote them.")
    leak = "LEAK: a lesion or an identical image is in two splits."
    clean = "No lesion and no identical image is in two splits."
    return "\n".join([*lines, leak if record["leaks"] else clean])


def _format_near_duplicate(pair: dict[str, Any]) -> str:
    first, second = (
        f"{image_id} ({split}, {label})"
        for image_id, split, label in zip(
            pair["image_id"], pair["split"], pair["label"], strict=True
        )
    )
    correlation = pair["detail_correlation"]
    return f"  {first} and {second}: correlation {correlation:.2f}, {pair['orientation']}"


def _format_average(scheme: dict[str, Any], share: str) -> str:
    if not scheme:
        return ""
    average = scheme["average"]
    mean, spread = average[share]["mean"], average[share]["standard_deviation"]
    return f"; over {average['draws']} draws {mean:.1%} ± {spread:.1%}"


def write_sheet(
    arguments: argparse.Namespace, found: "Scan", pairs: "list[NearDuplicate]"
) -> Path | None:
    """Write thumbnails of the most similar pairs; return the path, or None without pairs."""
    from hf_lesion.data import reader
    from hf_lesion.eda import figures
    from hf_lesion.io.figures import write_figure

    path = arguments.private / SHEET_FILE
    if not pairs:
        path.unlink(missing_ok=True)  # of an earlier run
        return None
    shown = pairs[: figures.SHOWN_PAIRS]
    numbers = {number for pair in shown for number in (pair.first, pair.second)}
    images = reader.read_thumbnails(arguments.dataset, numbers, size=figures.THUMBNAIL)
    write_figure(figures.plot_near_duplicates(found.rows, shown, images, total=len(pairs)), path)
    return path


@one_line_errors
def main() -> None:
    """Audit, print and write the record; exit 1 if there is leakage."""
    arguments = parse_arguments()
    from hf_lesion.data import leakage
    from hf_lesion.io.files import write_json

    arguments.output.mkdir(parents=True, exist_ok=True)
    scheme, fraction, seed = arguments.scheme, arguments.test_fraction, arguments.seed
    found = leakage.scan(arguments.dataset, with_hashes=scheme is None)
    rows, near, sheet, described = found.rows, None, None, None
    if scheme is None:
        near = leakage.find_near_duplicates(arguments.dataset, found)
        sheet = write_sheet(arguments, found, near[0])
    else:
        rows = leakage.SCHEMES[scheme](found.rows, test_fraction=fraction, seed=seed)
        average = leakage.repeat_scheme(found.rows, scheme, test_fraction=fraction)
        described = {"name": scheme, "test_fraction": fraction, "seed": seed, "average": average}
    record = leakage.build_record(arguments.dataset, found, rows, scheme=described, near=near)
    path = arguments.output / (f"leakage_{scheme}.json" if scheme else "leakage.json")
    write_json(path, record)
    print(format_record(record))
    print(f"\nWritten: {path}" + (f" and {sheet}" if sheet else ""))
    if record["leaks"]:
        sys.exit(EXIT_LEAK)


if __name__ == "__main__":
    main()
