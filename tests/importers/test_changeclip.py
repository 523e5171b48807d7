import pytest
import torch

from rscc.importers.changeclip import rename, rename_changeclip, variant_of
from rscc.models.change_heads.swin_text_head import relative_position_index


@pytest.mark.parametrize('there, here', [
    ('contexts2', 'fusion.prompt_encoder.contexts'),
    ('gamma', 'fusion.gamma'),
    ('backbone.layer1.0.conv1.weight', 'encoder.visual.layer1.0.conv1.weight'),
    ('backbone.fpn4.0.weight', 'encoder.pyramid.3.0.weight'),
    ('text_encoder.ln_final.bias', 'fusion.prompt_encoder.text_encoder.ln_final.bias'),
    ('context_decoder.decoder.2.norm1.bias', 'fusion.context_decoder.layers.2.norm1.bias'),
    ('minus_conv.3.conv.bias', 'fusion.levels.3.difference.bias'),
    ('channel_att.1.conv_last.conv.bias', 'fusion.levels.1.project.bias'),
    ('decode_head.linearB.1.weight', 'change_head.text_projections.1.1.weight'),
    ('decode_head.layer3.conv_relu.0.bias', 'change_head.stages.2.merge.bias'),
    ('decode_head.layer3.up.conv_relu.0.bias', 'change_head.stages.2.refine.bias'),
    ('decode_head.layer1.up.layer.blocks.1.attn.qkv.bias',
     'change_head.stages.0.blocks.1.attn.qkv.bias'),
    ('decode_head.layer1.up.layer.blocks.1.mlp.fc2.bias',
     'change_head.stages.0.blocks.1.mlp.2.bias'),
    ('something.else', 'something.else')])
def test_names(there, here):
    assert rename(there) == here


def test_the_shared_context_loses_its_empty_axes():
    renamed = rename_changeclip({'contexts2': torch.arange(6.0).reshape(1, 1, 3, 2)})
    assert renamed['fusion.prompt_encoder.contexts'].tolist() == [[0, 1], [2, 3], [4, 5]]


def test_tables_of_relative_positions_are_checked_and_left_out():
    name = 'decode_head.layer1.up.layer.blocks.0.attn.relative_position_index'
    assert rename_changeclip({name: relative_position_index(7)}) == {}
    for wrong in (relative_position_index(7).T, torch.zeros(4, 9)):
        with pytest.raises(ValueError, match='is not the usual numbering'):
            rename_changeclip({name: wrong})


def test_the_variant_is_told_by_its_backbone():
    assert variant_of({'backbone.attnpool.positional_embedding': 0}, 'x.pth') == 'rn50'
    assert variant_of({'backbone.class_embedding': 0}, 'x.pth') == 'vit'
    with pytest.raises(ValueError, match=r"'x.pth' holds no ChangeCLIP weights: .*first "
                       r"names \['a'\]"):
        variant_of({'a': 0}, 'x.pth')
