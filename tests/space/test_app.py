import base64
import html
import io
import json
import os
import re
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import httpx
import numpy as np
import pytest
from gradio_client import Client, handle_file
from gradio_client.exceptions import AppError
from PIL import Image

from hf_lesion.data.sample import draw_lesion
from hf_lesion.explain.heatmap import overlay
from hf_lesion.labels import CODES, NAMES, NOTICE
from hf_lesion.pixels import load_image

SPACE = Path(__file__).resolve().parents[2] / "space"
MEGABYTE = 2**20


@pytest.fixture(scope="module")
def client(page_url):
    return Client(page_url, verbose=False)


@pytest.fixture(scope="module")
def lesion(tmp_path_factory):
    file = tmp_path_factory.mktemp("lesion") / "lesion.png"
    draw_lesion("mel", seed=3)[0].save(file)
    return file


@pytest.fixture(scope="module")
def page(classifiers):
    from page import Page

    return Page(classifiers)


def measure_with(model, folder, report):
    from catalogue import read_measure

    from hf_lesion.inference import LesionClassifier

    copy = shutil.copytree(model, folder / "model")
    if report is not None:
        (copy / "report.json").write_text(report)
    return read_measure(LesionClassifier.from_pretrained(copy))


def refusal(client, file, **more):
    """Return the message of a refused call, which must give nothing of this machine away."""
    with pytest.raises(AppError) as caught:
        client.predict(image=handle_file(file), **more)
    message = str(caught.value)
    assert "Traceback" not in message
    assert str(file.parent) not in message
    assert "/gradio" not in message
    return message


class TestApi:
    @pytest.mark.parametrize("model", ["tiny_cnn", "tiny_resnet"])
    def test_classify_gives_the_probabilities_of_predict(self, client, classifiers, lesion, model):
        result = client.predict(image=handle_file(lesion), model=model, api_name="/classify")
        expected = classifiers[model].predict([load_image(lesion)])[0]
        assert tuple(result["probabilities"]) == CODES
        assert np.ptp(expected) > 0.05
        np.testing.assert_allclose(list(result["probabilities"].values()), expected, atol=1e-5)
        assert result["label"] == CODES[expected.argmax()]
        assert result["name"] == NAMES[result["label"]]

    def test_classify_without_a_model_asks_the_first(self, client, lesion):
        without = client.predict(image=handle_file(lesion), api_name="/classify")
        first = client.predict(image=handle_file(lesion), model="tiny_cnn", api_name="/classify")
        assert without == first

    @pytest.mark.parametrize("model", ["tiny_cnn", "tiny_resnet"])
    def test_explain_gives_the_overlay_of_the_class(self, client, classifiers, lesion, model):
        image = load_image(lesion)
        code = "df"
        picture, result = client.predict(
            image=handle_file(lesion), model=model, target=code, api_name="/explain"
        )
        heatmap = classifiers[model].explain([image], [code]).heatmaps[0]
        assert heatmap.max() == pytest.approx(1)
        expected = overlay(image, heatmap)
        difference = np.asarray(Image.open(picture), int) - np.asarray(expected, int)
        assert np.abs(difference).max() <= 1
        assert result["target"] == code
        assert result["notice"] == ""

    def test_explain_takes_the_predicted_class_unless_told(self, client, lesion):
        _picture, result = client.predict(image=handle_file(lesion), api_name="/explain")
        assert result["target"] == result["label"]

    def test_only_two_calls_are_public_and_both_are_described(self, client):
        calls = client.view_api(return_format="dict", print_info=False)["named_endpoints"]
        assert set(calls) == {"/classify", "/explain"}
        names = {
            name: [p["parameter_name"] for p in call["parameters"]] for name, call in calls.items()
        }
        assert names == {"/classify": ["image", "model"], "/explain": ["image", "model", "target"]}
        assert all("not a medical device" in call["description"] for call in calls.values())

    @pytest.mark.parametrize("name", ["/show", "/pick"])
    def test_the_page_own_calls_are_closed_to_clients(self, client, name):
        with pytest.raises(ValueError, match="Cannot find a function with `api_name`"):
            client.predict(api_name=name)

    def test_a_model_that_is_not_there_is_refused(self, client, lesion):
        message = refusal(client, lesion, model="../secret", api_name="/classify")
        assert "not in the list of choices" in message

    def test_a_class_that_is_not_there_is_refused(self, client, lesion):
        message = refusal(client, lesion, target="cold", api_name="/explain")
        assert "not in the list of choices" in message

    def test_no_image_is_refused(self, client):
        with pytest.raises(AppError, match=r"^Expected an image, got none\.$"):
            client.predict(image=None, api_name="/classify")


