"""Our scores against the ISIC's own scorer, on a submission file that we wrote."""

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from hf_lesion.data.metadata import ISIC_COLUMNS, read_ground_truth
from hf_lesion.evaluation import bulk, metrics
from hf_lesion.evaluation.discrimination import measure_question
from hf_lesion.evaluation.predictions import Predictions
from hf_lesion.labels import CODES, LABEL2ID

isic = pytest.importorskip(
    "isic_challenge_scoring", reason="make test installs it: pip install --no-deps"
)
TOLERANCE = 1e-9


@pytest.fixture(autouse=True)
def old_pandas(monkeypatch):
    """The scorer is of 2022: pandas 3 has its `applymap` under the name `map`."""
    monkeypatch.setattr(pd.DataFrame, "applymap", pd.DataFrame.map, raising=False)


def draw(images, *, ties):
    """References and (N, 7) float32 answers, the first ones tied for the top."""
    generator = np.random.default_rng(0)
    references = [CODES[index % len(CODES)] for index in range(images)]
    logits = generator.normal(size=(images, len(CODES)))
    logits[np.arange(images), [LABEL2ID[code] for code in references]] += 1
    answers = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    answers = answers.astype(np.float32)
    for row in range(ties):
        top, second = np.argsort(-answers[row])[:2]
        answers[row, second] = answers[row, top]
        answers[row] /= answers[row].sum()
        answers[row, second] = answers[row, top]
    return references, answers


def write_files(folder, references, answers):
    """Write a submission as scripts/predict.py does, and a truth as the ISIC does."""
    names = [f"ISIC_{index:07d}" for index in range(len(references))]
    rows = [
        {
            "image_id": f"part/{name}",
            "prediction": CODES[int(answer.argmax())],
            **dict(zip(CODES, map(float, answer), strict=True)),
            "error": None,
        }
        for name, answer in zip(names, answers, strict=True)
    ]
    pq.write_table(pa.Table.from_pylist(rows, schema=bulk.SCHEMA), folder / "p.parquet")
    bulk.write_submission(folder / "p.parquet", folder / "submission.csv")
    header = ",".join(["image", *ISIC_COLUMNS])
    lines = [
        ",".join([name, *("1.0" if ISIC_COLUMNS[c] == code else "0.0" for c in ISIC_COLUMNS)])
        for name, code in zip(names, references, strict=True)
    ]
    (folder / "truth.csv").write_text("\n".join([header, *lines]) + "\n")
    return folder / "truth.csv", folder / "submission.csv"


def ours(truth, submission):
    """What this project makes of the same two files."""
    table = pd.read_csv(submission, float_precision="round_trip")
    answers = table[[code.upper() for code in CODES]].to_numpy(float)
    read = read_ground_truth(truth)
    assert read["image_id"].tolist() == table["image"].tolist()
    references = read["dx"].map(LABEL2ID).to_numpy()
    return answers, references, metrics.compute_metrics(answers, references)


@pytest.mark.parametrize("ties", [0, 25])
def test_every_score_of_the_isics_agrees(tmp_path, ties):
    truth, submission = write_files(tmp_path, *draw(350, ties=ties))
    score = isic.ClassificationScore.from_file(
        truth, submission, isic.ClassificationMetric.BALANCED_ACCURACY
    )
    answers, references, found = ours(truth, submission)
    top = np.sort(answers, axis=1)
    assert (top[:, -1] == top[:, -2]).sum() == ties
    assert found["balanced_accuracy"] == pytest.approx(score.overall, abs=TOLERANCE)
    for code in CODES:
        row = score.per_category.loc[code.upper()]
        assert found[f"auroc_{code}"] == pytest.approx(row["auc"], abs=TOLERANCE)
        assert found[f"average_precision_{code}"] == pytest.approx(row["ap"], abs=TOLERANCE)
    assert found["macro_auroc"] == pytest.approx(score.macro_average["auc"], abs=TOLERANCE)
    assert found["macro_average_precision"] == pytest.approx(
        score.macro_average["ap"], abs=TOLERANCE
    )
    everyone = Predictions(tuple(map(str, range(350))), references, answers)
    melanoma = measure_question(everyone, "melanoma")
    mel = score.per_category.loc["MEL"]
    assert melanoma["auroc"].value == pytest.approx(mel["auc"], abs=TOLERANCE)
    assert melanoma["average_precision"].value == pytest.approx(mel["ap"], abs=TOLERANCE)
