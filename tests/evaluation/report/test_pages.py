import base64
import io
import re

import pytest
from PIL import Image
from shipped import records

from hf_lesion.evaluation.report import pages, tables
from hf_lesion.evaluation.report.record import format_metric
from hf_lesion.evaluation.subgroups import SKIN_TONE
from hf_lesion.io import figures as io_figures
from hf_lesion.labels import CODES, NOTICE


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    folder = tmp_path_factory.mktemp("page")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(io_figures, "RESOLUTION", 40)  # quick to write; nobody looks at these
        pages.write_pages(folder, records())
    return folder


def test_both_pages_say_every_headline_and_every_class(written):
    markdown, html = ((written / name).read_text() for name in (pages.MARKDOWN, pages.PAGE))
    for record in records().values():
        for text in (markdown, html):
            for name in ("balanced_accuracy", "macro_auroc", *(f"auroc_{code}" for code in CODES)):
                assert format_metric(record, name) in text
    for text in (markdown, html):
        assert NOTICE in text
        assert SKIN_TONE in text
        assert "fewer than 30 images" in text
        assert "None" not in text
        assert not re.search(r"\bnan\b", re.sub(r"base64,[^\"]*", "", text))


def test_the_page_needs_no_other_file_and_every_figure_is_described(written):
    html = (written / pages.PAGE).read_text()
    rates = records()["test"]["operating_points"]["melanoma"]["metrics"]
    assert (
        f'data-sensitivity="{rates["sensitivity"]}" data-specificity="{rates["specificity"]}"'
        in html
    )
    images = re.findall(r'<img src="data:image/png;base64,([^"]+)" alt="([^"]+)">', html)
    assert len(images) == 12  # six of each split
    assert "http" not in re.sub(r"base64,[^\"]*", "", html)
    for data, alt in images:
        assert alt.endswith(".")
        with Image.open(io.BytesIO(base64.b64decode(data))) as image:
            assert image.format == "PNG"
    assert {file.name for file in (written / "figures").iterdir()} == {
        f"{name}_{split}.png"
        for name in ("confusion_matrix", "precision_recall", "reliability", "risk_coverage", "roc",
                     "subgroups")
        for split in ("test", "validation")
    }  # fmt: skip


def test_figures_of_other_splits_are_drawn_once(written):
    before = {file.name: file.stat().st_mtime_ns for file in (written / "figures").iterdir()}
    pages.write_pages(written, records(), fresh=())
    after = {file.name: file.stat().st_mtime_ns for file in (written / "figures").iterdir()}
    assert before == after


def test_what_was_fitted_on_the_same_images_is_said_so():
    found = records()
    assert pages.say_fitted(found["test"]) == ""
    assert "their scores here are optimistic" in pages.say_fitted(found["validation"])


def test_a_record_of_an_earlier_version_is_left_out(tmp_path):
    record = records()["test"]
    for name in ("curves", "questions", "calibration"):
        del record[name]
    pages.write_pages(tmp_path, {"old": record})
    assert not (tmp_path / "figures").exists()
    assert NOTICE in (tmp_path / pages.PAGE).read_text()


def test_undefined_scores_are_a_dash_and_what_was_not_measured_is_left_out():
    record = records()["test"]
    record["metrics"]["auroc_vasc"] = float("nan")
    record["operating_points"]["melanoma"]["metrics"]["ppv"] = float("nan")
    assert tables.classes(record).rows[6][4].startswith("–")
    assert "–" in tables.operating_points(record).rows[1]
    record |= {"operating_points": {}, "subgroups": {}}
    sections = {section.name: section for section in pages.build_sections("test", record)}
    assert list(sections) == ["scores", "curves", "calibration", "risk", "subgroups", "origin"]
    assert SKIN_TONE in sections["subgroups"].paragraphs


def test_numbers_of_few_images_are_marked():
    record = records()["test"]
    rows = {row[0]: row for row in tables.subgroups(record).rows}
    assert rows["sex: male"][1] == "20 †"
    assert rows["sex: female"][1] == "120"
    shown = tables.subgroups(record).header.index("melanoma sensitivity")
    assert rows["sex: female"][shown].endswith("†"), "17 melanomas"
    assert all(cell.endswith("†") for cell in rows["sex: male"][2:] if cell != "–")


def test_calibration_is_shown_before_and_after_and_of_the_reliability():
    record = records()["test"]["calibration"]
    rows = tables.calibration(records()["test"]).rows
    assert [row[0] for row in rows] == list(tables.ANSWERS.values())
    for row, kind in zip(rows, tables.ANSWERS, strict=True):
        assert row[2].startswith(f"{record[kind]['metrics']['ece']:.4f} (")
    assert rows[0][1] != rows[1][1]
    assert (rows[2][1], rows[2][4]) == ("–", "–")
