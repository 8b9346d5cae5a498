"""Web demo: classifies dermoscopic images and shows heatmaps.

    python space/app.py --models runs/resnet18            one model folder
    python space/app.py --models runs                     every model folder in runs/
    python space/app.py --models runs/a runs/b --port 8000
    python space/app.py --models me/a me/b@1a2b3c4        from the Hub, the second at a commit
    python space/app.py --share --auth_file people.txt    a public link, with a login

people.txt has one name:password per line. Temporary files are deleted when the page stops; those of
a killed page are deleted by the next start.
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
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from hf_lesion import cli
from hf_lesion.errors import InputError, StoppedError, one_line_errors

if TYPE_CHECKING:
    from collections.abc import Callable

    import gradio as gr

# Read by gradio when it is first imported.
os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"

# glibc's M_ARENA_MAX, for mallopt(3).
ARENA_MAX = -8
PORTS = range(1, 65536)
TERMINATED = 128 + signal.SIGTERM


@one_line_errors
def main() -> None:
    """Serve the page until Ctrl-C or SIGTERM; the models are loaded in the background."""
    options = parse_options()
    signal.signal(signal.SIGTERM, _stop)
    limit_memory_arenas()
    check_port(options.host, options.port)
    # Slow imports come after parsing, so that --help and invalid options are answered at once.
    from registry import Registry, read_entries
    from sources import default_sources, fetch_models
    from temporary import temporary_folder

    auth = None if options.auth_file is None else read_auth(options.auth_file)
    with temporary_folder():
        sources = options.models or default_sources()
        folders, names, fetched = fetch_models(sources)
        entries, skipped = read_entries(folders, names=names)
        lines = [*fetched, *skipped]
        for line in lines:
            print(line, file=sys.stderr)
        build_page = import_page()
        # The decoder does so as well, but `warnings.catch_warnings` is not thread-safe.
        warnings.filterwarnings("ignore", module=r"PIL\.")
        registry = Registry(entries, lines=lines)
        demo = build_page(registry, max_concurrency=options.max_concurrency)
        print(f"Models: {', '.join(registry.names())}", flush=True)
        if options.share:
            registry.start()  # opening the tunnel may take longer than loading
        serve(demo, options, auth)
        if not options.share:
            registry.start()  # after startup, which it would slow down
        try:
            threading.Event().wait()
        finally:
            demo.close(verbose=False)


def import_page() -> "Callable[..., gr.Blocks]":
    """Import and return `server.build_page`; gradio takes seconds."""
    try:
        from server import build_page
    except ImportError as error:
        raise InputError(
            f"The page can't be imported ({error}). Install the versions in pyproject.toml: pip "
            "install -e '.[space]'."
        ) from error
    return build_page


def limit_memory_arenas() -> None:
    """Make all threads share one memory arena, with glibc.

    By default each thread keeps its freed memory in its own arena, so that memory grows under load:
    by 61 MiB from the 150th to the 1,200th request, with one arena by 16 MiB.
    """
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL("libc.so.6").mallopt(ARENA_MAX, 1)


def serve(
    demo: "gr.Blocks", options: argparse.Namespace, auth: list[tuple[str, str]] | None
) -> None:
    """Start serving the page, without a share link if none can be created."""
    from server import launch_options

    bypass_proxy(options.host)
    if options.share:
        print("The share link is public: anyone who has it can use this page.", flush=True)
    # Gradio prints ten lines if it can't create a share link; ours is below.
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
    if options.share and not demo.share_url:
        print("No share link could be created (no network?); serving on this machine only.")
    if demo.share_url:
        print(f"Public link for one week: {demo.share_url}")
    print(f"Serving on {demo.local_url} (stop with Ctrl-C)", flush=True)


def bypass_proxy(host: str) -> None:
    """Exempt the page's own address from a proxy, since gradio checks that it can be reached."""
    hosts = os.environ.get("no_proxy") or os.environ.get("NO_PROXY") or ""
    os.environ["no_proxy"] = ",".join([*filter(None, [hosts]), "localhost", "127.0.0.1", host])


def read_auth(file: Path) -> list[tuple[str, str]]:
    """Read the names and passwords of a login file, without empty lines and # comments."""
    try:
        lines = file.read_text(encoding="utf-8").splitlines()
    except UnicodeDecodeError as error:
        raise InputError(f"{file} is not UTF-8 text. Save it in UTF-8.") from error
    pairs = []
    for number, line in enumerate(lines, start=1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        name, colon, password = line.strip().partition(":")
        if not (name and colon and password):
            # Not the line itself, which may contain a password.
            raise InputError(f"{file}, line {number}: expected name:password.")
        pairs.append((name, password))
    if not pairs:
        raise InputError(f"{file} has no names. Write one name:password per line.")
    return pairs


def check_port(host: str, port: int) -> None:
    """Raise InputError if the address is not available."""
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        with socket.socket(family) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind((host, port))
    except OSError as error:
        raise InputError(
            f"Can't serve on {host}, port {port} ({error.strerror}). Pass another --port or --host."
        ) from error


def parse_options() -> argparse.Namespace:
    """Parse the command line."""
    parser = cli.build_parser(__doc__)
    add = parser.add_argument
    add(
        "--models",
        nargs="+",
        metavar="DIR|HUB_ID",
        help="model folders, folders of model folders, or models on the Hub, as owner/name or "
        "owner/name@commit (default: space/models)",
    )
    # The Hub sets these two variables in a Space.
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
    add("--share", action="store_true", help="also create a public gradio.live link for one week")
    add(
        "--auth_file",
        type=Path,
        metavar="FILE",
        help="require a login with a name and password from FILE",
    )
    add(
        "--max_concurrency",
        type=cli.at_least(1),
        default=os.cpu_count() or 1,
        metavar="N",
        help="maximum number of requests computed at once (default: %(default)s, the CPU cores)",
    )
    return parser.parse_args()


def _port(text: str) -> int:
    if not text.isdecimal() or int(text) not in PORTS:
        raise argparse.ArgumentTypeError(f"expected a port from 1 to {PORTS[-1]}, got {text}")
    return int(text)


def _stop(_number: int, _frame: object) -> NoReturn:
    raise StoppedError("stopped", TERMINATED)


def _leave(code: int) -> NoReturn:
    """Exit at once, after running the exit handlers.

    A regular shutdown of the interpreter takes seconds, and threads that are still loading a model
    or computing a result can crash it meanwhile.
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
