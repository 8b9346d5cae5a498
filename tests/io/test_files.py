import json
import os

import pytest

from hf_lesion.errors import InputError
from hf_lesion.io.files import (
    read_json,
    read_json_if_there,
    remove_leftovers,
    storable_name,
    walk,
    whole_file,
    whole_folder,
    write_json,
    write_text,
)

NO_PROCESS = 2**22 + 1  # above the kernel's largest process id


def fill_and_fail(target, **options):
    with whole_folder(target, **options) as partial:
        (partial / "a.txt").write_text("new")
        raise RuntimeError("killed")


def test_a_folder_appears_whole(tmp_path):
    with whole_folder(tmp_path / "deep" / "out") as partial:
        (partial / "a.txt").write_text("a")
        assert not (tmp_path / "deep" / "out").exists()
    assert [file.name for file in (tmp_path / "deep").rglob("*")] == ["out", "a.txt"]


def test_a_failed_folder_leaves_nothing(tmp_path):
    with pytest.raises(RuntimeError):
        fill_and_fail(tmp_path / "out")
    assert list(tmp_path.iterdir()) == []


def test_a_filled_folder_is_not_overwritten_unless_asked(tmp_path):
    target = tmp_path / "out"
    target.mkdir()
    (target / "old.txt").write_text("old")
    with (
        pytest.raises(
            InputError,
            match=r"out already exists\. Pass --overwrite to replace it, or another --output\.$",
        ),
        whole_folder(target),
    ):
        pass
    with pytest.raises(RuntimeError):
        fill_and_fail(target, overwrite=True)
    assert (target / "old.txt").read_text() == "old"
    with whole_folder(target, overwrite=True) as partial:
        (partial / "new.txt").write_text("new")
    assert [file.name for file in target.iterdir()] == ["new.txt"]
    assert [file.name for file in tmp_path.iterdir()] == ["out"]


def test_leftovers_of_a_kill_are_swept_away(tmp_path):
    (tmp_path / f".partial-out-{NO_PROCESS}-0123abcd").mkdir()
    with whole_folder(tmp_path / "out"):
        pass
    assert [file.name for file in tmp_path.iterdir()] == ["out"]


def write_half(target):
    with whole_file(target) as partial:
        partial.write_text("half")
        raise RuntimeError("killed")


def test_a_file_is_written_whole_or_not_at_all(tmp_path):
    target = tmp_path / "a.txt"
    write_text(target, "first")
    with pytest.raises(RuntimeError):
        write_half(target)
    assert target.read_text() == "first"
    assert list(tmp_path.iterdir()) == [target]


def test_a_running_neighbour_is_left_alone(tmp_path):
    with whole_folder(tmp_path / "set-sharp") as sibling, whole_folder(tmp_path / "set") as first:
        with whole_folder(tmp_path / "other"):
            pass
        remove_leftovers(tmp_path / "set")
        assert sibling.is_dir()
        assert first.is_dir()


def test_a_kill_in_the_middle_of_a_replacement_loses_nothing(tmp_path):
    parked = tmp_path / ".replaced-out-0123abcd"
    parked.mkdir()
    (parked / "old.txt").write_text("old")
    remove_leftovers(tmp_path / "out")
    assert (tmp_path / "out" / "old.txt").read_text() == "old"


def test_json_has_null_for_nan_and_infinity(tmp_path):
    target = tmp_path / "a.json"
    write_json(target, {"é": [float("nan"), 1.5, (float("-inf"), "nan")], "n": 3})
    assert json.loads(target.read_text(encoding="utf-8")) == {
        "é": [None, 1.5, [None, "nan"]],
        "n": 3,
    }


def test_a_record_is_read_and_a_damaged_one_is_named_with_the_way_out(tmp_path):
    file = tmp_path / "record.json"
    assert read_json_if_there(file, fix="Score again.") == {}
    write_json(file, {"a": 1})
    assert read_json(file, fix="") == read_json_if_there(file, fix="") == {"a": 1}
    for damaged, said in (
        (b"{", "is not JSON: "),
        (b"\xff", "is not JSON: "),
        (b"[]", "holds a list"),
    ):
        file.write_bytes(damaged)
        with pytest.raises(InputError, match=rf"record\.json {said}.* Score again\.$"):
            read_json(file, fix="Score again.")


def test_links_are_followed_once_and_never_in_a_circle(tmp_path):
    """Links: to a folder outside, to one inside, back up, to and fro, to nothing, to itself."""
    outside, inside = tmp_path / "outside", tmp_path / "in"
    for folder in (outside / "deep", inside / "a", inside / "z"):
        folder.mkdir(parents=True)
        (folder / "file.png").touch()
    (outside / "deep" / "back").symlink_to(inside)
    links = {"part": outside, "a/z": inside / "z", "z/a": inside / "a", "up": tmp_path}
    links |= {"gone.png": tmp_path / "gone", "self.png": inside / "self.png"}
    for name, target in links.items():
        (inside / name).symlink_to(target)
    os.mkfifo(inside / "pipe.png")  # would be waited for
    found = [str(path.relative_to(inside)) for path in walk(inside)]
    assert found == ["a/file.png", "a/z/file.png", "gone.png", "part/deep/file.png", "self.png"]


def test_names_that_are_no_text_are_stored_as_escapes(tmp_path):
    name = os.fsdecode(b"caf\xe9 \xf0\x9f\x92\xa5\n.jpg")
    assert storable_name(name) == "caf\\udce9 💥\n.jpg"
    write_json(tmp_path / "a.json", {"source": name})
    assert json.loads((tmp_path / "a.json").read_text(encoding="utf-8")) == {"source": name}
