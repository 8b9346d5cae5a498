import io
import threading

import numpy as np
import pytest
import torch
from PIL import Image
from transformers import pipeline

from hf_lesion.errors import InputError
from hf_lesion.inference import MAX_PIXELS, LesionClassifier, class_id, load_image
from hf_lesion.labels import CODES


@pytest.fixture(params=["tiny_timm_model", "tiny_cnn_model"])
def folder(request):
    return request.getfixturevalue(request.param)


@pytest.fixture(scope="module")
def images():
    rng = np.random.default_rng(0)
    colours = rng.integers(0, 256, (6, 5, 6, 3), dtype=np.uint8)
    return [Image.fromarray(c).resize((200, 150), Image.Resampling.BICUBIC) for c in colours]


def noise_image(mode, size=(24, 18)):
    rng = np.random.default_rng(1)
    rgb = Image.fromarray(rng.integers(0, 256, (size[1], size[0], 3), dtype=np.uint8))
    return rgb.convert(mode)


def test_predictions_equal_the_pipelines(folder, images):
    expected = pipeline("image-classification", model=str(folder), top_k=7)(images)
    by_code = [{entry["label"]: entry["score"] for entry in answer} for answer in expected]
    probabilities = LesionClassifier.from_pretrained(folder).predict(images)
    assert np.allclose(probabilities, [[answer[c] for c in CODES] for answer in by_code], atol=1e-5)
    assert probabilities.std(axis=0).mean() > 0.02  # answers that tell images apart


def test_rows_sum_to_one_whatever_the_batch_size(folder, images):
    classifier = LesionClassifier.from_pretrained(folder)
    alone, together = classifier.predict(images, batch_size=1), classifier.predict(images)
    assert np.allclose(alone, together, atol=1e-5)
    assert np.allclose(alone.sum(axis=1), 1, atol=1e-6)
    assert classifier.predict([]).shape == (0, 7)


def test_an_explanation_brings_the_probabilities_of_a_prediction(folder, images):
    classifier = LesionClassifier.from_pretrained(folder)
    found = classifier.explain(images, ["mel", 0, 1, 2, "nv", "vasc"])
    assert found.targets.tolist() == [4, 0, 1, 2, 5, 6]
    assert found.heatmaps.shape == (6, 64, 64)
    assert np.allclose(found.probabilities, classifier.predict(images), atol=1e-5)
    predicted = classifier.explain(images)
    assert np.array_equal(predicted.targets, found.probabilities.argmax(axis=1))
    assert classifier.explain([]).heatmaps.shape == (0, 64, 64)


def test_threads_get_the_single_users_answers(tiny_timm_model, images):
    classifier = LesionClassifier.from_pretrained(tiny_timm_model)
    targets = list(range(6))
    expected = classifier.explain(images, targets)
    wrong = []

    def visit(seed):
        for turn in range(5):
            if (seed + turn) % 2:
                answer = classifier.explain(images, targets)
                good = np.allclose(answer.heatmaps, expected.heatmaps, atol=1e-4)
            else:
                answer = classifier.predict(images)
                good = np.allclose(answer, expected.probabilities, atol=1e-5)
            if not good:
                wrong.append((seed, turn))

    threads = [threading.Thread(target=visit, args=(seed,)) for seed in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


def test_the_name_and_record_come_from_the_folder(tiny_timm_model, tmp_path):
    classifier = LesionClassifier.from_pretrained(tiny_timm_model)
    assert classifier.name == "tiny_resnet"
    assert classifier.codes == CODES
    assert classifier.record == {}
    assert classifier.model.dtype == torch.float32


@pytest.mark.parametrize("target", ["scc", 7, -1, "4"])
def test_an_unknown_class_is_named(target):
    with pytest.raises(
        InputError, match=r"^Unknown class .*: expected an id from 0 to 6 or one of akiec,"
    ):
        class_id(target)


@pytest.mark.parametrize("mode", ["RGB", "L", "1", "P", "CMYK", "YCbCr", "LA", "RGBA", "PA"])
def test_every_common_mode_becomes_rgb(mode):
    image = noise_image("RGBA").convert("P") if mode == "PA" else noise_image(mode)
    assert load_image(image).mode == "RGB"


def test_transparency_lies_on_white():
    assert load_image(Image.new("RGBA", (4, 4), (200, 0, 0, 0))).getpixel((0, 0)) == (255, 255, 255)


def test_sixteen_bits_do_not_turn_white(tmp_path):
    ramp = np.linspace(0, 65535, 64 * 4, dtype=np.uint16).reshape(4, 64)
    Image.fromarray(ramp).save(tmp_path / "deep.png")
    pixels = np.asarray(load_image(tmp_path / "deep.png"))[..., 0].ravel()
    assert pixels.min() == 0
    assert pixels.max() == 255
    assert abs(pixels.mean() - 127.5) < 1


def test_a_photograph_is_turned_upright(tmp_path):
    image = Image.new("RGB", (40, 20))
    exif = Image.Exif()
    exif[0x0112] = 6
    image.save(tmp_path / "turned.jpg", exif=exif)
    assert load_image(tmp_path / "turned.jpg").size == (20, 40)


def test_an_animation_gives_its_first_frame(tmp_path):
    frames = [Image.new("RGB", (8, 8), colour) for colour in ("red", "blue")]
    frames[0].save(tmp_path / "a.gif", save_all=True, append_images=frames[1:])
    assert load_image(tmp_path / "a.gif").getpixel((0, 0)) == (255, 0, 0)


def truncated_jpeg():
    buffer = io.BytesIO()
    noise_image("RGB", (200, 150)).save(buffer, "JPEG")
    return buffer.getvalue()[:2000]


@pytest.mark.parametrize(
    "content", [b"", b"just text", truncated_jpeg()], ids=["empty", "text", "truncated"]
)
def test_what_is_no_image_is_refused_in_one_line(tmp_path, content):
    file = tmp_path / "x.jpg"
    file.write_bytes(content)
    with pytest.raises(InputError, match=r"x\.jpg can't be read as an image \(\w+\): the file is "):
        load_image(file)


def test_a_bomb_is_refused_before_it_is_decoded(tmp_path):
    Image.new("1", (13_000, 13_000)).save(tmp_path / "bomb.png")
    Image.new("1", (30_000, 30_000)).save(tmp_path / "larger.png")
    with pytest.raises(
        InputError, match=r"bomb\.png has 13000×13000 pixels; at most 40 million can"
    ):
        load_image(tmp_path / "bomb.png")
    with pytest.raises(InputError, match=r"larger\.png has too many pixels to be read\."):
        load_image(tmp_path / "larger.png")
    assert MAX_PIXELS < 13_000**2


def test_floating_point_images_are_refused():
    with pytest.raises(InputError, match=r"^Floating-point images can't be shown as colours\."):
        load_image(Image.new("F", (4, 4)))


def test_a_missing_model_folder_is_explained(tmp_path):
    with pytest.raises(
        InputError, match=r"^The model .*nowhere could not be loaded: .*scripts/train\.py"
    ):
        LesionClassifier.from_pretrained(tmp_path / "nowhere")


def test_a_damaged_model_folder_is_explained(tiny_timm_model, tmp_path):
    for file in tiny_timm_model.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    weights = tmp_path / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:1000])
    with pytest.raises(InputError, match=r"^The model .* could not be loaded: "):
        LesionClassifier.from_pretrained(tmp_path)
