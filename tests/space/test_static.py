"""Static page: the same results as in Python, and no requests to other servers."""

import functools
import http.server
import io
import json
import shutil
import threading
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image
from space.browsing import DESKTOP, PHONE, TIMEOUT, serious
from space.conftest import SPACE, give_evidence

pytest.importorskip("onnx", reason="needs pip install -e '.[export]'")
pytest.importorskip("onnxruntime")

from hf_lesion.classifier import LesionClassifier
from hf_lesion.errors import InputError
from hf_lesion.hub import browser as networks
from hf_lesion.hub import static
from hf_lesion.io.checksums import WEIGHTS, file_sha256
from hf_lesion.io.decoding import VIEWS, lay_down
from hf_lesion.labels import CODES, NAMES
from hf_lesion.ood.gate import GATE, STRANGE, Gate, write_gate
from hf_lesion.synthetic.lesions import draw_lesion

pytestmark = pytest.mark.browser

IMAGES = 200
SIZES = ((320, 240), (241, 320), (200, 200), (97, 64), (700, 331))
EXIF_ORIENTATION = 0x0112
# In the page: read, classify and explain one image of the server.
CLASSIFY = """async (address) => {
  const [{readImage}, {classify}] = await Promise.all([import('./image.js'), import('./model.js')]);
  window.entries ??= (await (await fetch('page.json')).json()).models;
  const image = await readImage(await (await fetch(address)).blob());
  const found = await classify(window.entries[0], image);
  image.close();
  const {map} = found.heatmap(found.label);
  return [found.probabilities, found.gate, Array.from(map)];
}"""


@pytest.fixture(scope="module")
def classifier(tiny_timm_model, tmp_path_factory):
    """A model with a gate that rejects some of the drawn images."""
    folder = tmp_path_factory.mktemp("static") / "tiny"
    shutil.copytree(tiny_timm_model, folder)
    found = LesionClassifier.from_pretrained(folder, device="cpu")
    give_evidence(found)
    found.model.save_pretrained(folder)
    write_gate(folder / GATE, build_gate(found, file_sha256(folder / WEIGHTS)))
    (folder / "training.json").write_text(json.dumps({"dataset": {"synthetic": True}}))
    return LesionClassifier.from_pretrained(folder, device="cpu")


def build_gate(classifier, weights_sha256):
    layer = "timm_model.layer2"
    images = [draw_lesion(code, seed=seed)[0] for code in CODES for seed in (90, 91, 92)]
    seen = classifier.look(images, ("colours", layer))[1]
    features = torch.from_numpy(np.concatenate([seen["colours"], seen[layer]], axis=1))
    gate = Gate(
        ("colours", layer),
        mean=features.mean(0),
        scale=1 / (features.std(0) + 0.1),
        directions=torch.eye(features.shape[1])[:, :4],
        centre=torch.zeros(1, 5),
        precision=torch.eye(5),
        reference=torch.zeros(0),
        refused_below=0.3,
        rates={STRANGE: 0.04},
        weights_sha256=weights_sha256,
    )
    distances = torch.from_numpy(np.sort(gate.distances(features.numpy())))
    return replace(gate, reference=distances)


@pytest.fixture(scope="module")
def folder(classifier, tmp_path_factory):
    """The page with this model, its weights as they are."""
    try:
        static.fetch_runtime()
    except InputError as error:
        pytest.skip(str(error))
    found = tmp_path_factory.mktemp("built") / "page"
    found.mkdir()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(networks, "shorten", lambda file: None)
        static.build_static_folder(SPACE / "static", found, models=[classifier.model.name_or_path])
    return found


@pytest.fixture(scope="module")
def url(folder):
    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *_):
            pass

    handler = functools.partial(Quiet, directory=str(folder))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


@pytest.fixture(scope="module")
def opened(browser, url):
    """The page, opened once; at the end no script may have failed or complained."""
    context = browser.new_context(viewport=DESKTOP)
    tab = context.new_page()
    tab.set_default_timeout(TIMEOUT)
    failures = []
    tab.on("pageerror", lambda error: failures.append(str(error)))
    tab.on("console", lambda said: failures.append(said.text) if said.type == "error" else None)
    tab.goto(url)
    wait_for_bars(tab)
    yield tab
    context.close()
    assert failures == []


@pytest.fixture
def tab(opened):
    """The page with a classified example."""
    opened.click("#examples [data-dx=nv]")
    opened.wait_for_selector("#examples [data-dx=nv][aria-pressed=true]")
    wait_for_bars(opened)
    return opened


def wait_for_bars(tab):
    """Wait until a result is there, and have it shown if the gate hides it."""
    tab.wait_for_function(
        """() => {
          if (document.body.classList.contains('busy')) return false;
          document.querySelector('#anyway')?.click();
          return document.querySelector('#bars button')?.checkVisibility();
        }"""
    )


