import io
import os

import numpy as np
import pytest
from PIL import Image
from raised import refusal

from hf_lesion.data.image_files import choose_files, decode_image, group_by_stem
from hf_lesion.io.files import walk


def encode(image, kind="JPEG"):
    stream = io.BytesIO()
    image.save(stream, format=kind)
    return stream.getvalue()


@pytest.fixture(scope="module")
def noise():
    pixels = np.random.default_rng(0).integers(0, 256, (30, 40, 3), dtype=np.uint8)
    return Image.fromarray(pixels)


def find_image_files(folder, stems):
    return choose_files(group_by_stem(walk(folder)), stems, where=folder)


def put(path, data=b"x"):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    return path


def test_files_are_found_at_any_depth_by_stem(tmp_path):
    first = put(tmp_path / "part_1" / "ISIC_1.jpg")
    second = put(tmp_path / "a" / "b" / "ISIC_2.JPEG")
    mask = put(tmp_path / "masks" / "ISIC_1_segmentation.png")
    direct = put(tmp_path / "ISIC_3.png")
    put(tmp_path / "ISIC_4.txt")
    put(tmp_path / ".hidden" / "ISIC_5.jpg")
    put(tmp_path / "ISIC_6.jpg")
    stems = ["ISIC_1", "ISIC_2", "ISIC_3", "ISIC_4", "ISIC_5", "ISIC_1_segmentation"]
    assert find_image_files(tmp_path, stems) == {
        "ISIC_1": first,
        "ISIC_2": second,
        "ISIC_3": direct,
        "ISIC_1_segmentation": mask,
    }


def test_upper_and_lower_case_are_told_apart_only_where_they_must_be(tmp_path):
    upper = put(tmp_path / "ISIC_1.JPG")
    both = [put(tmp_path / "b.jpg", b"1"), put(tmp_path / "B.jpg", b"2")]
    assert find_image_files(tmp_path, ["isic_1", "b", "B"]) == {
        "isic_1": upper,
        "b": both[0],
        "B": both[1],
    }
    others = [put(tmp_path / f"{name}.jpg", name.encode()) for name in ("cD", "Cd")]
    assert all(other.exists() for other in others)
    assert find_image_files(tmp_path, ["CD", "cd"]) == {}


def test_linked_folder_is_followed(tmp_path):
    put(tmp_path / "elsewhere" / "ISIC_1.jpg")
    (tmp_path / "source").mkdir()
    os.symlink(tmp_path / "elsewhere", tmp_path / "source" / "part")
    assert list(find_image_files(tmp_path / "source", ["ISIC_1"])) == ["ISIC_1"]


def test_equal_files_count_once_and_different_ones_are_an_error(tmp_path):
    first = put(tmp_path / "HAM10000_images_part_1" / "ISIC_1.jpg", b"same")
    second = put(tmp_path / "ham10000_images_part_1" / "ISIC_1.jpg", b"same")
    assert find_image_files(tmp_path, ["ISIC_1"]) == {"ISIC_1": first}
    put(second, b"other")
    assert refusal(find_image_files, tmp_path, ["ISIC_1"]) == (
        f"1 names below {tmp_path} have two different files: {first} and {second}. Remove one of "
        "the two."
    )


def test_whole_pictures_decode_in_their_own_mode(noise):
    assert decode_image(encode(noise)).size == (40, 30)
    assert decode_image(encode(noise.convert("1"), "PNG")).mode == "1"
    assert decode_image(encode(noise.convert("P"), "PNG")).mode == "P"


def test_broken_pictures(noise):
    jpeg, png = encode(noise), encode(noise, "PNG")
    assert refusal(decode_image, b"") == "empty file"
    assert refusal(decode_image, b"<html>not found</html>") == "not an image"
    assert refusal(decode_image, jpeg[: len(jpeg) // 2]).startswith(
        "damaged image: image file is truncated"
    )
    assert refusal(decode_image, png[: len(png) // 2]).startswith("damaged image: ")
    assert refusal(decode_image, jpeg[:20])


def test_every_truncation_is_noticed(noise):
    """No length of a JPEG raises anything but an InputError or passes with pixels missing."""
    jpeg = encode(noise)
    for length in range(0, len(jpeg) - 40, 7):
        refusal(decode_image, jpeg[:length])
