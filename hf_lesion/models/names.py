"""Usual names of architectures, by timm's name and ours."""

TITLES = {
    "tf_efficientnet_lite0": "EfficientNet-Lite0",
    "densenet121": "DenseNet-121",
    "resnet18": "ResNet-18",
    "resnet50": "ResNet-50",
    "lesion_cnn": "Small CNN",
}
