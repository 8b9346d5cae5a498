"""Benchmarks of data loading, training, explaining and the web demo.

    python scripts/benchmark.py data --dataset data/ham10000
    python scripts/benchmark.py train --dataset data/ham10000 --model cnn resnet18
    python scripts/benchmark.py explain --model runs/cnn
    python scripts/benchmark.py serve --url http://127.0.0.1:7860 --clients 50 --requests 500

data     from Parquet to batches of 128x128 pixels on one thread: evaluation and each augmentation.
train    training steps of each network, as in scripts/train.py.
explain  probabilities, gate and Grad-CAM of an image, compared with one forward pass.
serve    latency and throughput of a running page (start one with `make demo`) under many clients;
         each response is compared with that to a single client.

Candidates alternate, so that changes in the speed of the machine affect all of them; the first
round is a warm-up. Times are medians over the rounds; `times_first` is relative to the first
candidate of each round, with the lowest and highest value.
"""

import argparse
import os
import tempfile
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from hf_lesion import cli
from hf_lesion.errors import InputError, one_line_errors

if TYPE_CHECKING:
    from gradio_client import Client
    from PIL import Image

SPACE = Path(__file__).resolve().parent.parent / "space"
IMAGE_SIZE = (600, 450)  # pixels, as in HAM10000
SIDE = 128  # input size in pixels
BATCH = 32
TOLERANCE = 1e-6  # of probabilities
TIMEOUT = 300  # seconds; requests are queued

# A candidate may return its own time in seconds.
Candidates = Mapping[str, Callable[[], float | None]]


def parse_arguments() -> argparse.Namespace:
    """Parse the command line."""
    count = cli.at_least(1)
    parser = cli.build_parser(__doc__)
    commands = parser.add_subparsers(dest="command", required=True, metavar="WHAT")
    data = commands.add_parser("data", help="data loading and augmentation")
    train = commands.add_parser("train", help="training steps")
    explain = commands.add_parser("explain", help="predictions with gate and Grad-CAM")
    serve = commands.add_parser("serve", help="a running page under load")
    for command, images, rounds in ((data, 256, 7), (train, 512, 3), (explain, 5, 9)):
        add = command.add_argument
        add("--images", type=count, default=images, help="images per round (default: %(default)s)")
        add("--rounds", type=count, default=rounds, help="number of rounds (default: %(default)s)")
    for command in (data, train):
        cli.add_shared(command, "dataset", required=True)
    several: dict[str, Any] = {"type": str, "nargs": "+"}
    network = ["tf_efficientnet_lite0"]
    cli.add_shared(train, "model", **several, default=network, help="cnn or timm architectures")
    cli.add_shared(train, "batch_size")
    train.add_argument("--image_size", type=count, default=SIDE, help="pixels (default: 128)")
    train.add_argument("--augmentation", default="standard", help="name (default: %(default)s)")
    shipped = sorted(file.parent for file in (SPACE / "models").glob("*/config.json"))
    folders = [os.path.relpath(folder) for folder in shipped]
    help_text = "trained models (default: those of space/models)"
    cli.add_shared(explain, "model", **several, default=folders, help=help_text)
    add = serve.add_argument
    add("--url", default="http://127.0.0.1:7860", help="URL of the page (default: %(default)s)")
    names = [folder.name for folder in shipped]
    add("--models", nargs="+", default=names, help="models of the page (default: the shipped ones)")
    add("--clients", type=count, default=50, help="concurrent clients (default: %(default)s)")
    add("--requests", type=count, default=500, help="total requests (default: %(default)s)")
    for command in commands.choices.values():
        command.add_argument("--json", type=Path, metavar="FILE", help="also write a record")
    return parser.parse_args()


def compare(title: str, candidates: Candidates, *, rounds: int, images: int) -> dict[str, Any]:
    """Run all candidates in every round, print a table and return it under its title.

    Args:
        title: Title of the table and the progress bar.
        candidates: Functions by name, each of which processes `images` images.
        rounds: Number of rounds, after one for warm-up.
        images: Images per call.
    """
    import pandas as pd
    from tqdm import tqdm

    names, rows = list(candidates), []
    with tqdm(total=(rounds + 1) * len(names), desc=title, unit="run", disable=None) as bar:
        for number in range(rounds + 1):
            first = number % len(names)
            seconds = {}
            for name in (*names[first:], *names[:first]):
                start = time.perf_counter()
                measured = candidates[name]()
                seconds[name] = time.perf_counter() - start if measured is None else measured
                bar.update()
            rows.append(seconds)
    table = pd.DataFrame(rows[1:], columns=names)
    relative = table.div(table.iloc[:, 0], axis=0)
    columns = {
        "ms_per_image": 1000 * table.median() / images,
        "images_per_s": images / table.median(),
        "times_first": relative.median(),
        "lowest": relative.min(),
        "highest": relative.max(),
    }
    summary = pd.DataFrame(columns)
    print(f"{title}\n{summary.to_string(float_format='{:,.2f}'.format)}\n")
    return {title: summary.to_dict("index")}


