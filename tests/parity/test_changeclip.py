"""ChangeCLIP against numbers recorded from the original code.

Every size comes from the fixture folder, so another folder of the same layout is tested as it is.
"""
import copy
import json

import pytest
import torch
from changeclip_records import IMAGENET
from mmengine.structures import PixelData
from recordings import RECORDINGS, assert_recorded, doubles, skip_without
from rounding import FORMULA, gradients_and_errors, products_of, rounding

from rscc.importers.changeclip import rename, rename_changeclip
from rscc.registry import MODELS, TOKENIZERS
from rscc.structures import ChangeDataSample

FOLDER = RECORDINGS / 'changeclip'
pytestmark = skip_without('changeclip')
MODELS_RECORDED = sorted(path.parent.name for path in FOLDER.glob('*/config.json'))


def encoder_of(original):
    """Translate the original's backbone config."""
    kind, options = original['type'], dict(original)
    for ignored in ('type', 'style', 'get_embeddings'):
        options.pop(ignored, None)
    if kind == 'CLIPResNetWithAttention':
        return dict(type='CLIPResNet', heads=32, **options)
    return dict(type='CLIPViT', double_class_embedding=True, **options)


def interpreter_of(original):
    """Translate the original's model config into ours, quirks included."""
    text, decoder, head = (original[key] for key in ('text_encoder', 'context_decoder',
                                                     'decode_head'))
    score_level = original['score_concat_index']
    in_channels = [width - 2 * (level == score_level)
                   for level, width in enumerate(original['minus_channel'])]
    return dict(
        type='ChangeInterpreter',
        data_preprocessor=dict(type='ChangeDataPreprocessor', **IMAGENET),
        encoder=encoder_of(original['backbone']),
        prompter=dict(type='StoredPrompts'),
        fusion=dict(
            type='LanguageGuidedFusion', in_channels=in_channels,
            text_channels=original['text_dim'], score_level=score_level,
            prompt_encoder=dict(
                text_encoder=dict(
                    type='CLIPTextEncoder', context_length=text['context_length'],
                    vocab_size=text['vocab_size'], width=text['transformer_width'],
                    heads=text['transformer_heads'], layers=text['transformer_layers'],
                    embed_dim=text['embed_dim']),
                contexts=text['context_length'] - original['context_length'],
                tokenizer=dict(type='CLIPTokenizer', context_length=original['context_length'])),
            context_decoder=dict(
                width=decoder['transformer_width'], heads=decoder['transformer_heads'],
                layers=decoder['transformer_layers'], dropout=decoder['dropout']),
            neck=dict(original['neck'], type='mmseg.FPN'),
            channels=original['neck']['out_channels']),
        change_head=dict(
            type='SwinTextHead', text_channels=original['text_dim'],
            in_channels=head['in_channels'][0], num_classes=head['num_classes'],
            loss_decode=dict(type='mmseg.CrossEntropyLoss', avg_non_ignore=False)))


class Recorded:
    """One fixture model: our model with its weights, and what the original computed."""

    def __init__(self, folder):
        config = json.loads((folder / 'config.json').read_text())
        self.slide = config['slide']
        self.io = doubles(folder / 'io.npz')
        self.prompts = json.loads((folder / 'prompts.json').read_text())
        self.grad_norms = json.loads((folder / 'grad_norms.json').read_text())
        self.model = MODELS.build(interpreter_of(config['model'])).eval()
        weights = rename_changeclip(doubles(folder / 'weights.npz'))
        self.model.load_state_dict(weights)
        self.share = rounding(products_of(weights))

    def batch(self, raw='inputs_raw', rows=None):
        """Give the recorded images as our loader would."""
        frames = self.io[raw].unflatten(1, (2, 3))
        samples = []
        for row in range(len(frames)):
            source = row if rows is None else rows[row]
            sample = ChangeDataSample(metainfo=dict(ori_shape=tuple(frames.shape[-2:])))
            sample.prompts = [self.prompts['top9_A'][source], self.prompts['top9_B'][source]]
            samples.append(sample)
        return dict(inputs=list(frames), data_samples=samples)

    def close(self, ours, name):
        """Compare with the array ``name``, allowing what float32 rounds in the whole model."""
        assert_recorded(ours, self.io, name, self.share)


