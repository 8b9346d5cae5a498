"""Serve the web demo: an image in, seven probabilities and a heatmap out.

Launch: python space/app.py --models runs/resnet18 runs/cnn
"""

import argparse
import atexit
import contextlib
import ctypes
import io
import os
import signal
import socket
import sys
import threading
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from hf_lesion.errors import InputError, StoppedError, one_line_errors

if TYPE_CHECKING:
    import gradio as gr

    from hf_lesion.classifier import LesionClassifier

# Read by gradio when it is first imported.
os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"

# glibc's M_ARENA_MAX, for mallopt(3).
ARENA_MAX = -8
HIGHEST_PORT = 65535
TERMINATED = 128 + signal.SIGTERM
EXAMPLES = """examples:
  python space/app.py --models runs/resnet18            one model folder
  python space/app.py --models runs                     every model folder in runs/
  python space/app.py --models runs/a runs/b --port 8000
  python space/app.py --models me/a me/b@1a2b3c4        from the Hub, one of them at a commit
  python space/app.py --share --auth_file people.txt    a public link, by name and password only

people.txt: one name:password a line. Everything temporary lies in one folder, which goes when the
page ends; what a killed page left behind goes when the next one starts.
"""


@one_line_errors
def main() -> None:
    """Serve the page at once, load the models behind it, until Ctrl-C or SIGTERM."""
    options = parse_options()
    signal.signal(signal.SIGTERM, _stop)
    share_one_arena()
    check_port(options.host, options.port)
    # Heavy imports come after parsing, so that --help and a typing error answer at once.
    from registry import Registry, default_sources, fetch_models, read_entries
    from temporary import own_folder

    auth = None if options.auth_file is None else read_auth(options.auth_file)
    with own_folder() as folder:
        sources = options.models or default_sources()
        folders, names, fetched = fetch_models(sources, meanwhile=import_page)
        for line in fetched:
            print(line, file=sys.stderr)
        entries, lines = read_entries(folders, names=names)
        for line in lines:
            print(line, file=sys.stderr)
        import_page()
        # The decoder silences Pillow itself, but `warnings.catch_warnings` is not thread-safe.
        warnings.filterwarnings("ignore", module=r"PIL\.")
        from guards import check_uploads
        from server import build_page

        check_uploads(folder)
        registry = Registry(entries, lines=[*fetched, *lines])
        demo = build_page(registry, max_concurrency=options.max_concurrency)
        print(f"Models: {', '.join(registry.names())}", flush=True)
        if options.share:
            registry.start()  # asking for the tunnel may take longer than loading
        serve(demo, options, auth)
        if not options.share:
            registry.start()  # once the page is served: both at once would slow it down
        try:
            threading.Event().wait()
        finally:
            demo.close(verbose=False)


def import_page() -> None:
    """Import what the page is built with; gradio takes seconds.

    Raises:
        InputError: If gradio no longer has what the page takes from it.
    """
    try:
        import server  # noqa: F401
    except ImportError as error:
        raise InputError(
            f"The page can't be imported ({error}). Install what it was written for, as in "
            "pyproject.toml: pip install -e '.[space]'."
        ) from error


def share_one_arena() -> None:
    """Have all threads take their memory from one pool, where the C library is glibc.

    With a pool for each thread, freed memory is kept in whichever thread's it was, and a page under
    load grows: from the 150th to the 1,200th request by 61 MiB, with one pool by 16.
    """
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL("libc.so.6").mallopt(ARENA_MAX, 1)


def build_demo(models: "Mapping[str, LesionClassifier]") -> "gr.Blocks":
    """Build the web page for these models; launch it with `**page.launch_options()`.

    Args:
        models: At least one classifier, by the name that a visitor chooses it by.
    """
    from registry import Registry
    from server import build_page

    return build_page(Registry.of(models))


