import base64
from html.parser import HTMLParser

import pytest

from hf_lesion.canvas import write_figure
from hf_lesion.data import page
from hf_lesion.data.exploration import read_frame

NAMES = [
    "class_bars",
    "class_pie",
    "images_per_lesion",
    "age",
    "sex",
    "localization",
    "dx_type",
    "source",
    "masks",
    "colours",
    "source_colours",
    "missing",
]


class Reader(HTMLParser):
    """Collects every tag's attributes and the text."""

    def __init__(self):
        super().__init__()
        self.tags, self.words = [], []

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data):
        self.words.append(data)


@pytest.fixture(scope="module")
def frame(sample_dataset):
    return read_frame(sample_dataset)


@pytest.fixture(scope="module")
def written(frame, tmp_path_factory):
    folder = tmp_path_factory.mktemp("page")
    charts = page.build_charts(frame)
    paths = page.write_charts(charts, folder)
    page.write_page(
        charts, paths, folder / "index.html", frame=frame, title="A <set> & more", fingerprint="ab"
    )
    return folder, charts


def read(path):
    reader = Reader()
    reader.feed(path.read_text(encoding="utf-8"))
    return reader


def test_every_chart_is_there_as_png_and_svg(written):
    folder, charts = written
    assert [chart.name for chart in charts] == NAMES
    files = {path.name for path in folder.iterdir()}
    assert files == {"index.html", *(f"{n}.{suffix}" for n in NAMES for suffix in ("png", "svg"))}


def test_page_needs_no_other_file(written):
    folder, charts = written
    reader = read(folder / "index.html")
    links = [
        attributes[name]
        for _, attributes in reader.tags
        for name in ("src", "href")
        if name in attributes
    ]
    assert all(link.startswith(("data:", "#")) for link in links)
    images = [attributes for tag, attributes in reader.tags if tag == "img"]
    assert len(images) == len(charts)
    for image, chart in zip(images, charts, strict=True):
        kind, data = image["src"].split(";base64,")
        assert kind == "data:image/svg+xml"
        assert base64.b64decode(data) == (folder / f"{chart.name}.svg").read_bytes()
        assert image["alt"] == f"{chart.title}. {chart.sentence}"
    assert not [tag for tag, _ in reader.tags if tag in ("script", "link", "iframe")]


def test_page_says_what_it_is_of_and_what_to_notice(written, frame):
    folder, charts = written
    text = "".join(read(folder / "index.html").words)
    assert "A <set> & more" in text
    assert "CC BY-NC 4.0" in text
    assert "not a medical device" in text
    assert f"{len(frame):,} images of 200×150 pixels of" in text
    assert all(chart.sentence in text for chart in charts)
    targets = [a["href"] for tag, a in read(folder / "index.html").tags if tag == "a"]
    assert targets == [f"#{name}" for name in NAMES]


def test_dataset_without_masks_and_metadata_is_drawn(frame):
    bare = frame.copy()
    bare[["area", "x", "y", "lesion_r", "lesion_g", "lesion_b", "skin_r", "age"]] = float("nan")
    bare[["sex", "localization", "dataset", "dx_type", "lesion_id"]] = None
    charts = page.build_charts(bare)
    assert [chart.name for chart in charts] == [name for name in NAMES if name != "masks"]
    for chart in charts:
        chart.figure.draw_without_rendering()


def test_one_class_of_another_size_is_drawn(frame, tmp_path):
    part = frame[frame["dx"] == "nv"].assign(width=600, height=450)
    part.iloc[0, part.columns.get_loc("width")] = 601
    charts = page.build_charts(part)
    png = tmp_path / "one.png"
    write_figure(charts[0].figure, png)
    page.write_page(
        charts[:1],
        {"class_bars": png},
        tmp_path / "one.html",
        frame=part,
        title="One",
        fingerprint="",
    )
    text = (tmp_path / "one.html").read_text(encoding="utf-8")
    assert "in 2 sizes, mostly 600×450" in text
    assert "data:image/png;base64," in text
