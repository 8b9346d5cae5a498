"""What is given as a folder or on the Hub; how the latter is fetched stands in tests/hub."""

import json
import os

import pytest

from hf_lesion.errors import InputError
from hf_lesion.io.checksums import write_manifest
from hf_lesion.models.snapshot import open_snapshot, split_revision


def test_a_folder_is_checked_and_taken_as_it_is(tmp_path):
    (tmp_path / "config.json").write_text(json.dumps({"mean": 0.5}))
    write_manifest(tmp_path)
    snapshot = open_snapshot(str(tmp_path))
    assert (snapshot.folder, snapshot.name, snapshot.revision) == (tmp_path, tmp_path.name, None)
    (tmp_path / "config.json").write_text(json.dumps({"mean": 0.6}))
    with pytest.raises(InputError, match=r"says: config\.json is different\. Fetch it again"):
        open_snapshot(str(tmp_path))
    unreadable = tmp_path / os.fsdecode(b"caf\xe9")
    unreadable.mkdir()
    with pytest.raises(InputError, match=r"^\S+caf\\udce9 is not UTF-8, and safetensors opens no"):
        open_snapshot(str(unreadable))


def test_a_revision_may_stand_behind_an_at():
    assert split_revision("me/a") == ("me/a", None)
    for given in (("me/a@v1", None), ("me/a", "v1"), ("me/a@v1", "v1")):
        assert split_revision(*given) == ("me/a", "v1")
    with pytest.raises(InputError, match="me/a@v1 names a revision, and another one is given: v2"):
        split_revision("me/a@v1", "v2")


@pytest.mark.parametrize("source", ["./runs/none", "none", "a/b/c", "~/none"])
def test_what_is_neither_is_refused(source):
    with pytest.raises(InputError, match=r"Model folder .* not found\. .* such as owner/name"):
        open_snapshot(source)
