"""Publish a model, the dataset or the web demo on the Hugging Face Hub, in one commit.

    python scripts/publish.py model --model runs/resnet18 --repo_id me/ham10000-resnet18
    python scripts/publish.py dataset --dataset data/ham10000 --repo_id me/ham10000
    python scripts/publish.py space --models space/models me/a@1a2b3c4 --repo_id me/skin-lesions
    python scripts/publish.py space --output build/space       only builds the folder
    python scripts/publish.py space --static --repo_id me/in-the-browser
    python scripts/publish.py model --model runs/cnn --repo_id me/cnn --dry_run

Builds a clean folder (reports and charts of a model are rendered from its records), checks it (it
loads, the card matches the records, no dataset images, no tokens), checks the account, lists the
files, and uploads those that have changed. Running the command again resumes an interrupted upload
and otherwise changes nothing. Datasets are private unless --public is passed. With --static, the
Space consists of static files for any web server, and its models run in the visitor's browser.
"""

import argparse
import contextlib
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from hf_lesion import cli
from hf_lesion.errors import InputError, one_line_errors

SPACE = Path(__file__).resolve().parent.parent / "space"


def parse_arguments() -> argparse.Namespace:
    """Parse the command line."""
    parser = cli.build_parser(__doc__)
    kinds = parser.add_subparsers(dest="kind", required=True, metavar="model|dataset|space")
    model = kinds.add_parser("model", help="a trained model")
    cli.add_shared(model, "model", required=True, help="folder of a finished run or packed model")
    dataset = kinds.add_parser("dataset", help="a prepared dataset")
    cli.add_shared(dataset, "dataset", required=True)
    space = kinds.add_parser("space", help="the web demo")
    add = space.add_argument
    help_text = "folders to include or Hub ids to pin to a commit (default: space/models)"
    sources: dict[str, Any] = {"nargs": "+", "metavar": "DIR|HUB_ID"}
    add("--models", **sources, default=[str(SPACE / "models")], help=help_text)
    help_text = "build static files that run the models in the browser"
    add("--static", action="store_true", help=help_text)
    for kind in (model, dataset, space):
        _add_common(kind)
    options = parser.parse_args()
    if options.repo_id is None and options.output is None and not options.dry_run:
        raise InputError("Pass --repo_id owner/name to publish, or --output DIR to build only.")
    return options


def _add_common(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    help_text = "repository to publish to; without it only --output is written"
    add("--repo_id", metavar="OWNER/NAME", help=help_text)
    add_either = parser.add_mutually_exclusive_group().add_argument
    help_text = "create a private repository"
    add_either("--private", action="store_true", default=None, help=help_text)
    help_text = "create a public repository"
    add_either("--public", action="store_false", dest="private", help=help_text)
    add("--revision", metavar="BRANCH", help="branch to write to (default: main)")
    add("--dry_run", action="store_true", help="build, check and list files without uploading")
    cli.add_shared(parser, "output", help="folder to build in (default: a temporary one)")
    help_text = "replace an existing --output or files that this script did not publish"
    cli.add_shared(parser, "overwrite", help=help_text)
    help_text = "timeout of a request in seconds (default: 60)"
    add("--timeout", type=float, default=60, metavar="S", help=help_text)


@one_line_errors
def main() -> None:
    """Build, check, list and upload."""
    options = parse_arguments()
    # First, before building and importing torch, to report an invalid name or token within seconds.
    from hf_lesion.hub.client import check_account

    repo_id = None
    try:
        if options.repo_id is not None:
            repo_id = check_account(options.repo_id, timeout=options.timeout)
    except InputError as error:
        if not options.dry_run:
            raise
        print(f"The account was not checked: {error}")
    from hf_lesion.hub.publish import publish_folder, show_files
    from hf_lesion.verbosity import quiet_libraries

    quiet_libraries()
    with _built(options, repo_id) as folder:
        sizes = [file.stat().st_size for file in folder.rglob("*") if file.is_file()]
        print(f"Built and checked: {len(sizes)} files, {sum(sizes) / 1e6:.1f} MB", flush=True)
        if repo_id is not None:
            publish_folder(
                folder,
                repo_id,
                options.kind,
                revision=options.revision,
                private=options.private,
                overwrite=options.overwrite,
                dry_run=options.dry_run,
            )
        elif options.dry_run:
            show_files(folder)
    if options.output is not None:
        print(f"Written: {options.output}")


@contextlib.contextmanager
def _built(options: argparse.Namespace, repo_id: str | None) -> Iterator[Path]:
    """Build the folder and yield it: --output or a temporary one."""
    from hf_lesion.io.files import whole_folder

    if options.output is not None:
        # Kept even if the upload fails.
        with whole_folder(options.output, overwrite=options.overwrite) as folder:
            _build(options, folder, repo_id)
        yield options.output
        return
    with tempfile.TemporaryDirectory(prefix="hf_lesion_publish_") as temporary:
        _build(options, Path(temporary), repo_id)
        yield Path(temporary)


def _build(options: argparse.Namespace, folder: Path, repo_id: str | None) -> None:
    if options.kind == "model":
        from hf_lesion.hub.model import build_model_folder

        build_model_folder(options.model, folder, name=repo_id or options.model.resolve().name)
    elif options.kind == "dataset":
        from hf_lesion.hub.dataset import build_dataset_folder

        name = repo_id or options.dataset.resolve().name
        build_dataset_folder(options.dataset, folder, name=name)
    elif options.static:
        from hf_lesion.hub.static import build_static_folder

        build_static_folder(SPACE / "static", folder, models=options.models)
    else:
        from hf_lesion.hub.space import build_space_folder

        build_space_folder(SPACE, folder, models=options.models)


if __name__ == "__main__":
    main()
