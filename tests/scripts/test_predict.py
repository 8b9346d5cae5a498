import json
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

from hf_lesion.labels import CODES

SCRIPT = Path(__file__).resolve().parents[2] / "scripts" / "predict.py"


def test_a_dataset_is_predicted_and_submitted(call, tiny_cnn_model, sample_dataset, tmp_path):
    output, submission = tmp_path / "p.parquet", tmp_path / "s.csv"
    arguments = ["--model", tiny_cnn_model, "--input", sample_dataset, "--output", output]
    code, out, err = call(*arguments, "--submission", submission)
    assert code == 0, err
    images = json.loads((sample_dataset / "prepared.json").read_text())["images"]["test"]
    table = pd.read_parquet(output)
    assert len(table) == len(pd.read_csv(submission)) == images
    assert table[list(CODES)].sum(axis=1).round(5).eq(1).all()
    assert out.startswith(f"{images} images, 0 unreadable: {output}\n")
    code, out, err = call(*arguments)
    assert (code, out) == (2, "")
    assert err == f"error: {output} is there already. Pass --overwrite to replace it.\n"


@pytest.mark.slow
def test_two_processes_share_the_work_and_give_the_same_answers(
    tiny_cnn_model, sample_folder, tmp_path
):
    tables = []
    for processes in (1, 2):
        output = tmp_path / f"{processes}.parquet"
        arguments = ["--model", tiny_cnn_model, "--input", sample_folder, "--output", output]
        launch = ["-m", "accelerate.commands.launch", "--num_processes", processes]
        launch += ["--multi_gpu"] if processes > 1 else []
        command = [sys.executable, *launch, SCRIPT, *arguments]
        done = subprocess.run(
            list(map(str, command)), check=True, timeout=300, stdout=subprocess.PIPE, text=True
        )
        # One of them joins and reports; strangers to each other, both would.
        assert done.stdout.count(" unreadable: ") == 1
        tables.append(pd.read_parquet(output))
    assert tables[0]["image_id"].tolist() == tables[1]["image_id"].tolist()
    assert (tables[0][list(CODES)] - tables[1][list(CODES)]).abs().max().max() < 1e-5