class TestUploads:
    @pytest.mark.parametrize("name", ["words.jpg", "nothing.png", "half.jpg", "<b>bold<b>.png"])
    def test_what_is_no_image_is_refused_by_its_name(self, client, tmp_path, lesion, name):
        content = {
            "nothing.png": b"",
            "half.jpg": jpeg(lesion)[:2000],
        }.get(name, b"These are words, not pixels.")
        file = tmp_path / name
        file.write_bytes(content)
        message = refusal(client, file, api_name="/classify")
        kind = "OSError" if name == "half.jpg" else "UnidentifiedImageError"
        safe = name.replace("<", "").replace(">", "")
        assert message == (
            f"{safe} can't be read as an image ({kind}): the file is damaged or not an image. "
            "Pass a JPEG or PNG."
        )

    def test_a_decompression_bomb_is_refused_before_it_is_unpacked(self, client, tmp_path):
        file = tmp_path / "bomb.png"
        Image.new("1", (9000, 9000)).save(file)
        message = refusal(client, file, api_name="/classify")
        assert message == (
            "bomb.png has 9000×9000 pixels; at most 40 million can be read. Make it smaller first."
        )

    def test_a_file_over_ten_megabytes_is_not_taken(self, page_url):
        big = {"files": ("big.png", b"0" * (11 * MEGABYTE))}
        reply = httpx.post(f"{page_url}/gradio_api/upload", files=big, timeout=60)
        assert reply.status_code == 413

    def test_sixteen_bits_are_not_cut_off_at_white(self, client, tmp_path):
        grey = np.linspace(0, 255, 200 * 150).reshape(150, 200).astype(np.uint8)
        eight, sixteen = tmp_path / "eight.png", tmp_path / "sixteen.png"
        Image.fromarray(grey).save(eight)
        Image.fromarray(grey.astype(np.uint16) * 257).save(sixteen)
        assert Image.open(sixteen).mode == "I;16"
        replies = [
            client.predict(image=handle_file(file), api_name="/classify")["probabilities"]
            for file in (eight, sixteen)
        ]
        np.testing.assert_allclose(list(replies[0].values()), list(replies[1].values()), atol=1e-5)

    def test_a_data_url_is_read_like_a_file(self, page_url, client, lesion):
        url = f"data:image/png;base64,{base64.b64encode(lesion.read_bytes()).decode()}"
        event, data = classify(page_url, {"path": None, "url": url})
        assert event == "complete"
        assert data == [client.predict(image=handle_file(lesion), api_name="/classify")]

    @pytest.mark.parametrize(
        ("content", "message"),
        [
            ("@@@@", "The image is not valid base64. Send the image as a file."),
            (
                "QUJD",
                "The image can't be read as an image (UnidentifiedImageError): the file is "
                "damaged or not an image. Pass a JPEG or PNG.",
            ),
            ("QUJD" * 4 * MEGABYTE, "The image is larger than 10 MB. Make it smaller."),
        ],
        ids=["not base64", "no image", "too large"],
    )
    def test_a_broken_data_url_is_refused(self, page_url, content, message):
        url = f"data:image/png;base64,{content}"
        event, data = classify(page_url, {"path": None, "url": url})
        assert (event, data["error"]) == ("error", message)

    @pytest.mark.parametrize(
        "address",
        [
            "http://127.0.0.1:9/a.png",
            "http://169.254.169.254/latest",
            "file:///etc/passwd",
            "/etc/passwd",
            "../../etc/passwd",
        ],
    )
    @pytest.mark.parametrize("fields", [["path"], ["url"], ["path", "url"]])
    def test_no_address_and_no_file_of_the_machine_is_read(self, page_url, address, fields):
        event, data = classify(page_url, dict.fromkeys(fields, address))
        assert event == "error"
        assert "Traceback" not in str(data)
        assert "root:" not in str(data)

    def test_an_image_that_was_deleted_meanwhile_is_asked_for_again(self, tmp_path):
        from gradio.data_classes import ImageData
        from intake import build_image_input

        payload = ImageData(path=str(tmp_path / "gone.png"), orig_name="mole.png")
        assert str(build_image_input(render=False).preprocess(payload)) == (
            "mole.png is no longer here: images are deleted after an hour. Upload it again."
        )


