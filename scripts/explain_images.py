r"""Compute heatmaps, and evaluate them: localisation, faithfulness, shortcuts, agreement.

    python scripts/explain_images.py score --model runs/resnet18 --dataset data/ham10000
    python scripts/explain_images.py compare --models runs/cnn runs/resnet18 --images lesion.jpg \
        --output figure.png
    python scripts/explain_images.py sheet --model runs/resnet18 --dataset data/ham10000
    python scripts/explain_images.py shortcuts --models runs/cnn runs/resnet18 --output figure.png

score: overlap of heatmaps with lesion masks, compared with baselines that do not use the model;
faithfulness by deletion and insertion of pixels; and how often rulers, hair, ink, dark corners or a
masked lesion change the prediction. Also counts lesions that extend beyond the centre crop. Writes
explanations.json and explanations_<split>.png to the model folder.
compare: the image and the heatmap of each model side by side on one colour scale, with prediction,
probability, fraction of the heat inside the lesion, and agreement between the models.
sheet: the most confident correct and incorrect cases of each diagnosis with heatmaps. The sheets
show images of the dataset and must not be committed to git.
shortcuts: three synthetic lesions with each change of `score`, and the predictions of the models.
"""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hf_lesion import cli
from hf_lesion.errors import one_line_errors

if TYPE_CHECKING:
    from hf_lesion.classifier import LesionClassifier
    from hf_lesion.evaluation.explanations.masked_set import MaskedSet

SHEETS = Path("reports/private/cases")
PARTS = ("localisation", "shortcuts", "faithfulness")  # copied, since hf_lesion imports slowly


def parse_arguments() -> argparse.Namespace:
    """Parse the command line."""
    parser = cli.build_parser(__doc__)
    commands = parser.add_subparsers(dest="command", required=True, metavar="WHAT")
    score = commands.add_parser("score", help="evaluate heatmaps on a prepared split")
    sheet = commands.add_parser("sheet", help="cases of each diagnosis with heatmaps")
    compare = commands.add_parser("compare", help="heatmaps of several models on any images")
    shortcuts = commands.add_parser("shortcuts", help="synthetic lesions with artefacts")
    cli.add_shared(score, "model", nargs="+", required=True)
    cli.add_shared(sheet, "model", required=True)
    for command in (score, sheet):
        cli.add_shared(command, "dataset", required=True)
        cli.add_shared(command, "split")
    for command in (compare, shortcuts):
        models = {"nargs": "+", "type": str, "metavar": "MODEL", "help": "model folders or Hub ids"}
        cli.add_shared(command, "models", required=True, **models)
        cli.add_shared(command, "output", required=True, metavar="FILE", help="PNG or WebP file")
    _add_score(score)
    add = sheet.add_argument
    add(
        "--each",
        type=cli.at_least(1),
        default=4,
        metavar="N",
        help="cases of each kind (default: 4)",
    )
    cli.add_shared(sheet, "output", default=SHEETS, help="(default: %(default)s)")
    _add_compare(compare)
    return parser.parse_args()


