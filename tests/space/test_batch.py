"""Batches: malicious zips, unreadable files, and the CSV table in ISIC format."""

import csv
import io
import struct
import zipfile

import numpy as np
import pytest
from damaged import FORMATS, damage

from hf_lesion.errors import InputError
from hf_lesion.io.decoding import load_image
from hf_lesion.labels import CODES


def hand(path, name=None):
    from uploads import UploadedFile

    return UploadedFile(name or path.name, path)


def problems(classifier, *paths):
    from uploads import list_items

    found = {}
    for item in list_items([hand(path) for path in paths]):
        found[item.name] = ""
        try:
            classifier(item.decode())
        except InputError as error:
            found[item.name] = str(error)
    return found


@pytest.fixture
def pack(tmp_path):
    def pack(entries, name="images.zip", **options):
        with zipfile.ZipFile(tmp_path / name, "w", **options) as archive:
            for entry, content in entries.items():
                archive.writestr(entry, content)
        return tmp_path / name

    return pack


@pytest.fixture
def tiny(classifiers):
    return classifiers["tiny_cnn"]


def test_files_and_zips_give_the_probabilities_of_predict(page, tiny, lesion, pack):
    zipped = pack({"a/b/second.png": lesion.read_bytes(), "__MACOSX/a/._x.png": b"", "c/": b""})
    shown = page.classify_batch([hand(lesion), hand(zipped)], "tiny_cnn")
    assert "2 of 2 images classified by tiny_cnn" in shown
    expected = tiny.predict([load_image(lesion)])[0]
    content = link(shown)
    rows = list(csv.DictReader(io.StringIO(content)))
    assert content.splitlines()[0] == "image,MEL,NV,BCC,AKIEC,BKL,DF,VASC,gate"
    assert [row["image"] for row in rows] == ["lesion", "second"]
    for row in rows:
        values = [float(row[code.upper()]) for code in CODES]
        np.testing.assert_allclose(values, expected, atol=1e-5)


def link(shown):
    import base64
    import re

    return base64.b64decode(re.search(r"base64,([^\"]+)", shown)[1]).decode()


def test_one_bad_file_does_not_end_the_others(page, lesion, tmp_path):
    (tmp_path / "words.jpg").write_text("words")
    shown = page.classify_batch([hand(tmp_path / "words.jpg"), hand(lesion)], "tiny_cnn")
    assert "1 of 2 images classified" in shown
    assert "words.jpg isn&#x27;t an image, or is damaged." in shown


def test_names_in_a_zip_are_labels_and_never_paths(tiny, lesion, pack, tmp_path):
    content = lesion.read_bytes()
    zipped = pack({"../../etc/passwd.png": content, "/abs.png": content, "c:\\x\\y.png": content})
    before = sorted(tmp_path.rglob("*"))
    assert problems(tiny, zipped) == {"passwd.png": "", "abs.png": "", "y.png": ""}
    assert sorted(tmp_path.rglob("*")) == before


def test_equal_names_are_told_apart_in_the_table(page, lesion, pack, tmp_path):
    """Of a zip by their folders, of files by a number: the CSV knows them without their endings."""
    from uploads import clean_name

    content = lesion.read_bytes()
    zipped = pack({"p1/a.png": content, "p2/a.png": content, "p2/../../b.png": content})
    files = [hand(zipped), hand(lesion, "c.png"), hand(lesion, "c.jpg"), hand(lesion, "c (2).png")]
    files.append(hand(lesion, clean_name('x, "y" \ud800\n.png')))
    shown = page.classify_batch(files, "tiny_cnn")
    names = [row["image"] for row in csv.DictReader(io.StringIO(link(shown)))]
    expected = ["p1/a", "p2/a", "b", "c", "c (2)", "c (2) (2)", 'x, "y" \\ud800']
    assert names == expected
    assert "p2/a.png" in shown