class TestPage:
    def test_bars_show_the_probabilities_of_predict(self, page, classifiers, lesion):
        image = load_image(lesion)
        for name, classifier in classifiers.items():
            expected = classifier.predict([image])[0]
            verdict, details, bars, _slider, _caption = page.show(image, name, "predicted")
            shown = re.findall(r'data-code="(\w+)" data-probability="([\d.]+)"', bars)
            assert [code for code, _ in shown] == [CODES[i] for i in np.argsort(-expected)]
            values = [float(dict(shown)[code]) for code in CODES]
            np.testing.assert_allclose(values, expected, atol=1e-5)
            assert NAMES[CODES[expected.argmax()]] in html.unescape(verdict)
            assert details["visible"]

    def test_without_an_image_there_is_no_result(self, page):
        verdict, details, bars, slider, caption = page.show(None, "tiny_cnn", "predicted")
        assert "No image yet" in verdict
        assert (details["visible"], bars, slider, caption) == (False, "", None, "")

    def test_a_bad_image_leaves_no_old_result_behind(self, page):
        from hf_lesion.errors import InputError

        verdict, details, *rest = page.show(InputError("<i>bad</i>"), "tiny_cnn", "predicted")
        assert 'role="alert"' in verdict
        assert "&lt;i&gt;bad&lt;/i&gt;" in verdict
        assert not details["visible"]
        assert rest == ["", None, ""]

    def test_a_class_without_evidence_is_said_to_have_none(self, tiny_cnn_model, lesion):
        import torch
        from page import Page

        from hf_lesion.inference import LesionClassifier

        classifier = LesionClassifier.from_pretrained(tiny_cnn_model)
        head = [m for m in classifier.model.modules() if isinstance(m, torch.nn.Linear)][-1]
        with torch.no_grad():
            head.weight[CODES.index("vasc")] = -1  # activations are not negative: no evidence
        *_, slider, caption = Page({"m": classifier}).show(load_image(lesion), "m", "vasc")
        assert slider["visible"] is False
        assert "No evidence for Vascular lesion in the last layer" in caption

    def test_a_network_without_a_known_layer_still_classifies(self, lesion):
        import torch
        from page import Page

        from hf_lesion.inference import LesionClassifier
        from hf_lesion.models.build import build_model

        torch.manual_seed(0)
        classifier = LesionClassifier(*build_model("test_vit"), name="vit")
        classifier.model.timm_model.feature_info = None
        verdict, _details, bars, slider, caption = Page({"vit": classifier}).show(
            load_image(lesion), "vit", "predicted"
        )
        assert "most probable" in verdict
        assert bars.count('role="meter"') == len(CODES)
        assert slider["visible"] is False
        assert "No heat map: No Grad-CAM target layer is known" in caption

    def test_the_notice_stands_at_both_ends_of_the_page(self, page_url):
        config = httpx.get(f"{page_url}/config").json()
        texts = [c["props"].get("value") for c in config["components"] if c["type"] == "html"]
        assert sum(NOTICE in text for text in texts if text) == 2

    def test_nothing_is_kept_counted_or_monitored(self, page_url):
        config = httpx.get(f"{page_url}/config").json()
        assert config["analytics_enabled"] is False
        assert not config.get("run_history")
        assert httpx.get(f"{page_url}/monitoring").status_code >= 400


