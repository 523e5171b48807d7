"""Our BLIP path against transformers' own captioning model, on tiny random weights.

Nothing is recorded: both compute in float64, which is rounded to 1e-16, and must agree to the 1e-7
that ``torch.testing`` allows it. That leaves room for sums in any order.
"""
import pytest
import torch

from rscc import compat
from rscc.registry import MODELS
from rscc.structures import ChangeDataSample

WORDS = ['[PAD]', '[UNK]', '[CLS]', '[SEP]', '[MASK]', 'a', 'some', 'house', 'houses', 'is', 'are',
         'built', 'on', 'the', 'left', 'road', 'no', 'change']
CAPTIONS = ['a house is built on the left', 'some houses are built on the road', 'no change']


@pytest.fixture(scope='module')
def published(tmp_path_factory):
    """A folder as the hub has it: a tiny BLIP captioning model and its vocabulary."""
    folder = tmp_path_factory.mktemp('blip')
    (folder / 'vocab.txt').write_text('\n'.join(WORDS) + '\n')
    blip = compat.import_transformers('models.blip')
    torch.manual_seed(0)
    text = dict(vocab_size=len(WORDS) + 2, hidden_size=32, encoder_hidden_size=48,
                intermediate_size=64, num_hidden_layers=2, num_attention_heads=4,
                max_position_embeddings=64, bos_token_id=len(WORDS), sep_token_id=3,
                pad_token_id=0, eos_token_id=3, initializer_range=0.2)
    vision = dict(hidden_size=48, intermediate_size=96, num_hidden_layers=2, num_attention_heads=4,
                  image_size=32, patch_size=8, initializer_range=0.2)
    config = blip.BlipConfig(text_config=text, vision_config=vision)
    blip.BlipForConditionalGeneration(config).save_pretrained(folder)
    return folder


@pytest.fixture(scope='module')
def original(published):
    blip = compat.import_transformers('models.blip')
    return blip.BlipForConditionalGeneration.from_pretrained(published).eval()


def ours(published, fusion):
    model = MODELS.build(dict(
        type='ChangeInterpreter',
        encoder=dict(type='BlipViT', pretrained=str(published)),
        fusion=fusion,
        caption_head=dict(
            type='BlipCaptionHead', pretrained=str(published), memory_channels=48,
            tokenizer=dict(type='WordPieceTokenizer', vocab_file=str(published / 'vocab.txt')))))
    model.init_weights()  # as the runner does; pretrained weights must survive it
    return model.eval()


@pytest.fixture
def images():
    return torch.randn(3, 3, 32, 32, generator=torch.Generator().manual_seed(1))


def samples(captions):
    made = []
    for caption in captions:
        sample = ChangeDataSample()
        sample.gt_captions = [caption] if isinstance(caption, str) else caption
        made.append(sample)
    return made


def original_loss(original, tokenizer, images, captions):
    ids, mask = tokenizer.batch_encode(captions, None)
    labels = ids.masked_fill(mask == 0, -100)
    labels[:, 0] = -100
    return original(pixel_values=images, input_ids=ids, attention_mask=mask, labels=labels).loss


@pytest.mark.parametrize('fusion', [dict(type='SingleFrame'),
                                    dict(type='ConcatFusion', channels=48)])
def test_loss_and_gradients_equal_the_original(published, original, images, fusion):
    model = ours(published, fusion)
    original.zero_grad()
    expected = original_loss(original, model.caption_head.tokenizer, images, CAPTIONS)
    expected.backward()
    losses = model(images[:, None], samples(CAPTIONS), mode='loss')
    losses['caption.loss_caption'].backward()

    torch.testing.assert_close(losses['caption.loss_caption'], expected)
    theirs = dict(original.named_parameters())
    compared = 0
    for name, parameter in model.named_parameters():
        twin = name.removeprefix('encoder.').replace('caption_head.decoder.', 'text_decoder.')
        if twin in theirs:
            torch.testing.assert_close(parameter.grad, theirs[twin].grad)
            compared += 1
    assert compared == len(theirs)


@pytest.mark.parametrize('fusion', [dict(type='SingleFrame'),
                                    dict(type='ConcatFusion', channels=48)])
@pytest.mark.parametrize('beams', [1, 3])
def test_generated_ids_equal_the_original(published, original, images, fusion, beams):
    model = ours(published, fusion)
    expected = original.generate(images, num_beams=beams, max_new_tokens=9)
    decoded = [model.caption_head.tokenizer.decode(row) for row in expected.tolist()]
    predicted = model.predict(images[:, None], samples(CAPTIONS), num_beams=beams,
                              max_tokens=9)
    assert [sample.pred_caption for sample in predicted] == decoded


def test_sentences_of_one_sample_cost_the_same_loss_as_rows_of_their_own(published, original,
                                                                         images):
    model = ours(published, dict(type='SingleFrame'))
    repeated = images[:1].expand(3, -1, -1, -1)
    expected = original_loss(original, model.caption_head.tokenizer, repeated, CAPTIONS)
    losses = model(images[:1, None], samples([CAPTIONS]), mode='loss')
    torch.testing.assert_close(losses['caption.loss_caption'], expected)


def test_a_smaller_image_gets_interpolated_positions(published, original, images):
    model = ours(published, dict(type='SingleFrame'))
    small = images[..., :24, :24]
    expected = original.vision_model(small, interpolate_pos_encoding=True).last_hidden_state
    torch.testing.assert_close(model.extract(small[:, None]).tokens, expected)


def test_random_weights_see_the_image():
    encoder = MODELS.build(dict(type='BlipViT', config=dict(
        hidden_size=32, intermediate_size=64, num_hidden_layers=2, num_attention_heads=2,
        image_size=32, patch_size=8)))
    noise = torch.randn(2, 1, 3, 32, 32, generator=torch.Generator().manual_seed(2))
    tokens = encoder(noise).tokens
    assert (tokens[0] - tokens[1]).abs().mean() > 1e-2
