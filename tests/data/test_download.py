import hashlib
import io
import random
import socket
import time
import zipfile

import pytest
from raised import refusal

from hf_lesion.data import download as downloading
from hf_lesion.data.download import CHUNK_BYTES, IMAGES, MASKS, OFFICIAL_TEST, RETRY, download

EVERY = IMAGES | MASKS | OFFICIAL_TEST
TABLE, PART_1, PART_2 = IMAGES
PATHS = {name: f"/api/access/datafile/{number}" for name, number in EVERY.items()}
RESUMED = f"bytes={5 * CHUNK_BYTES}-"


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    monkeypatch.setattr(downloading, "TIMEOUT", (2.0, 0.4))
    monkeypatch.setattr(downloading, "RETRY", RETRY.new(total=2, backoff_factor=0.01))


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
        converted = {"originalFileFormat": "text/csv"} if is_table else {}
        dataverse.offer(file_id, data[name], **converted)
    return data


def get(server, folder, **options):
    return {
        path.name: path.read_bytes() for path in download(folder, base_url=server.url, **options)
    }


def test_files_are_fetched_by_id_once_and_tables_as_they_were_uploaded(
    dataverse, offered, tmp_path
):
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
    assert sorted(path.name for path in folder.iterdir()) == sorted(EVERY)
    dataverse.asked.clear()
    assert get(dataverse, folder).keys() == IMAGES.keys()
    assert dataverse.asked == []


def test_a_cut_or_stalled_file_goes_on_where_it_ended(dataverse, offered, faults, tmp_path):
    """Dataverse keeps large files elsewhere and answers with a redirect."""
    dataverse.files["/store"] = offered[PART_1]
    dataverse.spoil(PATHS[PART_1], *[faults.redirect("/store")] * 3)
    dataverse.spoil("/store", faults.cut(5 * CHUNK_BYTES), faults.stall(3 * CHUNK_BYTES))
    assert get(dataverse, tmp_path)[PART_1] == offered[PART_1]
    assert dataverse.ranges("/store") == [None, RESUMED, f"bytes={8 * CHUNK_BYTES}-"]


def test_a_later_run_goes_on_after_a_cut(dataverse, offered, faults, tmp_path):
    dataverse.spoil(PATHS[PART_1], faults.cut(5 * CHUNK_BYTES), *[faults.busy(503)] * 3)
    assert "503" in refusal(get, dataverse, tmp_path)
    assert not (tmp_path / PART_1).exists()
    assert (tmp_path / f"{PART_1}.part").stat().st_size == 5 * CHUNK_BYTES
    assert get(dataverse, tmp_path)[PART_1] == offered[PART_1]
    assert dataverse.ranges(PATHS[PART_1]) == [None, *[RESUMED] * 4]
    (tmp_path / PART_1).rename(tmp_path / f"{PART_1}.part")  # stopped before the MD5 was verified
    assert get(dataverse, tmp_path)[PART_1] == offered[PART_1]


def test_a_server_that_is_busy_or_ignores_ranges_once_does_no_harm(
    dataverse, offered, faults, tmp_path
):
    dataverse.spoil(PATHS[PART_1], faults.cut(5 * CHUNK_BYTES), faults.send_whole())
    dataverse.spoil(PATHS[PART_2], faults.busy(503, Retry_After="1"))
    start = time.monotonic()
    files = get(dataverse, tmp_path)
    assert files == {name: offered[name] for name in IMAGES}
    assert time.monotonic() - start > 0.9


def test_a_server_that_always_starts_again_is_given_up(dataverse, offered, faults, tmp_path):
    dataverse.spoil(PATHS[PART_1], *[faults.send_whole(5 * CHUNK_BYTES)] * 20)
    assert "Connection broken" in refusal(get, dataverse, tmp_path)
    assert len(dataverse.ranges(PATHS[PART_1])) == 4


def test_wrong_bytes_are_never_kept(dataverse, offered, faults, tmp_path):
    wrong = b"?" * len(offered[PART_1])
    dataverse.spoil(PATHS[PART_1], faults.send(wrong))
    assert refusal(get, dataverse, tmp_path) == (
        f"Cannot download {PART_1}: its MD5 is {hashlib.md5(wrong).hexdigest()} instead of "
        f"{hashlib.md5(offered[PART_1]).hexdigest()}. Run the same command again to resume the "
        f"download in {tmp_path}. Without network access, download {', '.join(IMAGES)} from "
        "https://doi.org/10.7910/DVN/DBW86T manually and pass their folder as --source."
    )
    assert [path.name for path in tmp_path.iterdir()] == [TABLE]


def test_what_the_server_does_not_have_and_a_closed_network_are_one_line(
    dataverse, offered, tmp_path
):
    del dataverse.files[PATHS[PART_2]]
    message = refusal(get, dataverse, tmp_path)
    assert message.startswith(f"Cannot download {PART_2}: 404 Client Error: Not Found for url: ")
    dataverse.files["/api/files/3172584"] = b"<html>Welcome to the hotel</html>"
    assert "/api/files/3172584 returned no description of the file. Run" in refusal(
        get, dataverse, tmp_path
    )
    with socket.create_server(("127.0.0.1", 0)) as free:
        url = f"http://127.0.0.1:{free.getsockname()[1]}"
    message = refusal(download, tmp_path / "new", base_url=url)
    assert message.startswith(f"Cannot download {TABLE}: ")
    assert "Connection refused" in message
