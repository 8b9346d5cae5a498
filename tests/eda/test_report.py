import base64
import html
import json
import re
from pathlib import Path

import pytest

from hf_lesion.eda.figures import plot_classes
from hf_lesion.eda.report import (
    Chart,
    build_charts,
    read_leakage,
    summarise,
    write_charts,
    write_page,
)

NAMES = [
    "classes",
    "images_per_lesion",
    "leakage",
    "age",
    "sex",
    "localization",
    "dx_type",
    "source",
    "masks",
    "colours",
    "source_luminance",
    "missing",
]
LEAKAGE = {"as prepared: by lesion": 0.0, "by image": 0.4}


@pytest.fixture(scope="module")
def written(frame, tmp_path_factory):
    folder = tmp_path_factory.mktemp("page")
    charts = build_charts(frame, LEAKAGE)
    paths = write_charts(charts, folder)
    about = {"frame": frame, "title": "A <set> & more", "fingerprint": "ab"}
    write_page(charts, paths, folder / "index.html", **about)
    return folder, charts


def test_every_chart_is_there_as_png_and_svg(written):
    folder, charts = written
    assert [chart.name for chart in charts] == NAMES
    files = {path.name for path in folder.iterdir()}
    assert files == {"index.html", *(f"{n}.{suffix}" for n in NAMES for suffix in ("png", "svg"))}


def test_page_needs_no_other_file_and_says_what_it_is_of(written, frame):
    folder, charts = written
    page = (folder / "index.html").read_text(encoding="utf-8")
    assert re.findall('<a href="(.*?)"', page) == [f"#{name}" for name in NAMES]
    assert not re.search("<(script|link|iframe)", page)
    images = re.findall('<img src="data:image/svg.xml;base64,(.*?)" alt="(.*?)">', page)
    for (data, alt), chart in zip(images, charts, strict=True):
        assert base64.b64decode(data) == (folder / f"{chart.name}.svg").read_bytes()
        assert html.unescape(alt) == f"{chart.title}. {chart.caption}"
    text = " ".join(html.unescape(page).split())
    train, lesions = (frame["split"] == "train").sum(), frame["lesion_id"].nunique()
    for part in (
        "A <set> & more",
        "CC BY-NC 4.0",
        "not a medical device",
        f"{len(frame)} images of {lesions} lesions: {train} in train, ",
        f"Image sizes: 200×150 ({len(frame)}) .",
        *(chart.caption for chart in charts),
    ):
        assert part in text


def test_the_same_table_gives_the_same_svg(frame, written, tmp_path):
    folder, _ = written
    write_charts([Chart("classes", "", "", plot_classes(frame))], tmp_path)
    assert (tmp_path / "classes.svg").read_bytes() == (folder / "classes.svg").read_bytes()


def test_dataset_without_masks_and_metadata_is_plotted(bare):
    charts = build_charts(bare.assign(sex="male", dataset=bare["dx"].astype(str)), {})
    assert [c.name for c in charts] == [n for n in NAMES if n not in ("masks", "leakage")]
    captions = {chart.name: chart.caption for chart in charts}
    assert captions["sex"] == "A single value."
    assert "Cramér's V 1.00" in captions["source"]
    for chart in charts:
        chart.figure.draw_without_rendering()


def test_a_random_split_leaks_the_mean_of_its_draws(tmp_path):
    own = {"scheme": None, "test_rows_seen": {"share": 0.0}}
    average = {"draws": 20, "share": {"mean": 0.4}}
    drawn = {"scheme": {"name": "image-level", "average": average}, "test_rows_seen": {"share": 1}}
    for name, record in (("own", own), ("drawn", drawn)):
        (tmp_path / name).write_text(json.dumps(record))
    assert read_leakage([tmp_path / "own", tmp_path / "drawn"]) == LEAKAGE


def test_the_summary_that_ships_counts_all_of_ham10000(frame):
    summary = Path(__file__).resolve().parents[2] / "space" / "dataset.json"
    shipped, found = json.loads(summary.read_text()), summarise(frame, fingerprint="f")
    assert found["classes"] == frame["dx"].value_counts().to_dict()
    assert (found["images"], sum(found["splits"].values())) == (len(frame), len(frame))
    assert shipped.keys() == found.keys()
    assert list(shipped["classes"]) == list(found["classes"])
    assert (shipped["images"], shipped["lesions"]) == (10015, 7470)
