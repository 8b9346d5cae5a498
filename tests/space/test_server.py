"""Server: the tested gradio only, failures without private data, and no known advisory."""

import re
import tomllib
from pathlib import Path

import gradio as gr
import pytest
from packaging.requirements import Requirement
from packaging.version import Version
from space.conftest import registry_of, served
from space.http_calls import HTTP, call

from hf_lesion.errors import InputError

ROOT = Path(__file__).resolve().parents[2]
ROWS = re.findall(r"^\| ((?:CVE|GHSA|gradio #).*) \|$", (ROOT / "SECURITY.md").read_text(), re.M)
OURS = ("gradio", "transformers", "torch")
NAMED = rf"({'|'.join(OURS)}) ([\d.]+\d)"
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


def test_another_gradio_is_refused(classifiers, monkeypatch):
    import server

    assert f"gradio>={server.TESTED}"[:-1] in str(PROJECT["optional-dependencies"]["space"])
    monkeypatch.setattr(gr, "__version__", "6.32.0")
    with pytest.raises(InputError, match=r"safely with gradio 6\.32\.0.*pip install 'gradio>=6"):
        server.build_page(registry_of(classifiers))


def test_a_failure_of_the_page_is_said_and_its_reason_kept(capsys):
    from refusals import FAILED, explain_errors

    def fail(text):
        raise RuntimeError(f"patient {text}")

    with gr.Blocks(analytics_enabled=False) as blocks:
        text = gr.Textbox()
        text.submit(fail, text, text, api_name="fail")
    explain_errors(blocks)
    with served(blocks) as url:
        event, found = call(url, "fail", ["smith.jpg"])
    assert (event, found["error"]) == ("error", FAILED)
    written = "".join(capsys.readouterr())
    assert "Request failed: RuntimeError in test_server.py, line " in written
    assert "smith" not in written


def test_nothing_is_kept_counted_or_monitored_and_the_preview_is_ours(page_url):
    config = HTTP.get(f"{page_url}/config").json()
    assert config["analytics_enabled"] is False
    assert not config.get("run_history")
    assert HTTP.get(f"{page_url}/monitoring").status_code >= 400
    page = HTTP.get(page_url).text
    heads = re.findall(r'<meta (?:property|name)="(?:og|twitter):title" content="([^"]*)"', page)
    assert heads == ["Skin lesion classifier"] * 2
    assert "Click to try out the app" not in page
    assert "header-image.jpg" not in page


def test_versions_are_above_those_with_advisories():
    needs = map(Requirement, PROJECT["dependencies"] + PROJECT["optional-dependencies"]["space"])
    lowest = {
        need.name: Version(next(one.version for one in need.specifier if one.operator == ">="))
        for need in needs
        if need.name in OURS
    }
    assert len(ROWS) > 10
    for row in ROWS:
        _advisory, _what, fixed, we_do = row.split(" | ")
        assert all(Version(version) <= lowest[name] for name, version in re.findall(NAMED, fixed))
        assert all(Version(version) == lowest[name] for name, version in re.findall(NAMED, we_do))
        assert "not known" in fixed or re.search(NAMED, fixed), row
    lines = (ROOT / "space" / "requirements.txt").read_text()
    pins = dict(re.findall(r"^([\w-]+)==([\w.]+)$", lines, re.M))
    readme = (ROOT / "space" / "README.md").read_text()
    pins["gradio"] = re.search(r"^sdk_version: (.+)$", readme, re.M)[1]
    assert all(Version(pins[name]) >= version for name, version in lowest.items())
