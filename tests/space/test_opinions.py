"""Every probability on the page is the corrected one; the answer and the CSV keep the scores."""

import base64
import csv
import html
import io
import re
import shutil

import numpy as np
import pytest

from hf_lesion.io.checksums import WEIGHTS, file_sha256
from hf_lesion.io.decoding import load_image
from hf_lesion.labels import CODES, MALIGNANT, NAMES
from hf_lesion.models.calibration import Calibration, write_calibration

# So strong that the likeliest diagnosis is another one than the answer, whatever that is.
RAISED = {"tiny_cnn": "bkl", "tiny_resnet": "vasc"}
RAISE, SLOPE = 6.0, 0.05


@pytest.fixture(scope="module")
def corrected(model_folders, tmp_path_factory):
    """Return the two small models, with corrections that change the likeliest diagnosis."""
    from hf_lesion.classifier import LesionClassifier

    place, found = tmp_path_factory.mktemp("corrected"), {}
    for folder in model_folders:
        copy = shutil.copytree(folder, place / folder.name)
        correct(copy, RAISED[folder.name])
        found[folder.name] = LesionClassifier.from_pretrained(copy)
    return found


def correct(folder, code, sha=None):
    biases = tuple(RAISE * (one == code) for one in CODES)
    sha = sha or file_sha256(folder / WEIGHTS)
    write_calibration(folder, Calibration(1.0, SLOPE, biases, sha, {}, {}))


@pytest.fixture(scope="module")
def page(corrected):
    from handlers import Page
    from shelf import Shelf

    return Page(Shelf.of(corrected))


@pytest.fixture(scope="module")
def image(lesion):
    return load_image(lesion)


@pytest.fixture(scope="module", params=["tiny_cnn", "tiny_resnet", "ensemble"])
def case(request, corrected, image):
    """Return a model's name, its scores and its probabilities, computed without the page."""
    chosen = corrected if request.param == "ensemble" else {request.param: corrected[request.param]}
    scores = [model.predict([image])[0] for model in chosen.values()]
    shown = []
    for name, own in zip(chosen, scores, strict=True):
        own = np.maximum(own.astype(float), 1e-12) ** SLOPE
        raised = own * np.where(np.array(CODES) == RAISED[name], np.exp(RAISE), 1)
        shown.append(raised / raised.sum())
    return request.param, np.mean(scores, axis=0), np.mean(shown, axis=0)


def said(probability):
    from messages import percent

    return html.escape(percent(float(probability)))


def test_the_answer_is_not_the_likeliest(case):
    name, scores, shown = case
    assert scores.argmax() != shown.argmax(), name


def test_verdict_and_bars_show_corrected_probabilities(page, case, image):
    from messages import CORRECTED

    name, scores, shown = case
    answer, likeliest = scores.argmax(), shown.argmax()
    verdict, _anyway, _details, bars, *_ = page.show(image, name, "predicted")
    assert f'data-label="{CODES[answer]}"' in verdict
    assert f"probability {said(shown[answer])}, by the model {name}" in verdict
    assert f"is likelier ({said(shown[likeliest])})" in html.unescape(verdict)
    found = re.findall(r'data-code="(\w+)" data-probability="([\d.]+)"', bars)
    assert [code for code, _ in found] == [CODES[place] for place in np.argsort(-shown)]
    values = [float(dict(found)[code]) for code in CODES]
    np.testing.assert_allclose(values, shown, atol=1e-5)
    together = sum(shown[CODES.index(code)] for code in MALIGNANT)
    assert f"together: <strong>{said(together)}</strong>" in bars
    assert html.escape(CORRECTED) in bars
    # The bar of the answer is told from the longest one.
    assert bars.count("the model's answer") == 1
    assert "the model's answer" in bars.split(f'data-code="{CODES[answer]}"')[1].split("</li>")[0]