def _add_score(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    count: dict[str, Any] = {"type": cli.at_least(1), "metavar": "N"}
    add(
        "--methods",
        nargs="+",
        default=["gradcam", "gradcam++", "hirescam", "layercam", "eigencam"],
        metavar="NAME",
        help="heatmap methods; the first is evaluated in detail (default: all five)",
    )
    add("--images", **count, help="evaluate N images, sampled at random (default: all)")
    subset_help = "images, sampled at random, for the finer map and shortcuts (default: 400)"
    add("--subset", **count, default=400, help=subset_help)
    faithful_help = "images of each diagnosis for deletion and insertion (default: 10)"
    add("--faithful", **count, default=10, help=faithful_help)
    add(
        "--road",
        type=cli.at_least(0),
        default=6,
        metavar="N",
        help="of these, images of each diagnosis for ROAD, which is slow; 0: none (default: 6)",
    )
    add(
        "--parts",
        nargs="+",
        default=PARTS,
        choices=PARTS,
        metavar="PART",
        help=f"parts to evaluate: {', '.join(PARTS)} (default: all); others are kept",
    )
    cli.add_shared(parser, "batch_size")
    output_help = "output folder, with a subfolder per model if several (default: the model folder)"
    cli.add_shared(parser, "output", help=output_help)


def _add_compare(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add(
        "--images",
        nargs="+",
        type=Path,
        required=True,
        metavar="PATH",
        help="image files or folders",
    )
    add("--masks", type=Path, metavar="DIR", help="folder with <name>_segmentation.png")
    add(
        "--target",
        metavar="CODE",
        help="class to explain, or runner-up (default: the predicted class)",
    )
    add("--method", default="gradcam", metavar="NAME", help="heatmap method (default: gradcam)")


def read_masked(arguments: argparse.Namespace) -> "MaskedSet":
    """Return the split with its masks."""
    from hf_lesion.evaluation.explanations.masked_set import read_masked_split

    return read_masked_split(arguments.dataset, arguments.split)


def score(arguments: argparse.Namespace) -> None:
    """Evaluate the heatmaps of each model."""
    from hf_lesion.evaluation.explanations import record as explanation_record
    from hf_lesion.evaluation.explanations.masked_set import take_some
    from hf_lesion.verbosity import quiet_libraries

    quiet_libraries()
    folders = {model: output_of(arguments, model) for model in arguments.model}
    for folder in folders.values():
        if (folder / explanation_record.EXPLANATIONS).exists():
            explanation_record.read_explanations(folder)
    masked = take_some(read_masked(arguments), arguments.images)
    for model, folder in folders.items():
        score_model(arguments, masked, model, folder)


def score_model(
    arguments: argparse.Namespace, masked: "MaskedSet", model: Path, output: Path
) -> None:
    """Evaluate the heatmaps of a model, writing each part when it is done; print and plot."""
    from hf_lesion.classifier import LesionClassifier
    from hf_lesion.evaluation.explanations.figures import draw_scores
    from hf_lesion.evaluation.explanations.record import read_explanations, write_explanations
    from hf_lesion.evaluation.explanations.run import Effort, describe_run, measure_model
    from hf_lesion.evaluation.explanations.section import render_section
    from hf_lesion.io.figures import write_figure

    classifier = LesionClassifier.from_pretrained(model)
    split = arguments.split
    path = write_explanations(output, split, describe_run(classifier, masked, model))
    for part, found in measure_model(
        classifier,
        masked,
        methods=arguments.methods,
        effort=Effort(arguments.subset, arguments.faithful, arguments.road, arguments.batch_size),
        parts=arguments.parts,
    ):
        write_explanations(output, split, {part: found})
    record = read_explanations(path)[split]
    print(render_section(record))
    written = str(path)
    if "localisation" in record:
        title = f"Where {classifier.name} looks: {masked.images.source}, {split}"
        write_figure(draw_scores(record, title=title), output / f"explanations_{split}.png")
        written = f"{path} and explanations_{split}.png"
    print(f"\nWritten: {written}")


def output_of(arguments: argparse.Namespace, model: Path) -> Path:
    """Return the output folder of a model."""
    if arguments.output is None:
        return model
    several = len(arguments.model) > 1
    return arguments.output / model.resolve().name if several else arguments.output


def compare(arguments: argparse.Namespace) -> None:
    """Plot the heatmaps of several models side by side."""
    from hf_lesion.evaluation.explanations.cases import compare_models, find_cases, read_cases
    from hf_lesion.explain.figures import RESOLUTION, draw_rows
    from hf_lesion.io.decoding import describe_left_out
    from hf_lesion.io.figures import check_format, write_figure

    check_format(arguments.output)
    files, left_out = find_cases(arguments.images, arguments.masks)
    if left_out:
        print(describe_left_out(left_out), flush=True)
    cases = read_cases(files, arguments.masks)
    models = load_models(arguments.models)
    rows, agreements = compare_models(
        models, cases, target=arguments.target, method=arguments.method
    )
    what = "the predicted class" if arguments.target is None else arguments.target
    names = ["image", *(model.name for model in models)]
    figure = draw_rows(rows, title=f"Heat for {what}", names=names)
    write_figure(figure, arguments.output, resolution=RESOLUTION)
    for case, agreement in zip(cases, agreements, strict=True):
        for (first, second), found in agreement.items():
            flag = "  (different regions)" if found.is_apart else ""
            print(
                f"{case.name}: {first} and {second}: Pearson {found.pearson:.2f}, "
                f"IoU of the top 20% {found.iou:.2f}{flag}"
            )
    print(f"Written: {arguments.output}")


def sheet(arguments: argparse.Namespace) -> None:
    """Plot a sheet of cases for each diagnosis."""
    from hf_lesion.classifier import LesionClassifier
    from hf_lesion.evaluation import scoring
    from hf_lesion.evaluation.explanations.cases import choose_cases, draw_class
    from hf_lesion.explain.figures import RESOLUTION, draw_rows
    from hf_lesion.io.figures import write_figure
    from hf_lesion.labels import CODES, NAMES
    from hf_lesion.verbosity import quiet_libraries

    quiet_libraries()
    masked = read_masked(arguments)
    classifier = LesionClassifier.from_pretrained(arguments.model)
    answers = scoring.predict(classifier, masked.images, batch_size=32)
    for label, code in enumerate(CODES):
        chosen = choose_cases(
            answers.probabilities, masked.images.references, label, each=arguments.each
        )
        if not any(chosen.values()):
            continue
        rows = draw_class(classifier, masked, chosen)
        path = arguments.output / f"{classifier.name}_{code}.png"
        figure = draw_rows(rows, title=f"{NAMES[code]}: {classifier.name}")
        write_figure(figure, path, resolution=RESOLUTION)
        print(f"Written: {path}")


def shortcuts(arguments: argparse.Namespace) -> None:
    """Plot three synthetic lesions with artefacts, and the predictions of the models."""
    from hf_lesion.evaluation.explanations.cases import Case, draw_changes
    from hf_lesion.explain.figures import RESOLUTION, draw_rows
    from hf_lesion.explain.shortcuts import CHANGES
    from hf_lesion.io.figures import check_format, write_figure
    from hf_lesion.synthetic.lesions import draw_lesion

    check_format(arguments.output)
    cases = []
    for code, seed in (("mel", 5), ("nv", 8), ("bcc", 3)):
        image, mask = draw_lesion(code, seed=seed, size=(240, 180))
        cases.append(Case(f"drawn {code}", image, mask, code))
    rows = draw_changes(load_models(arguments.models), cases)
    title = f"Synthetic lesions with {len(CHANGES)} changes; arrows mark changed predictions"
    names = ["as drawn", *CHANGES]
    figure = draw_rows(rows, title=title, names=names)
    write_figure(figure, arguments.output, resolution=RESOLUTION)
    print(f"Written: {arguments.output}")


def load_models(names: list[str]) -> list["LesionClassifier"]:
    """Load the models."""
    from hf_lesion.classifier import LesionClassifier
    from hf_lesion.verbosity import quiet_libraries

    quiet_libraries()
    return [LesionClassifier.from_pretrained(name) for name in names]


COMMANDS: dict[str, Any] = {
    "score": score,
    "compare": compare,
    "sheet": sheet,
    "shortcuts": shortcuts,
}


@one_line_errors
def main() -> None:
    """Run the subcommand."""
    arguments = parse_arguments()
    COMMANDS[arguments.command](arguments)


if __name__ == "__main__":
    main()
