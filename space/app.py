"""Serve the web demo: an image in, seven probabilities and a heatmap out.

Launch: python space/app.py --models runs/resnet18 runs/cnn
"""

import argparse
import os
import socket
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from hf_lesion.errors import InputError, one_line_errors

if TYPE_CHECKING:
    import gradio as gr

    from hf_lesion.inference import LesionClassifier

# Read by gradio when it is first imported.
os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"

MODELS = Path(__file__).with_name("models")
HIGHEST_PORT = 65535
EXAMPLES = """examples:
  python space/app.py --models runs/resnet18            one model folder
  python space/app.py --models runs                     every model folder in runs/
  python space/app.py --models runs/a runs/b --port 8000
"""


@one_line_errors
def main() -> None:
    """Load the models, build the page and serve it until Ctrl-C."""
    options = parse_options()
    check_port(options.host, options.port)
    # Heavy imports come after parsing, so that --help and a typing error answer at once.
    from catalogue import load_models

    models, lines = load_models(options.models)
    for line in lines:
        print(line, file=sys.stderr)
    print(f"Models: {', '.join(models)}", flush=True)
    serve(build_demo(models), options)


def build_demo(models: "Mapping[str, LesionClassifier]") -> "gr.Blocks":
    """Build the web page for these models; launch it with `**page.launch_options()`.

    Args:
        models: At least one classifier, by the name that a visitor chooses it by.
    """
    from page import build_page

    return build_page(models)


def serve(demo: "gr.Blocks", options: argparse.Namespace) -> None:
    """Serve the page until Ctrl-C; without a share link if none can be had."""
    from page import launch_options

    if options.share:
        print("The share link is public: whoever has it can use this page.", flush=True)
    try:
        demo.launch(
            server_name=options.host,
            server_port=options.port,
            share=options.share,
            prevent_thread_lock=True,
            quiet=True,
            **launch_options(),
        )
    except OSError as error:
        # It was free before the models were loaded.
        raise InputError(
            f"Port {options.port} was taken meanwhile. Pass another --port."
        ) from error
    if options.share and not demo.share_url:
        print("No share link could be made (no network?); serving on this machine only.")
    print(f"Serving on {demo.local_url} (Ctrl-C ends it)", flush=True)
    demo.block_thread()


def check_port(host: str, port: int) -> None:
    """Raise InputError if nothing can be served at this address."""
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        with socket.socket(family) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind((host, port))
    except OSError as error:
        raise InputError(
            f"Nothing can be served on {host}, port {port} ({error.strerror}). "
            "Pass another --port or --host."
        ) from error


def parse_options() -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, epilog=EXAMPLES, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--models",
        nargs="+",
        type=Path,
        default=[MODELS],
        metavar="DIR",
        help="model folders, or folders of model folders (default: space/models)",
    )
    # A Space sets these two variables.
    parser.add_argument(
        "--host",
        default=os.environ.get("GRADIO_SERVER_NAME", "127.0.0.1"),
        help="address to serve on; 0.0.0.0 for the whole network (default: %(default)s)",
    )
    parser.add_argument(
        "--port",
        type=_port,
        default=os.environ.get("GRADIO_SERVER_PORT", "7860"),
        help="port to serve on (default: %(default)s)",
    )
    parser.add_argument(
        "--share", action="store_true", help="also make a public gradio.live link for a week"
    )
    return parser.parse_args()


def _port(text: str) -> int:
    if not text.isdecimal() or not 0 < int(text) <= HIGHEST_PORT:
        raise argparse.ArgumentTypeError(f"expected a port from 1 to {HIGHEST_PORT}, got {text}")
    return int(text)


if __name__ == "__main__":
    main()
