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
compare: the image and the heatmap of each model side by side on a common colour scale, with the
prediction, its probability, the fraction of the heatmap inside the lesion, and the agreement
between models.
sheet: the most confident correct and incorrect cases of each diagnosis with heatmaps. The sheets
show images of the dataset and must not be committed to git.
shortcuts: three drawn lesions with each change of `score`, and the predictions of the models.
"""

import argparse
from pathlib import Path
from typing import Any

from hf_lesion import cli
from hf_lesion.errors import one_line_errors

PARTS = ("localisation", "shortcuts", "faithfulness")  # copied, since hf_lesion imports slowly
METHODS = ["gradcam", "gradcam++", "hirescam", "layercam", "eigencam"]
# Counts of `score`: default, least, and what is counted.
COUNTS = {
    "images": (None, 1, "evaluate N random images (default: all)"),
    "subset": (400, 1, "random images for the finer heatmap and the shortcuts (default: 400)"),
    "faithful": (10, 1, "images of each diagnosis for deletion and insertion (default: 10)"),
    "road": (6, 0, "of these, images of each diagnosis for ROAD, which is slow (default: 6)"),
}


def parse_arguments() -> argparse.Namespace:
    """Parse the command line."""
    parser = cli.build_parser(__doc__)
    commands = parser.add_subparsers(dest="command", required=True, metavar="WHAT")
    score = commands.add_parser("score", help="evaluate heatmaps on a prepared split")
    sheet = commands.add_parser("sheet", help="cases of each diagnosis with heatmaps")
    compare = commands.add_parser("compare", help="heatmaps of several models on any images")
    shortcuts = commands.add_parser("shortcuts", help="drawn lesions with artefacts")
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
    each: dict[str, Any] = {"type": cli.at_least(1), "default": 4, "metavar": "N"}
    sheet.add_argument("--each", **each, help="correct and wrong cases of each (default: 4)")
    cli.add_shared(
        sheet, "output", default=Path("reports/private/cases"), help="(default: %(default)s)"
    )
    _add_compare(compare)
    return parser.parse_args()


def _add_score(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    several: dict[str, Any] = {"nargs": "+", "metavar": "NAME"}
    help_text = "heatmap methods; the first is evaluated in detail (default: all five)"
    add("--methods", **several, default=METHODS, help=help_text)
    for name, (default, least, counted) in COUNTS.items():
        add(f"--{name}", type=cli.at_least(least), default=default, metavar="N", help=counted)
    help_text = f"parts to evaluate, keeping the others: {', '.join(PARTS)} (default: all)"
    add("--parts", **several, default=PARTS, choices=PARTS, help=help_text)
    cli.add_shared(parser, "batch_size")
    output_help = "output folder, with a subfolder per model if several (default: the model folder)"
    cli.add_shared(parser, "output", help=output_help)


def _add_compare(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    paths: dict[str, Any] = {"nargs": "+", "type": Path, "metavar": "PATH"}
    add("--images", **paths, required=True, help="image files or folders")
    add("--masks", type=Path, metavar="DIR", help="folder with <name>_segmentation.png")
    target_help = "class to explain, or runner-up (default: the predicted class)"
    add("--target", metavar="CODE", help=target_help)
    add("--method", default="gradcam", metavar="NAME", help="heatmap method (default: gradcam)")


def score(arguments: argparse.Namespace) -> None:
    """Evaluate the heatmaps of each model, writing each part when it is done; print and plot."""
    from hf_lesion.classifier import LesionClassifier
    from hf_lesion.evaluation.explanations import measure, record
    from hf_lesion.evaluation.explanations.figures import draw_scores
    from hf_lesion.evaluation.explanations.tables import render_section
    from hf_lesion.evaluation.scoring import read_split, sample_images
    from hf_lesion.io.figures import write_figure

    split, outputs = arguments.split, {model: model for model in arguments.model}
    if arguments.output is not None:
        several = len(outputs) > 1
        outputs = {
            model: arguments.output / model.resolve().name if several else arguments.output
            for model in outputs
        }
    for output in outputs.values():  # before the long work
        if (output / record.EXPLANATIONS).exists():
            record.read_explanations(output)
    images = sample_images(read_split(arguments.dataset, split), arguments.images)
    images.load_mask(0)  # an error before the long work if there are none
    effort = measure.Effort(
        arguments.subset, arguments.faithful, arguments.road, arguments.batch_size
    )
    for model, output in outputs.items():
        classifier = LesionClassifier.from_pretrained(model)
        path = record.write_explanations(
            output, split, measure.describe_run(classifier, images, model)
        )
        for part, found in measure.measure_model(
            classifier, images, methods=arguments.methods, effort=effort, parts=arguments.parts
        ):
            record.write_explanations(output, split, {part: found})
        written = record.read_explanations(path)[split]
        print(render_section(written))
        print(f"\nWritten: {path}", end="")
        if "localisation" in written:
            title = f"Where {classifier.name} looks: {images.source}, {split}"
            figure = draw_scores(written, title=title)
            write_figure(figure, output / f"explanations_{split}.png")
            print(f" and explanations_{split}.png", end="")
        print()


def compare(arguments: argparse.Namespace) -> None:
    """Plot the heatmaps of several models side by side."""
    from hf_lesion.classifier import LesionClassifier
    from hf_lesion.evaluation.explanations.cases import compare_models, read_cases
    from hf_lesion.explain.figures import RESOLUTION, draw_rows
    from hf_lesion.io.decoding import describe_left_out
    from hf_lesion.io.figures import check_format, write_figure

    check_format(arguments.output)
    cases, left_out = read_cases(arguments.images, arguments.masks)
    if left_out:
        print(describe_left_out(left_out), flush=True)
    models = [LesionClassifier.from_pretrained(name) for name in arguments.models]
    rows = compare_models(models, cases, target=arguments.target, method=arguments.method)
    what = "the predicted class" if arguments.target is None else arguments.target
    names = ["image", *(model.name for model in models)]
    figure = draw_rows(rows, title=f"Heatmaps for {what}", names=names)
    write_figure(figure, arguments.output, resolution=RESOLUTION)
    for case, row in zip(cases, rows, strict=True):
        if row.remark:
            print(f"{case.name}: {' '.join(row.remark.split())}")
    print(f"Written: {arguments.output}")


def sheet(arguments: argparse.Namespace) -> None:
    """Plot a sheet of cases for each diagnosis."""
    from hf_lesion.classifier import LesionClassifier
    from hf_lesion.evaluation import scoring
    from hf_lesion.evaluation.explanations.cases import choose_cases, draw_class
    from hf_lesion.explain.figures import RESOLUTION, draw_rows
    from hf_lesion.io.figures import write_figure
    from hf_lesion.labels import NAMES

    images = scoring.read_split(arguments.dataset, arguments.split)
    classifier = LesionClassifier.from_pretrained(arguments.model)
    probabilities = scoring.predict(classifier, images, batch_size=32).probabilities
    for label, (code, name) in enumerate(NAMES.items()):
        chosen = choose_cases(probabilities, images.references, label, each=arguments.each)
        if any(chosen.values()):
            rows = draw_class(classifier, images, chosen)
            path = arguments.output / f"{classifier.name}_{code}.png"
            figure = draw_rows(rows, title=f"{name}: {classifier.name}")
            write_figure(figure, path, resolution=RESOLUTION)
            print(f"Written: {path}")


def shortcuts(arguments: argparse.Namespace) -> None:
    """Plot three drawn lesions with artefacts, and the predictions of the models."""
    from hf_lesion.classifier import LesionClassifier
    from hf_lesion.evaluation.explanations.cases import Case, draw_changes
    from hf_lesion.explain.figures import RESOLUTION, draw_rows
    from hf_lesion.explain.shortcuts import CHANGES
    from hf_lesion.io.figures import check_format, write_figure
    from hf_lesion.synthetic.lesions import draw_lesion

    check_format(arguments.output)
    drawn = {code: draw_lesion(code, seed=seed, size=(240, 180))
             for code, seed in (("mel", 5), ("nv", 8), ("bcc", 3))}  # fmt: skip
    cases = [Case(f"drawn {code}", *parts, code) for code, parts in drawn.items()]
    models = [LesionClassifier.from_pretrained(name) for name in arguments.models]
    title = f"Drawn lesions with {len(CHANGES)} changes; arrows mark changed predictions"
    figure = draw_rows(draw_changes(models, cases), title=title, names=["as drawn", *CHANGES])
    write_figure(figure, arguments.output, resolution=RESOLUTION)
    print(f"Written: {arguments.output}")


@one_line_errors
def main() -> None:
    """Run the subcommand."""
    arguments = parse_arguments()
    from hf_lesion.verbosity import quiet_libraries

    quiet_libraries()
    commands = {"score": score, "compare": compare, "sheet": sheet, "shortcuts": shortcuts}
    commands[arguments.command](arguments)


if __name__ == "__main__":
    main()