def serve(
    demo: "gr.Blocks", options: argparse.Namespace, auth: list[tuple[str, str]] | None
) -> None:
    """Start to serve the page; without a share link if none can be had."""
    from server import launch_options

    reach_itself(options.host)
    if options.share:
        print("The share link is public: whoever has it can use this page.", flush=True)
    try:
        # Where there is no share link, gradio says so in ten lines; one of ours is below.
        with contextlib.redirect_stdout(io.StringIO()):
            demo.launch(
                server_name=options.host,
                server_port=options.port,
                share=options.share,
                auth=auth,
                prevent_thread_lock=True,
                quiet=True,
                **launch_options(),
            )
    except OSError as error:
        # It was free before gradio was imported.
        raise InputError(
            f"Port {options.port} was taken meanwhile. Pass another --port."
        ) from error
    if options.share and not demo.share_url:
        print("No share link could be made (no network?); serving on this machine only.")
    if demo.share_url:
        print(f"Public for a week: {demo.share_url}")
    print(f"Serving on {demo.local_url} (Ctrl-C ends it)", flush=True)


def reach_itself(host: str) -> None:
    """Keep gradio's question whether the page is up from going through a proxy of this network."""
    told = os.environ.get("no_proxy") or os.environ.get("NO_PROXY") or ""
    os.environ["no_proxy"] = ",".join([*filter(None, [told]), "localhost", "127.0.0.1", host])


def read_auth(file: Path) -> list[tuple[str, str]]:
    """Read who may use the page: one name:password a line; empty lines and # lines are skipped.

    Raises:
        InputError: If the file can't be read, names no one, or has a line of another form.
    """
    try:
        lines = file.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{file} can't be read ({type(error).__name__}).") from error
    pairs = []
    for number, line in enumerate(lines, start=1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        name, colon, password = line.strip().partition(":")
        if not (name and colon and password):
            # Never the line itself: it may hold a password.
            raise InputError(f"{file}, line {number}: expected name:password.")
        pairs.append((name, password))
    if not pairs:
        raise InputError(f"{file} names no one. Write one name:password a line.")
    return pairs


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
    add = parser.add_argument
    add(
        "--models",
        nargs="+",
        metavar="DIR|HUB_ID",
        help="model folders, folders of them, or models on the Hub, such as owner/name or "
        "owner/name@commit (default: space/models)",
    )
    # A Space sets these two variables.
    add(
        "--host",
        default=os.environ.get("GRADIO_SERVER_NAME", "127.0.0.1"),
        help="address to serve on; 0.0.0.0 for the whole network (default: %(default)s)",
    )
    add(
        "--port",
        type=_port,
        default=os.environ.get("GRADIO_SERVER_PORT", "7860"),
        help="port to serve on (default: %(default)s)",
    )
    add("--share", action="store_true", help="also make a public gradio.live link for a week")
    add("--auth_file", type=Path, metavar="FILE", help="ask for a name and password from FILE")
    add(
        "--max_concurrency",
        type=_count,
        default=os.cpu_count() or 1,
        metavar="N",
        help="requests computed at once, the others wait (default: %(default)s, the cores)",
    )
    return parser.parse_args()


def _port(text: str) -> int:
    if not text.isdecimal() or not 0 < int(text) <= HIGHEST_PORT:
        raise argparse.ArgumentTypeError(f"expected a port from 1 to {HIGHEST_PORT}, got {text}")
    return int(text)


def _count(text: str) -> int:
    if not text.isdecimal() or not int(text):
        raise argparse.ArgumentTypeError(f"expected a number from 1 on, got {text}")
    return int(text)


def _stop(_number: int, _frame: object) -> NoReturn:
    raise StoppedError("stopped", TERMINATED)


def _leave(code: int) -> NoReturn:
    """End at once, with all that was promised for the end.

    The interpreter would first take itself apart, for seconds, and threads that still load a model
    or answer a question can crash it meanwhile.
    """
    atexit._run_exitfuncs()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


if __name__ == "__main__":
    try:
        main()
    except SystemExit as end:
        if "torch" in sys.modules and isinstance(end.code, int):
            _leave(end.code)
        raise
