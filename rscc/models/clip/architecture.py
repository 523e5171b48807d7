"""What a CLIP tower is, told from the names and shapes of its tensors."""
import re
from collections.abc import Mapping
from dataclasses import dataclass

from torch import Tensor

_SIZES = {(384, 12): 'S', (768, 12): 'B', (1024, 24): 'L', (1280, 32): 'H', (1408, 40): 'g',
          (1664, 48): 'bigG'}


@dataclass(frozen=True)
class VisualTower:
    """The shape of an image tower.

    Attributes:
        layers: Number of blocks; of each of the four stages for a ResNet.
        width: Channels of the tokens; of the first stage's bottleneck for a ResNet.
        patch: Side of a patch in pixels, None for a ResNet.
    """
    layers: int | tuple[int, ...]
    width: int
    patch: int | None = None

    def __str__(self) -> str:
        """Return the name people know and the numbers behind it."""
        if self.patch is None:
            stages = '-'.join(map(str, self.layers))
            return f'ResNet (layers {stages}, width {self.width})'
        letter = _SIZES.get((self.width, self.layers))
        name = f'ViT-{letter}/{self.patch}' if letter else f'ViT with patch {self.patch}'
        return f'{name} (width {self.width}, {self.layers} layers)'


def visual_tower(tensors: Mapping[str, Tensor]) -> VisualTower | None:
    """Recognise an image tower.

    Args:
        tensors: Its state dict, OpenAI's names without ``visual.``.

    Returns:
        The tower, or None where it is neither CLIP's ResNet nor its ViT.
    """
    if 'layer1.0.conv1.weight' in tensors:
        stages = tuple(_count(tensors, rf'layer{stage}\.(\d+)\.') for stage in (1, 2, 3, 4))
        return VisualTower(stages, len(tensors['layer1.0.conv1.weight']))
    if 'class_embedding' in tensors and 'conv1.weight' in tensors:
        patches = tensors['conv1.weight']
        return VisualTower(_count(tensors, r'transformer\.resblocks\.(\d+)\.'), len(patches),
                           patches.shape[-1])
    return None


def describe_visual(tensors: Mapping[str, Tensor]) -> str:
    """Return ``'a ViT-B/16 (width 768, 12 layers), output 512'`` and the like."""
    tower = visual_tower(tensors)
    if tower is None:
        return f'no CLIP image tower that is known here (its keys begin {sorted(tensors)[:3]})'
    output = (tensors.get('attnpool.c_proj.weight') if tower.patch is None
              else _transposed(tensors.get('proj')))
    return f'a {tower}' + ('' if output is None else f', output {len(output)}')


def describe_text(tensors: Mapping[str, Tensor]) -> str:
    """Return ``'a text transformer (width 512, 12 layers), output 1024'`` and the like."""
    if 'positional_embedding' not in tensors:
        return f'no CLIP text tower that is known here (its keys begin {sorted(tensors)[:3]})'
    layers = _count(tensors, r'transformer\.resblocks\.(\d+)\.')
    length, width = tensors['positional_embedding'].shape
    output = _transposed(tensors.get('text_projection'))
    return (f'a text transformer (width {width}, {layers} layers, {length} positions)'
            + ('' if output is None else f', output {len(output)}'))


def _count(tensors: Mapping[str, Tensor], pattern: str) -> int:
    return len({found.group(1) for name in tensors if (found := re.match(pattern, name))})


def _transposed(matrix: Tensor | None) -> Tensor | None:
    return None if matrix is None else matrix.T