def test_the_comparison_shows_corrected_probabilities(page, corrected, image):
    from messages import CORRECTED

    shown = page.compare_models(image, "mel")
    table = shown.split("<h3>Probabilities</h3>")[1].split("</table>")[0]
    for name, model in corrected.items():
        scores = model.predict([image])
        probabilities = model.calibration.shown(scores)[0]
        card = shown.split(f'data-model="{name}"')[1].split("</article>")[0]
        assert said(probabilities[scores[0].argmax()]) in card
        likeliest = html.escape(NAMES[CODES[probabilities.argmax()]])
        assert f"likelier: {likeliest}, {said(probabilities.max())}" in card
        assert all(f">{said(value)}</td>" in table for value in probabilities)
    assert html.escape(CORRECTED) in shown


def test_the_table_shows_corrected_probabilities_and_the_csv_scores(page, case, lesion):
    from intake import Handed
    from messages import CORRECTED

    name, scores, shown = case
    found = page.classify_batch([Handed("lesion.png", lesion)], name)
    row = found.split("<tbody>")[1]
    assert f"<td>{said(shown[scores.argmax()])}</td>" in row
    assert f"likelier: {html.escape(NAMES[CODES[shown.argmax()]])}, {said(shown.max())}" in row
    assert html.escape(CORRECTED) in found
    content = base64.b64decode(re.search(r"base64,([^\"]+)", found)[1]).decode()
    (values,) = csv.DictReader(io.StringIO(content))
    np.testing.assert_allclose([float(values[c.upper()]) for c in CODES], scores, atol=1e-5)


def test_the_report_shows_corrected_probabilities(page, case, image):
    from messages import CORRECTED

    name, scores, shown = case
    links = page.report(image, name, "mel", "gradcam", 50)
    text = base64.b64decode(re.search(r'html;base64,([^"]+)"', links)[1]).decode()
    assert f"<h1>{html.escape(NAMES[CODES[scores.argmax()]])}</h1>" in text
    assert all(f'<td class="n">{said(value)}</td>' in text for value in shown)
    assert html.escape(CORRECTED) in text


def test_the_api_gives_scores_and_corrected_probabilities(page, case, image):
    from calls import Calls

    name, scores, shown = case
    found = Calls(page.shelf).classify(image, name)
    np.testing.assert_allclose(list(found["probabilities"].values()), scores, atol=1e-5)
    np.testing.assert_allclose(list(found["corrected"].values()), shown, atol=1e-5)
    assert found["label"] == CODES[scores.argmax()]


def test_without_a_correction_the_calibrated_scores_are_shown_as_they_are(classifiers, image):
    from calls import Calls
    from handlers import Page
    from messages import CORRECTED
    from shelf import Shelf

    page = Page(Shelf.of(classifiers))
    *_, bars, _slider, _caption = page.show(image, "tiny_cnn", "predicted")
    assert "the model's answer" not in bars
    for shown in (bars, page.compare_models(image, "mel")):
        assert html.escape(CORRECTED) not in shown
    assert Calls(page.shelf).classify(image, "tiny_cnn")["corrected"] is None


def test_a_correction_of_other_weights_is_not_used(tiny_cnn_model, tmp_path, image):
    from hf_lesion.classifier import LesionClassifier

    folder = shutil.copytree(tiny_cnn_model, tmp_path / "model")
    correct(folder, "df", sha="0" * 64)
    assert opinion(image, a=LesionClassifier.from_pretrained(folder)).corrected is None


def test_one_member_without_a_correction_counts_as_it_is(corrected, classifiers, image):
    members = {"a": corrected["tiny_cnn"], "b": classifiers["tiny_resnet"]}
    found = opinion(image, **members)
    first, second = (opinion(image, a=member).shown for member in members.values())
    np.testing.assert_allclose(found.corrected, (first + second) / 2, atol=1e-6)


def opinion(image, **models):
    from opinions import form_opinion

    return form_opinion([model(image) for model in models.values()])