class TestModels:
    def test_drawn_only_models_are_announced_together_or_one_by_one(self, classifiers, page_url):
        import copy

        from app import build_demo

        def texts(models):
            return str([block.get_config() for block in build_demo(models).blocks.values()])

        drawn = {name: copy.copy(classifier) for name, classifier in classifiers.items()}
        for classifier in drawn.values():
            classifier.record = {"dataset": {"synthetic": True}}
        assert "These models know only drawn lesions:" in texts(drawn)
        drawn["tiny_cnn"].record = {}
        assert "These models know only drawn lesions:" not in texts(drawn)
        assert "tiny_resnet · drawn lesions only" in texts(drawn)
        assert "drawn lesions only" not in httpx.get(f"{page_url}/config").text

    def test_a_folder_of_models_gives_all_of_them(self, model_folders, tmp_path):
        from catalogue import load_models

        for folder in model_folders:
            shutil.copytree(folder, tmp_path / "runs" / folder.name)
        (tmp_path / "runs" / "notes").mkdir()
        shutil.copytree(model_folders[0], tmp_path / "runs" / ".partial-tiny_cnn")
        models, lines = load_models([tmp_path / "runs", tmp_path / "runs" / "tiny_cnn"])
        assert (list(models), lines) == (["tiny_cnn", "tiny_resnet"], [])

    def test_the_page_opens_with_the_model_that_was_measured_best(self, tiny_cnn_model, tmp_path):
        from catalogue import load_models

        measured = {"a": {"test": 0.5}, "b": {"validation": 0.9}, "c": {}, "d": {"test": 0.7}}
        for name, splits in measured.items():
            shutil.copytree(tiny_cnn_model, tmp_path / name)
            report = {
                split: {"metrics": {"balanced_accuracy": value}} for split, value in splits.items()
            }
            (tmp_path / name / "report.json").write_text(json.dumps(report))
        models, _lines = load_models([tmp_path])
        assert list(models) == ["d", "a", "b", "c"]

    def test_two_models_of_one_name_are_told_apart(self, tiny_cnn_model, tmp_path):
        from catalogue import load_models

        for run in ("first", "second"):
            shutil.copytree(tiny_cnn_model, tmp_path / run / "model")
        models, _lines = load_models([tmp_path / "first", tmp_path / "second"])
        assert list(models) == ["model", "second/model"]

    def test_what_cannot_be_loaded_is_left_out_with_a_reason(self, tiny_cnn_model, tmp_path):
        from catalogue import load_models

        broken, strange = tmp_path / "broken", tmp_path / "strange"
        shutil.copytree(tiny_cnn_model, broken)
        (broken / "model.safetensors").write_bytes(b"not weights")
        strange.mkdir()
        (strange / "config.json").write_text("{")
        models, lines = load_models([tmp_path, tiny_cnn_model, tmp_path / "missing"])
        assert list(models) == ["tiny_cnn"]
        assert len(lines) == 3
        assert lines[0] == f"{tmp_path / 'missing'} is left out: no such folder."
        assert lines[1].startswith(f"{broken} is left out: ")
        assert lines[2].startswith(f"{strange} is left out: ")
        assert not any("\n" in line for line in lines)

    @pytest.mark.parametrize(
        ("metrics", "expected"),
        [
            ({"validation": 1.0, "test": 0.5}, "test"),
            ({"validation": 0.5}, "validation"),
            ({"validation": 0.5, "test": None}, "validation"),
            ({"test": None}, None),
            ({}, None),
        ],
    )
    def test_the_measured_accuracy_is_read(self, tiny_cnn_model, tmp_path, metrics, expected):
        report = {split: {"metrics": {"balanced_accuracy": v}} for split, v in metrics.items()}
        measure = measure_with(tiny_cnn_model, tmp_path, json.dumps(report))
        assert (measure and (measure.balanced_accuracy, measure.split)) == (
            expected and (0.5, expected)
        )

    @pytest.mark.parametrize("text", ["{", "[]", '{"test": []}', '{"test": {"metrics": 1}}'])
    def test_a_damaged_report_counts_as_no_measure(self, tiny_cnn_model, tmp_path, text):
        assert measure_with(tiny_cnn_model, tmp_path, text) is None

    def test_without_a_report_there_is_no_measure(self, tiny_cnn_model, tmp_path):
        assert measure_with(tiny_cnn_model, tmp_path, None) is None


class TestWords:
    @pytest.mark.parametrize(
        ("probability", "text"),
        [(0.0, "<0.1%"), (0.0009, "<0.1%"), (0.4567, "45.7%"), (0.9995, ">99.9%"), (1.0, ">99.9%")],
    )
    def test_percent_never_claims_certainty(self, probability, text):
        from messages import percent

        assert percent(probability) == text

    def test_every_text_is_escaped(self):
        from messages import explanation, problem, verdict

        evil = '"><script>alert(1)</script>'
        for shown in (verdict("mel", 0.5, evil), problem(evil), explanation("mel", evil)):
            assert "<script" not in shown
            assert html.escape(evil) in shown

    def test_malignant_is_said_in_words(self):
        from messages import bars

        shown = bars(np.full(len(CODES), 1 / len(CODES), dtype=np.float32))
        assert shown.count('<span class="tag malignant">malignant</span>') == 3
        assert "The 3 malignant diagnoses together: <strong>42.9%</strong>" in shown


