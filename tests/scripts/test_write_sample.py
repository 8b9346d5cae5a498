import subprocess
import sys
from pathlib import Path

SCRIPT = Path(__file__).resolve().parents[2] / "scripts" / "write_sample.py"


def launch(*arguments):
    return subprocess.run(
        [sys.executable, str(SCRIPT), *map(str, arguments)],
        capture_output=True,
        text=True,
        cwd=SCRIPT.parents[1],
        timeout=120,
    )


def test_help_is_fast_and_names_the_launch_line():
    done = launch("--help")
    assert done.returncode == 0
    assert "python scripts/write_sample.py --output data/sample/raw" in done.stdout


def test_a_mistake_ends_in_one_line(tmp_path):
    done = launch("--output", tmp_path / "raw", "--images", 10)
    assert done.returncode == 2
    assert done.stderr == (
        "error: A sample needs at least 84 images, so that each of the 7 classes has six lesions "
        "to split; got 10. Pass a larger number of images.\n"
    )


def read_tree(folder):
    return {path.relative_to(folder): path.read_bytes() for path in folder.rglob("*.*")}


def test_another_process_draws_the_same_bytes_and_says_where(tmp_path, sample_folder):
    done = launch("--output", tmp_path / "raw", "--images", 84)
    assert done.returncode == 0, done.stderr
    assert done.stdout == (
        f"Written: 84 synthetic images with masks and metadata in {tmp_path / 'raw'}, for testing "
        "the software only.\n"
    )
    first, again = read_tree(sample_folder), read_tree(tmp_path / "raw")
    assert len(first) == 2 * 84 + 1
    assert first == again
