import pytest
import torch
from fake_siglip import options_of, save_siglip
from PIL import Image

from rscc import compat
from rscc.models.clip.classifier import CLIPClassifier
from rscc.models.clip.clip_model import CLIPEmbedder, load_clip
from rscc.registry import MODELS

pytest.importorskip('sentencepiece')
NAMES = ['road', 'river', 'dense residential', 'forest']


@pytest.fixture(scope='module')
def published(tmp_path_factory):
    folder = tmp_path_factory.mktemp('weights') / 'siglip'
    return save_siglip(folder), str(folder)


@pytest.fixture(scope='module')
def ids(published):
    tokenizer = compat.import_transformers().AutoTokenizer.from_pretrained(published[1])
    return tokenizer(NAMES, padding='max_length', max_length=64, return_tensors='pt')['input_ids']


@torch.no_grad()
def test_texts_are_those_of_transformers_own_model(published, ids):
    model, folder = published
    encoder = MODELS.build(options_of(model) | dict(pretrained=folder)).eval()
    expected = model.get_text_features(ids).pooler_output
    torch.testing.assert_close(encoder(ids), expected)
    # Fewer columns are filled up: what is read out stands at the last of all 64 positions.
    short = int((ids != 1).sum(1).max()) + 1
    torch.testing.assert_close(encoder(ids[:, :short]), expected)


@torch.no_grad()
def test_contexts_come_first_and_shift_the_words(published, ids):
    model, folder = published
    encoder = MODELS.build(options_of(model) | dict(pretrained=folder)).eval()
    # Contexts that are embeddings of words equal these words in the text.
    table = encoder.text.embeddings.token_embedding.weight
    words = torch.cat([torch.tensor([[5, 6, 7]]).expand(len(ids), -1), ids[:, :61]], 1)
    torch.testing.assert_close(encoder(ids[:, :61], table[[5, 6, 7]]), encoder(words))


def test_contexts_learn(published, ids):
    encoder = MODELS.build(options_of(published[0]))
    contexts = torch.randn(3, 32, requires_grad=True)
    encoder(ids[:, :61], contexts).square().sum().backward()
    assert (contexts.grad.abs().sum(1) > 0).all()
    assert all(parameter.grad is not None for parameter in encoder.parameters())


def test_too_many_tokens_name_the_room_that_is_left(published, ids):
    encoder = MODELS.build(options_of(published[0]))
    with pytest.raises(ValueError, match='64 tokens and 13 contexts need 77 positions, and the '
                       'text encoder has context_length=64: give the tokenizer context_length=51'):
        encoder(ids, torch.zeros(13, 32))


@torch.no_grad()
def test_probabilities_are_the_sigmoids_of_transformers_own_model(published, ids):
    model, folder = published
    classifier = CLIPClassifier(None, folder, NAMES)
    images = torch.randn(3, 3, 32, 32)
    expected = model(input_ids=ids, pixel_values=images).logits_per_image.sigmoid()
    ours = classifier.classify(images)
    torch.testing.assert_close(ours, expected)
    assert classifier.scores == 'sigmoid' and classifier.quick_gelu is None
    # Each name has a probability of its own, whatever other names there are.
    torch.testing.assert_close(CLIPClassifier(None, folder, NAMES[:2]).classify(images),
                               ours[:, :2])
    assert classifier.top(ours, 1)[0] == [NAMES[int(expected[0].argmax())]]


def test_pictures_are_squashed_and_standardised_by_a_half(published):
    classifier = CLIPClassifier(None, published[1], NAMES)
    picture = Image.new('RGB', (50, 20), (255, 0, 127))
    prepared = classifier.transform(picture)
    assert prepared.shape == (3, 32, 32)
    torch.testing.assert_close(prepared[:, 0, 0], torch.tensor([1.0, -1.0, -1 / 255]))


@torch.no_grad()
def test_stored_features_are_those_of_the_encoder(published):
    model, folder = published
    embedder = CLIPEmbedder(None, folder)
    images = torch.randn(2, 3, 32, 32)
    pooled, tokens = embedder(images)
    torch.testing.assert_close(pooled, model.get_image_features(images).pooler_output)
    assert tokens.shape == (2, 4, 32) and embedder.token_grid == (2, 2)
    assert embedder.facts['preprocessing'] == dict(
        size=32, resize='both sides, bicubic', crop='none', mean=[0.5] * 3, std=[0.5] * 3)
    assert embedder.facts['quick_gelu'] is None


@pytest.mark.parametrize(('options', 'message'), [
    (dict(model='ViT-B/16'), "are a SigLIP, and model='ViT-B/16' is a CLIP"),
    (dict(model=None, quick_gelu=True), 'has an activation of its own: leave quick_gelu=True out')])
def test_options_of_a_clip_are_refused(published, options, message):
    with pytest.raises(ValueError, match=message):
        load_clip(pretrained=published[1], **options)


def test_a_folder_without_its_config_or_tokenizer_is_refused(published, tmp_path):
    save_siglip(tmp_path / 'half', vocabulary=64)
    with pytest.raises(FileNotFoundError, match=r"folder '.*half' has no spiece\.model, SigLIP's "
                       'tokenizer .*fetch the whole folder'):
        load_clip(None, str(tmp_path / 'half'))
    (tmp_path / 'half' / 'config.json').unlink()
    with pytest.raises(FileNotFoundError, match=r'no config\.json beside .*fetch the whole folder'):
        load_clip(None, str(tmp_path / 'half'))


def test_full_git_rsclip_texts_have_the_names_and_shapes_of_transformers():
    library = compat.import_transformers('models.siglip')
    with torch.device('meta'):
        ours = MODELS.build(dict(type='SiglipTextEncoder')).text.state_dict()
        theirs = library.SiglipTextModel(library.SiglipTextConfig(
            hidden_size=1024, intermediate_size=4096, num_hidden_layers=24,
            num_attention_heads=16)).state_dict()
    assert {key: value.shape for key, value in ours.items()} == {
        key: value.shape for key, value in theirs.items()}


def test_the_inner_width_of_the_texts_blocks_is_told_or_four_times_their_width(published):
    options = options_of(published[0])
    options.pop('mlp_width', None)
    widths = [MODELS.build(options | told).text.encoder.layers[0].mlp.fc1.out_features
              for told in ({}, dict(mlp_width=40))]
    assert widths == [4 * options['width'], 40]
