import hashlib
import io
import json
import random
import socket
import zipfile

import pytest

from hf_lesion.data.download import (
    IMAGES,
    MASKS,
    OFFICIAL_TEST,
    PAGE,
    Description,
    download,
    parse_description,
)
from hf_lesion.data.resume import CHUNK_BYTES, Patience
from hf_lesion.errors import InputError

QUICK = Patience(connect=2.0, read=0.4, attempts=2, first_wait=0.01, longest_wait=2.0)
TABLE, PART_1, PART_2 = IMAGES
PATHS = {file.name: f"/api/access/datafile/{file.id}" for file in (*IMAGES, *MASKS)}
BY_HAND = (
    "Run the same command again to go on with what has arrived in {folder}. Where the network is "
    "closed, fetch HAM10000_metadata.csv, HAM10000_images_part_1.zip, HAM10000_images_part_2.zip "
    "by hand from https://doi.org/10.7910/DVN/DBW86T and pass their folder as --source."
)


def draw_zip(seed):
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        archive.writestr(f"ISIC_{seed}.jpg", random.Random(seed).randbytes(20 * CHUNK_BYTES))
    return stream.getvalue()


@pytest.fixture
def offered(dataverse):
    """All six files; tables are converted, so that only ?format=original has the right MD5."""
    data = {}
    for number, file in enumerate((*IMAGES, *MASKS, *OFFICIAL_TEST)):
        is_table = file.name.endswith(".csv")
        data[file.name] = b"lesion_id,image_id\n" if is_table else draw_zip(number)
        converted = {"originalFileFormat": "text/csv", "filesize": 7} if is_table else {}
        dataverse.offer(file.id, data[file.name], **converted)
    return data


def get(server, folder, **options):
    paths = download(folder, base_url=server.url, patience=QUICK, **options)
    return {path.name: path.read_bytes() for path in paths}


def error_of(server, folder, **options):
    with pytest.raises(InputError) as caught:
        get(server, folder, **options)
    return str(caught.value)


def test_the_ids_are_those_of_the_published_files():
    ids = {file.name: file.id for file in (*IMAGES, *MASKS, *OFFICIAL_TEST)}
    assert ids == {
        "HAM10000_metadata.csv": 4338392,
        "HAM10000_images_part_1.zip": 3172585,
        "HAM10000_images_part_2.zip": 3172584,
        "HAM10000_segmentations_lesion_tschandl.zip": 3838943,
        "ISIC2018_Task3_Test_Images.zip": 3855824,
        "ISIC2018_Task3_Test_GroundTruth.csv": 6924466,
    }
    assert PAGE == "https://doi.org/10.7910/DVN/DBW86T"


def test_files_are_fetched_by_id_and_tables_as_they_were_uploaded(dataverse, offered, tmp_path):
    folder = tmp_path / "deep" / "cache"
    assert get(dataverse, folder) == {file.name: offered[file.name] for file in IMAGES}
    asked = [path for path, _ in dataverse.asked if path.startswith("/api/access/")]
    assert asked == [
        "/api/access/datafile/4338392?format=original",
        "/api/access/datafile/3172585",
        "/api/access/datafile/3172584",
    ]
    names = sorted([*(file.name for file in IMAGES), "dataverse.json"])
    assert sorted(path.name for path in folder.iterdir()) == names


def test_masks_and_official_test_come_on_request(dataverse, offered, tmp_path):
    assert get(dataverse, tmp_path, with_masks=True, with_official_test=True) == offered


def test_a_second_run_needs_no_network(dataverse, offered, tmp_path):
    first = get(dataverse, tmp_path)
    dataverse.asked.clear()
    assert get(dataverse, tmp_path) == first
    assert dataverse.asked == []


def test_a_file_that_was_spoiled_on_the_disk_is_fetched_again(dataverse, offered, tmp_path):
    first = get(dataverse, tmp_path)
    (tmp_path / PART_1.name).write_bytes(b"x" + first[PART_1.name][1:])
    assert get(dataverse, tmp_path) == first


def test_a_run_after_a_cut_goes_on(dataverse, offered, faults, tmp_path):
    dataverse.spoil(PATHS[PART_1.name], faults.cut(5 * CHUNK_BYTES), faults.busy(503))
    impatient = Patience(attempts=1)
    with pytest.raises(InputError):
        download(tmp_path, base_url=dataverse.url, patience=impatient)
    assert not (tmp_path / PART_1.name).exists()
    assert get(dataverse, tmp_path)[PART_1.name] == offered[PART_1.name]
    resumed = f"bytes={5 * CHUNK_BYTES}-"
    assert dataverse.ranges(PATHS[PART_1.name]) == [None, resumed, resumed]
    assert len(dataverse.ranges("/api/files/3172585")) == 1


