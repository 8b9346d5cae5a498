"""Command line: rejected options, startup, and the login file."""

import signal
import socket
import subprocess
import sys
import urllib.request
from types import SimpleNamespace

import pytest
from gradio_client import Client, handle_file
from space.http_calls import HTTP
from space.running import SPACE, free_port, start_app

from hf_lesion.errors import InputError


@pytest.fixture
def refuse(monkeypatch, capsys):
    """Return what the command says before it ends with exit code 2: one line."""
    import app

    def refuse(*arguments):
        monkeypatch.setattr(sys, "argv", ["app.py", *map(str, arguments)])
        with pytest.raises(SystemExit) as caught:
            app.main()
        assert caught.value.code == 2
        out, err = capsys.readouterr()
        assert out == ""
        assert err.count("\n") == 1
        return err.rstrip("\n")

    deaf = SimpleNamespace(signal=lambda *_: None, SIGTERM=signal.SIGTERM)
    monkeypatch.setattr(app, "signal", deaf)
    monkeypatch.setattr(app, "limit_memory_arenas", lambda: None)
    return refuse


def test_help_answers_without_loading_anything_heavy():
    code = (
        "import sys, runpy; sys.argv = ['app.py', '--help']\n"
        "try: runpy.run_path('app.py', run_name='__main__')\n"
        "except SystemExit as end: code = end.code\n"
        "assert not {'torch', 'gradio', 'transformers'} & set(sys.modules); sys.exit(code)"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=SPACE, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "python space/app.py --models runs" in done.stdout


def test_what_cannot_be_served_ends_with_one_line(refuse, tmp_path):
    assert "expected a port from 1 to 65535, got 70000" in refuse("--port", "70000")
    assert "expected an integer of at least 1, got 0" in refuse("--max_concurrency", "0")
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        assert refuse("--port", port) == (
            f"error: Can't serve on 127.0.0.1, port {port} (Address already in use). "
            "Pass another --port or --host."
        )
    said = refuse("--host", "no.such.host.invalid")
    assert said.startswith("error: Can't serve on no.such.host.invalid, port 7860 (")
    missing = tmp_path / "missing"
    assert refuse("--models", missing, "--port", free_port()) == (
        f"error: {missing} was skipped: no such folder. There is no model to serve. "
        "Train one with scripts/train.py, then pass its folder: --models FOLDER."
    )


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("# no one\n\n:secret", ", line 3: expected name:password."),
        ("", " has no names. Write one name:password per line."),
    ],
)
def test_a_wrong_auth_file_is_named_without_its_secrets(refuse, tmp_path, text, message):
    file = tmp_path / "people.txt"
    assert str(file) in refuse("--auth_file", file, "--port", free_port())
    file.write_text(text)
    assert refuse("--auth_file", file, "--port", free_port()) == f"error: {file}{message}"


def test_an_auth_file_is_read(tmp_path):
    from app import read_auth

    (tmp_path / "people.txt").write_text("# comment\nada:love:lace\n\ngrace:hopper\n")
    expected = [("ada", "love:lace"), ("grace", "hopper")]
    assert read_auth(tmp_path / "people.txt") == expected
    (tmp_path / "people.txt").write_bytes("zoë:pass\n".encode("latin-1"))
    with pytest.raises(InputError, match=r"people\.txt is not UTF-8 text\. Save it in UTF-8\."):
        read_auth(tmp_path / "people.txt")


@pytest.mark.parametrize("told", ["", "example.org"])
def test_the_page_asks_itself_without_a_proxy(monkeypatch, told):
    from app import bypass_proxy

    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    monkeypatch.setenv("NO_PROXY", told)
    monkeypatch.setenv("no_proxy", told)
    bypass_proxy("10.1.2.3")
    for host in ("127.0.0.1:7860", "localhost:7860", "10.1.2.3", *filter(None, [told])):
        assert urllib.request.proxy_bypass(host)
    assert not urllib.request.proxy_bypass("huggingface.co")


@pytest.mark.slow
def test_the_page_asks_for_a_password(tmp_path, lesion):
    (tmp_path / "people.txt").write_text("ada:lovelace\n")
    app = start_app(tmp_path, "--auth_file", tmp_path / "people.txt")
    assert HTTP.get(f"{app.url}/config").status_code == 401
    client = Client(app.url, auth=("ada", "lovelace"), verbose=False)
    result = client.predict(image=handle_file(lesion), api_name="/classify")
    assert sum(result["probabilities"].values()) == pytest.approx(1, abs=1e-5)
    assert app.stop(signal.SIGINT) == 130
