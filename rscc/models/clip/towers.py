"""Shapes of CLIP's and SigLIP's towers, recognised by the names and shapes of their tensors.

Papers: Radford et al., Learning Transferable Visual Models From Natural Language Supervision, ICML
2021, https://arxiv.org/abs/2103.00020; Zhai et al., Sigmoid Loss for Language Image Pre-Training,
ICCV 2023, https://arxiv.org/abs/2303.15343.
"""
import re
from collections.abc import Mapping
from dataclasses import dataclass

from torch import Tensor

_PATCHES = 'embeddings.patch_embedding.weight'  # SigLIP's names in transformers
_WORDS = 'embeddings.token_embedding.weight'
_PLACES = 'embeddings.position_embedding.weight'
_SIZES = {(384, 12): 'S', (768, 12): 'B', (1024, 24): 'L', (1280, 32): 'H', (1408, 40): 'g',
          (1664, 48): 'bigG'}
_WIDE = ('L', 'H', 'g', 'bigG')  # these have 16 heads, however wide; all others 64 channels a head


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

    @property
    def letter(self) -> str | None:
        """Size of a ViT as people call it, ``'B'``; None for other sizes and for a ResNet."""
        return None if self.patch is None else _SIZES.get((self.width, self.layers))

    @property
    def heads(self) -> int:
        """Attention heads of a block, which no tensor tells."""
        return 16 if self.letter in _WIDE else max(self.width // 64, 1)

    def __str__(self) -> str:
        """Return the name people know and the numbers behind it."""
        if self.patch is None:
            stages = '-'.join(map(str, self.layers))
            return f'ResNet (layers {stages}, width {self.width})'
        name = (f'ViT-{self.letter}/{self.patch}' if self.letter else
                f'ViT with patch {self.patch}')
        return f'{name} (width {self.width}, {self.layers} layers)'


def visual_tower(tensors: Mapping[str, Tensor]) -> VisualTower | None:
    """Recognise an image tower.

    Args:
        tensors: Its state dict, OpenAI's names without ``visual.``, or transformers' of a SigLIP
            without ``vision_model.``.

    Returns:
        The tower, or None where it is neither CLIP's ResNet, its ViT nor SigLIP's.
    """
    # Names tell the kind, shapes and the highest block number of each stage its size.
    if 'layer1.0.conv1.weight' in tensors:
        stages = tuple(_count(tensors, rf'layer{stage}\.(\d+)\.') for stage in (1, 2, 3, 4))
        return VisualTower(stages, len(tensors['layer1.0.conv1.weight']))
    if 'class_embedding' in tensors and 'conv1.weight' in tensors:
        patches = tensors['conv1.weight']
        return VisualTower(_count(tensors, r'transformer\.resblocks\.(\d+)\.'), len(patches),
                           patches.shape[-1])
    if _PATCHES in tensors:
        patches = tensors[_PATCHES]
        return VisualTower(_count(tensors, r'encoder\.layers\.(\d+)\.'), len(patches),
                           patches.shape[-1])
    return None


def describe_visual(tensors: Mapping[str, Tensor]) -> str:
    """Return ``'a ViT-B/16 (width 768, 12 layers), output 512'`` and the like."""
    tower = visual_tower(tensors)
    if tower is None:
        return f'no CLIP image tower that is known here (its keys begin {sorted(tensors)[:3]})'
    if _PATCHES in tensors:
        places = tensors.get('embeddings.position_embedding.weight')
        return f'a SigLIP {tower}' + ('' if places is None else f', {len(places)} positions')
    output = (tensors.get('attnpool.c_proj.weight') if tower.patch is None
              else _transposed(tensors.get('proj')))
    return f'a {tower}' + ('' if output is None else f', output {len(output)}')


def describe_text(tensors: Mapping[str, Tensor]) -> str:
    """Return ``'a text transformer (width 512, 12 layers), output 1024'`` and the like."""
    if _WORDS in tensors and _PLACES in tensors:
        length, width = tensors[_PLACES].shape
        layers = _count(tensors, r'encoder\.layers\.(\d+)\.')
        return (f'a SigLIP text transformer (width {width}, {layers} layers, {length} positions, '
                f'{len(tensors[_WORDS])} tokens)')
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
