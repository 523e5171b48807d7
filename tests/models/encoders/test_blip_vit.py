import pytest
import torch
from testers import EncoderTester

from rscc.registry import MODELS

CONFIG = dict(hidden_size=32, intermediate_size=64, num_hidden_layers=3, num_attention_heads=2,
              image_size=32, patch_size=8)


class TestBlipViT(EncoderTester):
    cfg = dict(type='BlipViT', config=CONFIG, out_layers=(1, 3))

    @torch.no_grad()
    def test_maps_are_the_patch_tokens_of_their_layer(self):
        features = self.build()(self.inputs())
        assert [tuple(feature.shape) for feature in features.maps] == [(2, 2, 32, 4, 6)] * 2
        last = features.tokens[:, :, 1:].transpose(2, 3).unflatten(3, (4, 6))
        torch.testing.assert_close(features.maps[-1], last)

    def test_checkpointing_changes_no_gradient(self):
        gradients = []
        for checkpointing in (False, True):
            torch.manual_seed(0)
            encoder = MODELS.build(self.cfg | dict(checkpointing=checkpointing)).train()
            encoder(self.inputs()).tokens.square().sum().backward()
            gradients.append(encoder.vision_model.embeddings.patch_embedding.weight.grad)
        torch.testing.assert_close(*gradients)


def test_neither_weights_nor_config_is_refused():
    with pytest.raises(ValueError, match=r'either pretrained .* or config'):
        MODELS.build(dict(type='BlipViT'))


def test_a_layer_that_does_not_exist_is_refused():
    with pytest.raises(ValueError, match=r'layers 1 to 3: \[4\] do not exist'):
        MODELS.build(dict(type='BlipViT', config=CONFIG, out_layers=(2, 4)))


def test_weights_that_are_not_there_say_how_to_get_them(tmp_path):
    with pytest.raises(OSError, match='hf download'):
        MODELS.build(dict(type='BlipViT', pretrained=str(tmp_path)))
