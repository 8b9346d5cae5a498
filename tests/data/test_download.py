import datetime
import email.utils
import hashlib
import io
import json
import random
import socket
import time
import zipfile

import pytest
from raised import refusal

from hf_lesion.data import download as downloading
from hf_lesion.data.download import (
    CHUNK_BYTES,
    IMAGES,
    MASKS,
    OFFICIAL_TEST,
    download,
    parse_description,
)

EVERY = IMAGES | MASKS | OFFICIAL_TEST
TABLE, PART_1, PART_2 = IMAGES
PATHS = {name: f"/api/access/datafile/{number}" for name, number in EVERY.items()}
MD5 = "0123456789abcdef" * 2
RESUMED = f"bytes={5 * CHUNK_BYTES}-"
BY_HAND = (
    "Run the same command again to resume the download in {folder}. Without network access, "
    "download HAM10000_metadata.csv, HAM10000_images_part_1.zip, HAM10000_images_part_2.zip from "
    "https://doi.org/10.7910/DVN/DBW86T manually and pass their folder as --source."
)


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    monkeypatch.setattr(downloading, "TIMEOUT", (2.0, 0.4))
    monkeypatch.setattr(downloading, "ATTEMPTS", 3)
    monkeypatch.setattr(downloading, "FIRST_WAIT", 0.01)


def draw_zip(seed):
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        archive.writestr(f"ISIC_{seed}.jpg", random.Random(seed).randbytes(20 * CHUNK_BYTES))
    return stream.getvalue()


@pytest.fixture
def offered(dataverse):
    """All six files; tables are converted, so that only ?format=original has the right MD5."""
    data = {}
    for number, (name, file_id) in enumerate(EVERY.items()):
        is_table = name.endswith(".csv")
        data[name] = b"lesion_id,image_id\n" if is_table else draw_zip(number)
        converted = {"originalFileFormat": "text/csv", "filesize": 7} if is_table else {}
        dataverse.offer(file_id, data[name], **converted)
    return data


def get(server, folder, **options):
    return {
        path.name: path.read_bytes() for path in download(folder, base_url=server.url, **options)
    }


def test_files_are_fetched_by_id_and_tables_as_they_were_uploaded(dataverse, offered, tmp_path):
    folder = tmp_path / "deep" / "cache"
    assert get(dataverse, folder, with_masks=True, with_official_test=True) == offered
    assert {path for path, _ in dataverse.asked if "/access/" in path} == {
        "/api/access/datafile/4338392?format=original",
        "/api/access/datafile/3172585",
        "/api/access/datafile/3172584",
        "/api/access/datafile/3838943",
        "/api/access/datafile/3855824",
        "/api/access/datafile/6924466?format=original",
    }
    assert sorted(path.name for path in folder.iterdir()) == sorted([*EVERY, "registry.txt"])


def test_a_second_run_needs_no_network_and_another_mirror_is_asked(dataverse, offered, tmp_path):
    first = get(dataverse, tmp_path)
    dataverse.asked.clear()
    assert get(dataverse, tmp_path) == first
    assert dataverse.asked == []
    (tmp_path / PART_1).unlink()
    (tmp_path / "registry.txt").write_text(
        (tmp_path / "registry.txt").read_text().replace(dataverse.url, "http://127.0.0.1:9")
    )
    assert get(dataverse, tmp_path) == first
    assert len(dataverse.asked) == 4


@pytest.mark.parametrize("name", [PART_1, "registry.txt"])
def test_a_file_that_was_damaged_on_the_disk_is_replaced(dataverse, offered, name, tmp_path):
    first = get(dataverse, tmp_path)
    (tmp_path / name).write_bytes(b"x y z w" + (tmp_path / name).read_bytes()[7:])
    assert get(dataverse, tmp_path) == first


def test_a_cut_or_stalled_file_goes_on_where_it_ended(dataverse, offered, faults, tmp_path):
    dataverse.spoil(PATHS[PART_1], faults.cut(5 * CHUNK_BYTES), faults.stall(3 * CHUNK_BYTES))
    start = time.monotonic()
    assert get(dataverse, tmp_path)[PART_1] == offered[PART_1]
    assert time.monotonic() - start < 5
    assert dataverse.ranges(PATHS[PART_1]) == [None, RESUMED, f"bytes={8 * CHUNK_BYTES}-"]


def test_a_run_after_a_cut_goes_on(dataverse, offered, faults, tmp_path):
    dataverse.spoil(PATHS[PART_1], faults.cut(5 * CHUNK_BYTES), *[faults.busy(503)] * 3)
    assert "503 Service Unavailable, 3 times in a row. " in refusal(get, dataverse, tmp_path)
    assert not (tmp_path / PART_1).exists()
    assert (tmp_path / f"{PART_1}.part").stat().st_size == 5 * CHUNK_BYTES
    assert get(dataverse, tmp_path)[PART_1] == offered[PART_1]
    assert dataverse.ranges(PATHS[PART_1]) == [None, *[RESUMED] * 4]
    assert len(dataverse.ranges("/api/files/3172585")) == 1


def test_a_redirect_is_asked_for_the_same_range(dataverse, offered, faults, tmp_path):
    """Dataverse keeps large files elsewhere and answers with a redirect."""
    dataverse.files["/store"] = offered[PART_1]
    dataverse.spoil(PATHS[PART_1], *[faults.redirect("/store")] * 2)
    dataverse.spoil("/store", faults.cut(5 * CHUNK_BYTES))
    assert get(dataverse, tmp_path)[PART_1] == offered[PART_1]
    assert dataverse.ranges("/store") == [None, RESUMED]


