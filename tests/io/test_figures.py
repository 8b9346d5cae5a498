import re

import pytest
from PIL import Image

from hf_lesion.errors import InputError
from hf_lesion.io.figures import mark_score, name_rows, new_figure, write_figure


@pytest.mark.parametrize(("name", "kind"), [("a.png", "PNG"), ("b.webp", "WEBP"), ("c.PNG", "PNG")])
def test_a_figure_is_written_as_its_name_says(tmp_path, name, kind):
    figure = new_figure((2, 1))
    figure.add_subplot().plot([0, 1], [1, 0])
    write_figure(figure, tmp_path / "new" / name, resolution=50)
    with Image.open(tmp_path / "new" / name) as image:
        assert (image.format, image.size) == (kind, (100, 50))
    assert [file.name for file in (tmp_path / "new").iterdir()] == [name]


def test_another_format_is_refused(tmp_path):
    message = f"{tmp_path / 'a.gif'} is not a valid figure name: expected .png or .webp."
    with pytest.raises(InputError, match=f"^{re.escape(message)}$"):
        write_figure(new_figure((1, 1)), tmp_path / "a.gif")


def test_a_score_without_an_interval_is_a_dot():
    axes = new_figure((2, 2)).add_subplot()
    mark_score(axes, 0, 0.5, (0.4, 0.7), "red")
    mark_score(axes, 1, 0.6, (None, None), "red")
    assert [list(line.get_xdata()) for line in axes.lines] == [[0.4, 0.7], [0.5], [0.6]]
    name_rows(axes, ["first", "second"])
    assert [label.get_text() for label in axes.get_yticklabels()] == ["first", "second"]
    assert axes.get_xlim() == (0, 1)
