from hf_lesion.benchmark.data import write_images
from hf_lesion.benchmark.others import example_run, timm_run
from hf_lesion.benchmark.steps import Setting


def test_the_recipes_of_others_run_on_the_same_rows(tmp_path):
    rows = write_images(tmp_path, (48, 36), count=8)
    setting = Setting("test_resnet", image_size=32, batch_size=2, steps=2)
    assert example_run(rows, setting)() > 0
    assert timm_run(rows, setting)() > 0
