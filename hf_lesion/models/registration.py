"""Tells transformers' Auto classes about our CNN, so that `pipeline()` needs no remote code."""

from transformers import (
    AutoConfig,
    AutoImageProcessor,
    AutoModelForImageClassification,
    ViTImageProcessor,
    ViTImageProcessorPil,
)

from hf_lesion.models.cnn import LesionCnnConfig, LesionCnnForImageClassification


def register_cnn() -> None:
    """Register the CNN for loading here, and for taking its code along when it is saved."""
    AutoConfig.register(LesionCnnConfig.model_type, LesionCnnConfig, exist_ok=True)
    AutoModelForImageClassification.register(
        LesionCnnConfig, LesionCnnForImageClassification, exist_ok=True
    )
    AutoImageProcessor.register(
        LesionCnnConfig,
        image_processor_classes={"torchvision": ViTImageProcessor, "pil": ViTImageProcessorPil},
        exist_ok=True,
    )
    LesionCnnConfig.register_for_auto_class()
    LesionCnnForImageClassification.register_for_auto_class("AutoModelForImageClassification")
