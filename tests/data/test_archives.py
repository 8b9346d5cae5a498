import zipfile
from contextlib import ExitStack

import numpy as np
import pytest
from damaged import spoil

from hf_lesion.data.archives import list_files
from hf_lesion.errors import InputError


def put_zip(path, members, **options):
    with zipfile.ZipFile(path, "w", **options) as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return path


def read_all(source):
    with ExitStack() as stack:
        return {str(file): file.read_bytes() for file in list_files(source, stack)}


def error_of(source):
    with pytest.raises(InputError) as caught:
        read_all(source)
    return str(caught.value)


def test_folders_and_their_archives_are_one_list(tmp_path):
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep" / "a.jpg").write_bytes(b"a")
    packed = put_zip(
        tmp_path / "part_1.ZIP",
        {
            "part_1/b.jpg": b"b" * 99,
            "part_1/": b"",
            "part_1/.DS_Store": b"x",
            "__MACOSX/part_1/._b.jpg": b"x",
        },
        compression=zipfile.ZIP_DEFLATED,
    )
    expected = {str(tmp_path / "deep" / "a.jpg"): b"a", f"{packed}/part_1/b.jpg": b"b" * 99}
    assert read_all(tmp_path) == expected


def test_an_archive_is_a_source_itself(tmp_path):
    packed = put_zip(tmp_path / "archive.zip", {"b/c.jpg": b"c", "a.csv": b"a"})
    with ExitStack() as stack:
        files = list_files(packed, stack)
        assert [file.name for file in files] == ["a.csv", "c.jpg"]
        archive = files[0].archive
    assert archive.fp is None  # closed with the stack


def test_a_member_with_flipped_bytes_is_noticed(tmp_path):
    packed = put_zip(tmp_path / "a.zip", {"b.jpg": b"good bytes"})
    packed.write_bytes(packed.read_bytes().replace(b"good", b"evil"))
    assert error_of(packed) == f"damaged in {packed}: Bad CRC-32 for file 'b.jpg'"


def test_whatever_is_wrong_with_an_archive_it_is_named(tmp_path):
    members = {f"{kind}.jpg": b"content" * 20 for kind in "abc"}
    whole = put_zip(tmp_path / "a.zip", members, compression=zipfile.ZIP_DEFLATED).read_bytes()
    named = 0
    for seed in range(300):
        rng = np.random.default_rng(seed)
        (tmp_path / "a.zip").write_bytes(spoil(whole, rng))
        try:
            read_all(tmp_path)
        except InputError as error:
            named += str(tmp_path / "a.zip") in str(error)
    assert named > 200


def test_what_is_no_source(tmp_path):
    half = put_zip(tmp_path / "a.zip", {"b.jpg": b"b" * 999})
    half.write_bytes(half.read_bytes()[:500])
    assert error_of(half) == (
        f"{half} is no whole zip archive (File is not a zip file). Fetch it again."
    )
    (tmp_path / "a.csv").write_bytes(b"x")
    for other in (tmp_path / "none", tmp_path / "a.csv"):
        assert error_of(other) == (
            f"{other} is no folder and no zip archive. Pass the folder that holds the metadata and "
            "the images, or fetch them with --download."
        )


def test_archives_within_an_archive_are_named(tmp_path):
    bundle = put_zip(tmp_path / "dataverse_files.zip", {"part_1.zip": b"x", "part_2.zip": b"x"})
    assert error_of(tmp_path) == (
        f"{bundle} holds 2 archives itself: part_1.zip, part_2.zip. Unzip it and pass the folder."
    )
