"""Invalid requests and failed events are explained."""

import gradio as gr
import httpx
import pytest
from space.http_calls import SECONDS, call


@pytest.mark.parametrize(
    ("address", "body"),
    [
        ("call/nothing", {"data": []}),
        ("run/nothing", {"data": []}),
        ("queue/join", {"data": [], "fn_index": 999, "session_hash": "a"}),
        ("call/v2/nothing", {"image": 1}),
        ("call/v2/classify", {"image": 1, "colour": 2}),
        ("call/classify", {"data": {"a": 1}}),
        ("call/classify", {}),
    ],
)
def test_a_call_that_is_not_there_is_refused_in_words(page_url, address, body):
    from refusals import INVALID

    reply = httpx.post(f"{page_url}/gradio_api/{address}", json=body, timeout=SECONDS)
    assert reply.status_code in {404, 422}
    assert reply.json() == {"detail": INVALID}


@pytest.mark.parametrize("data", [[], [None], [7, "tiny_cnn"], [{"path": 5}, "tiny_cnn"]])
def test_an_answer_is_never_an_error_without_words(page_url, data):
    from refusals import INVALID

    event, found = call(page_url, "classify", data)
    assert (event, found["error"]) == ("error", INVALID)


def test_a_failure_of_the_page_is_said_and_its_reason_kept(capsys):
    from refusals import FAILED, explain_errors
    from server import launch_options

    def fail(text):
        raise RuntimeError(f"patient {text}")

    with gr.Blocks(analytics_enabled=False) as blocks:
        text = gr.Textbox()
        text.submit(fail, text, text, api_name="fail")
    explain_errors(blocks)
    _app, url, _share = blocks.launch(prevent_thread_lock=True, quiet=True, **launch_options())
    try:
        event, found = call(url.rstrip("/"), "fail", ["smith.jpg"])
    finally:
        blocks.close()
    assert (event, found["error"]) == ("error", FAILED)
    written = "".join(capsys.readouterr())
    assert "Request failed: RuntimeError in test_refusals.py, line " in written
    assert "smith" not in written
