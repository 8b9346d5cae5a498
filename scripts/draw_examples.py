"""Draw the examples of the web demo: images that the default model classifies as intended.

    python scripts/draw_examples.py                     for space/models/efficientnet
    python scripts/draw_examples.py --model runs/mine

Writes space/examples/*.webp and hf_lesion/synthetic/examples.json (seed and SHA-256 of each). A
seed is suitable if the model predicts the intended diagnosis and the gate accepts the image; for
"Not a lesion", if the gate rejects it. Seeds that are still suitable are kept.
"""

import hashlib
import json
from pathlib import Path
from typing import TYPE_CHECKING

from hf_lesion import cli
from hf_lesion.errors import InputError, one_line_errors

if TYPE_CHECKING:
    from PIL import Image

    from hf_lesion.classifier import LesionClassifier

ROOT = Path(__file__).resolve().parent.parent
OUTPUT = ROOT / "space" / "examples"
MOST, SMALL = 200, (320, 240)  # seeds tried, and at which size first
LEAST = 0.6  # probability of the intended diagnosis
APART = 100  # between the seeds of two diagnoses, so that skin, lens and hair differ


@one_line_errors
def main() -> None:
    """Find a seed for each example, draw the image and write the record."""
    parser = cli.build_parser(__doc__)
    parser.add_argument("--model", default=str(ROOT / "space" / "models" / "efficientnet"))
    options = parser.parse_args()

    from hf_lesion.classifier import LesionClassifier
    from hf_lesion.io.decoding import load_image
    from hf_lesion.synthetic.examples import EXAMPLES, RECORD, draw_example, encode, read_examples

    classifier = LesionClassifier.from_pretrained(options.model)
    pinned = read_examples() if RECORD.is_file() else {}
    found = {}
    OUTPUT.mkdir(exist_ok=True)
    for place, code in enumerate(EXAMPLES):
        start = int(pinned[code]["seed"]) if code in pinned else APART * place
        for seed in range(start, start + MOST):
            if not fits(classifier, code, draw_example(code, seed, size=SMALL)):
                continue  # drawn in a quarter of the time
            content = encode(draw_example(code, seed))
            if fits(classifier, code, load_image(content)):
                break
        else:
            raise InputError(f"No seed from {start} to {start + MOST - 1} gives a good {code}.")
        (OUTPUT / f"{code}.webp").write_bytes(content)
        found[code] = {"seed": seed, "sha256": hashlib.sha256(content).hexdigest()}
        print(f"{code}: seed {seed}", flush=True)
    RECORD.write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")


def fits(classifier: "LesionClassifier", code: str, image: "Image.Image") -> bool:
    """Return whether the classifier answers an example as intended."""
    from hf_lesion.synthetic.examples import NOT_A_LESION

    probabilities, (verdict,) = classifier.judge([image])
    if code == NOT_A_LESION:
        return verdict.kind == "strange"
    top = classifier.codes[int(probabilities[0].argmax())]
    return verdict.kind == "accepted" and top == code and probabilities[0].max() >= LEAST


if __name__ == "__main__":
    main()
