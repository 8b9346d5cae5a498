import pytest

from hf_lesion.benchmark import explain, timing


@pytest.mark.parametrize("name", ["test_resnet", "cnn"])
def test_the_ways_agree_and_are_timed(name):
    model, pixel_values = explain.load(name, 64)
    assert explain.greatest_difference(model, pixel_values) < 1e-4
    ways = explain.candidates(model, pixel_values, calls=1)
    seconds = timing.take_turns(ways, rounds=1)
    assert list(seconds) == [explain.LIMIT, explain.ONE, explain.ALL, explain.LIBRARY]
    assert not any(parameter.requires_grad for parameter in model.parameters())
    text = explain.format_times("title", timing.summarise(seconds, items=1), 1e-7)
    assert "aim 1.3: " in text
    assert "from the library's: 1.0e-07" in text


def test_times_are_in_forward_passes():
    seconds = {explain.LIMIT: [1.0, 1.0, 1.0], explain.ONE: [1.2, 1.25, 1.4]}
    text = explain.format_times("title", timing.summarise(seconds, items=1), 0.0)
    assert "1.25 x  (1.20 to 1.40)  aim 1.3: met" in text


def test_a_folder_brings_its_size(tiny_cnn_model):
    assert explain.load(str(tiny_cnn_model), 224)[1].shape == (1, 3, 64, 64)
