import subprocess

import pytest

from hf_lesion.errors import InputError
from hf_lesion.io.checksums import (
    DamageError,
    check_manifest,
    parse_manifest,
    read_manifest,
    write_manifest,
)


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "onnx").mkdir()
    (tmp_path / "config.json").write_text("{}")
    (tmp_path / "onnx" / "model.onnx").write_bytes(b"weights")
    (tmp_path / "README.md").write_text("card")
    write_manifest(tmp_path)
    return tmp_path


def test_it_is_what_sha256sum_checks_and_lists_itself_nowhere(folder):
    write_manifest(folder)  # again
    assert list(read_manifest(folder)) == ["config.json", "onnx/model.onnx"]
    subprocess.run(["sha256sum", "-c", "--strict", "SHA256SUMS"], cwd=folder, check=True)
    check_manifest(folder)


def test_the_card_may_be_edited_and_the_client_may_keep_notes(folder):
    (folder / "README.md").write_text("edited")
    (folder / ".cache").mkdir()
    (folder / ".cache" / "note.json").write_text("{}")
    check_manifest(folder)


def test_every_kind_of_damage_is_named(folder):
    (folder / "config.json").write_text('{"changed": 1}')
    (folder / "onnx" / "model.onnx").unlink()
    (folder / "added.json").write_text("{}")
    with pytest.raises(DamageError) as caught:
        check_manifest(folder)
    assert str(caught.value) == (
        f"{folder} is not what its SHA256SUMS says: onnx/model.onnx is missing, config.json is "
        "different, added.json is not listed. Fetch it again; if you changed it yourself, delete "
        "SHA256SUMS."
    )
    assert caught.value.files == ("added.json", "config.json", "onnx/model.onnx")


def test_what_was_not_asked_for_may_be_absent_but_not_different(folder):
    model = folder / "onnx" / "model.onnx"
    model.write_bytes(b"other")
    with pytest.raises(DamageError, match=r"model\.onnx is different"):
        check_manifest(folder, suffixes=(".json",))
    model.unlink()
    check_manifest(folder, suffixes=(".json",))


def test_a_folder_without_one_passes(tmp_path):
    check_manifest(tmp_path)
    with pytest.raises(InputError, match=r"SHA256SUMS not found\. scripts/publish\.py writes it\."):
        read_manifest(tmp_path)


@pytest.mark.parametrize("name", ["../secret", "/etc/passwd", "a/../../b"])
def test_no_line_leads_out_of_the_folder(name):
    with pytest.raises(InputError, match="SHA256SUMS, line 2: expected a SHA-256 and a file of"):
        parse_manifest(f"{'0' * 64}  config.json\n{'0' * 64}  {name}\n")
