import datetime
import email.utils
import random
import socket
import time

import pytest

from hf_lesion.data.resume import (
    CHUNK_BYTES,
    Patience,
    TransferError,
    build_downloader,
    fetch,
)

CHUNK = CHUNK_BYTES
DATA = random.Random(0).randbytes(100 * CHUNK + 1)
SIZE = len(DATA)
PATH = "/file"
QUICK = Patience(connect=2.0, read=0.4, attempts=3, first_wait=0.01, longest_wait=5.0)


@pytest.fixture
def server(dataverse):
    dataverse.files[PATH] = DATA
    return dataverse


def get(server, part, *, size=SIZE, patience=QUICK):
    fetch(server.url + PATH, part, size=size, patience=patience)
    return part.read_bytes()


def error_of(server, part, **options):
    with pytest.raises(TransferError) as caught:
        get(server, part, **options)
    return str(caught.value)


@pytest.mark.parametrize("size", [None, SIZE])
def test_a_good_answer_is_asked_for_once(server, tmp_path, size):
    assert get(server, tmp_path / "a.part", size=size) == DATA
    assert server.ranges(PATH) == [None]


def test_a_cut_file_goes_on_where_it_ended(server, faults, tmp_path):
    server.spoil(PATH, faults.cut(40 * CHUNK), faults.cut(30 * CHUNK))
    assert get(server, tmp_path / "a.part") == DATA
    assert server.ranges(PATH) == [None, f"bytes={40 * CHUNK}-", f"bytes={70 * CHUNK}-"]


def test_a_file_whose_size_is_not_known_goes_on_too(server, faults, tmp_path):
    server.spoil(PATH, faults.cut(40 * CHUNK))
    assert get(server, tmp_path / "a.part", size=None) == DATA
    assert server.ranges(PATH) == [None, f"bytes={40 * CHUNK}-"]


def test_what_an_earlier_run_left_is_not_fetched_again(server, tmp_path):
    part = tmp_path / "a.part"
    part.write_bytes(DATA[: SIZE - 1])
    assert get(server, part) == DATA
    part.write_bytes(DATA)
    assert get(server, part) == DATA
    assert server.ranges(PATH) == [f"bytes={SIZE - 1}-"]


def test_a_store_that_the_server_points_to_is_asked_for_the_same_range(server, faults, tmp_path):
    """Dataverse keeps large files elsewhere and answers with a redirect."""
    server.files["/store"] = DATA
    server.spoil(PATH, *[faults.redirect("/store")] * 2)
    server.spoil("/store", faults.cut(40 * CHUNK))
    assert get(server, tmp_path / "a.part") == DATA
    assert server.ranges("/store") == [None, f"bytes={40 * CHUNK}-"]


def test_a_stalled_answer_is_given_up_and_goes_on(server, faults, tmp_path):
    server.spoil(PATH, faults.stall(40 * CHUNK))
    start = time.monotonic()
    assert get(server, tmp_path / "a.part") == DATA
    assert time.monotonic() - start < 3
    assert server.ranges(PATH) == [None, f"bytes={40 * CHUNK}-"]


@pytest.mark.parametrize("size", [None, SIZE])
def test_a_length_that_is_told_too_long_costs_one_more_request(server, faults, tmp_path, size):
    server.spoil(PATH, faults.tell(CHUNK))
    assert get(server, tmp_path / "a.part", size=size) == DATA
    assert server.ranges(PATH) == [None, f"bytes={100 * CHUNK}-"]


def test_a_length_that_is_told_too_short_is_noticed(server, faults, tmp_path):
    server.spoil(PATH, faults.tell(-1 - 60 * CHUNK))
    assert get(server, tmp_path / "a.part") == DATA
    assert server.ranges(PATH) == [None, f"bytes={40 * CHUNK}-"]


def test_a_server_that_passes_over_the_range_starts_anew(server, faults, tmp_path):
    server.spoil(PATH, faults.cut(40 * CHUNK), faults.send_whole())
    assert get(server, tmp_path / "a.part") == DATA


def test_a_server_that_always_starts_anew_and_cuts_does_not_go_on_for_ever(
    server, faults, tmp_path
):
    server.spoil(PATH, *[faults.send_whole(40 * CHUNK)] * 20)
    reason = "the connection was cut, 3 times in a row"
    assert error_of(server, tmp_path / "a.part") == reason
    assert len(server.asked) == 3


def test_another_range_than_asked_for_is_not_appended(server, faults, tmp_path):
    server.spoil(PATH, faults.cut(40 * CHUNK), faults.send_range_from(39 * CHUNK))
    assert get(server, tmp_path / "a.part") == DATA
    assert server.ranges(PATH) == [None, f"bytes={40 * CHUNK}-", None]


@pytest.mark.parametrize("status", [429, 503])
def test_a_busy_server_is_given_the_time_it_asks_for(server, faults, tmp_path, status):
    server.spoil(PATH, faults.busy(status, Retry_After="1"), faults.busy(status))
    start = time.monotonic()
    assert get(server, tmp_path / "a.part") == DATA
    assert 1 <= time.monotonic() - start < 4


def test_a_date_to_come_back_at_is_kept(server, faults, tmp_path):
    date = datetime.datetime.now(datetime.UTC) + datetime.timedelta(seconds=2)
    server.spoil(PATH, faults.busy(503, Retry_After=email.utils.format_datetime(date, True)))
    assert get(server, tmp_path / "a.part") == DATA
    assert datetime.datetime.now(datetime.UTC) >= date.replace(microsecond=0)


def test_a_server_that_asks_for_too_much_patience_is_told(server, faults, tmp_path):
    server.spoil(PATH, faults.cut(40 * CHUNK), faults.busy(429, Retry_After="3600"))
    assert error_of(server, tmp_path / "a.part") == (
        "the server answers 429 Too Many Requests, and asks to wait 3600 seconds"
    )
    assert (tmp_path / "a.part").stat().st_size == 40 * CHUNK


def test_waits_grow_and_end(server, faults, tmp_path):
    server.spoil(PATH, *[faults.busy(503, Retry_After="soon")] * 9)
    patience = Patience(attempts=4, first_wait=0.1)
    start = time.monotonic()
    assert error_of(server, tmp_path / "a.part", patience=patience) == (
        "the server answers 503 Service Unavailable, 4 times in a row"
    )
    assert time.monotonic() - start > 0.1 + 0.2 + 0.4
    assert len(server.asked) == 4


def test_a_refusal_is_not_repeated(server, faults, tmp_path):
    server.spoil(PATH, faults.busy(403))
    assert error_of(server, tmp_path / "a.part") == "the server answers 403 Forbidden"
    assert len(server.asked) == 1


def test_nobody_there_and_no_address(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    for url, reason in (
        (f"http://127.0.0.1:{port}/", "no connection, 3 times in a row"),
        ("dataverse", "Invalid URL 'dataverse': No scheme supplied. "),
    ):
        with pytest.raises(TransferError) as caught:
            fetch(url, tmp_path / "a.part", size=None, patience=QUICK)
        assert str(caught.value).startswith(reason)


def test_the_downloader_leaves_the_whole_file_and_no_part(server, tmp_path):
    part, whole = tmp_path / "a.part", tmp_path / "a"
    build_downloader(part, size=SIZE, patience=QUICK)(server.url + PATH, whole, None)
    assert whole.read_bytes() == DATA
    assert not part.exists()