class TestLaunch:
    def test_no_file_is_written_beside_the_source(self, page_url):
        assert {file.suffix for file in SPACE.iterdir() if file.is_file()} == {
            ".css",
            ".md",
            ".py",
            ".txt",
        }

    def test_help_answers_without_loading_anything_heavy(self):
        code = (
            "import sys, runpy; sys.argv = ['app.py', '--help']\n"
            "try: runpy.run_path('app.py', run_name='__main__')\n"
            "except SystemExit as end: code = end.code\n"
            "assert not {'torch', 'gradio', 'transformers'} & set(sys.modules); sys.exit(code)"
        )
        done = subprocess.run(
            [sys.executable, "-c", code], cwd=SPACE, capture_output=True, text=True
        )
        assert done.returncode == 0, done.stderr
        assert "python space/app.py --models runs" in done.stdout

    def test_no_model_at_all_ends_with_one_line(self, tmp_path):
        missing = tmp_path / "missing"
        done = launch("--models", missing, "--port", free_port())
        assert done.returncode == 2
        assert done.stderr == (
            f"error: {missing} is left out: no such folder. There is no model to show. "
            "Train one with scripts/train.py, then pass its folder: --models FOLDER.\n"
        )

    def test_a_port_in_use_ends_with_one_line(self, tiny_cnn_model):
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", 0))
            taken.listen()
            port = taken.getsockname()[1]
            done = launch("--models", tiny_cnn_model, "--port", port)
        assert done.returncode == 2
        assert done.stderr.splitlines()[-1] == (
            f"error: Nothing can be served on 127.0.0.1, port {port} (Address already in use). "
            "Pass another --port or --host."
        )
        assert "Traceback" not in done.stderr

    def test_a_host_that_is_none_ends_with_one_line(self):
        done = launch("--host", "no.such.host.invalid")
        assert done.returncode == 2
        assert done.stderr.startswith(
            "error: Nothing can be served on no.such.host.invalid, port 7860 ("
        )
        assert done.stderr.count("\n") == 1

    def test_it_serves_here_when_no_share_link_can_be_had(self, tiny_cnn_model, tmp_path, lesion):
        port = free_port()
        command = [
            SPACE / "app.py",
            "--share",
            "--port",
            port,
            "--models",
            tiny_cnn_model,
            tmp_path,
        ]
        # A proxy that is not there: the share server can't be reached, wherever this test runs.
        no_network = {"HTTPS_PROXY": "http://127.0.0.1:9", "HOME": str(tmp_path)}
        with subprocess.Popen(
            [sys.executable, *map(str, command)],
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            env={**os.environ, **no_network},
        ) as process:
            try:
                printed = []
                for line in process.stdout:
                    printed.append(line.strip())
                    if line.startswith("Serving on"):
                        break
                client = Client(f"http://127.0.0.1:{port}", verbose=False)
                result = client.predict(image=handle_file(lesion), api_name="/classify")
            finally:
                process.terminate()
        assert "No share link could be made (no network?); serving on this machine only." in printed
        assert "Models: tiny_cnn" in printed
        assert sum(result["probabilities"].values()) == pytest.approx(1, abs=1e-5)

    def test_a_port_that_is_none_is_refused(self):
        done = launch("--port", "70000")
        assert done.returncode == 2
        assert "expected a port from 1 to 65535, got 70000" in done.stderr


def classify(page_url, image):
    """Call /classify as curl would; return the last event and its data."""
    call = f"{page_url}/gradio_api/call/classify"
    payload = {**image, "meta": {"_type": "gradio.FileData"}}
    reply = httpx.post(call, json={"data": [payload, "tiny_cnn"]}, timeout=60)
    if reply.status_code >= 400:
        return "error", reply.text
    stream = httpx.get(f"{call}/{reply.json()['event_id']}", timeout=60).text
    event, data = re.findall(r"event: (\w+)\ndata: (.*)", stream)[-1]
    return event, json.loads(data)


def launch(*arguments):
    command = [sys.executable, SPACE / "app.py", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=120)


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def jpeg(file):
    content = io.BytesIO()
    Image.open(file).save(content, "JPEG")
    return content.getvalue()
