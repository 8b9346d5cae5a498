import hashlib
import io
import json
import shutil

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
from datasets import load_dataset
from PIL import Image
from raised import refusal

from hf_lesion.data import checksums
from hf_lesion.data.build import Selection, prepare
from hf_lesion.data.record import PREPARE_HINT, get_description, read_fingerprint
from hf_lesion.data.resizing import Resize
from hf_lesion.data.splits import SPLITS
from hf_lesion.labels import CODES

LESIONS_PER_DX = 9
SIZE = (40, 30)
COLUMNS = ["lesion_id", "image_id", "dx", "dx_type", "age", "sex", "localization", "dataset"]


def draw_noise(rng, size):
    return Image.fromarray(rng.integers(0, 256, (*reversed(size), 3), dtype=np.uint8))


def write_raw(folder, lesions_per_dx=LESIONS_PER_DX):
    """Write noise in the original layout: one image of every other lesion, two of the others."""
    rng = np.random.default_rng(0)
    rows = []
    for number in range(lesions_per_dx * len(CODES)):
        for _ in range(1 + number % 2):
            age = "" if len(rows) % 10 == 0 else f"{5 * (number % 18)}.0"
            row = [f"HAM_{number:03d}", f"ISIC_{len(rows):04d}", CODES[number % len(CODES)]]
            rows.append([*row, "histo", age, "male", "", "rosendahl"])
    parts = [folder / f"HAM10000_images_part_{part}" for part in (1, 2)]
    masks = folder / "HAM10000_segmentations_lesion_tschandl"
    for part in (*parts, masks):
        part.mkdir(parents=True)
    for index, row in enumerate(rows):
        draw_noise(rng, SIZE).save(parts[index % 2] / f"{row[1]}.jpg", quality=90)
        mask = Image.fromarray(rng.integers(0, 2, SIZE[::-1], dtype=np.uint8) * 255)
        mask.convert("1").save(masks / f"{row[1]}_segmentation.png")
    frame = pd.DataFrame(rows, columns=COLUMNS)
    frame.to_csv(folder / "HAM10000_metadata.csv", index=False)
    return frame


@pytest.fixture(scope="module")
def raw(tmp_path_factory):
    folder = tmp_path_factory.mktemp("dataset") / "raw"
    write_raw(folder)
    return folder


@pytest.fixture
def own_raw(raw, tmp_path):
    """A copy that a test may spoil."""
    return shutil.copytree(raw, tmp_path / "raw")


@pytest.fixture(scope="module")
def prepared(raw):
    output = raw.parent / "prepared"
    return output, prepare(raw, output, seed=5)


def read_metadata_of(raw):
    return pd.read_csv(raw / "HAM10000_metadata.csv", dtype=str, keep_default_na=False)


def read_rows(output, *, decode=False):
    """All rows of all splits by image_id, with the split."""
    rows = {}
    for file in (output / "data").iterdir():
        for row in pq.read_table(file).to_pylist():
            if decode:
                pictures = {name: row[name] for name in ("image", "mask") if row[name]}
                row |= {name: open_bytes(one["bytes"]) for name, one in pictures.items()}
            rows[row["image_id"]] = {**row, "split": file.name.partition("-")[0]}
    return rows


def open_bytes(data):
    return Image.open(io.BytesIO(data))


def file_of(raw, image_id):
    return next(raw.rglob(f"{image_id}.jpg"))


def leftovers(folder):
    return [path.name for path in folder.iterdir() if path.name.startswith(".partial-")]


def test_rows_are_the_metadata_and_the_files_byte_for_byte(raw, prepared):
    metadata = read_metadata_of(raw).set_index("image_id")
    rows = read_rows(prepared[0])
    assert sorted(rows) == sorted(metadata.index)
    for image_id, row in rows.items():
        source = metadata.loc[image_id]
        assert row["image"]["bytes"] == file_of(raw, image_id).read_bytes()
        assert row["mask"]["bytes"] == next(raw.rglob(f"{image_id}_seg*.png")).read_bytes()
        assert CODES[row["label"]] == source["dx"]
        assert row["age"] == (float(source["age"]) if source["age"] else None)
        assert (row["lesion_id"], row["dx_type"]) == (source["lesion_id"], "histo")
        assert (row["sex"], row["localization"], row["dataset"]) == ("male", None, "rosendahl")


