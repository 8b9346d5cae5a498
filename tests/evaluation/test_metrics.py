import io
import math
import re

import numpy as np
import pandas as pd
import pytest
import sklearn.metrics
import torch

from hf_lesion.errors import InputError
from hf_lesion.evaluation import metrics
from hf_lesion.labels import CODES

# Scored with isic-challenge-scoring 5.6.0 (metrics.balanced_multiclass_accuracy, auc and
# average_precision). Three ties for the top, no vasc among the references.
ISIC_TABLE = """dx,akiec,bcc,bkl,df,mel,nv,vasc
akiec,0.29,0.21,0.12,0.05,0.08,0.17,0.08
bcc,0.00,0.38,0.17,0.12,0.08,0.08,0.17
bcc,0.10,0.15,0.15,0.15,0.35,0.10,0.00
bkl,0.12,0.29,0.21,0.05,0.12,0.04,0.17
bkl,0.00,0.15,0.15,0.30,0.15,0.15,0.10
df,0.15,0.10,0.00,0.10,0.25,0.15,0.25
mel,0.08,0.01,0.21,0.08,0.29,0.25,0.08
mel,0.15,0.20,0.15,0.15,0.05,0.15,0.15
mel,0.12,0.21,0.10,0.12,0.21,0.12,0.12
nv,0.08,0.05,0.21,0.08,0.25,0.25,0.08
nv,0.12,0.12,0.12,0.06,0.12,0.29,0.17
nv,0.10,0.05,0.35,0.05,0.20,0.10,0.15
nv,0.21,0.12,0.04,0.17,0.17,0.29,0.00
nv,0.15,0.05,0.10,0.30,0.15,0.05,0.20
"""
ISIC_BALANCED_ACCURACY = 0.37222222222222223
ISIC_AUC = [1.0, 0.8125, 0.7083333333333334, 0.46153846153846156, 0.5454545454545454, 2 / 3, None]
ISIC_AP = [1.0, 0.6428571428571428, 0.25, 0.125, 0.37142857142857144, 0.6996503496503497, None]


def draw_scores(images, seed=0, classes=(0, 1, 2, 3, 4, 5, 6)):
    """Return probabilities that lean towards random references, without ties."""
    generator = np.random.default_rng(seed)
    references = generator.choice(list(classes), size=images)
    logits = generator.normal(size=(images, len(CODES)))
    logits[np.arange(images), references] += 1
    probabilities = np.exp(logits)
    return probabilities / probabilities.sum(axis=1, keepdims=True), references


def one_hot(classes):
    return np.eye(len(CODES))[classes]


def test_the_isics_scorer_agrees():
    table = pd.read_csv(io.StringIO(ISIC_TABLE))
    references = [CODES.index(code) for code in table["dx"]]
    found = metrics.compute_metrics(table[list(CODES)], references)
    assert found["balanced_accuracy"] == pytest.approx(ISIC_BALANCED_ACCURACY, abs=1e-15)
    for index, code in enumerate(CODES[:-1]):
        assert found[f"auroc_{code}"] == pytest.approx(ISIC_AUC[index], abs=1e-12)
        assert found[f"average_precision_{code}"] == pytest.approx(ISIC_AP[index], abs=1e-12)
    assert math.isnan(found["auroc_vasc"])
    assert math.isnan(found["average_precision_vasc"])


def test_scikit_learn_agrees():
    probabilities, references = draw_scores(300)
    assert len(set(references)) == len(CODES)
    predictions = probabilities.argmax(axis=1)
    found = metrics.compute_metrics(probabilities, references)
    oracle = {
        "accuracy": sklearn.metrics.accuracy_score(references, predictions),
        "balanced_accuracy": sklearn.metrics.balanced_accuracy_score(references, predictions),
        "macro_f1": sklearn.metrics.f1_score(references, predictions, average="macro"),
        "macro_auroc": sklearn.metrics.roc_auc_score(
            references, probabilities, multi_class="ovr", average="macro"
        ),
        "macro_average_precision": sklearn.metrics.average_precision_score(
            one_hot(references), probabilities, average="macro"
        ),
    }
    for name, value in oracle.items():
        assert found[name] == pytest.approx(value, abs=1e-12), name
    for index, code in enumerate(CODES):
        of_class = {"y_true": references == index, "y_pred": predictions == index}
        sensitivity = sklearn.metrics.recall_score(**of_class)
        specificity = sklearn.metrics.recall_score(**of_class, pos_label=False)
        assert found[f"sensitivity_{code}"] == pytest.approx(sensitivity, abs=1e-12)
        assert found[f"specificity_{code}"] == pytest.approx(specificity, abs=1e-12)


