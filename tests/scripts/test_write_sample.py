from pathlib import Path

SCRIPT = Path(__file__).resolve().parents[2] / "scripts" / "write_sample.py"


def read_tree(folder):
    return {path.relative_to(folder): path.read_bytes() for path in folder.rglob("*.*")}


def test_another_run_draws_the_same_bytes_and_says_where(call, tmp_path, sample_folder):
    code, out, err = call("--output", tmp_path / "raw", "--images", 84)
    assert code == 0, err
    assert out == (
        f"Written: 84 drawn images with masks and metadata in {tmp_path / 'raw'}, for testing "
        "the software only.\n"
    )
    first, again = read_tree(sample_folder), read_tree(tmp_path / "raw")
    assert len(first) == 2 * 84 + 1
    assert first == again
    code, _, err = call("--output", tmp_path / "few", "--images", 10)
    assert code == 2
    assert err.startswith("error: A sample needs at least 84 images, so that each of the 7 classes")
