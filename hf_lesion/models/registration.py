"""Registration of the CNN with transformers: `pipeline()` then needs no remote code."""

from transformers import (
    AutoConfig,
    AutoImageProcessor,
    AutoModelForImageClassification,
    ViTImageProcessor,
    ViTImageProcessorPil,
)

from hf_lesion.models.cnn import LesionCnnConfig, LesionCnnForImageClassification


def register_cnn() -> None:
    """Register the CNN for loading, and for saving its code next to its weights."""
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