def test_a_tie_for_the_top_is_wrong_whichever_class_is_first():
    tie = np.array([[0, 0.5, 0, 0, 0, 0.5, 0]])
    assert metrics.predicted_classes(tie, [1]).tolist() == [5]
    assert metrics.predicted_classes(tie, [5]).tolist() == [1]
    assert metrics.predicted_classes(tie, [2]).tolist() == [1]
    constant = np.full((7, 7), 1 / 7)
    found = metrics.compute_metrics(constant, range(7))
    assert found["accuracy"] == found["balanced_accuracy"] == 0
    assert found["macro_auroc"] == 0.5
    per_class = [f"{name}_{code}" for name in metrics.PER_CLASS for code in CODES]
    assert list(found) == [*metrics.HEADLINES, *per_class]


def test_a_perfect_and_a_reversed_classifier():
    references = np.arange(70) % 7
    assert set(metrics.compute_metrics(one_hot(references), references).values()) == {1.0}
    reversed_scores = (1 - one_hot(references)) / 6
    found = metrics.compute_metrics(reversed_scores, references)
    assert found["macro_auroc"] == found["accuracy"] == 0


def test_absent_classes_are_left_out_and_undefined():
    probabilities, references = draw_scores(60, classes=[1, 4, 5])
    predictions = probabilities.argmax(axis=1)
    assert set(predictions) - set(references), "a class should be predicted that is not there"
    found = metrics.compute_metrics(probabilities, references)
    f1 = sklearn.metrics.f1_score(references, predictions, average="macro")
    assert found["macro_f1"] == pytest.approx(f1, abs=1e-12)
    for headline, name in (("balanced_accuracy", "sensitivity"), ("macro_auroc", "auroc")):
        present = [found[f"{name}_{CODES[index]}"] for index in (1, 4, 5)]
        assert found[headline] == pytest.approx(np.mean(present), abs=1e-12)
        assert math.isnan(found[f"{name}_df"])
    assert 0 <= found["specificity_df"] <= 1
    one = metrics.compute_metrics(one_hot([5]), [5])
    assert one["balanced_accuracy"] == one["sensitivity_nv"] == one["specificity_mel"] == 1
    assert np.isnan([one["macro_auroc"], one["specificity_nv"]]).all()


def test_the_evaluate_metric_takes_batches_lists_and_tensors():
    scores, others = draw_scores(40), draw_scores(15, seed=1)
    first, second = metrics.LesionMetrics(), metrics.LesionMetrics()
    for start in range(0, 40, 16):
        part = slice(start, start + 16)
        first.add_batch(predictions=scores[0][part], references=scores[1][part])
    second.add_batch(predictions=others[0].tolist(), references=others[1].tolist())
    assert str(first.compute()) == str(metrics.compute_metrics(*scores))
    assert str(second.compute()) == str(metrics.compute_metrics(*others))
    with pytest.raises(InputError, match="The model has diverged"):
        first.compute(predictions=np.full((1, 7), np.nan), references=[0])
    tensors = {"predictions": torch.tensor(scores[0]), "references": torch.tensor(scores[1])}
    assert str(first.compute(**tensors)) == str(metrics.compute_metrics(*scores))


@pytest.mark.parametrize(
    ("probabilities", "references", "message"),
    [
        (
            np.zeros((2, 6)),
            [0, 1],
            "Probabilities of shape (N, 7) with N of at least 1 were expected, got shape (2, 6). "
            "Pass one row for each image, columns in the order of CODES.",
        ),
        (
            one_hot([0, 1]),
            [0],
            "References of shape (2,) were expected, one class id for each row of probabilities, "
            "got shape (1,).",
        ),
        (
            [[np.nan] * 7, *one_hot([1]), [np.inf] * 7],
            [0, 1, 2],
            "Rows with finite probabilities were expected, but 2 of 3 rows are not: 0, 2. "
            "The model has diverged: lower the learning rate, or check the weights.",
        ),
        (
            np.arange(49.0).reshape(7, 7),
            range(7),
            "Rows of probabilities in [0, 1] that sum to 1 were expected, but 7 of 7 rows are not: "
            "0, 1, 2, 3, 4, …. Logits have to pass a softmax first.",
        ),
        (
            one_hot([0, 1, 2]),
            [0, -1, 7],
            "Rows with a class id from 0 to 6 were expected, but 2 of 3 rows are not: 1, 2. "
            "Unlabelled images cannot be scored: leave them out.",
        ),
    ],
)
def test_malformed_scores_are_refused(probabilities, references, message):
    with pytest.raises(InputError, match=f"^{re.escape(message)}$"):
        metrics.compute_metrics(probabilities, references)
