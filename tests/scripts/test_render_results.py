from pathlib import Path

import pytest
from shipped import write_model

from hf_lesion.evaluation.explanations.tables import MISSING
from hf_lesion.hub.results import read_shipped, render_blocks

START, END = "<!-- results: by a test -->", "<!-- /results -->"
LOOKS_START, LOOKS_END = "<!-- explanations: by a test -->", "<!-- /explanations -->"
SCRIPT = Path(__file__).resolve().parents[2] / "scripts" / "render_results.py"


@pytest.fixture
def models(tmp_path):
    write_model(tmp_path / "models", "a", right=0.5)
    return tmp_path / "models"


def test_everything_is_written_and_then_up_to_date(call, models, tmp_path):
    file, card = tmp_path / "README.md", tmp_path / "card.md"
    file.write_text(f"# Title\n{START}\n{END}\n")
    arguments = ("--models", models, "--files", file, "--card", card)
    code, out, _ = call(*arguments, "--check")
    assert code == 1
    assert out.startswith(f"Out of date: {models / 'a' / 'README.md'}, {card}, {file}. Run")
    assert file.read_text() == f"# Title\n{START}\n{END}\n"
    code, out, err = call(*arguments)
    assert code == 0, err
    blocks = render_blocks(read_shipped(models))
    assert out == f"{blocks['results']}\n\n{blocks['calibration']}\n"
    assert file.read_text() == f"# Title\n{START}\n{blocks['results']}\n{END}\n"
    assert card.read_text() == (models / "a" / "README.md").read_text()
    assert call(*arguments, "--check")[0] == 0
    card.write_text(card.read_text().replace("0.", "1.", 1))
    assert call(*arguments, "--check")[0] == 1


def test_the_tables_on_explanations_come_where_their_markers_are(call, models, tmp_path):
    file = tmp_path / "README.md"
    file.write_text(f"{START}\n{END}\n{LOOKS_START}\nold\n{LOOKS_END}\n")
    code, _, err = call("--models", models, "--files", file, "--card", tmp_path / "card.md")
    assert code == 0, err
    assert file.read_text().endswith(f"{LOOKS_START}\n{MISSING}\n{LOOKS_END}\n")


def test_other_models_get_their_cards_and_our_files_stay(call, models):
    ours = [SCRIPT.parents[1] / name for name in ("README.md", "model_card.md")]
    before = [file.read_bytes() for file in ours]
    code, out, err = call("--models", models)
    assert code == 0, err
    assert out.startswith(f"{render_blocks(read_shipped(models))['results']}\n")
    assert (models / "a" / "README.md").is_file()
    assert [file.read_bytes() for file in ours] == before
