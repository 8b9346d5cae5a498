from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image
from raised import refusal

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
    bulk.open_job(parts, images, weights=bulk.fingerprint_weights(classifier))
    bulk.predict_parts(classifier, images, parts, batch_size=3, **options)
    return parts, images


def test_every_image_has_a_row_and_what_cannot_be_read_says_so(classifier, folder, tmp_path):
    output = tmp_path / "out.parquet"
    parts, images = run(classifier, folder, output)
    found = bulk.merge_parts(parts, output, count=bulk.count_parts(images))
    assert found == {"images": COUNT, "unreadable": 2}
    table = pd.read_parquet(output).set_index("image_id")
    assert list(table.index[:7]) == [*(f"a/I{index:02d}" for index in range(6)), "b/I06"]
    assert table.index[table["error"].notna()].tolist() == ["a/I03", "b/I08"]
    assert table.loc["a/I03", list(CODES)].isna().all()
    assert "can't be read as an image" in table.loc["b/I08", "error"]
    for name in ("a/I00", "b/I10"):
        expected = classifier.predict([Image.open(folder / f"{name}.png")])[0]
        assert np.allclose(table.loc[name, list(CODES)].to_numpy(float), expected, atol=1e-5)
        assert table.loc[name, "prediction"] == CODES[expected.argmax()]
    assert not parts.exists()


def test_each_row_says_how_often_such_results_are_right(classifier, folder, tmp_path):
    output = tmp_path / "out.parquet"
    for shares in (None, (0.3, 0.8)):
        if shares is not None:
            classifier.reliability = Reliability(
                scores=(0.1, 0.5),
                shares=shares,
                weights_sha256="",
                fitted_on={},
                cross_validated={},
            )
        parts, images = run(classifier, folder, output)
        bulk.merge_parts(parts, output, count=bulk.count_parts(images))
        table = pd.read_parquet(output)
        read = table[table["error"].isna()]
        if shares is None:
            assert table["reliability"].isna().all()
            continue
        expected = np.interp(read[list(CODES)].max(axis=1), (0.1, 0.5), shares)
        assert read["reliability"].to_numpy() == pytest.approx(expected, abs=1e-6)
        assert table["reliability"].isna().sum() == 2


def test_processes_share_the_parts_and_give_the_same_file(classifier, folder, tmp_path):
    alone, shared = tmp_path / "alone.parquet", tmp_path / "shared.parquet"
    parts, images = run(classifier, folder, alone)
    bulk.merge_parts(parts, alone, count=3)
    parts, _ = run(classifier, folder, shared, process=1, processes=2)
    assert [file.name for file in sorted(parts.glob("part-*"))] == ["part-000001.parquet"]
    with pytest.raises(InputError, match=r"^2 of 3 parts are missing .*: part-000000\.parquet, "):
        bulk.merge_parts(parts, shared, count=3)
    assert not shared.exists()
    run(classifier, folder, shared, process=0, processes=2)
    bulk.merge_parts(parts, shared, count=bulk.count_parts(images))
    assert pq.read_table(shared).equals(pq.read_table(alone))


def test_a_stopped_job_goes_on_where_it_ended(classifier, folder, tmp_path, monkeypatch):
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
    monkeypatch.setattr(
        LesionClassifier, "predict", lambda *a, **o: calls.append(0) or original(*a, **o)
    )
    calls.clear()
    run(classifier, folder, output)
    assert len(calls) == 3  # two batches of the second part and one of the third
    assert bulk.merge_parts(parts, output, count=3)["images"] == COUNT


def test_another_jobs_parts_are_not_mixed_in(classifier, folder, tmp_path):
    output = tmp_path / "out.parquet"
    parts, _ = run(classifier, folder, output)
    (folder / "a" / "I05.png").unlink()
    with pytest.raises(InputError, match=r"out\.parquet\.parts holds the beginnings of another"):
        run(classifier, folder, output)
    assert len(list(parts.glob("part-*"))) == 3


