"""Minimum versions of SECURITY.md: those in pyproject.toml and the Space's pins satisfy them."""

import re
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.version import Version

ROOT = Path(__file__).resolve().parents[2]
ROWS = re.findall(r"^\| ((?:CVE|GHSA|gradio #).*) \|$", (ROOT / "SECURITY.md").read_text(), re.M)
OURS = ("gradio", "transformers", "torch")
NAMED = rf"({'|'.join(OURS)}) ([\d.]+\d)"


def floors():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    lines = project["dependencies"] + project["optional-dependencies"]["space"]
    needs = [Requirement(text) for text in lines]
    return {
        need.name: Version(next(one.version for one in need.specifier if one.operator == ">="))
        for need in needs
        if need.name in OURS
    }


def pins():
    lines = (ROOT / "space" / "requirements.txt").read_text()
    found = dict(re.findall(r"^([\w-]+)==([\w.]+)$", lines, re.M))
    found["gradio"] = re.search(
        r"^sdk_version: (.+)$", (ROOT / "space/README.md").read_text(), re.M
    )[1]
    return {name: Version(found[name]) for name in OURS}


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.split(" |")[0])
def test_what_is_needed_is_above_what_was_mended(row):
    _advisory, _what, fixed, we_do = row.split(" | ")
    lowest = floors()
    for name, version in re.findall(NAMED, fixed):
        assert Version(version) <= lowest[name]
    for name, version in re.findall(NAMED, we_do):
        assert Version(version) == lowest[name]
    assert "not known" in fixed or re.search(NAMED, fixed)


def test_the_spaces_pins_are_above_the_floors():
    assert len(ROWS) > 10
    lowest = floors()
    assert all(version >= lowest[name] for name, version in pins().items())
