from pathlib import Path

import pytest
from shipped import write_model

from hf_lesion.hub.results import END, START, read_shipped, render_block

SCRIPT = Path(__file__).resolve().parents[2] / "scripts" / "render_results.py"


@pytest.fixture
def models(tmp_path):
    write_model(tmp_path / "models", "a", right=0.5)
    return tmp_path / "models"


def test_a_table_is_written_and_then_up_to_date(call, models, tmp_path):
    file = tmp_path / "README.md"
    file.write_text(f"# Title\n{START}\n{END}\n")
    assert call("--models", models, "--files", file, "--check")[0] == 1
    assert file.read_text() == f"# Title\n{START}\n{END}\n"
    code, out, err = call("--models", models, "--files", file)
    assert code == 0, err
    block = render_block(read_shipped(models))
    assert out == f"{block}\n"
    assert file.read_text() == f"# Title\n{START}\n{block}\n{END}\n"
    assert call("--models", models, "--files", file, "--check")[0] == 0


def test_a_file_without_markers_is_refused(call, models, tmp_path):
    file = tmp_path / "README.md"
    file.write_text("# Title\n")
    code, _, err = call("--models", models, "--files", file)
    assert code == 2
    assert err.startswith(f"error: {file} needs one line <!-- results")
    assert file.read_text() == "# Title\n"
