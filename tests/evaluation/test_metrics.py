import math

import numpy as np
import pytest
import sklearn.metrics
import torch

from hf_lesion.errors import InputError
from hf_lesion.evaluation import metrics
from hf_lesion.labels import CODES


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
        (np.zeros((2, 6)), [0, 1], r"shape \(N, 7\) .* were expected, got shape \(2, 6\)"),
        (one_hot([0, 1]), [0], r"^References of shape \(2,\) were expected, .* got shape \(1,\)"),
        (
            [[np.nan] * 7, *one_hot([1])],
            [0, 1],
            "finite .* 1 of 2 .* 0. The model has d",
        ),
        (np.arange(49.0).reshape(7, 7), range(7), "sum to 1 were .* 4, …. Logits have to pass a s"),
        (one_hot([0, 1, 2]), [0, -1, 7], "class id from 0 to 6 .* 2 of 3 rows are not: 1, 2. Unla"),
    ],
)
def test_malformed_scores_are_refused(probabilities, references, message):
    with pytest.raises(InputError, match=message):
        metrics.compute_metrics(probabilities, references)