def test_load_dataset_decodes_from_anywhere_also_streaming(prepared, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    dataset = load_dataset(str(prepared[0]))
    assert tuple(dataset) == SPLITS
    assert dataset["train"].features["label"].names == list(CODES)
    assert list(dataset["train"].features) == [
        *("image", "mask", "label", "lesion_id", "image_id"),
        *("dx_type", "age", "sex", "localization", "dataset"),
    ]
    row = dataset["validation"][0]
    streamed = next(iter(load_dataset(str(prepared[0]), split="validation", streaming=True)))
    assert (row["image"].size, row["image"].mode) == (SIZE, "RGB")
    assert set(np.unique(row["mask"])) == {0, 255}
    assert np.array_equal(row["image"], streamed["image"])
    assert {**row, "image": 0, "mask": 0} == {**streamed, "image": 0, "mask": 0}


def test_no_lesion_crosses_a_split_and_csv_and_record_agree(prepared):
    output, record = prepared
    rows = pd.DataFrame(read_rows(output).values())
    assert (rows.groupby("lesion_id")["split"].nunique() == 1).all()
    listed = pd.read_csv(output / "splits.csv")
    rows["label"] = rows["label"].map(dict(enumerate(CODES)))
    expected = rows[["image_id", "lesion_id", "label", "split"]].sort_values("image_id")
    assert listed.equals(expected.reset_index(drop=True).astype(listed.dtypes))
    assert json.loads((output / "prepared.json").read_text()) == record
    for split, part in rows.groupby("split"):
        assert record["images"][split] == len(part)
        assert record["lesions"][split] == part["lesion_id"].nunique()
        assert record["counts"][split] == part["label"].value_counts()[list(CODES)].to_dict()
    assert (record["seed"], record["without_mask"]) == (5, 0)
    assert record["fractions"] == {"train": 0.7, "validation": 0.15, "test": 0.15}
    assert record["left_out"]["count"] == 0
    assert "versions" in record["provenance"]


def test_fingerprint_is_that_of_the_content(prepared):
    output, record = prepared
    lines = [
        f"{image_id}\t{row['split']}\t{CODES[row['label']]}\t"
        f"{hashlib.sha256(row['image']['bytes']).hexdigest()}\n"
        for image_id, row in sorted(read_rows(output).items())
    ]
    expected = hashlib.sha256("".join(lines).encode()).hexdigest()
    assert read_fingerprint(output) == record["fingerprint"] == expected


def test_folder_that_is_no_prepared_dataset(tmp_path):
    assert refusal(read_fingerprint, tmp_path) == (
        f"{tmp_path} is not a prepared dataset: it has no prepared.json. {PREPARE_HINT}"
    )
    (tmp_path / "prepared.json").write_text('{"fingerprint": 3}')
    assert "prepared.json is not a valid record: fingerprint: " in refusal(
        read_fingerprint, tmp_path
    )


@pytest.fixture
def spoiled(own_raw):
    """Four images in four ways unreadable, and one mask."""
    whole = file_of(own_raw, "ISIC_0003").read_bytes()
    file_of(own_raw, "ISIC_0001").write_bytes(b"")
    file_of(own_raw, "ISIC_0002").write_text("<html>Not found</html>")
    file_of(own_raw, "ISIC_0003").write_bytes(whole[: len(whole) // 2])
    file_of(own_raw, "ISIC_0004").unlink()
    next(own_raw.rglob("ISIC_0005_segmentation.png")).write_bytes(b"")
    return own_raw


def test_unreadable_files_are_counted_and_named(spoiled, raw, tmp_path):
    shutil.copy(file_of(raw, "ISIC_0004"), spoiled)
    message = refusal(prepare, spoiled, tmp_path / "out")
    assert message.startswith(
        "4 files cannot be read: ISIC_0001 (ISIC_0001.jpg: The image can't be read as an image "
    )
    assert "ISIC_0005 (ISIC_0005_segmentation.png: The image can't" in message
    assert message.endswith(". Download them again, or pass --allow_missing to leave them out.")
    assert not (tmp_path / "out").exists()
    assert leftovers(tmp_path) == []


def test_allow_missing_leaves_out_and_moves_no_other_image(spoiled, prepared, tmp_path):
    record = prepare(spoiled, tmp_path / "out", seed=5, allow_missing=True)
    left_out = record["left_out"]
    assert left_out["count"] == 4
    assert left_out["no_file"] == ["ISIC_0004"]
    assert list(left_out["unreadable"]) == ["ISIC_0001", "ISIC_0002", "ISIC_0003"]
    assert list(left_out["unreadable_masks"]) == ["ISIC_0005"]
    assert record["without_mask"] == 1
    full, fewer = read_rows(prepared[0]), read_rows(tmp_path / "out")
    assert set(full) - set(fewer) == {f"ISIC_000{number}" for number in range(1, 5)}
    assert all(full[image_id]["split"] == row["split"] for image_id, row in fewer.items())
    assert sum(record["images"].values()) == len(fewer)
    assert "4 images in the metadata were left out" in (tmp_path / "out/README.md").read_text()


def test_images_without_a_row_are_counted_named_and_left_out(own_raw, prepared, tmp_path):
    for number in (7777, 7778):
        shutil.copy(file_of(own_raw, "ISIC_0001"), own_raw / f"ISIC_{number}.jpg")
    assert refusal(prepare, own_raw, tmp_path / "out") == (
        f"2 images under {own_raw} are not in the metadata: ISIC_7777, ISIC_7778. Add their rows, "
        "or pass --allow_missing to leave them out."
    )
    record = prepare(own_raw, tmp_path / "out", seed=5, allow_missing=True)
    assert record["left_out"]["no_row"] == ["ISIC_7777", "ISIC_7778"]
    assert record["left_out"]["count"] == 0
    assert record["fingerprint"] == prepared[1]["fingerprint"]


def test_output_that_exists_is_kept_unless_overwrite(raw, tmp_path):
    output = tmp_path / "out"
    first = prepare(raw, output)
    assert refusal(prepare, raw, output, seed=1) == (
        f"{output} already exists. Pass --overwrite to replace it, or another --output."
    )
    assert read_fingerprint(output) == first["fingerprint"]
    second = prepare(raw, output, seed=1, overwrite=True)
    assert read_fingerprint(output) == second["fingerprint"] != first["fingerprint"]


def test_load_dataset_shows_no_cached_rows_of_a_replaced_folder(own_raw, tmp_path):
    """The cache knows a folder by its name and front matter: that must change with any column."""
    output = tmp_path / "out"

    def load_column(name):
        return load_dataset(str(output), split="test")[name][:]

    prepare(own_raw, output)
    first = load_column("image_id")
    prepare(own_raw, output, seed=1, overwrite=True)
    assert 0 < len({*first} & {*load_column("image_id")}) < len(first)
    assert set(load_column("sex")) == {"male"}
    frame = read_metadata_of(own_raw).assign(sex="female")
    frame.to_csv(own_raw / "HAM10000_metadata.csv", index=False)
    prepare(own_raw, output, seed=1, overwrite=True)
    assert set(load_column("sex")) == {"female"}


def test_overwrite_spares_what_was_not_prepared(raw, own_raw, tmp_path):
    precious = tmp_path / "thesis"
    precious.mkdir()
    (precious / "only_copy.txt").write_text("x")
    assert refusal(prepare, raw, precious, overwrite=True) == (
        f"{precious} already exists and was not written by prepare_data.py, so --overwrite does "
        "not replace it. Remove it, or pass another --output."
    )
    for output in (own_raw, own_raw.parent):
        assert refusal(prepare, own_raw, output, overwrite=True) == (
            f"{output} contains the source {own_raw}. Pass another --output."
        )
    assert (precious / "only_copy.txt").exists()


def test_originals_are_cut_to_the_centre_square_with_their_masks(raw, prepared, tmp_path):
    resize = Resize(16, centre_crop=True)
    record = prepare(raw, tmp_path / "out", seed=5, resize=resize)
    rows = read_rows(tmp_path / "out", decode=True)
    assert len(rows) == sum(record["images"].values())
    assert {(row["image"].size, row["mask"].size) for row in rows.values()} == {((16, 16),) * 2}
    with Image.open(next(raw.rglob("ISIC_0003_seg*.png"))) as source:
        cut = source.convert("L").crop((5, 0, 35, 30)).resize((16, 16), Image.NEAREST)
    assert np.array_equal(rows["ISIC_0003"]["mask"].convert("L"), cut)
    stored = read_rows(tmp_path / "out")["ISIC_0003"]
    assert stored["image"]["path"] == "ISIC_0003.jpg"
    assert open_bytes(stored["mask"]["bytes"]).mode == "1"
    assert record["framing"] == resize.describe()
    assert record["sizes"] == [[16, 16, len(rows)]]
    assert record["description"] == (
        f"{len(rows)} images in the layout of HAM10000, 16×16 px, centre square of the frame"
    )
    assert record["enlarged"] == 0
    listed = [(folder / "splits.csv").read_text() for folder in (tmp_path / "out", prepared[0])]
    assert listed[0] == listed[1]
    large = prepare(raw, tmp_path / "large", resize=Resize(50))
    assert large["enlarged"] == len(rows)
    assert large["description"].endswith(", 67×50 px, whole frame (4:3)")


def test_images_are_turned_as_their_exif_data_says_before_they_are_cut(own_raw, tmp_path):
    path = file_of(own_raw, "ISIC_0002")
    few = draw_noise(np.random.default_rng(3), (4, 3)).convert("L").convert("RGB")
    upright = few.resize(SIZE, Image.Resampling.NEAREST)
    exif = Image.Exif()
    exif[0x0112] = 6
    upright.transpose(Image.Transpose.ROTATE_90).save(path, quality=95, exif=exif)
    record = prepare(own_raw, tmp_path / "whole")
    assert record["sizes"] == [[*SIZE, sum(record["images"].values())]]
    assert read_rows(tmp_path / "whole")["ISIC_0002"]["image"]["bytes"] == path.read_bytes()
    prepare(own_raw, tmp_path / "cut", resize=Resize(30, centre_crop=True))
    found = read_rows(tmp_path / "cut", decode=True)["ISIC_0002"]["image"]
    expected = upright.crop((5, 0, 35, 30))
    assert np.abs(np.asarray(found, float) - np.asarray(expected)).mean() < 12
    assert not found.getexif()


def test_a_mask_of_another_frame_than_its_image_is_named(own_raw, tmp_path):
    path = next(own_raw.rglob("ISIC_0003_segmentation.png"))
    Image.new("1", (30, 30), 1).save(path)
    assert refusal(prepare, own_raw, tmp_path / "out", resize=Resize(16, centre_crop=True)) == (
        "1 files cannot be read: ISIC_0003 (ISIC_0003_segmentation.png: expected the aspect ratio "
        "of its image (40×30 pixels), got 30×30 pixels). Download them again, or pass "
        "--allow_missing to leave them out."
    )


def test_a_subset_keeps_every_image_in_its_split(tmp_path):
    write_raw(tmp_path / "raw", 18)
    prepare(tmp_path / "raw", tmp_path / "all")
    single = Selection(subset="single-image")
    record = prepare(tmp_path / "raw", tmp_path / "single", selection=single)
    whole, rows = read_rows(tmp_path / "all"), read_rows(tmp_path / "single")
    assert len(rows) == 63 == sum(record["images"].values())
    assert len({row["lesion_id"] for row in rows.values()}) == 63
    assert all(whole[image_id]["split"] == row["split"] for image_id, row in rows.items())
    assert record["subset"] == "single-image"


def test_a_published_split_gives_the_same_dataset_again(raw, prepared, tmp_path):
    selection = Selection(split_file=prepared[0] / "splits.csv")
    record = prepare(raw, tmp_path / "out", seed=9, selection=selection)
    assert record["content"] == prepared[1]["content"]
    assert (record["seed"], record["fractions"]) == (None, None)
    assert record["split_file"] == str(prepared[0] / "splits.csv")


@pytest.fixture
def raw_with_test(own_raw):
    """Three official test images, the lesion of one of which is known."""
    images = own_raw / "ISIC2018_Task3_Test_Images"
    images.mkdir()
    rows = []
    for number, lesion in ((901, "HAM_901"), (902, ""), (903, "")):
        draw_noise(np.random.default_rng(number), SIZE).save(images / f"ISIC_{number}.jpg")
        rows.append([lesion, f"ISIC_{number}", "mel", "", "", "", "", ""])
    rows.append(["", "ISIC_0035068", "nv", "", "", "", "", ""])  # the archive lacks this image
    truth = pd.DataFrame(rows, columns=COLUMNS)
    truth.to_csv(own_raw / "ISIC2018_Task3_Test_GroundTruth.csv", index=False)
    return own_raw


def test_the_official_test_set_is_a_split_of_its_own(raw_with_test, prepared, tmp_path):
    record = prepare(raw_with_test, tmp_path / "out", seed=5)
    assert record["content"] == prepared[1]["content"]  # only on request
    official = Selection(official_test=True)
    record = prepare(raw_with_test, tmp_path / "with", seed=5, selection=official)
    assert record["images"] == {**prepared[1]["images"], "official_test": 3}
    assert record["lesions"] == {**prepared[1]["lesions"], "official_test": 1}
    assert record["counts"]["official_test"]["mel"] == 3
    assert record["left_out"]["unscored"] == ["ISIC_0035068"]
    assert get_description(record, "test") == record["description"]
    assert get_description(record, "official_test") == (
        "official ISIC 2018 Task 3 test set, 3 images, 40×30 px, whole frame (4:3)"
    )
    dataset = load_dataset(str(tmp_path / "with"))
    assert tuple(dataset) == (*SPLITS, "official_test")
    assert dataset["official_test"]["lesion_id"][:] == ["HAM_901", None, None]
    assert dataset["official_test"][0]["image"].size == SIZE
    listed = pd.read_csv(tmp_path / "with" / "splits.csv")
    assert listed["split"].value_counts()["official_test"] == 3
    again = Selection(official_test=True, split_file=tmp_path / "with" / "splits.csv")
    taken = prepare(raw_with_test, tmp_path / "again", selection=again)
    assert taken["content"] == record["content"]


def test_official_test_images_that_are_absent_or_training_images(raw_with_test, tmp_path):
    official = Selection(official_test=True)
    truth = raw_with_test / "ISIC2018_Task3_Test_GroundTruth.csv"
    next(raw_with_test.rglob("ISIC_902.jpg")).unlink()
    assert refusal(prepare, raw_with_test, tmp_path / "out", selection=official) == (
        f"1 image_ids have no file under {raw_with_test}: ISIC_902. Pass the folder that contains "
        "both image parts, or --allow_missing to leave them out."
    )
    truth.write_text(truth.read_text().replace("ISIC_902", "ISIC_0001"))
    assert refusal(prepare, raw_with_test, tmp_path / "out", selection=official) == (
        "1 images of the official test set are also training images: ISIC_0001. Download its "
        "ground truth again."
    )


def test_published_images_are_counted_and_others_refused_on_request(
    raw_with_test, tmp_path, monkeypatch
):
    sums = {
        path.stem: hashlib.sha256(path.read_bytes()).hexdigest()
        for path in [*raw_with_test.rglob("ISIC_00*.jpg"), *raw_with_test.rglob("*.png")]
    }
    monkeypatch.setattr(checksums, "read_checksums", lambda: sums)
    monkeypatch.setattr("hf_lesion.data.record.read_checksums", lambda: sums)
    strict = Selection(official_test=True, originals_only=True)
    record = prepare(raw_with_test, tmp_path / "out", selection=strict)
    assert record["published"] == sum(record["images"].values()) - 3
    draw_noise(np.random.default_rng(7), SIZE).save(file_of(raw_with_test, "ISIC_0003"))
    assert refusal(prepare, raw_with_test, tmp_path / "other", selection=strict).startswith(
        f"1 of {len(sums)} files differ from the published ones (SHA-256): ISIC_0003. "
    )
    loose = Selection(official_test=True)
    changed = prepare(raw_with_test, tmp_path / "other", selection=loose)
    assert changed["published"] == record["published"] - 1


@pytest.mark.slow
@pytest.mark.real_data
def test_real_data(pytestconfig, tmp_path):
    source = pytestconfig.rootpath.parent / "shared" / "data" / "HAM10000"
    record = prepare(source, tmp_path / "out")
    assert record["published"] == 0  # they are smaller
    assert record["description"] == ("HAM10000, all 10,015 images, 200×150 px, whole frame (4:3)")
    counts = {code: sum(part[code] for part in record["counts"].values()) for code in CODES}
    assert counts == {
        "nv": 6705,
        "mel": 1113,
        "bkl": 1099,
        "bcc": 514,
        "akiec": 327,
        "vasc": 142,
        "df": 115,
    }
    dataset = load_dataset(str(tmp_path / "out"))
    assert sum(part.num_rows for part in dataset.values()) == 10_015
    lesions = [set(dataset[split]["lesion_id"][:]) for split in SPLITS]
    assert sum(map(len, lesions)) == len(set.union(*lesions)) == 7_470
    assert dataset["test"][0]["image"].size == (200, 150)
    assert record["without_mask"] == 0
