import io
import math
import re
import socket
import warnings

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


def same(first, second):
    return first.keys() == second.keys() and np.array_equal(
        list(first.values()), list(second.values()), equal_nan=True
    )


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


@pytest.mark.parametrize("images", [30, 1000])
def test_scikit_learn_agrees(images):
    probabilities, references = draw_scores(images, seed=images)
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


def test_scikit_learn_agrees_where_classes_are_absent():
    probabilities, references = draw_scores(60, classes=[1, 4, 5])
    predictions = probabilities.argmax(axis=1)
    assert set(predictions) - set(references), "a class should be predicted that is not there"
    found = metrics.compute_metrics(probabilities, references)
    f1 = sklearn.metrics.f1_score(references, predictions, average="macro")
    assert found["macro_f1"] == pytest.approx(f1, abs=1e-12)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it warns of what is tested here
        balanced = sklearn.metrics.balanced_accuracy_score(references, predictions)
    assert found["balanced_accuracy"] == pytest.approx(balanced, abs=1e-12)
    present = [found[f"auroc_{CODES[index]}"] for index in (1, 4, 5)]
    assert found["macro_auroc"] == pytest.approx(np.mean(present), abs=1e-12)
    for code in ("akiec", "bkl", "df", "vasc"):
        for name in ("sensitivity", "auroc", "average_precision"):
            assert math.isnan(found[f"{name}_{code}"]), (name, code)
        assert 0 <= found[f"specificity_{code}"] <= 1


def test_one_image():
    found = metrics.compute_metrics(one_hot([5]), [5])
    defined = {name: value for name, value in found.items() if not math.isnan(value)}
    assert defined == {
        "accuracy": 1,
        "balanced_accuracy": 1,
        "macro_f1": 1,
        "macro_average_precision": 1,
        "sensitivity_nv": 1,
        "average_precision_nv": 1,
        **{f"specificity_{code}": 1 for code in CODES if code != "nv"},
    }


def test_a_tie_for_the_top_is_wrong_whichever_class_is_first():
    tie = np.array([[0, 0.5, 0, 0, 0, 0.5, 0]])
    assert metrics.predicted_classes(tie, [1]).tolist() == [5]
    assert metrics.predicted_classes(tie, [5]).tolist() == [1]
    assert metrics.predicted_classes(tie, [2]).tolist() == [1]
    constant = np.full((7, 7), 1 / 7)
    found = metrics.compute_metrics(constant, range(7))
    assert found["accuracy"] == found["balanced_accuracy"] == 0
    assert found["macro_auroc"] == 0.5


def test_the_matrix_has_references_as_rows():
    confusion = metrics.confusion_matrix([0, 0, 6], [0, 2, 6])
    expected = np.zeros((7, 7), dtype=int)
    expected[0, 0] = expected[0, 2] = expected[6, 6] = 1
    assert confusion.tolist() == expected.tolist()


def test_no_image_leaves_every_reducer_undefined_without_a_warning():
    empty = np.zeros((7, 7), dtype=np.int64)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for reducer in (metrics.accuracy, metrics.balanced_accuracy, metrics.macro_f1):
            assert math.isnan(reducer(empty))
        assert np.isnan(metrics.sensitivity(empty)).all()
        assert np.isnan(metrics.specificity(empty)).all()


@pytest.mark.parametrize("seed", range(3))
def test_classes_in_another_order_give_the_same_values(seed):
    probabilities, references = draw_scores(80, seed=seed, classes=[0, 1, 3, 5, 6])
    probabilities[:10] = (one_hot(references[:10]) + one_hot((references[:10] + 1) % 7)) / 2
    order = np.random.default_rng(seed).permutation(len(CODES))
    found = metrics.compute_metrics(probabilities, references)
    permuted = metrics.compute_metrics(probabilities[:, order], np.argsort(order)[references])
    for name in metrics.HEADLINES:
        assert permuted[name] == pytest.approx(found[name], abs=1e-12, nan_ok=True), name
    for new, old in enumerate(order):
        for name in metrics.PER_CLASS:
            value = permuted[f"{name}_{CODES[new]}"]
            assert value == pytest.approx(found[f"{name}_{CODES[old]}"], abs=1e-12, nan_ok=True)


