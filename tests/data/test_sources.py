import io
import shutil
import zipfile
from contextlib import ExitStack

import numpy as np
import pandas as pd
import pytest
from damaged import spoil
from PIL import Image
from raised import refusal

from hf_lesion.data.metadata import parse_metadata
from hf_lesion.data.sources import list_files, open_source
from hf_lesion.errors import InputError

HEADER = "lesion_id,image_id,dx,dx_type,age,sex,localization,dataset\n"
METADATA = (
    HEADER
    + "HAM_1,ISIC_01,nv,histo,80.0,male,scalp,rosendahl\n"
    + "HAM_1,ISIC_02,nv,histo,80.0,male,scalp,rosendahl\n"
    + "HAM_2,ISIC_03,mel,follow_up,,unknown,back,vidir_modern\n"
)
IDS = ["ISIC_01", "ISIC_02", "ISIC_03"]
TEST_TRUTH = HEADER + ",ISIC_11,bcc,,,,,\n"
TRAINING_TRUTH = (
    "image,MEL,NV,BCC,AKIEC,BKL,DF,VASC\n"
    "ISIC_01,0,1,0,0,0,0,0\nISIC_02,0,1,0,0,0,0,0\nISIC_03,1,0,0,0,0,0,0\n"
)
GROUPINGS = (
    "image,lesion_id,diagnosis_confirm_type\n"
    "ISIC_01,HAM_1,histopathology\nISIC_02,HAM_1,histopathology\n"
    "ISIC_03,HAM_2,serial imaging showing no change\n"
)


def picture(shade):
    stream = io.BytesIO()
    Image.new("RGB", (8, 6), (shade, 0, 0)).save(stream, "JPEG")
    return stream.getvalue()


PICTURES = {image_id: picture(80 * number) for number, image_id in enumerate(IDS)}


def put(folder, files):
    for name, data in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data if isinstance(data, bytes) else data.encode())
    return folder


def pack(folder, name):
    """Replace a folder by a zip of it, as Dataverse has it: without the folder's own name."""
    with zipfile.ZipFile(folder / f"{name}.zip", "w") as archive:
        for path in sorted((folder / name).rglob("*.*")):
            archive.write(path, path.relative_to(folder / name))
    shutil.rmtree(folder / name)


def unzipped(folder):
    return put(
        folder,
        {
            "HAM10000_metadata.csv": METADATA,
            "HAM10000_images_part_1/ISIC_01.jpg": PICTURES["ISIC_01"],
            "HAM10000_images_part_1/ISIC_02.jpg": PICTURES["ISIC_02"],
            "HAM10000_images_part_2/ISIC_03.jpg": PICTURES["ISIC_03"],
            "HAM10000_segmentations_lesion_tschandl/ISIC_01_segmentation.png": b"mask",
            "ISIC2018_Task3_Test_GroundTruth.csv": TEST_TRUTH,
            "ISIC2018_Task3_Test_Images/ISIC_11.jpg": b"test",
        },
    )


def zipped(folder):
    unzipped(folder)
    for path in [path for path in folder.iterdir() if path.is_dir()]:
        pack(folder, path.name)
    return folder


def converted_by_dataverse(folder):
    """As the pages of Dataverse hand the files out: tables with tabs and another suffix."""
    zipped(folder)
    for name in ("HAM10000_metadata", "ISIC2018_Task3_Test_GroundTruth"):
        table = folder / f"{name}.csv"
        (folder / f"{name}.tab").write_text(table.read_text().replace(",", "\t"))
        table.unlink()
    return folder


def one_archive(folder):
    unzipped(folder)
    shutil.make_archive(str(folder.parent / "archive"), "zip", folder)
    return folder.parent / "archive.zip"


LAYOUTS = (unzipped, zipped, converted_by_dataverse, one_archive)


@pytest.mark.parametrize("layout", LAYOUTS, ids=lambda layout: layout.__name__)
def test_layouts_of_dataverse_hold_the_same(layout, tmp_path):
    with open_source(layout(tmp_path / "raw")) as source:
        assert source.frame.equals(parse_metadata(io.BytesIO(METADATA.encode())))
        pictures = source.choose_files([*IDS, "ISIC_11", "ISIC_99"])
        masks = {"ISIC_01_segmentation": b"mask", "ISIC_11": b"test"}
        assert {stem: file.read_bytes() for stem, file in pictures.items()} == {**PICTURES, **masks}
        assert list(source.read_official_test()["image_id"]) == ["ISIC_11"]
        assert source.find_images_without_row(IDS) == []


def test_the_copy_on_kaggle(tmp_path):
    short = "\n".join(line.rsplit(",", 1)[0] for line in METADATA.splitlines())
    doubles = {
        f"{name}_images_part_{part}/{image_id}.jpg": PICTURES[image_id]
        for name in ("HAM10000", "ham10000")
        for image_id, part in zip(IDS, (1, 1, 2), strict=True)
    }
    files = {"HAM10000_metadata.csv": short, "hmnist_28_28_L.csv": "1,2\n", **doubles}
    with open_source(put(tmp_path, files)) as source:
        assert source.frame["dataset"].isna().all()
        pictures = source.choose_files(IDS)
        assert [pictures[stem].read_bytes() for stem in IDS] == list(PICTURES.values())
        assert pictures["ISIC_01"].parent.name == "HAM10000_images_part_1"


