"""A set ten times larger must not need ten times the memory."""

import subprocess
import sys
from pathlib import Path

import pytest

SCRIPTS = Path(__file__).resolve().parents[2] / "scripts"
FEW, MANY = 300, 3000
# Tables of ids, hashes and measures grow with the images, at kilobytes each; pixels must not.
MOST_GROWTH = 1.5


# A small process starts the script: a child's peak counts what its parent held when it was forked.
STARTER = """
import resource, subprocess, sys
done = subprocess.run(sys.argv[1:], stdout=subprocess.DEVNULL)
print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)
sys.exit(done.returncode)
"""


def peak_memory(script, *words):
    """Run a script and return the most memory that it held, in MB."""
    command = [sys.executable, str(SCRIPTS / script), *map(str, words)]
    done = subprocess.run(
        [sys.executable, "-S", "-c", STARTER, *command], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return int(done.stdout) / 1024


def measure(folder, images):
    raw, dataset, report = folder / "raw", folder / "dataset", folder / "report"
    peak_memory("write_sample.py", "--output", raw, "--images", images)
    return {
        "prepare": peak_memory("prepare_data.py", "--source", raw, "--output", dataset),
        "audit": peak_memory(
            "audit_splits.py", "--dataset", dataset, "--output", report, "--private", report
        ),
        "explore": peak_memory(
            "explore_data.py", "--dataset", dataset, "--output", report, "--private", report
        ),
    }


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_ten_times_the_images_need_little_more_memory(tmp_path):
    few, many = (measure(tmp_path / str(images), images) for images in (FEW, MANY))
    print(few, many)  # noqa: T201
    growth = {name: many[name] / few[name] for name in few}
    assert max(growth.values()) < MOST_GROWTH, (few, many)
