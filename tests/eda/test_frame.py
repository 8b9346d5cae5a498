import io
import json
import shutil

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from datasets import load_dataset
from PIL import Image

from hf_lesion.eda.frame import (
    count_images_per_lesion,
    count_missing,
    has_masks,
    luminance,
    read_frame,
    sample_images,
    tabulate,
)
from hf_lesion.labels import CODES

TEST = "data/test-00000-of-00001.parquet"


def png(image):
    stream = io.BytesIO()
    image.save(stream, "PNG")
    return {"bytes": stream.getvalue(), "path": "x.png"}


def rewrite(folder, changes):
    """Return the rows of the folder's frame of which the mask or image was changed."""
    table = pq.read_table(folder / TEST)
    rows = [row | change for row, change in zip(table.to_pylist(), changes, strict=False)]
    rest = table.slice(len(rows))
    changed = pa.Table.from_pylist(rows, schema=table.schema)
    pq.write_table(pa.concat_tables([changed, rest]), folder / TEST)
    found = read_frame(folder)
    return found[found["split"] == "test"].reset_index(drop=True)


def test_frame_has_the_rows_of_the_dataset(frame, sample_dataset):
    rows = [row for part in load_dataset(str(sample_dataset)).values() for row in part]
    assert list(frame["image_id"]) == [row["image_id"] for row in rows]
    assert list(frame["dx"]) == [CODES[row["label"]] for row in rows]
    for number in (0, 40):
        lesion = np.asarray(rows[number]["mask"]) > 127
        pixels = np.asarray(rows[number]["image"], dtype=float)
        assert frame["area"][number] == pytest.approx(lesion.mean())
        means = frame.loc[number, ["lesion_r", "lesion_g", "lesion_b"]].to_numpy(dtype=float)
        # Measured on a small copy, so at the border a little skin counts as lesion.
        assert means == pytest.approx(pixels[lesion].mean(axis=0), abs=6)
        assert frame["x"][number] == pytest.approx(np.nonzero(lesion)[1].mean() / 200, abs=0.01)
    record = json.loads((sample_dataset / "prepared.json").read_text())
    total = pd.DataFrame(record["counts"]).sum(axis=1)
    assert frame["dx"].value_counts().to_dict() == total.to_dict()
    grey = np.asarray(rows[0]["image"].convert("L")).mean()
    assert luminance(frame, "frame")[0] == pytest.approx(grey, abs=2)


def test_masks_are_measured_and_an_inverted_palette_is_read_right(sample_dataset, tmp_path):
    folder = shutil.copytree(sample_dataset, tmp_path / "copy")
    square = np.zeros((150, 200), bool)
    square[30:60, 100:200] = True
    palette = Image.fromarray(np.where(square, 0, 1).astype(np.uint8), mode="P")
    palette.putpalette([255, 255, 255, 0, 0, 0])
    image = Image.fromarray(np.where(square[..., None], (200, 40, 10), (90, 90, 90)).astype("u1"))
    found = rewrite(
        folder,
        [
            {"mask": png(palette), "image": png(image)},
            {"mask": png(Image.new("1", (200, 150)))},
            {"mask": None},
            {"mask": png(Image.new("1", (200, 150), 1))},
        ],
    )
    first = found.iloc[0]
    assert (first["area"], first["x"], first["y"]) == pytest.approx((0.1, 0.75, 0.3))
    assert tuple(first[["lesion_r", "lesion_g", "lesion_b"]]) == pytest.approx((200, 40, 10), abs=9)
    assert tuple(first[["skin_r", "skin_g", "skin_b"]]) == pytest.approx((90, 90, 90), abs=4)
    assert found.loc[1, "area"] == 0
    assert found.loc[[1, 2], ["x", "y", "lesion_r"]].isna().all(axis=None)
    assert found.loc[2, ["area", "skin_r"]].isna().all()
    assert found.loc[3, "area"] == 1
    assert found.loc[3, ["skin_r"]].isna().all()
    assert found["frame_r"].notna().all()
    assert has_masks(found)
    assert not has_masks(found.iloc[[1, 2]])


def test_tables_are_in_the_order_of_the_codes_with_unknown_last():
    dx = pd.Categorical(["nv", "mel", "nv", "nv", "mel"], list(CODES))
    frame = pd.DataFrame({"dx": dx, "sex": ["unknown", "female", "male", "male", None]})
    table = tabulate(frame, "sex")
    assert list(table.index) == list(CODES)
    assert list(table.columns) == ["male", "female", "unknown"]
    assert table.loc[["mel", "nv"]].to_numpy().tolist() == [[0, 1, 1], [2, 0, 1]]
    assert table.drop(["mel", "nv"]).to_numpy().sum() == 0


def test_missing_values_are_told_apart_from_the_word_and_lesions_counted_by_images():
    known = {"age": 50.0, "area": 0.1, "dx_type": "histo", "localization": None, "dataset": "x"}
    sexes, lesions = ["unknown", "male", None, "male"], ["a", "b", "b", None]
    frame = pd.DataFrame({"sex": sexes, "lesion_id": lesions, "image_id": list("abcd"), **known})
    missing = count_missing(frame)
    assert missing.loc["sex"].to_dict() == {"null": 1, "unknown": 1}
    assert missing["null"][["localization", "age", "mask"]].to_list() == [4, 0, 0]
    assert count_images_per_lesion(frame).to_dict() == {1: 1, 2: 1}


def test_samples_are_of_different_lesions_and_the_same_again(frame):
    chosen = sample_images(frame, per_class=4, seed=0)
    assert list(chosen) == list(CODES)
    for code, numbers in chosen.items():
        part = frame.loc[numbers]
        assert set(part["dx"]) == {code}
        assert part["lesion_id"].is_unique
        assert len(part) == 4
    assert sample_images(frame, per_class=4, seed=0) == chosen
    assert sample_images(frame, per_class=4, seed=1) != chosen


@pytest.mark.real_data
@pytest.mark.slow
def test_real_data_are_counted_as_by_others(pytestconfig, tmp_path):
    """Against the facts in shared/README.md."""
    from hf_lesion.data.build import prepare

    source = pytestconfig.rootpath.parent / "shared" / "data" / "HAM10000"
    prepare(source, tmp_path / "real")
    frame = read_frame(tmp_path / "real")
    sources = tabulate(frame, "dataset")
    assert sources["vidir_molemax"].sum() == 3954
    assert sources.loc["akiec", "rosendahl"] == 295
    assert ((frame["area"] > 0.9).sum(), (frame["area"] == 1).sum()) == (45, 2)
    assert count_images_per_lesion(frame)[1] == 5514
    assert count_missing(frame).loc["age", "null"] == 57