@pytest.mark.parametrize("packed", [False, True])
def test_the_layout_of_the_challenge(packed, tmp_path):
    truth = "ISIC2018_Task3_Training_GroundTruth"
    put(
        tmp_path,
        {
            f"{truth}/{truth}.csv": TRAINING_TRUTH,
            f"{truth}/ATTRIBUTION.txt": "…",
            "ISIC2018_Task3_Training_LesionGroupings.csv": GROUPINGS,
            **{f"ISIC2018_Task3_Training_Input/{i}.jpg": PICTURES[i] for i in IDS},
            "ISIC2018_Task3_Validation_Input/ISIC_21.jpg": b"validation",
        },
    )
    if packed:
        pack(tmp_path, truth)
        pack(tmp_path, "ISIC2018_Task3_Training_Input")
    with open_source(tmp_path) as source:
        same = ["lesion_id", "image_id", "dx", "dx_type"]
        assert source.frame[same].equals(pd.read_csv(io.StringIO(METADATA))[same].astype(object))
        assert len(source.choose_files(IDS)) == 3
        assert source.find_images_without_row(IDS) == []


def error_of(folder):
    def open_only():
        with open_source(folder):
            pass

    return refusal(open_only)


def test_a_source_without_metadata(tmp_path):
    assert error_of(tmp_path) == (
        f"{tmp_path} has neither HAM10000_metadata.csv nor "
        "ISIC2018_Task3_Training_GroundTruth.csv. Pass the folder that contains the metadata and "
        "the images, or fetch them with --download."
    )
    put(tmp_path, {"ISIC2018_Task3_Training_GroundTruth.csv": TRAINING_TRUTH})
    assert "but no ISIC2018_Task3_Training_LesionGroupings.csv, which" in error_of(tmp_path)


def test_of_two_tables_of_one_name_that_with_the_shortest_path_is_read(tmp_path):
    put(unzipped(tmp_path), {"2018/HAM10000_metadata.csv": HEADER + "HAM_9,ISIC_01,mel,,,,,\n"})
    with open_source(tmp_path) as source:
        assert list(source.frame["image_id"]) == IDS


def test_no_official_test_set(tmp_path):
    put(tmp_path, {"HAM10000_metadata.csv": METADATA})
    with open_source(tmp_path) as source:
        assert refusal(source.read_official_test) == (
            f"{tmp_path} has no ISIC2018_Task3_Test_GroundTruth.csv: the official test set cannot "
            "be prepared. Download it with --download --with_official_test, or omit the option."
        )


def test_images_without_a_row_are_found_and_other_pictures_are_not(tmp_path):
    folder = unzipped(tmp_path)
    others = ("ISIC_05.jpg", "ISIC_04.jpg", "logo.png", "ISIC_04_segmentation.png")
    put(folder, {f"more/{name}": b"x" for name in others})
    with open_source(folder) as source:
        assert source.find_images_without_row(IDS) == ["ISIC_04", "ISIC_05"]


def put_zip(path, members, **options):
    with zipfile.ZipFile(path, "w", **options) as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return path


def read_all(source):
    with ExitStack() as stack:
        return {str(file): file.read_bytes() for file in list_files(source, stack)}


def test_folders_and_their_archives_are_one_list(tmp_path):
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep" / "a.jpg").write_bytes(b"a")
    packed = put_zip(
        tmp_path / "part_1.ZIP",
        {
            "part_1/b.jpg": b"b" * 99,
            "part_1/": b"",
            "part_1/.DS_Store": b"x",
            "__MACOSX/part_1/._b.jpg": b"x",
        },
        compression=zipfile.ZIP_DEFLATED,
    )
    expected = {str(tmp_path / "deep" / "a.jpg"): b"a", f"{packed}/part_1/b.jpg": b"b" * 99}
    assert read_all(tmp_path) == expected


def test_whatever_is_wrong_with_an_archive_it_is_named(tmp_path):
    members = {f"{kind}.jpg": b"content" * 20 for kind in "abc"}
    whole = put_zip(tmp_path / "a.zip", members, compression=zipfile.ZIP_DEFLATED).read_bytes()
    named = 0
    for seed in range(100):
        rng = np.random.default_rng(seed)
        (tmp_path / "a.zip").write_bytes(spoil(whole, rng))
        try:
            read_all(tmp_path)
        except InputError as error:
            named += str(tmp_path / "a.zip") in str(error)
    assert named > 60


def test_what_is_no_source(tmp_path):
    half = put_zip(tmp_path / "a.zip", {"b.jpg": b"b" * 999})
    half.write_bytes(half.read_bytes()[:500])
    assert refusal(read_all, half) == (
        f"{half} is not a valid zip archive (File is not a zip file). Download it again."
    )
    (tmp_path / "a.csv").write_bytes(b"x")
    for other in (tmp_path / "none", tmp_path / "a.csv"):
        assert refusal(read_all, other) == (
            f"{other} is neither a folder nor a zip archive. Pass the folder that contains the "
            "metadata and the images, or fetch them with --download."
        )


def test_archives_within_an_archive_are_named(tmp_path):
    bundle = put_zip(tmp_path / "dataverse_files.zip", {"part_1.zip": b"x", "part_2.zip": b"x"})
    assert refusal(read_all, tmp_path) == (
        f"{bundle} contains 2 archives: part_1.zip, part_2.zip. Unzip it and pass the folder."
    )