def lie(faults, data):
    """Return by name what a server may get wrong once without harm."""
    return {
        "longer": [faults.tell(CHUNK_BYTES)],
        "shorter": [faults.tell(-1 - 10 * CHUNK_BYTES)],
        "ignores ranges": [faults.cut(5 * CHUNK_BYTES), faults.send_whole()],
        "wrong bytes": [faults.send(b"?" * len(data))],
    }


@pytest.mark.parametrize("kind", ["longer", "shorter", "ignores ranges", "wrong bytes"])
def test_a_single_fault_does_no_harm(dataverse, offered, faults, kind, tmp_path):
    dataverse.spoil(PATHS[PART_1], *lie(faults, offered[PART_1])[kind])
    assert get(dataverse, tmp_path)[PART_1] == offered[PART_1]


def test_a_server_that_always_starts_again_is_given_up(dataverse, offered, faults, tmp_path):
    dataverse.spoil(PATHS[PART_1], *[faults.send_whole(5 * CHUNK_BYTES)] * 20)
    assert "the connection was interrupted, 3 times in a row. " in refusal(get, dataverse, tmp_path)
    assert len(dataverse.ranges(PATHS[PART_1])) == 3


@pytest.mark.parametrize(
    ("path", "kind"),
    [("/api/files/4338392", "seconds"), ("/api/access/datafile/3172585", "date")],
)
def test_a_busy_server_is_given_the_time_it_asks_for(
    dataverse, offered, faults, path, kind, tmp_path
):
    date = datetime.datetime.now(datetime.UTC) + datetime.timedelta(seconds=2)
    asked = "1" if kind == "seconds" else email.utils.format_datetime(date, usegmt=True)
    dataverse.spoil(path, faults.busy(503, Retry_After=asked), faults.busy(429))
    start = time.monotonic()
    assert get(dataverse, tmp_path)[PART_1] == offered[PART_1]
    assert 0.5 <= time.monotonic() - start < 6


def test_a_server_that_asks_for_too_much_patience_is_reported(dataverse, offered, faults, tmp_path):
    dataverse.spoil(PATHS[PART_1], faults.busy(429, Retry_After="3600"))
    said = "the server returned 429 Too Many Requests; retry after 3600 seconds. "
    assert said in refusal(get, dataverse, tmp_path)


def test_bytes_that_stay_wrong_are_never_kept(dataverse, offered, faults, tmp_path):
    wrong = b"?" * len(offered[PART_1])
    dataverse.spoil(PATHS[PART_1], *[faults.send(wrong)] * 2)
    md5 = hashlib.md5(offered[PART_1]).hexdigest()
    assert refusal(get, dataverse, tmp_path) == (
        f"Cannot download {PART_1} from {dataverse.url}{PATHS[PART_1]}: its MD5 differs from "
        f"{md5}. " + BY_HAND.format(folder=tmp_path)
    )
    assert [path.name for path in tmp_path.iterdir()] == [TABLE]


@pytest.mark.parametrize(
    ("file", "expected"),
    [
        ({"md5": MD5}, (MD5, False)),
        ({"checksum": {"type": "MD5", "value": MD5.upper()}}, (MD5, False)),
        ({"md5": MD5, "tabularData": True}, (MD5, True)),
        (3, "a response that does not describe a file"),
        ({"md5": "ab"}, "a description without MD5"),
        ({"checksum": {"type": "SHA-1", "value": MD5}}, "a description without MD5"),
    ],
)
def test_the_md5_of_a_file_is_read_from_its_description(file, expected):
    data = json.dumps({"data": {"dataFile": file}}).encode()
    if isinstance(expected, tuple):
        assert parse_description(data) == expected
    else:
        with pytest.raises(ValueError, match=f"^{expected}$"):
            parse_description(data)


def test_a_closed_network_is_one_line_with_page_files_and_option(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as free:
        url = f"http://127.0.0.1:{free.getsockname()[1]}"
    assert refusal(download, tmp_path, base_url=url) == (
        f"Cannot download the checksum of {TABLE} from {url}/api/files/4338392: connection failed, "
        f"3 times in a row. {BY_HAND.format(folder=tmp_path)}"
    )


def test_a_file_that_the_server_does_not_have(dataverse, offered, tmp_path):
    (tmp_path / f"{PART_1}.part").write_bytes(offered[PART_1])  # whole already, and is kept
    del dataverse.files[PATHS[PART_2]]
    said = f"{dataverse.url}{PATHS[PART_2]}: the server returned 404 Not Found. "
    assert refusal(get, dataverse, tmp_path).startswith(f"Cannot download {PART_2} from {said}")
    assert len(dataverse.ranges(PATHS[PART_2])) == 1
    assert dataverse.ranges(PATHS[PART_1]) == [f"bytes={len(offered[PART_1])}-"]
    assert (tmp_path / PART_1).read_bytes() == offered[PART_1]
    dataverse.files["/api/files/3172584"] = b"<html>Welcome to the hotel</html>"
    (tmp_path / "registry.txt").unlink()
    assert "the server returned a response that does not describe a file. Run the same" in refusal(
        get, dataverse, tmp_path
    )


def test_a_disk_without_room_is_reported_before_the_first_byte(
    dataverse, offered, faults, tmp_path
):
    dataverse.spoil(PATHS[PART_1], faults.tell(10**15))
    assert f"{PATHS[PART_1]}: not enough disk space: 1000000.0 GB needed, " in refusal(
        get, dataverse, tmp_path
    )
    assert not (tmp_path / f"{PART_1}.part").exists()
