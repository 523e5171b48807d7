import pytest
import torch
from mmengine.optim import build_optim_wrapper
from mmengine.registry import DefaultScope
from torch import nn

from rscc.registry import DATASETS, HOOKS, MODELS, TOKENIZERS, Registry


def test_own_and_parent_names_are_known():
    names = HOOKS.known_names()
    assert {'SafeCheckpointHook', 'SeedEpochHook', 'LoggerHook'} <= set(names)
    assert names == sorted(names)


def test_unknown_type_names_registry_and_nearest():
    with pytest.raises(KeyError, match=r"no 'BlipCaptoinHead' in the rscc model registry\. Did you "
                       r"mean 'BlipCaptionHead'\?"):
        MODELS.build(dict(type='BlipCaptoinHead'))
    with pytest.raises(KeyError, match="no 'Nothing' in the rscc dataset registry"):
        DATASETS.build(dict(type='Nothing'))


def test_an_unknown_keyword_names_the_nearest_at_any_depth():
    mapper = dict(type='MLPMapper', in_channels=2, out_channels=2, prefix_length=2)
    with pytest.raises(TypeError, match=r"MLPMapper has no option 'hiden_channels'\. Did you mean "
                       r"'hidden_channels'\? Options: from_tokens, hidden_channels, in_channels"):
        MODELS.build(mapper | dict(hiden_channels=3))
    with pytest.raises(TypeError, match="AttentionLSTMHead has no option 'dropuot'"):
        MODELS.build(dict(type='AttentionLSTMHead', dropuot=0))
    with pytest.raises(TypeError, match="WordTokenizer has no option 'langage'"):
        MODELS.build(dict(type='AttentionLSTMHead', memory_channels=2, tokenizer=dict(
            type='WordTokenizer', words=['a'], langage='en')))


def test_other_type_errors_stay_as_they_are():
    with pytest.raises(TypeError, match="missing 3 required positional arguments: 'in_channels'"):
        MODELS.build(dict(type='MLPMapper'))


def test_tokenizers_have_a_registry_of_their_own():
    assert TOKENIZERS.build(dict(type='WordTokenizer', words=['a'])).vocab_size == 5


def test_heads_of_mmsegmentation_are_built_by_scope_with_their_own_parts():
    with DefaultScope.overwrite_default_scope('rscc'):
        head = MODELS.build(dict(
            type='mmseg.FCNHead', in_channels=4, channels=4, num_classes=2, num_convs=1,
            loss_decode=dict(type='CrossEntropyLoss', avg_non_ignore=True)))
    assert type(head.loss_decode).__module__.startswith('mmseg.')
    assert isinstance(head, nn.Module)


def test_classes_are_found_on_first_use():
    registry = Registry('test', scope='rscc', locations=['rscc.utils'])
    assert registry.known_names() == []
    assert HOOKS.get('FreezeHook').__name__ == 'FreezeHook'


def test_optimizer_registries_have_children_of_ours():
    from mmengine.registry import OPTIMIZERS, PARAM_SCHEDULERS
    HOOKS.import_from_location()
    assert PARAM_SCHEDULERS.children['rscc'].get('WarmupCosineLR').__name__ == 'WarmupCosineLR'
    assert OPTIMIZERS.children['rscc'].get('AdamW').__name__ == 'AdamW'


def test_the_optimizer_of_transformers_is_built_where_a_config_asks_for_it():
    model = nn.Linear(2, 3)
    with DefaultScope.overwrite_default_scope('rscc'):
        wrapper = build_optim_wrapper(model, dict(
            optimizer=dict(type='Adafactor', lr=1e-3, relative_step=False)))
    assert type(wrapper.optimizer).__module__ == 'transformers.optimization'
    before = model.bias.detach().clone()
    wrapper.update_params(model(torch.ones(1, 2)).sum())
    assert (model.bias < before).all()
