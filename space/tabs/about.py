"""About tab: the models, training data, limitations, privacy, and API."""

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import gradio as gr
from registry import Entry, Registry, get_nested
from uploads import MAX_FILE_TEXT

from hf_lesion.io.numbers import format_interval
from hf_lesion.labels import CODES, DIAGNOSES, NAMES

SUMMARY = Path(__file__).parents[1] / "dataset.json"
DOI = "https://doi.org/10.1038/sdata.2018.161"
ABOUT = """
Neural networks trained on HAM10000 give a dermatoscope image a probability for each of seven
diagnoses, with a heatmap of the regions that raised it. The page shows how such a model is built
and measured, and where it fails.
"""
LIMITS = """
- Photos that were not taken through a dermatoscope. The gate stops many of them, not all.
- Anything but the seven diagnoses: a rash, a burn or healthy skin gets one of the seven, too.
- Rare diagnoses: a few dozen images of each are few to learn from and few to measure on.
- Rulers, ink, hair and dark corners, which may be correlated with a diagnosis in the data.
- Darker skin: the data come from Austria and Australia, and skin tone is not recorded, so the
  performance is unknown. Expect it to be worse.
- Children, mucosa, nails, and anything else that is rare in HAM10000.
- A low probability of melanoma does not rule it out.
"""
PRIVACY = """
An image is read on the server that runs this page and sent nowhere else. It is stored in a
temporary folder and deleted within 70 minutes, or when the server stops. A copy of the size that
you see and the models' results stay in memory for five minutes. No history or usage statistics
are kept, and file names are never logged.
"""
LICENCE = f"""
Code: Apache-2.0; this page is the folder `space/` of hf_lesion, next to the package that it uses.
Weights trained on HAM10000: CC BY-NC 4.0, like the data. Examples: drawn by hf_lesion.

P. Tschandl, C. Rosendahl, H. Kittler. The HAM10000 dataset, a large collection of multi-source
dermatoscopic images of common pigmented skin lesions. Scientific Data 5:180161 (2018).
[{DOI}]({DOI})
"""
API = f"""
Three endpoints, described under [Use via API](?view=api): `/classify`, `/explain` and `/compare`.
They accept local files of up to {MAX_FILE_TEXT} and 40 million pixels. `model` selects a model by
name, `method` the heatmap method. If the queue is full, try again a little later.
"""
SNIPPET = """```text
from gradio_client import Client, handle_file

client = Client("{address}")
image = handle_file("lesion.jpg")
client.predict(image=image, api_name="/classify")
client.predict(image=image, target="mel", api_name="/explain")
client.predict(image=image, api_name="/compare")
```"""
# The address in the visitor's browser, which may be that of a proxy.
FILL_ADDRESS = (
    "() => " + json.dumps(SNIPPET) + ".replace('{address}', location.origin + location.pathname)"
)


def build(registry: Registry, tab: gr.Tab, blocks: gr.Blocks) -> None:
    """Build the tab; its tables are filled when it is opened."""
    gr.Markdown(ABOUT, elem_classes="about")
    with gr.Column(elem_classes="about"):
        gr.Markdown("## Models")
        models = gr.Markdown(elem_id="models-table")
        cards = []
        for name in registry.names():
            with gr.Accordion(f"Model card: {registry.entries[name].title} ({name})", open=False):
                cards.append(gr.Markdown())
        gr.Markdown("## Training data")
        data = gr.Markdown(elem_id="data-table")
        gr.Markdown("## The seven diagnoses")
        gr.Markdown(
            "\n".join(
                f"- **{one.name}**{' (malignant)' if one.malignant else ''}: {one.sentence}"
                for one in DIAGNOSES
            )
        )
        gr.Markdown(f"## Limitations\n{LIMITS}\n\n## Privacy\n{PRIVACY}\n\n## API\n{API}")
        code = gr.Markdown(SNIPPET, elem_id="snippet")
        gr.Markdown(f"## Code, licence and citation\n{LICENCE}")
    quiet = {"api_visibility": "private", "queue": False, "show_progress": "hidden"}

    def describe() -> list[str]:
        cards = [read_card(registry.entries[name].source) for name in registry.entries]
        return [describe_models(registry), describe_data(read_summary()), *cards]

    tab.select(describe, None, [models, data, *cards], **quiet)
    blocks.load(None, None, code, js=FILL_ADDRESS, **quiet)


def describe_models(registry: Registry) -> str:
    """Return the models' metrics on the test split as Markdown."""
    rows = [
        "| Model | Balanced accuracy | Accuracy | Melanoma sensitivity | Rejected by mistake |",
        "|---|---|---|---|---|",
    ]
    for entry in (registry.entries[name] for name in registry.names()):
        values = [
            _value(entry, key) for key in ("balanced_accuracy", "accuracy", "sensitivity_mel")
        ]
        values.append(_rejected(entry))
        rows.append(f"| {entry.title} (`{entry.name}`) | {' | '.join(values)} |")
    skipped = "\n".join(f"\n{line}" for line in registry.skipped)
    return "\n".join(rows) + f"\n\nTest split, 95% intervals by bootstrap over lesions.{skipped}"


def describe_data(summary: Mapping[str, Any]) -> str:
    """Return the counts of the training data as Markdown."""
    if not summary:
        return "The dataset's counts are not available."
    classes = summary["classes"]
    total = sum(classes.values())
    rows = ["| Diagnosis | Images | Share |", "|---|---|---|"]
    for code in sorted(CODES, key=lambda code: -classes[code]):
        rows.append(f"| {NAMES[code]} | {classes[code]:,} | {100 * classes[code] / total:.1f}% |")
    most = max(classes, key=lambda code: classes[code])
    return (
        f"HAM10000: {summary['images']:,} dermoscopic images of {summary['lesions']:,} lesions, "
        "from a university clinic in Vienna, Austria, and a practice in Queensland, Australia. "
        "Each lesion is in only one of the splits (70% training, 15% validation, 15% test).\n\n"
        + "\n".join(rows)
        + f"\n\nAlways predicting “{NAMES[most]}” would be {100 * classes[most] / total:.0f}% "
        "accurate, so compare models by balanced accuracy."
    )


def read_summary(file: Path = SUMMARY) -> Mapping[str, Any]:
    """Return the summary written by `scripts/explore_data.py`; empty if there is none."""
    try:
        found: Mapping[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found


def read_card(source: Path) -> str:
    """Return a model card without front matter and pictures, or that there is none."""
    try:
        card = (source / "README.md").read_text(encoding="utf-8")
    except (OSError, ValueError):
        return "This model has no card."
    card = re.sub(r"\A---\n.*?\n---\n", "", card, flags=re.DOTALL)
    card = re.sub(r"!\[[^\]]*\]\([^)]*\)", "", card)
    # One level down: the page has its own headings above.
    return re.sub(r"^(#+ )", r"##\1", card, flags=re.MULTILINE)


def _value(entry: Entry, key: str) -> str:
    value = get_nested(entry.report, "test", "metrics", key)
    bounds = get_nested(entry.report, "test", "intervals", "bounds", key)
    return format_interval(
        value if isinstance(value, float) else None,
        bounds if isinstance(bounds, list) else None,
        digits=2,
    )


def _rejected(entry: Entry) -> str:
    """Return the share of dermoscopic test images that the gate rejects by mistake."""
    from hf_lesion.ood.gate import GateRecord  # imports torch

    if not entry.gate:
        return "–"
    found = GateRecord.model_validate(entry.gate).dermoscopic.get("test")
    return "–" if found is None or found.refused is None else f"{100 * found.refused:.1f}%"
