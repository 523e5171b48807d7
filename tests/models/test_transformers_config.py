import pytest

from rscc import compat
from rscc.models.transformers_config import make_config


@pytest.fixture
def kind():
    return compat.import_transformers().GPT2Config


def test_a_configuration_has_the_given_fields(kind):
    config = make_config(kind, dict(n_layer=3, hidden_size=8, architectures=['X']), 'decoder')
    assert (config.n_layer, config.n_embd) == (3, 8)


def test_a_misspelt_field_names_owner_kind_and_nearest(kind):
    with pytest.raises(TypeError, match=r"decoder: GPT2Config has no 'n_heads'\. Did you mean "
                       r"'n_head'\? Fields: .*n_embd"):
        make_config(kind, dict(n_heads=3), 'decoder')


@pytest.mark.parametrize('part', [
    dict(type='BlipViT', config=dict(hiden_size=8)),
    dict(type='BlipCaptionHead', memory_channels=8, config=dict(hiden_size=8),
         tokenizer=dict(type='WordTokenizer', words=['a']))])
def test_every_part_made_of_such_fields_checks_them(part):
    from rscc.registry import MODELS
    with pytest.raises(TypeError, match=f"{part['type']}: .* Did you mean 'hidden_size'"):
        MODELS.build(part)
