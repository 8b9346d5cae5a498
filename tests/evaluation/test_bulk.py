from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
from PIL import Image

from hf_lesion.calibration.reliability import Reliability
from hf_lesion.classifier import LesionClassifier
from hf_lesion.errors import InputError
from hf_lesion.evaluation import bulk
from hf_lesion.labels import CODES

COUNT = 11


@pytest.fixture(autouse=True)
def small_parts(monkeypatch):
    monkeypatch.setattr(bulk, "PART_IMAGES", 4)


@pytest.fixture
def classifier(tiny_timm_model):
    return LesionClassifier.from_pretrained(tiny_timm_model)


@pytest.fixture
def folder(tmp_path):
    """Eleven images in two subfolders; the fourth is a text and the ninth is cut short."""
    generator = np.random.default_rng(0)
    for index in range(COUNT):
        file = tmp_path / "images" / ("a" if index < 6 else "b") / f"I{index:02d}.png"
        file.parent.mkdir(parents=True, exist_ok=True)
        colours = generator.integers(0, 256, (5, 6, 3), dtype=np.uint8)
        Image.fromarray(colours).resize((80, 60), Image.Resampling.BICUBIC).save(file)
    (tmp_path / "images" / "a" / "I03.png").write_text("not an image")
    cut = tmp_path / "images" / "b" / "I08.png"
    cut.write_bytes(cut.read_bytes()[:200])
    return tmp_path / "images"


def run(classifier, folder, output, **options):
    images = bulk.list_folder(folder)
    parts = output.with_name(output.name + bulk.PARTS_SUFFIX)
    bulk.open_job(parts, images, weights=classifier.weights_sha256)
    bulk.predict_parts(classifier, images, parts, batch_size=3, **options)
    return parts


@pytest.mark.parametrize("name", ["run=1", "data:v2"])  # which Arrow takes for something else
def test_every_image_has_a_row_and_a_submission_those_that_can_be_read(
    classifier, folder, tmp_path, monkeypatch, name
):
    monkeypatch.chdir(tmp_path)
    output, submission = Path(name, "out.parquet"), Path(name, "submission.csv")
    parts = run(classifier, folder, output)
    found = bulk.merge_parts(parts, output, count=3)
    assert found == {"images": COUNT, "unreadable": 2}
    assert not parts.exists()
    table = pq.ParquetFile(output.open("rb")).read().to_pandas().set_index("image_id")
    assert list(table.index[:7]) == [*(f"a/I{index:02d}" for index in range(6)), "b/I06"]
    assert table.index[table["error"].notna()].tolist() == ["a/I03", "b/I08"]
    assert table.loc["a/I03", list(CODES)].isna().all()
    assert "can't be read as an image" in table.loc["b/I08", "error"]
    for image_id in ("a/I00", "b/I10"):
        expected = classifier.predict([Image.open(folder / f"{image_id}.png")])[0]
        assert np.allclose(table.loc[image_id, list(CODES)].to_numpy(float), expected, atol=1e-5)
        assert table.loc[image_id, "prediction"] == CODES[expected.argmax()]
    assert table["reliability"].isna().all()
    bulk.write_submission(output, submission)
    submitted = pd.read_csv(submission, float_precision="round_trip")
    # The order in which the ISIC writes them (ISIC 2018, Task 3).
    assert list(submitted) == ["image", "MEL", "NV", "BCC", "AKIEC", "BKL", "DF", "VASC"]
    assert submitted["image"].tolist()[:4] == ["I00", "I01", "I02", "I04"]
    read = table.dropna(subset="akiec")
    for code in CODES:
        assert np.array_equal(submitted[code.upper()], read[code].astype(float))


def test_each_row_says_how_often_such_results_are_right(classifier, folder, tmp_path):
    output = tmp_path / "out.parquet"
    known = {"weights_sha256": "", "fitted_on": {}, "cross_validated": {}}
    classifier.reliability = Reliability(scores=(0.1, 0.5), shares=(0.3, 0.8), **known)
    bulk.merge_parts(run(classifier, folder, output), output, count=3)
    table = pd.read_parquet(output)
    expected = np.interp(table[list(CODES)].max(axis=1), (0.1, 0.5), (0.3, 0.8))
    expected[table["error"].notna()] = np.nan
    assert table["reliability"].to_numpy() == pytest.approx(expected, abs=1e-6, nan_ok=True)


def test_processes_share_the_parts_and_give_the_same_file(classifier, folder, tmp_path):
    alone, shared = tmp_path / "alone.parquet", tmp_path / "shared.parquet"
    bulk.merge_parts(run(classifier, folder, alone), alone, count=3)
    parts = run(classifier, folder, shared, process=1, processes=2)
    assert [file.name for file in sorted(parts.glob("part-*"))] == ["part-000001.parquet"]
    with pytest.raises(InputError, match=r"^2 of 3 parts are missing .*: part-000000\.parquet, "):
        bulk.merge_parts(parts, shared, count=3)
    assert not shared.exists()
    run(classifier, folder, shared, process=0, processes=2)
    bulk.merge_parts(parts, shared, count=3)
    assert pq.read_table(shared).equals(pq.read_table(alone))


def test_a_stopped_job_resumes_and_another_jobs_parts_are_not_mixed_in(
    classifier, folder, tmp_path, monkeypatch
):
    output = tmp_path / "out.parquet"
    original, calls = LesionClassifier.predict, []

    def stop_at_the_third(self, images, *, batch_size):
        calls.append(len(images))
        if len(calls) == 3:
            raise KeyboardInterrupt
        return original(self, images, batch_size=batch_size)

    monkeypatch.setattr(LesionClassifier, "predict", stop_at_the_third)
    with pytest.raises(KeyboardInterrupt):
        run(classifier, folder, output)
    parts = tmp_path / "out.parquet.parts"
    assert [file.name for file in sorted(parts.glob("part-*"))] == ["part-000000.parquet"]
    calls.clear()
    monkeypatch.setattr(
        LesionClassifier, "predict", lambda *a, **o: calls.append(0) or original(*a, **o)
    )
    run(classifier, folder, output)
    assert len(calls) == 3  # two batches of the second part and one of the third
    (folder / "a" / "I05.png").unlink()
    with pytest.raises(InputError, match=r"out\.parquet\.parts holds parts of another job"):
        run(classifier, folder, output)
    assert bulk.merge_parts(parts, output, count=3)["images"] == COUNT


def test_a_folder_without_images_or_with_two_of_one_name_is_refused(tmp_path):
    with pytest.raises(InputError, match=r"^No image \(\.jpg, \.jpeg, \.jfif, \.png, "):
        bulk.list_folder(tmp_path)
    (tmp_path / "notes.txt").touch()
    for name in ("a.png", "a.k.png"):
        Image.new("RGB", (8, 6)).save(tmp_path / name)
    found = bulk.list_folder(tmp_path)
    assert sorted(found.names) == ["a", "a.k"]
    assert [file.name for file in found.left_out] == ["notes.txt"]
    Image.new("RGB", (8, 6)).save(tmp_path / "a.jpg")
    with pytest.raises(InputError, match=r"^1 images have more than one file in .*: a\. Keep one"):
        bulk.list_folder(tmp_path)