def test_images_in_another_order_or_twice_give_the_same_values():
    probabilities, references = draw_scores(50)
    found = metrics.compute_metrics(probabilities, references)
    order = np.random.default_rng(1).permutation(50)
    shuffled = metrics.compute_metrics(probabilities[order], references[order])
    doubled = metrics.compute_metrics(np.tile(probabilities, (2, 1)), np.tile(references, 2))
    for name, value in found.items():
        assert shuffled[name] == pytest.approx(value, abs=1e-12), name
        assert doubled[name] == pytest.approx(value, abs=1e-12), name


def test_a_perfect_and_a_reversed_classifier():
    references = np.arange(70) % 7
    assert set(metrics.compute_metrics(one_hot(references), references).values()) == {1.0}
    reversed_scores = (1 - one_hot(references)) / 6
    found = metrics.compute_metrics(reversed_scores, references)
    assert found["macro_auroc"] == found["accuracy"] == 0


def test_the_names_are_fixed():
    found = metrics.compute_metrics(*draw_scores(20))
    per_class = [f"{name}_{code}" for name in metrics.PER_CLASS for code in CODES]
    assert list(found) == [*metrics.HEADLINES, *per_class]
    assert all(type(value) is float for value in found.values())


@pytest.mark.parametrize("images", [1, 1001])
def test_the_metric_computes_the_same_as_the_function(images):
    probabilities, references = draw_scores(images)
    single = probabilities.astype(np.float32)
    metric = metrics.LesionMetrics()
    found = metric.compute(predictions=single, references=references)
    assert same(found, metrics.compute_metrics(single, references))
    assert same(found, metric.compute(predictions=single, references=references))


def test_the_metric_takes_batches_and_lists_and_tensors():
    probabilities, references = draw_scores(40)
    expected = metrics.compute_metrics(probabilities, references)
    metric = metrics.LesionMetrics()
    for start in range(0, 40, 16):
        part = slice(start, start + 16)
        metric.add_batch(predictions=probabilities[part], references=references[part])
    assert same(metric.compute(), expected)
    as_lists = {"predictions": probabilities.tolist(), "references": references.tolist()}
    assert same(metric.compute(**as_lists), expected)
    tensors = {name: torch.tensor(value) for name, value in as_lists.items()}
    assert same(metric.compute(**tensors), expected)


def test_the_metric_needs_no_network_and_leaves_random_states_alone(monkeypatch):
    def refuse(*_):
        raise AssertionError("network")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    scores = draw_scores(20)
    before = np.random.get_state()[1].copy(), torch.get_rng_state()
    metrics.LesionMetrics().compute(predictions=scores[0], references=scores[1])
    assert np.array_equal(np.random.get_state()[1], before[0])
    assert torch.equal(torch.get_rng_state(), before[1])


def test_two_metrics_do_not_mix_and_one_recovers_from_a_refusal():
    first, second = metrics.LesionMetrics(), metrics.LesionMetrics()
    scores, others = draw_scores(10), draw_scores(15, seed=1)
    first.add_batch(predictions=scores[0], references=scores[1])
    second.add_batch(predictions=others[0], references=others[1])
    with pytest.raises(InputError):
        second.add_batch(predictions=np.full((1, 7), np.nan), references=[0])
    assert same(first.compute(), metrics.compute_metrics(*scores))
    assert same(second.compute(), metrics.compute_metrics(*others))
    with pytest.raises(InputError):
        first.compute(predictions=np.zeros((1, 6)), references=[0])
    found = first.compute(predictions=scores[0], references=scores[1])
    assert same(found, metrics.compute_metrics(*scores))


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
            np.zeros((0, 7)),
            [],
            "Probabilities of shape (N, 7) with N of at least 1 were expected, got shape (0, 7). "
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
            [[0.5, 0.7, -0.2, 0, 0, 0, 0]],
            [0],
            "Rows of probabilities in [0, 1] that sum to 1 were expected, but 1 of 1 rows are not: "
            "0. Logits have to pass a softmax first.",
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