def test_damaged_files_of_every_format_end_nothing(tiny, tmp_path, pack):
    entries = {f"{kind}_{seed}": damage(kind, seed) for kind in FORMATS for seed in range(10)}
    for name, content in entries.items():
        (tmp_path / name).write_bytes(content)
    found = problems(tiny, *(tmp_path / name for name in entries))
    assert list(found) == list(entries)
    assert 20 < sum(map(bool, found.values())) < len(entries) - 10
    assert all(text.startswith(f"{name} ") for name, text in found.items() if text)
    in_zip = {name: text for name, text in problems(tiny, pack(entries)).items() if text}
    assert in_zip.keys() == {name for name, text in found.items() if text}


def test_a_zip_bomb_is_refused_before_it_is_unpacked(tiny, pack):
    bomb = pack({"big.png": bytes(80 * 2**20)}, compression=zipfile.ZIP_DEFLATED)
    assert bomb.stat().st_size < 2**20
    assert problems(tiny, bomb) == {"big.png": "big.png is larger than 10 MB. Make it smaller."}


def test_a_zip_that_lies_about_sizes_is_not_believed(tiny, pack):
    bomb = pack({"big.png": bytes(50 * 2**20)}, compression=zipfile.ZIP_DEFLATED)
    content = bomb.read_bytes().replace(struct.pack("<L", 50 * 2**20), struct.pack("<L", 1000))
    bomb.write_bytes(content)
    assert "big.png can't be" in problems(tiny, bomb)["big.png"]


def test_a_zip_in_a_zip_is_named_and_not_opened(tiny, lesion, pack):
    inner = pack({"x.png": lesion.read_bytes()}, name="inner.zip").read_bytes()
    found = problems(tiny, pack({"inner.zip": inner}))
    assert found == {"inner.zip": "inner.zip is a zip file. Use the Batch tab for zips."}


def test_a_zip_with_a_password_is_named(tiny, lesion, pack):
    zipped = pack({"x.png": lesion.read_bytes()})
    content = bytearray(zipped.read_bytes())
    for sign, at in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        content[content.index(sign) + at] |= 1
    zipped.write_bytes(content)
    assert problems(tiny, zipped) == {
        "x.png": "x.png is protected by a password. Zip it without one."
    }


@pytest.mark.parametrize("cut", [10, 40, -30])
def test_a_damaged_zip_is_named(tiny, lesion, pack, cut):
    zipped = pack({"x.png": lesion.read_bytes()})
    zipped.write_bytes(zipped.read_bytes()[:cut])
    assert "is a damaged zip file. Zip the images again." in problems(tiny, zipped)["images.zip"]


def test_a_damaged_entry_is_named(tiny, lesion, pack):
    zipped = pack({"x.png": lesion.read_bytes()})
    content = bytearray(zipped.read_bytes())
    content[len(content) // 2] ^= 255
    zipped.write_bytes(content)
    assert "x.png can't be unpacked from images.zip (BadZipFile)" in problems(tiny, zipped)["x.png"]


def test_too_many_entries_are_refused_unread(tiny, pack):
    many = pack({f"{number}.png": b"" for number in range(2001)})
    found = problems(tiny, many)
    assert found == {
        "images.zip": "images.zip has more than 2,000 entries. Zip at most 200 images."
    }


def test_too_many_images_are_refused(page, pack):
    many = pack({f"{number}.png": b"x" for number in range(201)})
    assert "More than 200 images at once." in page.classify_batch([hand(many)], "tiny_cnn")


def test_a_zip_without_images_is_said(page, pack):
    assert "There is no image in the uploaded files" in page.classify_batch(
        [hand(pack({}))], "tiny_cnn"
    )


def test_no_files_are_asked_for(page):
    assert "Add images" in page.classify_batch(None, "tiny_cnn")


@pytest.mark.parametrize(
    "name", ["=cmd|' /C calc'!A0.png", "@x.png", "<script>alert(1)</script>.png"]
)
def test_no_name_is_a_formula_or_a_script(page, lesion, name):
    shown = page.classify_batch([hand(lesion, name)], "tiny_cnn")
    assert "<script" not in shown
    cell = next(csv.DictReader(io.StringIO(link(shown))))["image"]
    assert cell[0] not in "=@"


def test_progress_is_told(page, lesion):
    told = []
    page.classify_batch([hand(lesion)] * 3, "tiny_cnn", lambda done, **_: told.append(done))
    assert told == [(1, 3), (2, 3), (3, 3)]
