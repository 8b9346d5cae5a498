"""One scale: the headline is the longest bar, and page, report, API and CSV carry one number."""

import base64
import csv
import html
import io
import re
import shutil

import numpy as np
import pytest

from hf_lesion.calibration.reliability import Reliability, write_reliability
from hf_lesion.io.checksums import WEIGHTS, file_sha256
from hf_lesion.io.decoding import load_image
from hf_lesion.labels import CODES, MALIGNANT, NAMES

SHARES = {"tiny_cnn": 0.62, "tiny_resnet": 0.87}


@pytest.fixture(scope="module")
def reliable(model_folders, tmp_path_factory):
    """Return the two small models with a reliability.json each."""
    from hf_lesion.classifier import LesionClassifier

    place, found = tmp_path_factory.mktemp("reliable"), {}
    for folder in model_folders:
        copy = shutil.copytree(folder, place / folder.name)
        add_reliability(copy, SHARES[folder.name])
        found[folder.name] = LesionClassifier.from_pretrained(copy)
    return found


def add_reliability(folder, share, sha=None):
    record = Reliability(
        scores=(0.1, 1.0),
        shares=(share, share),
        weights_sha256=sha or file_sha256(folder / WEIGHTS),
        fitted_on={},
        cross_validated={},
    )
    write_reliability(folder, record)


@pytest.fixture(scope="module")
def page(reliable):
    from handlers import Page
    from shelf import Shelf

    return Page(Shelf.of(reliable))


@pytest.fixture(scope="module")
def image(lesion):
    return load_image(lesion)


@pytest.fixture(scope="module", params=["tiny_cnn", "tiny_resnet", "ensemble"])
def case(request, reliable, image):
    """Return a model's name and its scores, computed without the page."""
    chosen = reliable if request.param == "ensemble" else {request.param: reliable[request.param]}
    return request.param, np.mean([one.predict([image])[0] for one in chosen.values()], axis=0)


def said(probability):
    from messages import percent

    return html.escape(percent(float(probability)))


def test_the_headline_is_the_longest_bar(page, case, image):
    name, scores = case
    verdict, _anyway, _details, bars, *_ = page.show(image, name, "predicted")
    top = CODES[scores.argmax()]
    assert f'data-label="{top}"' in verdict
    assert f"probability {said(scores.max())}, by the model {name}" in verdict
    found = re.findall(r'data-code="(\w+)" data-probability="([\d.]+)"', bars)
    assert [code for code, _ in found] == [CODES[place] for place in np.argsort(-scores)]
    assert found[0][0] == top
    values = [float(dict(found)[code]) for code in CODES]
    np.testing.assert_allclose(values, scores, atol=1e-5)
    together = sum(scores[CODES.index(code)] for code in MALIGNANT)
    assert f"together: <strong>{said(together)}</strong>" in bars


def test_the_page_says_how_often_such_results_were_right(page, image):
    for name, share in SHARES.items():
        verdict = page.show(image, name, "predicted")[0]
        line = f"Results like this were right {100 * share:.0f}% of the time in our test."
        assert verdict.count(line) == 1
    assert "Results like this" not in page.show(image, "ensemble", "predicted")[0]


def test_the_comparison_shows_scores(page, reliable, image):
    shown = page.compare_models(image, "mel")
    table = shown.split("<h3>Probabilities</h3>")[1].split("</table>")[0]
    for name, model in reliable.items():
        scores = model.predict([image])[0]
        card = shown.split(f'data-model="{name}"')[1].split("</article>")[0]
        assert said(scores.max()) in card
        assert all(f">{said(value)}</td>" in table for value in scores)


def test_the_table_and_the_csv_hold_the_scores(page, case, lesion):
    from intake import Handed

    name, scores = case
    found = page.classify_batch([Handed("lesion.png", lesion)], name)
    assert f"<td>{said(scores.max())}</td>" in found.split("<tbody>")[1]
    content = base64.b64decode(re.search(r"base64,([^\"]+)", found)[1]).decode()
    (values,) = csv.DictReader(io.StringIO(content))
    np.testing.assert_allclose([float(values[c.upper()]) for c in CODES], scores, atol=1e-5)
    assert values["reliability"] == (f"{SHARES[name]:.4f}" if name in SHARES else "")


def test_the_report_shows_the_scores(page, case, image):
    name, scores = case
    links = page.report(image, name, "mel", "gradcam", 50)
    text = base64.b64decode(re.search(r'html;base64,([^"]+)"', links)[1]).decode()
    assert f"<h1>{html.escape(NAMES[CODES[scores.argmax()]])}</h1>" in text
    assert all(f'<td class="n">{said(value)}</td>' in text for value in scores)
    assert ("Results like this were right" in text) == (name in SHARES)


def test_the_api_gives_the_scores_and_their_reliability(page, case, image):
    from calls import Calls

    name, scores = case
    found = Calls(page.shelf).classify(image, name)
    np.testing.assert_allclose(list(found["probabilities"].values()), scores, atol=1e-5)
    assert found["label"] == CODES[scores.argmax()]
    assert found["reliability"] == (pytest.approx(SHARES[name]) if name in SHARES else None)


def test_without_a_reliability_of_these_weights_nothing_is_claimed(
    tiny_cnn_model, classifiers, tmp_path, image, caplog
):
    from opinions import form_opinion

    from hf_lesion.classifier import LesionClassifier

    assert form_opinion([classifiers["tiny_cnn"](image)]).reliability is None
    folder = shutil.copytree(tiny_cnn_model, tmp_path / "model")
    add_reliability(folder, 0.9, sha="0" * 64)
    assert form_opinion([LesionClassifier.from_pretrained(folder)(image)]).reliability is None
    assert "reliability.json was not fitted on these weights and is not used" in caplog.text