@pytest.fixture(scope='module', params=MODELS_RECORDED)
def recorded(request):
    return Recorded(FOLDER / request.param)


@pytest.fixture
def inputs(recorded):
    return recorded.model.data_preprocessor(recorded.batch())['inputs']


@pytest.fixture
def prompts(recorded):
    return [list(names) for names in zip(recorded.prompts['top9_A'], recorded.prompts['top9_B'],
                                         strict=True)]


def record_outputs(modules):
    """Return a dict that fills with what each named module returns."""
    seen = {}
    for name, module in modules.items():
        module.register_forward_hook(
            lambda module, args, output, name=name: seen.update({name: output}))
    return seen


def test_images_are_normalised_alike(recorded, inputs):
    assert_recorded(inputs.flatten(1, 2), recorded.io, 'inputs', FORMULA)


@torch.no_grad()
def test_backbones(recorded, inputs):
    features = recorded.model.encoder(inputs)
    for date, letter in enumerate('AB'):
        for level, feature in enumerate(features.maps):
            recorded.close(feature[:, date], f'backbone_{letter}_{level}')
        recorded.close(features.pooled[:, date], f'backbone_{letter}_global')
        local = features.tokens[:, date].transpose(1, 2).unflatten(2, features.token_grid)
        recorded.close(local, f'backbone_{letter}_local')


@torch.no_grad()
def test_sentences_ids_and_text_embeddings(recorded, prompts):
    encoder = recorded.model.fusion.prompt_encoder
    embedded = encoder(prompts)
    for date, letter in enumerate('AB'):
        said = [encoder.sentences(names[date]) for names in prompts]
        assert said == recorded.prompts[f'prompts_{letter}']
        ids = torch.stack([encoder.tokenizer.batch_encode(two) for two in said])
        assert torch.equal(ids, recorded.io[f'tokens_{letter}'])
        recorded.close(embedded[:, date], f'text_feat_{letter}')


@torch.no_grad()
def test_fusion(recorded, inputs, prompts):
    fusion = recorded.model.fusion
    seen = record_outputs({'decoder': fusion.context_decoder, 'neck': fusion.neck})
    features = recorded.model.encoder(inputs)
    fused = recorded.model.extract(inputs, prompts)
    update = seen['decoder'].unflatten(0, (-1, 2))
    scores = fusion._scores(features.tokens, fused.text, features.token_grid,
                            features.maps[fusion.score_level])
    for date, letter in enumerate('AB'):
        recorded.close(update[:, date], f'text_diff_{letter}')
        recorded.close(fused.text[:, date], f'text_emb_{letter}')
        recorded.close(scores[:, date], f'score_map_{letter}')
    for level in range(len(fused.maps)):
        recorded.close(seen['neck'][level][:, ::8], f'neck_{level}__c8')
        recorded.close(fused.maps[level][:, ::8], f'fused_{level}__c8')


@torch.no_grad()
def test_differences_and_gates(recorded, inputs, prompts):
    levels = recorded.model.fusion.levels
    seen = record_outputs({level: layer.difference for level, layer in enumerate(levels)})
    dates = {}
    for level, layer in enumerate(levels):
        layer.register_forward_pre_hook(
            lambda module, args, level=level: dates.update({level: args[:2]}))
    recorded.model.extract(inputs, prompts)
    for level, layer in enumerate(levels):
        recorded.close(seen[level].relu()[:, ::8], f'minus_{level}__c8')
        recorded.close(layer.gate(*dates[level])[:, 0], f'gate_{level}')


@torch.no_grad()
def test_head(recorded, inputs, prompts):
    head = recorded.model.change_head
    texts = record_outputs(dict(enumerate(head.text_projections)))
    stages = record_outputs(dict(enumerate(head.stages)))
    blocks = record_outputs({(stage, block): module for stage, layer in enumerate(head.stages)
                             for block, module in enumerate(layer.blocks)})
    logits = head(recorded.model.extract(inputs, prompts))
    for date, letter in enumerate('AB'):
        recorded.close(texts[date], f'head_text_{letter}')
    for stage in range(len(head.stages)):
        recorded.close(stages[stage][:, ::8], f'decode_{stage + 1}__c8')
        for block in range(2):
            recorded.close(blocks[stage, block][..., ::8], f'decode_{stage + 1}_block{block}__d8')
    recorded.close(logits, 'head_logits')


