"""A plain convolutional network for skin lesions, as a transformers model with its own code.

This file imports nothing of hf_lesion: `auto_map` copies it next to the weights on the Hub. The
default is the network of the student project that this project is based on: four blocks of 3x3
convolution, batch norm, ReLU and 2x2 max-pooling with 64, 128, 256 and 512 channels, flattened into
fully connected layers of 512, 128 and C units. `pooling="average"` replaces the flattened layer,
which has nine tenths of the weights, by the mean over positions.
"""

import itertools

import torch
from torch import nn
from transformers import PreTrainedConfig, PreTrainedModel
from transformers import initialization as init
from transformers.modeling_outputs import ImageClassifierOutput


class LesionCnnConfig(PreTrainedConfig):
    """Shape of a `LesionCnnForImageClassification`.

    Attributes:
        num_channels: Channels of the input image.
        image_size: Side of the square input in pixels; `pooling="flatten"` works at this one only.
        widths: Output channels of each block; a block halves height and width.
        convolutions_per_block: 3x3 convolutions with batch norm and ReLU before each max-pooling.
        pooling: "flatten" or "average": how the last feature map becomes a vector.
        hidden_sizes: Units of the fully connected layers before the classifier.
        dropout: Probability of dropping a unit before each fully connected layer, in [0, 1).
    """

    model_type = "lesion_cnn"

    num_channels: int = 3
    image_size: int = 128
    widths: list[int] | tuple[int, ...] = (64, 128, 256, 512)
    convolutions_per_block: int = 1
    pooling: str = "flatten"
    hidden_sizes: list[int] | tuple[int, ...] = (512, 128)
    dropout: float = 0.0


class LesionCnnForImageClassification(PreTrainedModel):
    """Convolution blocks (`features`), then a classifier (`head`)."""

    config_class = LesionCnnConfig
    base_model_prefix = "lesion_cnn"
    main_input_name = "pixel_values"
    input_modalities = ("image",)
    accepts_loss_kwargs = False

    def __init__(self, config: LesionCnnConfig):
        super().__init__(config)
        self.num_labels = config.num_labels
        widths = [config.num_channels, *config.widths]
        self.features = nn.Sequential(
            *(
                _block(entering, leaving, config.convolutions_per_block)
                for entering, leaving in itertools.pairwise(widths)
            )
        )
        self.head = _head(config)
        self.post_init()

    @torch.no_grad()
    def _init_weights(self, module: nn.Module) -> None:
        # He et al. 2015 for layers that a ReLU follows; transformers' own default, normal(0, 0.02),
        # starts a network without shortcuts with vanishing activations.
        if isinstance(module, nn.Conv2d | nn.Linear):
            init.kaiming_normal_(module.weight, mode="fan_in", nonlinearity="relu")
            if module.bias is not None:
                init.zeros_(module.bias)
        elif isinstance(module, nn.BatchNorm2d):
            init.ones_(module.weight)
            init.zeros_(module.bias)
            init.zeros_(module.running_mean)
            init.ones_(module.running_var)
            init.zeros_(module.num_batches_tracked)

    def forward(
        self,
        pixel_values: torch.Tensor,
        labels: torch.Tensor | None = None,
        return_dict: bool | None = None,
        **_: object,
    ) -> ImageClassifierOutput | tuple[torch.Tensor, ...]:
        """Return logits, and the cross-entropy if labels are given.

        Args:
            pixel_values: (B, num_channels, H, W) normalised images.
            labels: (B,) class ids.
            return_dict: False returns a plain tuple (loss if there are labels, logits).
        """
        logits = self.head(self.features(pixel_values))
        loss = None if labels is None else nn.functional.cross_entropy(logits, labels)
        if return_dict is False:
            return (logits,) if loss is None else (loss, logits)
        return ImageClassifierOutput(loss=loss, logits=logits)


def _block(entering: int, leaving: int, convolutions: int) -> nn.Sequential:
    layers: list[nn.Module] = []
    for _ in range(convolutions):
        # No bias: the batch norm that follows has one.
        layers += [
            nn.Conv2d(entering, leaving, kernel_size=3, padding=1, bias=False),
            nn.BatchNorm2d(leaving),
            nn.ReLU(inplace=True),
        ]
        entering = leaving
    return nn.Sequential(*layers, nn.MaxPool2d(2))


def _head(config: LesionCnnConfig) -> nn.Sequential:
    if config.pooling == "average":
        layers: list[nn.Module] = [nn.AdaptiveAvgPool2d(1), nn.Flatten()]
        size = config.widths[-1]
    elif config.pooling == "flatten":
        side = config.image_size // 2 ** len(config.widths)
        layers, size = [nn.Flatten()], config.widths[-1] * side * side
    else:
        raise ValueError(f'pooling must be "flatten" or "average", not {config.pooling!r}.')
    for hidden in config.hidden_sizes:
        layers += [nn.Dropout(config.dropout), nn.Linear(size, hidden), nn.ReLU(inplace=True)]
        size = hidden
    return nn.Sequential(*layers, nn.Dropout(config.dropout), nn.Linear(size, config.num_labels))
