import pytest
import torch

from hf_lesion.models.build import load_classifier
from hf_lesion.models.preprocessing import Preprocessing, preprocessing_of
from hf_lesion.training.distillation import Teacher, TeacherCollator
from hf_lesion.training.mixup import Mix

STUDENT = Preprocessing(64, (0.5, 0.4, 0.3), (0.2, 0.25, 0.5))


@pytest.fixture(scope="module")
def teacher(tiny_timm_model):
    return load_classifier(str(tiny_timm_model))


def build_samples(images):
    mean, std = torch.tensor(STUDENT.mean), torch.tensor(STUDENT.std)
    return [
        {
            "pixel_values": (image - mean[:, None, None]) / std[:, None, None],
            "labels": index % 7,
            "taught": True,
        }
        for index, image in enumerate(images)
    ]


def test_the_teacher_sees_the_students_pixels_in_its_own_scale(teacher):
    model, processor = teacher
    images = torch.nn.functional.interpolate(torch.rand(9, 3, 5, 6), (64, 64))
    own = preprocessing_of(processor)
    mean, std = torch.tensor(own.mean), torch.tensor(own.std)
    normalised = (images - mean[:, None, None]) / std[:, None, None]
    expected = model.eval()(pixel_values=normalised).logits.softmax(dim=1)
    collator = TeacherCollator([Teacher(model, own, STUDENT)], weight=1.0)
    labels = collator(build_samples(images))["labels"]
    assert torch.allclose(labels, expected, atol=1e-5)
    assert expected.std(dim=0).mean() > 0.02  # answers that tell images apart


def test_the_weight_mixes_teacher_and_truth(teacher):
    model, processor = teacher
    samples = build_samples(torch.rand(7, 3, 64, 64))
    own = preprocessing_of(processor)
    soft = TeacherCollator([Teacher(model, own, STUDENT)], weight=1.0)(samples)["labels"]
    mixed = TeacherCollator([Teacher(model, own, STUDENT)], weight=0.25)(samples)["labels"]
    assert torch.allclose(mixed, 0.25 * soft + 0.75 * torch.eye(7), atol=1e-6)
    assert torch.allclose(mixed.sum(dim=1), torch.ones(7))


def test_another_size_is_resized_and_an_evaluation_keeps_its_class_ids(teacher):
    model, processor = teacher
    student = Preprocessing(48, STUDENT.mean, STUDENT.std)
    collator = TeacherCollator([Teacher(model, preprocessing_of(processor), student)], weight=1.0)
    samples = build_samples(torch.rand(3, 3, 48, 48))
    batch = collator(samples)
    assert batch["pixel_values"].shape == (3, 3, 48, 48)
    assert batch["labels"].shape == (3, 7)
    assert collator([{**each, "taught": False} for each in samples])["labels"].tolist() == [0, 1, 2]


def test_a_mixed_image_is_answered_as_mixed(teacher):
    model, processor = teacher
    samples = [{**s, "mix": Mix(0.3)} for s in build_samples(torch.rand(4, 3, 64, 64))]
    collator = TeacherCollator([Teacher(model, preprocessing_of(processor), STUDENT)], weight=0.5)
    batch = collator(samples)
    soft = collator.probabilities(batch["pixel_values"])
    hard = 0.3 * torch.eye(7)[[0, 1, 2, 3]] + 0.7 * torch.eye(7)[[1, 2, 3, 0]]
    assert torch.allclose(batch["labels"], 0.5 * soft + 0.5 * hard, atol=1e-6)


def test_several_teachers_answer_with_their_mean_each_at_its_own_size(teacher, tiny_cnn_model):
    others = [teacher, load_classifier(str(tiny_cnn_model))]
    scales = (Preprocessing(64, (0.5,) * 3, (0.5,) * 3), Preprocessing(48, (0.4,) * 3, (0.2,) * 3))
    teachers = [Teacher(m, own, STUDENT) for (m, _), own in zip(others, scales, strict=True)]
    pixels = torch.rand(5, 3, 64, 64)
    each = [one.probabilities(pixels) for one in teachers]
    mean = TeacherCollator(teachers, weight=1.0).probabilities(pixels)
    assert torch.allclose(mean, (each[0] + each[1]) / 2)
    assert not torch.allclose(each[0], each[1], atol=0.01)
    assert not mean.is_inference()


def test_a_temperature_softens_and_bfloat16_hardly_changes_the_answers(teacher):
    model, processor = teacher
    own = preprocessing_of(processor)
    colours = torch.rand(9, 3, 5, 6, generator=torch.Generator().manual_seed(0)) * 2 - 1
    pixels = torch.nn.functional.interpolate(colours, (64, 64))
    exact = Teacher(model, own, own).probabilities(pixels)
    soft = Teacher(model, own, own, temperature=2.0).probabilities(pixels)
    assert torch.allclose(soft, (exact.log() / 2).softmax(dim=1), atol=1e-6)
    rough = Teacher(model, own, own, bf16=True).probabilities(pixels)
    assert rough.dtype == torch.float32
    assert 0 < (rough - exact).abs().max() < 0.1
