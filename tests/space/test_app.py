"""Command line: rejected options, startup, and the login file."""

import signal
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import httpx
import pytest
from gradio_client import Client, handle_file
from space.running import free_port, listen_to_ctrl_c

SPACE = Path(__file__).resolve().parents[2] / "space"


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


def test_no_model_at_all_ends_with_one_line(tmp_path):
    missing = tmp_path / "missing"
    done = launch("--models", missing, "--port", free_port())
    assert done.returncode == 2
    assert done.stderr == (
        f"error: {missing} was skipped: no such folder. There is no model to serve. "
        "Train one with scripts/train.py, then pass its folder: --models FOLDER.\n"
    )


def test_a_port_in_use_ends_with_one_line(tiny_cnn_model):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        done = launch("--models", tiny_cnn_model, "--port", port)
    assert done.returncode == 2
    assert done.stderr.splitlines()[-1] == (
        f"error: Can't serve on 127.0.0.1, port {port} (Address already in use). "
        "Pass another --port or --host."
    )
    assert "Traceback" not in done.stderr


def test_a_host_that_is_none_ends_with_one_line():
    done = launch("--host", "no.such.host.invalid")
    assert done.returncode == 2
    assert done.stderr.startswith("error: Can't serve on no.such.host.invalid, port 7860 (")
    assert done.stderr.count("\n") == 1


@pytest.mark.slow
@pytest.mark.timeout(120)
def test_the_page_is_served_before_its_models_and_asks_for_a_password(tmp_path, lesion):
    port = free_port()
    people = tmp_path / "people.txt"
    people.write_text("ada:lovelace\n")
    start = time.perf_counter()
    command = [sys.executable, SPACE / "app.py", "--port", str(port), "--auth_file", str(people)]
    with subprocess.Popen(
        command,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        preexec_fn=listen_to_ctrl_c,
    ) as process:
        try:
            while True:
                try:
                    reply = httpx.get(f"http://127.0.0.1:{port}/config", timeout=5)
                    break
                except httpx.TransportError:
                    time.sleep(0.05)
            assert time.perf_counter() - start < 30  # 12 on two cores that do nothing else
            assert reply.status_code == 401
            client = Client(f"http://127.0.0.1:{port}", auth=("ada", "lovelace"), verbose=False)
            result = client.predict(image=handle_file(lesion), api_name="/classify")
        finally:
            process.send_signal(signal.SIGINT)
        assert process.wait(30) == 130
    assert sum(result["probabilities"].values()) == pytest.approx(1, abs=1e-5)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("ada", "people.txt, line 1: expected name:password."),
        ("# no one\n\n:secret", "people.txt, line 3: expected name:password."),
        ("ada:", "people.txt, line 1: expected name:password."),
        ("", "people.txt has no names."),
    ],
)
def test_a_wrong_auth_file_is_named_without_its_secrets(tmp_path, text, message):
    from app import read_auth

    from hf_lesion.errors import InputError

    (tmp_path / "people.txt").write_text(text)
    with pytest.raises(InputError) as caught:
        read_auth(tmp_path / "people.txt")
    assert message in str(caught.value)
    assert "secret" not in str(caught.value)


def test_a_wrong_auth_file_ends_with_one_line(tmp_path):
    file = tmp_path / "people.txt"
    file.write_text("ada lovelace\n")
    done = launch("--auth_file", file, "--port", free_port())
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == f"error: {file}, line 1: expected name:password.\n"
    missing = launch("--auth_file", tmp_path / "none.txt", "--port", free_port())
    assert (missing.returncode, missing.stdout) == (2, "")
    assert missing.stderr == f"error: {tmp_path / 'none.txt'} can't be read (FileNotFoundError).\n"


def test_an_auth_file_is_read(tmp_path):
    from app import read_auth

    (tmp_path / "people.txt").write_text("# comment\nada:love:lace\n\ngrace:hopper\n")
    expected = [("ada", "love:lace"), ("grace", "hopper")]
    assert read_auth(tmp_path / "people.txt") == expected


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


def test_a_port_that_is_none_is_refused():
    done = launch("--port", "70000")
    assert done.returncode == 2
    assert "expected a port from 1 to 65535, got 70000" in done.stderr


def launch(*arguments):
    command = [sys.executable, SPACE / "app.py", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=120)
