from raised import refusal

from hf_lesion.data.image_files import choose_files, group_by_stem
from hf_lesion.io.files import walk


def find_image_files(folder, stems):
    return choose_files(group_by_stem(walk(folder)), stems, where=folder)


def put(path, data=b"x"):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    return path


def test_files_are_found_at_any_depth_by_stem(tmp_path):
    expected = {
        "ISIC_1": put(tmp_path / "part_1" / "ISIC_1.jpg"),
        "ISIC_2": put(tmp_path / "a" / "b" / "ISIC_2.JPEG"),
        "ISIC_1_segmentation": put(tmp_path / "masks" / "ISIC_1_segmentation.png"),
        "ISIC_3": put(tmp_path / "ISIC_3.png"),
    }
    put(tmp_path / "ISIC_4.txt")
    put(tmp_path / "ISIC_6.jpg")
    assert find_image_files(tmp_path, [*expected, "ISIC_4", "ISIC_5"]) == expected


def test_upper_and_lower_case_are_told_apart_only_where_they_must_be(tmp_path):
    expected = {
        "isic_1": put(tmp_path / "ISIC_1.JPG"),
        "b": put(tmp_path / "b.jpg", b"1"),
        "B": put(tmp_path / "B.jpg", b"2"),
    }
    assert find_image_files(tmp_path, list(expected)) == expected
    for name in ("cD", "Cd"):
        put(tmp_path / f"{name}.jpg", name.encode())
    assert find_image_files(tmp_path, ["CD", "cd"]) == {}


def test_equal_files_count_once_and_different_ones_are_an_error(tmp_path):
    first = put(tmp_path / "HAM10000_images_part_1" / "ISIC_1.jpg", b"same")
    second = put(tmp_path / "ham10000_images_part_1" / "ISIC_1.jpg", b"same")
    assert find_image_files(tmp_path, ["ISIC_1"]) == {"ISIC_1": first}
    put(second, b"other")
    assert refusal(find_image_files, tmp_path, ["ISIC_1"]) == (
        f"1 names below {tmp_path} have two different files: {first} and {second}. Remove one of "
        "the two."
    )