def write_drawn(folder):
    """Write drawn images of several sizes and formats, some turned by their EXIF data."""
    folder.mkdir()
    drawn = [draw_lesion(code, seed=seed)[0] for code in CODES for seed in range(3)]
    names = []
    for number in range(IMAGES):
        image = lay_down(drawn[number % len(drawn)], number // len(drawn) % VIEWS)
        image = image.resize(SIZES[number % len(SIZES)])
        name = f"{number}.{'jpg' if number % 4 == 1 else 'png'}"
        exif = Image.Exif()
        exif[EXIF_ORIENTATION] = 6 if number % 8 == 1 else 1
        image.save(folder / name, exif=exif, quality=95)
        names.append(name)
    return names


def test_it_answers_as_python_does(tab, folder, classifier):
    names = write_drawn(folder / "drawn")
    found = [tab.evaluate(CLASSIFY, f"drawn/{name}") for name in names]
    expected = classifier([str(folder / "drawn" / name) for name in names])
    scores = np.array([one[0] for one in found])
    apart = np.abs(scores - expected.probabilities).max(axis=1)
    assert apart.max() <= 0.02
    assert np.median(apart) <= 0.005
    assert expected.probabilities.std(axis=0).mean() > 0.05  # answers that tell images apart
    gate = np.array([one[1] for one in found])
    kinds = np.array([verdict.kind for verdict in expected.verdicts])
    assert {"strange", "accepted"} <= set(kinds)
    assert (gate == kinds).mean() >= 0.99
    alike = scores.argmax(axis=1) == expected.probabilities.argmax(axis=1)
    maps = np.array([one[2] for one in found]).reshape(expected.heatmaps.shape)
    assert alike.mean() >= 0.99
    assert np.abs(maps - expected.heatmaps)[alike].max() <= 0.05


def test_it_opens_with_an_example_and_bars_are_buttons(tab):
    tab.reload()
    wait_for_bars(tab)
    tab.wait_for_selector("#examples [data-dx=mel][aria-pressed=true]")
    assert tab.locator("#bars button").count() == len(CODES)
    tab.locator("#bars button").last.click()
    code = tab.locator("#bars button").last.get_attribute("data-dx")
    assert NAMES[code] in tab.get_attribute("#stage", "aria-label")
    tab.check("#view input[value=map]", force=True)
    tab.click("#examples [data-dx=bcc]")
    tab.wait_for_selector("#examples [data-dx=bcc][aria-pressed=true]")
    wait_for_bars(tab)
    with tab.expect_download() as saved:
        tab.click("#save")
    assert saved.value.suggested_filename.startswith("lesion_gradcam_")


def encode(image):
    stream = io.BytesIO()
    image.save(stream, "PNG")
    return stream.getvalue()


BAD = {
    "notes.png": (b"not an image", " isn't an image, or is damaged. Use JPEG or PNG."),
    "none.png": (b"", " is empty. Choose another file."),
    "large.png": (bytes(10 * 2**20 + 1), " is larger than 10 MB. Make it smaller."),
    "bomb.png": (encode(Image.new("1", (7000, 7000))), " has 7000×7000 pixels; at most 40 million"),
}


def test_a_bad_or_blank_image_is_refused_in_words_and_it_goes_on(tab):
    def send(name, content):
        tab.set_input_files("#file", {"name": name, "mimeType": "image/png", "buffer": content})

    for name, (content, said) in BAD.items():
        send(name, content)
        tab.wait_for_selector("#verdict .problem")
        assert name + said in tab.inner_text("#verdict")
        tab.click("#examples [data-dx=nv]")
        wait_for_bars(tab)
    send("blank.png", encode(Image.new("RGB", (300, 200), (200, 150, 140))))
    tab.wait_for_selector("#verdict .rejected")
    assert "Blank image" in tab.inner_text("#verdict")
    tab.click("#anyway")
    tab.wait_for_selector("#bars button:visible")


def test_it_says_so_without_webassembly(browser, url):
    tab = browser.new_page()
    tab.add_init_script("delete globalThis.WebAssembly")
    tab.goto(url)
    tab.wait_for_selector("#verdict .problem")
    assert "does not run WebAssembly" in tab.inner_text("#verdict")
    tab.close()


def test_it_works_without_a_network_after_the_first_visit(tab):
    assert tab.evaluate("crossOriginIsolated")  # by the service worker: threads
    tab.wait_for_function("async () => (await caches.match('models/tiny.onnx')) !== undefined")
    tab.context.set_offline(True)
    try:
        tab.reload()
        wait_for_bars(tab)
        tab.click("#examples [data-dx=bkl]")
        wait_for_bars(tab)
    finally:
        tab.context.set_offline(False)


@pytest.mark.parametrize("view", [DESKTOP, PHONE])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_nothing_overflows_and_axe_finds_nothing_serious(tab, view, scheme):
    tab.set_viewport_size(view)
    tab.emulate_media(color_scheme=scheme)
    assert tab.evaluate("document.documentElement.scrollWidth <= innerWidth")
    assert serious(tab) == []
