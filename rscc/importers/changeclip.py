"""Weights of the original ChangeCLIP under our names.

Paper: Dong et al., ChangeCLIP, ISPRS J. 208 (2024) 53-69,
https://doi.org/10.1016/j.isprsjprs.2024.01.004.
"""
import re
from collections.abc import Mapping

from torch import Tensor

from rscc.importers.conversion import rename_start
from rscc.models.change_heads.swin_text_head import relative_position_index

#: (name there, name here), the first that matches counts.
RULES = [
    (r'backbone\.fpn(\d)\.', lambda m: f'encoder.pyramid.{int(m[1]) - 1}.'),
    (r'backbone\.', 'encoder.visual.'),
    (r'text_encoder\.', 'fusion.prompt_encoder.text_encoder.'),
    (r'contexts2$', 'fusion.prompt_encoder.contexts'),
    (r'gamma$', 'fusion.gamma'),
    (r'context_decoder\.decoder\.', 'fusion.context_decoder.layers.'),
    (r'context_decoder\.', 'fusion.context_decoder.'),
    (r'neck\.', 'fusion.neck.'),
    (r'minus_conv\.(\d)\.conv\.', r'fusion.levels.\1.difference.'),
    (r'channel_att\.(\d)\.conv1\.conv\.', r'fusion.levels.\1.squeeze.'),
    (r'channel_att\.(\d)\.conv2\.conv\.', r'fusion.levels.\1.excite.'),
    (r'channel_att\.(\d)\.conv_last\.conv\.', r'fusion.levels.\1.project.'),
    (r'decode_head\.linearA\.', 'change_head.text_projections.0.'),
    (r'decode_head\.linearB\.', 'change_head.text_projections.1.'),
    (r'decode_head\.conv_seg\.', 'change_head.classify.'),
    (r'decode_head\.layer(\d)\.', lambda m: f'change_head.stages.{int(m[1]) - 1}.'),
]
#: The same inside a stage of the head, after its prefix.
STAGE_RULES = [
    (r'up\.up\.up\.1\.', 'reduce.0.'),
    (r'up\.up\.up\.2\.', 'reduce.1.'),
    (r'up\.conv_relu\.0\.', 'refine.'),
    (r'conv_relu\.0\.', 'merge.'),
    (r'conv2\.0\.', 'skip.'),
    (r'up\.layer\.blocks\.(\d)\.low_rank_bilinear\.WQ\.', r'blocks.\1.text_attn.query.'),
    (r'up\.layer\.blocks\.(\d)\.low_rank_bilinear\.WK\.', r'blocks.\1.text_attn.key.'),
    (r'up\.layer\.blocks\.(\d)\.low_rank_bilinear\.WV\.', r'blocks.\1.text_attn.value.'),
    (r'up\.layer\.blocks\.(\d)\.proj\.', r'blocks.\1.text_attn.proj.'),
    (r'up\.layer\.blocks\.(\d)\.mlp\.fc1\.', r'blocks.\1.mlp.0.'),
    (r'up\.layer\.blocks\.(\d)\.mlp\.fc2\.', r'blocks.\1.mlp.2.'),
    (r'up\.layer\.blocks\.(\d)\.', r'blocks.\1.'),
]
INDEX = 'relative_position_index'


def rename_changeclip(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Rename the tensors of an original ChangeCLIP model.

    Tables of relative positions, which our blocks compute, are checked and left out. A name that no
    rule knows is kept, so that comparing with the model tells of it.

    Args:
        state: ``state_dict`` of an original checkpoint, either backbone.

    Returns:
        The tensors under the names of ``ChangeInterpreter``.

    Raises:
        ValueError: If a table of relative positions is not the one that our windows use.
    """
    renamed = {}
    for name, tensor in state.items():
        if name.endswith(INDEX):
            _check_index(name, tensor)
            continue
        target = rename(name)
        renamed[target] = tensor[0, 0] if name == 'contexts2' else tensor
    return renamed


def rename(name: str) -> str:
    """Return our name of an original tensor, or the name itself where no rule knows it."""
    target = rename_start(RULES, name) or name
    stage = re.match(r'change_head\.stages\.\d\.', target)
    if stage is None:
        return target
    inside = target[stage.end():]
    return stage[0] + (rename_start(STAGE_RULES, inside) or inside)


def _check_index(name: str, found: Tensor) -> None:
    window = round(found.shape[0]**0.5)
    if found.shape != (window**2, window**2) or not found.cpu().equal(
            relative_position_index(window)):
        raise ValueError(f"'{name}' {tuple(found.shape)} is not the usual numbering of relative "
                         f'positions in a window of {window}; this checkpoint needs another head')


def variant_of(state: Mapping[str, Tensor], source: str) -> str:
    """Return ``'rn50'`` or ``'vit'``, whichever backbone the original names belong to.

    Args:
        state: ``state_dict`` of an original checkpoint.
        source: Its file, for the message.

    Raises:
        ValueError: If they belong to neither.
    """
    if 'backbone.attnpool.positional_embedding' in state:
        return 'rn50'
    if 'backbone.class_embedding' in state:
        return 'vit'
    raise ValueError(f"'{source}' holds no ChangeCLIP weights: among {len(state)} tensors there is "
                     "neither 'backbone.attnpool.positional_embedding' (ResNet) nor "
                     f"'backbone.class_embedding' (ViT); first names {sorted(state)[:3]}")


def published_habits(variant: str) -> dict[str, object]:
    """Return the overrides with which a config repeats the original, evaluation included.

    Args:
        variant: ``'rn50'`` or ``'vit'``.
    """
    habits: dict[str, object] = {
        'model.data_preprocessor.mean': (0.485, 0.456, 0.406),  # ImageNet's statistics
        'model.data_preprocessor.std': (0.229, 0.224, 0.225),
        'model.fusion.prompts_at_test': 'from',
    }
    if variant == 'vit':
        habits['model.encoder.double_class_embedding'] = True
    return habits
