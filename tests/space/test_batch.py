"""Batches: malicious zips, unreadable files, and the CSV table in ISIC format."""

import csv
import io
import struct
import zipfile

import numpy as np
import pytest
from space.conftest import linked
from uploads import ImageError, UploadedFile, clean_name, list_items

from hf_lesion.io.decoding import load_image
from hf_lesion.labels import CODES
from space import zoo


def hand(path, name=None):
    return UploadedFile(name or path.name, path)


def problems(*paths):
    """Return why each image of a batch can't be read, empty if it can, by its name."""
    found = {}
    for item in list_items([hand(path) for path in paths]):
        try:
            item.decode()
            found[item.name] = ""
        except ImageError as error:
            found[item.name] = str(error)
    return found


def rows_of(shown):
    return list(csv.DictReader(io.StringIO(linked(shown).decode())))


@pytest.fixture
def pack(tmp_path):
    def pack(entries, name="images.zip", **options):
        with zipfile.ZipFile(tmp_path / name, "w", **options) as archive:
            for entry, content in entries.items():
                archive.writestr(entry, content)
        return tmp_path / name

    return pack


def test_files_and_zips_give_the_probabilities_of_predict(
    page, classifiers, lesion, pack, tmp_path
):
    zipped = pack({"a/b/second.png": zoo.PNG, "__MACOSX/a/._x.png": b"", "c/": b""})
    (tmp_path / "words.jpg").write_text("words")
    told = []
    shown = page.classify_batch(
        [hand(tmp_path / "words.jpg"), hand(lesion), hand(zipped)],
        "tiny_cnn",
        lambda done, **_: told.append(done),
    )
    assert told == [(1, 3), (2, 3), (3, 3)]
    assert "2 of 3 images classified by tiny_cnn" in shown
    assert "words.jpg isn&#x27;t an image, or is damaged." in shown
    assert linked(shown).decode().startswith("image,MEL,NV,BCC,AKIEC,BKL,DF,VASC,gate\n")
    rows = rows_of(shown)
    assert [row["image"] for row in rows] == ["lesion", "second"]
    for row, image in zip(rows, (load_image(lesion), zoo.PLAIN), strict=True):
        expected = classifiers["tiny_cnn"].predict([image])[0]
        values = [float(row[code.upper()]) for code in CODES]
        np.testing.assert_allclose(values, expected, atol=1e-5)


def test_names_in_a_zip_are_labels_and_never_paths(pack, tmp_path):
    zipped = pack(dict.fromkeys(("../../etc/passwd.png", "/abs.png", "c:\\x\\y.png"), zoo.PNG))
    before = sorted(tmp_path.rglob("*"))
    assert problems(zipped) == {"passwd.png": "", "abs.png": "", "y.png": ""}
    assert sorted(tmp_path.rglob("*")) == before


def test_names_are_told_apart_and_are_no_formula_or_script(page, lesion, pack):
    """Of a zip by their folders, of files by a number: the CSV knows them without their endings."""
    zipped = pack(dict.fromkeys(("p1/a.png", "p2/a.png", "p2/../../b.png"), zoo.PNG))
    names = ["c.png", "c.jpg", "c (2).png", clean_name('x, "y" \ud800\n.png')]
    names += ["=cmd|' /C calc'!A0.png", "@x.png", "<script>alert(1)</script>.png"]
    shown = page.classify_batch([hand(zipped), *(hand(lesion, name) for name in names)], "tiny_cnn")
    assert [row["image"] for row in rows_of(shown)] == [
        *("p1/a", "p2/a", "b", "c", "c (2)", "c (2) (2)", 'x, "y" \\ud800'),
        *("'=cmd|' /C calc'!A0", "'@x", "<script>alert(1)</script>"),
    ]
    assert "p2/a.png" in shown
    assert "<script" not in shown


def test_a_zip_bomb_is_refused_before_it_is_unpacked_whatever_it_states(pack):
    bomb = pack({"big.png": bytes(50 * 2**20)}, compression=zipfile.ZIP_DEFLATED)
    assert bomb.stat().st_size < 2**20
    assert problems(bomb) == {"big.png": "big.png is larger than 10 MB. Make it smaller."}
    content = bomb.read_bytes().replace(struct.pack("<L", 50 * 2**20), struct.pack("<L", 1000))
    bomb.write_bytes(content)
    assert "big.png can't be" in problems(bomb)["big.png"]


def test_a_zip_with_a_password_is_named(pack):
    zipped = pack({"x.png": zoo.PNG})
    content = bytearray(zipped.read_bytes())
    for sign, at in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        content[content.index(sign) + at] |= 1
    zipped.write_bytes(content)
    assert problems(zipped) == {"x.png": "x.png is protected by a password. Zip it without one."}


def test_a_damaged_zip_or_entry_is_named(pack):
    zipped = pack({"x.png": zoo.PNG})
    whole = bytearray(zipped.read_bytes())
    for cut in (10, 40, -30):
        zipped.write_bytes(whole[:cut])
        assert "is a damaged zip file. Zip the images again." in problems(zipped)["images.zip"]
    whole[len(whole) // 2] ^= 255
    zipped.write_bytes(whole)
    assert "x.png can't be unpacked from images.zip (BadZipFile)" in problems(zipped)["x.png"]


def test_a_batch_starts_with_one_to_two_hundred_images(page, lesion, pack):
    assert page.list_batch(None)[0]["interactive"] is False
    assert "Add images" in page.classify_batch(None, "tiny_cnn")
    button, said = page.list_batch([hand(lesion, "a.png"), hand(lesion, "b.png")])
    assert button["interactive"]
    assert "2 images ready." in said
    many = {f"{number}.png": b"x" for number in range(201)}
    for entries, part in ((many, "More than 200 images at once."), ({}, "There is no image in")):
        files = [hand(pack(entries))]
        button, said = page.list_batch(files)
        assert not button["interactive"]
        assert part in said
        assert part in page.classify_batch(files, "tiny_cnn")


def test_too_many_entries_are_refused_unread(pack):
    assert problems(pack({f"{number}.png": b"" for number in range(2001)})) == {
        "images.zip": "images.zip has more than 2,000 entries. Zip at most 200 images."
    }