def draw_image(seed: int) -> "Image.Image":
    """Return a drawn lesion of HAM10000's size; consecutive seeds are of all diagnoses."""
    from hf_lesion.labels import CODES
    from hf_lesion.synthetic.lesions import draw_lesion

    return draw_lesion(CODES[seed % len(CODES)], seed=seed, size=IMAGE_SIZE)[0]


def measure_data(arguments: argparse.Namespace) -> dict[str, Any]:
    """Measure data loading from stored images to batches."""
    import torch

    from hf_lesion.data.reader import open_splits
    from hf_lesion.models.preprocessing import Preprocessing, build_stock_processor
    from hf_lesion.training.augmentation import AUGMENTATIONS, build_train_transform, least_side
    from hf_lesion.training.samples import EvalTransform, LesionSamples, collate

    def read(samples: LesionSamples) -> None:
        for _ in torch.utils.data.DataLoader(samples, batch_size=BATCH, collate_fn=collate):
            pass

    torch.set_num_threads(1)
    settings = Preprocessing(SIDE, (0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
    rows = open_splits(arguments.dataset)["train"]
    rows = rows.select(range(min(len(rows), arguments.images)))
    evaluated = LesionSamples(rows, EvalTransform(build_stock_processor(settings)))
    candidates = {"evaluation": partial(read, evaluated)}
    for name in AUGMENTATIONS:
        transform, side = build_train_transform(settings, name), least_side(settings, name)
        samples = LesionSamples(rows, transform, least_side=side)
        candidates[f"augmentation {name}"] = partial(read, samples)
    return compare("data", candidates, rounds=arguments.rounds, images=len(rows))


def measure_train(arguments: argparse.Namespace) -> dict[str, Any]:
    """Measure the training steps of each network."""
    steps = max(1, arguments.images // arguments.batch_size)
    candidates = {name: partial(time_training, arguments, name, steps) for name in arguments.model}
    title = f"training, {arguments.image_size} px, batch of {arguments.batch_size}"
    images = steps * arguments.batch_size
    return compare(title, candidates, rounds=arguments.rounds, images=images)


def time_training(arguments: argparse.Namespace, name: str, steps: int) -> float:
    """Return the time of training steps in seconds."""
    from transformers.trainer_callback import PrinterCallback

    from hf_lesion.data.reader import open_splits
    from hf_lesion.models.build import build_model
    from hf_lesion.training.arguments import LesionTrainingArguments, RecipeArguments
    from hf_lesion.training.trainer import build_trainer

    model, processor = build_model(name, image_size=arguments.image_size)
    with tempfile.TemporaryDirectory() as folder:
        training = LesionTrainingArguments(
            output_dir=folder,
            max_steps=steps,
            per_device_train_batch_size=arguments.batch_size,
            dataloader_drop_last=True,
            eval_strategy="no",
            save_strategy="no",
            load_best_model_at_end=False,
            logging_strategy="no",
            disable_tqdm=True,
        )
        recipe = RecipeArguments(augmentation=arguments.augmentation)
        splits = open_splits(arguments.dataset)
        trainer = build_trainer(model, processor, splits, recipe, training)
        trainer.remove_callback(PrinterCallback)
        return float(trainer.train().metrics["train_runtime"])


def measure_explain(arguments: argparse.Namespace) -> dict[str, Any]:
    """Measure predictions with gate and Grad-CAM relative to a forward pass."""
    from hf_lesion.classifier import LesionClassifier

    def repeat(call: Callable[[], object]) -> None:
        for _ in range(arguments.images):
            call()

    found: dict[str, Any] = {}
    images = [draw_image(0)]
    for name in arguments.model:
        classifier = LesionClassifier.from_pretrained(name, device="cpu")
        forward = partial(classifier.predict, images)
        explained = partial(lambda classifier: classifier(images).heatmaps, classifier)
        candidates = {
            "forward pass": partial(repeat, forward),
            "with gate and Grad-CAM": partial(repeat, explained),
        }
        title = f"{name}, {classifier.image_size[1]} px"
        found |= compare(title, candidates, rounds=arguments.rounds, images=arguments.images)
    return found


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
    found = []
    for number in range(images):
        image = folder / f"lesion_{number}.jpg"
        draw_image(number).save(image, quality=95)
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


MEASURES = {
    "data": measure_data,
    "train": measure_train,
    "explain": measure_explain,
    "serve": measure_serve,
}


@one_line_errors
def main() -> None:
    """Measure, print and write the record."""
    arguments = parse_arguments()
    from hf_lesion.io.files import write_json
    from hf_lesion.io.provenance import provenance
    from hf_lesion.verbosity import quiet_libraries

    quiet_libraries()
    found = MEASURES[arguments.command](arguments)
    if arguments.json is not None:
        write_json(arguments.json, {arguments.command: found, "provenance": provenance()})
        print(f"Written: {arguments.json}")


if __name__ == "__main__":
    main()
