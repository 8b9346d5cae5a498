"""Benchmark of the web demo: latency and throughput of a running page under many clients.

    make demo                          in another terminal
    python scripts/benchmark.py serve --url http://127.0.0.1:7860 --clients 50 --requests 500

Each response is compared with that to a single client.
"""

import argparse
import tempfile
import threading
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from hf_lesion import cli
from hf_lesion.errors import InputError, one_line_errors

if TYPE_CHECKING:
    from gradio_client import Client

SPACE = Path(__file__).resolve().parent.parent / "space"
IMAGE_SIZE = (600, 450)  # pixels, as in HAM10000
TOLERANCE = 1e-6  # of probabilities
TIMEOUT = 300  # seconds; requests are queued


def parse_arguments() -> argparse.Namespace:
    """Parse the command line."""
    parser = cli.build_parser(__doc__)
    add = parser.add_argument
    add("command", choices=["serve"], help="a running page under load")
    add("--url", default="http://127.0.0.1:7860", help="URL of the page (default: %(default)s)")
    names = sorted(file.parent.name for file in (SPACE / "models").glob("*/config.json"))
    add("--models", nargs="+", default=names, help="models of the page (default: the shipped ones)")
    count = cli.at_least(1)
    add("--clients", type=count, default=50, help="concurrent clients (default: %(default)s)")
    add("--requests", type=count, default=500, help="total requests (default: %(default)s)")
    add("--json", type=Path, metavar="FILE", help="also write a record")
    return parser.parse_args()


class Request(NamedTuple):
    """A request to an endpoint of the page for an image and a model."""

    endpoint: str
    model: str
    image: Path


class Response(NamedTuple):
    """A response: (C,) probabilities, the pixels of the heatmap if any, and latency in seconds."""

    probabilities: tuple[float, ...]
    heatmap: bytes
    seconds: float

    def equals(self, other: "Response") -> bool:
        """Return whether probabilities and heatmap are the same."""
        pairs = zip(self.probabilities, other.probabilities, strict=True)
        return self.heatmap == other.heatmap and all(abs(a - b) < TOLERANCE for a, b in pairs)


def build_requests(models: Sequence[str], folder: Path, *, images: int = 3) -> list[Request]:
    """Write drawn images; return requests for each image, with and without a heatmap."""
    from hf_lesion.labels import CODES
    from hf_lesion.synthetic.lesions import draw_lesion

    found = []
    for number in range(images):
        image = folder / f"lesion_{number}.jpg"
        draw_lesion(CODES[number], seed=number, size=IMAGE_SIZE)[0].save(image, quality=95)
        found += [Request(to, name, image) for name in models for to in ("/classify", "/explain")]
    return found


def connect(url: str) -> "Client":
    """Return a client of a running page; raise InputError if it cannot be reached."""
    import httpx
    from gradio_client import Client

    try:
        return Client(url, verbose=False)
    except (httpx.HTTPError, ValueError) as error:
        raise InputError(
            f"No page found at {url}. Start one with `make demo`, or pass --url."
        ) from error


def send(client: "Client", request: Request) -> Response:
    """Send a request and return the response; /explain requests Grad-CAM of melanoma."""
    from gradio_client import handle_file
    from PIL import Image

    start = time.perf_counter()
    endpoint, model, image = request
    more = ("mel", "gradcam") if endpoint == "/explain" else ()
    job = client.submit(handle_file(image), model, *more, api_name=endpoint)
    found = job.result(timeout=TIMEOUT)
    picture, answer = found if more else (None, found)
    heatmap = Image.open(picture).tobytes() if picture else b""
    # Null if the gate rejects the drawing.
    probabilities = tuple((answer["probabilities"] or {}).values())
    return Response(probabilities, heatmap, time.perf_counter() - start)


def send_all(
    url: str, requests: Sequence[Request], expected: Sequence[Response], *, clients: int, count: int
) -> tuple[list[float], int, list[str]]:
    """Send `count` requests, in turn, from many clients at once.

    Returns:
        Latencies in seconds, the number of responses that are not as expected, error messages.
    """
    from tqdm import tqdm

    local = threading.local()
    refused: list[str] = []

    def one(number: int) -> Response | None:
        try:
            if not hasattr(local, "client"):
                local.client = connect(url)
            return send(local.client, requests[number % len(requests)])
        except Exception as error:  # noqa: BLE001 - all errors are counted
            refused.append(str(error) or type(error).__name__)
            return None

    with ThreadPoolExecutor(clients) as pool:
        bar = tqdm(pool.map(one, range(count)), total=count, unit="request", disable=None)
        responses = list(bar)
    pairs = [
        (response, expected[n % len(expected)]) for n, response in enumerate(responses) if response
    ]
    wrong = sum(not response.equals(known) for response, known in pairs)
    return [response.seconds for response, _ in pairs], wrong, refused


def measure_serve(arguments: argparse.Namespace) -> dict[str, Any]:
    """Measure a running page with single requests and with many clients at once."""
    import pandas as pd

    client = connect(arguments.url)
    with tempfile.TemporaryDirectory() as folder:
        requests = build_requests(arguments.models, Path(folder))
        expected = [send(client, request) for request in requests]
        start = time.perf_counter()
        clients, count = arguments.clients, arguments.requests
        sent = send_all(arguments.url, requests, expected, clients=clients, count=count)
        wall = time.perf_counter() - start
    latencies, wrong, refused = sent
    seconds = pd.Series(latencies, dtype=float)
    found = {
        "answered": len(seconds),
        "refused": len(refused),
        "wrong": wrong,
        "alone_p50_s": pd.Series([response.seconds for response in expected]).median(),
        "p50_s": seconds.median(),
        "p95_s": seconds.quantile(0.95),
        "requests_per_s": len(seconds) / wall,
    }
    title = f"{count} requests from {clients} clients"
    messages = sorted(set(refused))[:5]
    print("\n".join((title, pd.Series(found, dtype=object).to_string(), *messages)))
    return {title: {**found, "messages": messages}}


@one_line_errors
def main() -> None:
    """Measure, print and write the record."""
    arguments = parse_arguments()
    from hf_lesion.io.files import write_json
    from hf_lesion.io.provenance import provenance
    from hf_lesion.verbosity import quiet_libraries

    quiet_libraries()
    found = measure_serve(arguments)
    if arguments.json is not None:
        write_json(arguments.json, {"serve": found, "provenance": provenance()})
        print(f"Written: {arguments.json}")


if __name__ == "__main__":
    main()
