"""Every command of README.md and docs/, in order, on drawn images, in a copy of the tree."""

import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import urllib.request
from pathlib import Path

import pandas as pd
import pytest
from hub.conftest import FORBIDDEN, serving

from hf_lesion.data.metadata import METADATA_FILE
from hf_lesion.synthetic.dataset import write_sample

ROOT = Path(__file__).resolve().parent.parent
CHAPTERS = ("data", "training", "evaluation", "explanations", "hub", "tutorial")
DOCUMENTS = [ROOT / "README.md", *(ROOT / "docs" / f"{name}.md" for name in CHAPTERS)]
IMAGES = 140
PORT = 7873
STARTS = ("python ", "accelerate launch ")
ENVIRONMENT = ". .venv/bin/activate"
# What makes a line short; the line itself stays as it is.
SHORTER = {
    "scripts/train.py": "--max_steps 3 --per_device_train_batch_size 4",
    "scripts/write_sample.py": "--images 140",
    "scripts/search.py": "--trials 2 --max_steps 2 --per_device_train_batch_size 4",
    "scripts/experiments/compare_protocols.py": "--seeds 1 --max_steps 1 --image_size 32",
    "space/app.py": f"--port {PORT}",
}
SERVED = "space/app.py"
LEAKS = " --as "  # audit_splits.py exits with 1 if it finds a leak


def read_journey():
    """Return the commands of the documents in order, each once, and their Python blocks."""
    text = "\n".join(file.read_text(encoding="utf-8") for file in DOCUMENTS)
    blocks = re.findall(r"(?:^    .+\n)+", text.replace("\\\n    ", ""), re.M)
    lines = [line.strip() for block in blocks for line in block.splitlines()]
    commands = dict.fromkeys(re.sub(r"\s+", " ", line) for line in lines)
    return list(commands), re.findall(r"```python\n(.*?)```", text, re.S)


def script_of(command):
    return next(word for word in command.split() if word.endswith(".py"))


COMMANDS, BLOCKS = read_journey()


def test_every_line_of_the_journey_is_one_that_is_run():
    assert len(COMMANDS) > 20
    assert len(BLOCKS) == 3
    others = [line for line in COMMANDS if not line.startswith((*STARTS, "make "))]
    assert others == [ENVIRONMENT]
    scripts = {script_of(line) for line in COMMANDS if line.startswith(STARTS)}
    steps = ("prepare_data", "audit_splits", "explore_data", "train", "score", "explain_images")
    assert scripts >= {f"scripts/{step}.py" for step in (*steps, "publish")} | {SERVED}
    assert set(SHORTER) <= scripts


@pytest.fixture(scope="module")
def clone(tmp_path_factory):
    """The tracked files alone, with what the lines speak of: HAM10000, FOLDER and so on."""
    folder = tmp_path_factory.mktemp("journey") / "hf_lesion"
    tracked = subprocess.check_output(["git", "ls-files", "-z"], cwd=ROOT, text=True)
    for name in filter(None, tracked.split("\0")):
        if (ROOT / name).is_file() and not name.startswith("space/models/"):
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(ROOT / name, folder / name)
    write_sample(folder / "HAM10000", IMAGES, seed=0)
    images = sorted((folder / "HAM10000").rglob("*.jpg"))
    (folder / "FOLDER").mkdir()
    for file in images[:6]:
        shutil.copyfile(file, folder / "FOLDER" / file.name)
    shutil.copyfile(images[0], folder / "lesion.jpg")
    write_truth(folder / "HAM10000" / METADATA_FILE, images[:6], folder / "truth.csv")
    return folder


def write_truth(metadata, images, target):
    table = pd.read_csv(metadata)
    kept = table[table["image_id"].isin({file.stem for file in images})]
    kept[["image_id", "dx"]].to_csv(target, index=False)


@pytest.fixture(scope="module")
def environment(clone):
    """A Hub on loopback, this environment's programs, the copy's package before the installed."""
    with serving() as hub:
        kept = {name: value for name, value in os.environ.items() if name not in FORBIDDEN}
        own = {
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
            "PYTHONPATH": str(clone),
            "HF_ENDPOINT": hub.url,
            "HF_TOKEN": "hf_me",
            "HF_HUB_DISABLE_XET": "1",
            "HF_HOME": str(clone.parent / "hf_home"),
            "NO_PROXY": "127.0.0.1,localhost",
        }
        yield {**kept, **own}


@pytest.mark.slow
@pytest.mark.timeout(2400)
def test_the_journey_can_be_gone_line_by_line(clone, environment):
    for command in COMMANDS:
        if not command.startswith(STARTS):
            continue
        script = script_of(command)
        words = shlex.split(f"{command} {SHORTER.get(script, '')}")
        if script == SERVED:
            check_page(words, clone, environment)
            continue
        done = subprocess.run(
            words, cwd=clone, env=environment, capture_output=True, text=True, check=False
        )
        expected = 1 if LEAKS in command else 0
        assert done.returncode == expected, (
            f"{command}\n{done.stdout[-2000:]}\n{done.stderr[-3000:]}"
        )
    for block in BLOCKS:
        done = subprocess.run(
            [sys.executable, "-c", block],
            cwd=clone,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, f"{block}\n{done.stderr[-3000:]}"


def check_page(words, clone, environment):
    """Start the page as the line says, and see that it is there, with or without a public link."""
    page = subprocess.Popen(
        words,
        cwd=clone,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    try:
        line = next(line for line in page.stdout if f"127.0.0.1:{PORT}" in line)
        with urllib.request.urlopen(f"http://127.0.0.1:{PORT}/", timeout=60) as answer:
            assert answer.status == 200, line
    finally:
        page.send_signal(signal.SIGINT)
        page.communicate(timeout=60)
    assert page.returncode == 130