def test_the_submission_is_what_the_isic_reads(classifier, folder, tmp_path):
    output, target = tmp_path / "out.parquet", tmp_path / "submission.csv"
    parts, _ = run(classifier, folder, output)
    bulk.merge_parts(parts, output, count=3)
    bulk.write_submission(output, target)
    table = pd.read_csv(target, float_precision="round_trip")
    # The order in which the ISIC writes them (ISIC 2018, Task 3).
    assert list(table) == ["image", "MEL", "NV", "BCC", "AKIEC", "BKL", "DF", "VASC"]
    assert len(table) == COUNT - 2
    assert table["image"].tolist()[:4] == ["I00", "I01", "I02", "I04"]
    expected = pd.read_parquet(output).dropna(subset="akiec")
    for code in CODES:
        assert np.array_equal(table[code.upper()], expected[code].astype(float))


def test_a_dataset_is_read_by_its_image_ids(classifier, sample_dataset):
    images = bulk.read_dataset(sample_dataset, "test")
    table = pd.read_csv(sample_dataset / "splits.csv")
    assert set(images.names) == set(table["image_id"][table["split"] == "test"])
    assert images.load(0).mode == "RGB"


def test_an_empty_folder_and_two_files_of_one_name_are_refused(tmp_path):
    with pytest.raises(InputError, match=r"^There is no image \(\.jpg, \.jpeg, \.jfif, \.png, "):
        bulk.list_folder(tmp_path)
    # In the order of their paths another stands between the two.
    for name in ("a.png", "a.k.png", "a.jpg"):
        Image.new("RGB", (4, 4)).save(tmp_path / name)
    with pytest.raises(InputError, match=r"^1 images have more than one file in .*: a\. Keep one"):
        bulk.list_folder(tmp_path)


def test_every_format_and_linked_folders_are_predicted(tmp_path):
    image = Image.new("RGB", (8, 6), (200, 120, 100))
    kinds = {"jpg": "JPEG", "JPG": "JPEG", "jfif": "JPEG", "png": "PNG", "tif": "TIFF"}
    kinds |= {"bmp": "BMP", "webp": "WEBP", "avif": "AVIF", "gif": "GIF"}
    (tmp_path / "there").mkdir()
    for suffix, kind in kinds.items():
        image.save(tmp_path / "there" / f"x_{suffix}.{suffix}", kind)
    (tmp_path / "there" / "notes.txt").touch()
    (tmp_path / "here").mkdir()
    image.save(tmp_path / "here" / "top.jpg")
    (tmp_path / "here" / "part_1").symlink_to(tmp_path / "there")
    (tmp_path / "here" / "round").symlink_to(tmp_path / "here")
    found = bulk.list_folder(tmp_path / "here")
    assert sorted(found.names) == sorted([*(f"part_1/x_{suffix}" for suffix in kinds), "top"])
    assert {found.load(index).size for index in range(len(found.names))} == {(8, 6)}
    assert [file.name for file in found.left_out] == ["notes.txt"]


def test_a_submission_names_each_image_once(tmp_path):
    """The ISIC's format has no folders: two images of one name would be two rows of one name."""
    for name in ("p1/a", "p2/a", "p2/b"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        Image.new("RGB", (4, 4)).save(tmp_path / f"{name}.png")
    message = (
        "1 names occur in more than one folder: a. A submission names images without their "
        "folders: rename them, or leave out --submission."
    )
    assert refusal(bulk.check_submission, bulk.list_folder(tmp_path).names) == message
    rows = [{"image_id": name, "error": "x"} for name in ("p1/a", "p2/b", "p2/a")]
    pq.write_table(pa.Table.from_pylist(rows, schema=bulk.SCHEMA), tmp_path / "p.parquet")
    with pytest.raises(InputError, match=r"^1 names occur in more than one folder: a\."):
        bulk.write_submission(tmp_path / "p.parquet", tmp_path / "s.csv")
    assert not (tmp_path / "s.csv").exists()


@pytest.mark.parametrize("name", ["run=1", "data:v2", "a[1]"])
def test_answers_may_lie_in_a_folder_of_any_name(classifier, folder, tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    output, target = Path(name, "out.parquet"), Path(name, "submission.csv")
    parts, _ = run(classifier, folder, output)
    assert bulk.merge_parts(parts, output, count=3)["images"] == COUNT
    bulk.write_submission(output, target)
    assert len(pd.read_csv(target)) == COUNT - 2