def test_bytes_that_arrive_wrong_are_fetched_once_more(dataverse, offered, faults, tmp_path):
    wrong = b"?" * len(offered[PART_1.name])
    dataverse.spoil(PATHS[PART_1.name], faults.send(wrong))
    assert get(dataverse, tmp_path)[PART_1.name] == offered[PART_1.name]


def test_bytes_that_stay_wrong_are_never_kept(dataverse, offered, faults, tmp_path):
    wrong = b"?" * len(offered[PART_1.name])
    dataverse.spoil(PATHS[PART_1.name], *[faults.send(wrong)] * 2)
    md5 = hashlib.md5(offered[PART_1.name]).hexdigest()
    assert error_of(dataverse, tmp_path) == (
        f"Cannot fetch HAM10000_images_part_1.zip from {dataverse.url}/api/access/datafile/3172585:"
        f" it came 2 times with other bytes than its MD5 {md5} asks for. "
        + BY_HAND.format(folder=tmp_path)
    )
    assert [path.name for path in tmp_path.iterdir()] == [TABLE.name]


def test_a_false_size_in_the_description_does_no_harm(dataverse, offered, tmp_path):
    data = offered[PART_1.name]
    for size in (len(data) - 1, len(data) + 1):
        dataverse.offer(PART_1.id, data, filesize=size)
        assert get(dataverse, tmp_path / str(size))[PART_1.name] == data


def test_a_closed_network_is_one_line_with_page_files_and_option(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as free:
        url = f"http://127.0.0.1:{free.getsockname()[1]}"
    with pytest.raises(InputError) as caught:
        download(tmp_path, base_url=url, patience=QUICK)
    assert str(caught.value) == (
        f"Cannot fetch the checksum of HAM10000_metadata.csv from {url}/api/files/4338392: "
        f"no connection, 2 times in a row. {BY_HAND.format(folder=tmp_path)}"
    )


def test_a_login_page_instead_of_a_description(dataverse, offered, tmp_path):
    dataverse.files["/api/files/4338392"] = b"<html>Welcome to the hotel</html>"
    assert error_of(dataverse, tmp_path).startswith(
        f"Cannot fetch the checksum of HAM10000_metadata.csv from {dataverse.url}/api/files/4338392"
        ": the server sends no description of a file. Run the same command again"
    )


def test_an_id_that_is_not_there(dataverse, offered, tmp_path):
    del dataverse.files["/api/access/datafile/3172584"]
    assert error_of(dataverse, tmp_path).startswith(
        "Cannot fetch HAM10000_images_part_2.zip from "
        f"{dataverse.url}/api/access/datafile/3172584: the server answers 404 Not Found. "
    )
    assert (tmp_path / PART_1.name).exists()


def test_a_disk_without_room_is_told_before_the_first_byte(dataverse, offered, tmp_path):
    dataverse.offer(PART_1.id, offered[PART_1.name], filesize=10**15)
    message = error_of(dataverse, tmp_path)
    assert message.startswith(f"The files still need 1000000.0 GB, but {tmp_path} has room for ")
    assert message.endswith(" GB. Make room, or pass another --download_dir.")
    assert dataverse.ranges(PATHS[TABLE.name]) == []


def test_descriptions_in_both_forms():
    md5 = "0123456789abcdef" * 2
    for file, expected in (
        ({"md5": md5, "filesize": 5}, Description(md5, 5, False)),
        ({"checksum": {"type": "MD5", "value": md5.upper()}}, Description(md5, None, False)),
        ({"md5": md5, "filesize": 5, "tabularData": True}, Description(md5, None, True)),
        ({"md5": md5, "filesize": 5, "tabularData": False}, Description(md5, 5, False)),
    ):
        assert parse_description(json.dumps({"data": {"dataFile": file}}).encode()) == expected


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "no description of a file"),
        (b"[]", "no description of a file"),
        (b'{"data": {"dataFile": 3}}', "no description of a file"),
        (b'{"data": {"dataFile": {"md5": "ab"}}}', "a description without MD5"),
        (
            b'{"data": {"dataFile": {"checksum": {"type": "SHA-1", "value": "ab"}}}}',
            "a description without MD5",
        ),
    ],
)
def test_what_is_no_description(data, reason):
    with pytest.raises(ValueError, match=f"^{reason}$"):
        parse_description(data)