def logits_of(model, batch):
    with torch.no_grad():
        answers = model.test_step(batch)
    return torch.stack([answer.seg_logits.data for answer in answers])


def test_logits(recorded):
    recorded.close(logits_of(recorded.model, recorded.batch()), 'logits')


def test_logits_of_the_published_evaluation(recorded):
    fusion = recorded.model.fusion
    fusion.prompts_at_test = 'from'
    try:
        recorded.close(logits_of(recorded.model, recorded.batch()), 'logits_test_quirk')
    finally:
        fusion.prompts_at_test = 'own'


def swap_dates(model, batch):
    batch['inputs'] = [frames.flip(0) for frames in batch['inputs']]


def swap_prompts(model, batch):
    for sample in batch['data_samples']:
        sample.prompts = sample.prompts[::-1]


def drop_a_bias(model, batch):
    torch.nn.init.zeros_(model.fusion.levels[0].squeeze.bias)


def enlarge_eps(model, batch):
    for module in model.modules():
        if hasattr(module, 'eps'):
            module.eps *= 100


@pytest.mark.parametrize('fault', [swap_dates, swap_prompts, drop_a_bias, enlarge_eps])
def test_a_fault_is_seen(recorded, fault):
    model, batch = copy.deepcopy(recorded.model), recorded.batch()
    fault(model, batch)
    with pytest.raises(AssertionError, match='logits'):
        recorded.close(logits_of(model, batch), 'logits')


def test_slide_logits(recorded):
    if recorded.slide is None:
        pytest.skip('this fixture model has no sliding windows')
    crop, stride = recorded.slide['crop_size'], recorded.slide['stride']
    model, batch = recorded.model, recorded.batch('slide_inputs_raw', rows=[0])
    model.test_cfg = dict(mode='slide', crop_size=(crop, crop), stride=(stride, stride),
                          window_batch=3)
    try:
        recorded.close(logits_of(model, batch), 'slide_logits')
    finally:
        model.test_cfg = {}


def test_loss_accuracy_and_gradients(recorded, inputs):
    model, samples = recorded.model, recorded.batch()['data_samples']
    for sample, mask in zip(samples, recorded.io['gt'], strict=True):
        sample.gt_sem_seg = PixelData(data=mask.long())

    losses = model(inputs, samples, mode='loss')
    recorded.close(losses['change.loss_ce'][None], 'loss_ce')
    # A pixel may be right or wrong where its classes lie closer than rounding.
    best, second = logits_of(model, recorded.batch()).topk(2, 1).values.unbind(1)
    doubtful = float((best - second < 2 * recorded.share * best.abs().max()).double().mean())
    assert float(losses['change.acc_seg']) == pytest.approx(
        float(recorded.io['acc_seg']), rel=FORMULA, abs=100 * doubtful)
    gradients, errors = gradients_and_errors(
        model, lambda: model(inputs, samples, mode='loss')['change.loss_ce'])
    expected = {rename(name): value for name, value in recorded.grad_norms['grad_l2_norm'].items()}
    assert set(gradients) == set(expected)
    for name, value in expected.items():
        assert float(gradients[name].norm()) == pytest.approx(value, rel=0, abs=errors[name]), name


def test_tokenizer():
    tokens = json.loads((FOLDER / 'tokenizer.json').read_text())
    for item in tokens['items']:
        tokenizer = TOKENIZERS.build(dict(type='CLIPTokenizer', context_length=item['length']))
        assert tokenizer.encode(item['text']) == item['ids'], item['text']
    long = tokens['too_long']
    length = next(name for name in long if name.startswith('ids_truncated')).rpartition('_')[2]
    with pytest.raises(ValueError, match=f'context_length={length}'):
        TOKENIZERS.build(dict(type='CLIPTokenizer', context_length=int(length))).encode(
            long['text'])
