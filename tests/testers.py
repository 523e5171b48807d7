"""Base tests of every kind of part; a new class is tested in about five lines.

Subclass the tester of the kind and give it ``cfg``; attributes say what is special. Here are the
parts of models: encoder, fusion, heads, prompter. Transforms, datasets and metrics are in
``data_testers.py``.
"""
import copy

import pytest
import torch
from mmengine.structures import PixelData

from rscc.models.change_heads.base import as_change_head
from rscc.models.contracts import FeatureSpec
from rscc.models.encoders.base import build_encoder
from rscc.registry import MODELS
from rscc.structures import ChangeDataSample, ChangeFeatures, FrameFeatures, ScoredCaption

WORDS = ['a', 'house', 'is', 'built', 'road', 'no', 'change']
CAPTIONS = ['a house is built', 'a road is built', 'no change', 'a house']


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def frame_features(n=2, t=2, channels=16, grid=(4, 6), class_token=False, seed=0):
    """Random features as an encoder returns them."""
    draw = generator(seed)
    length = grid[0] * grid[1] + class_token
    tokens = torch.randn(n, t, length, channels, generator=draw)
    maps = [torch.randn(n, t, channels, *grid, generator=draw)]
    return FrameFeatures(maps=maps, tokens=tokens, token_grid=grid, pooled=tokens.mean(2))


def change_features(n=2, channels=16, seed=0):
    """Random features as a fusion returns them."""
    draw = generator(seed)
    return ChangeFeatures(
        maps=[torch.randn(n, channels, 8 // 2**i, 8 // 2**i, generator=draw) for i in range(2)],
        tokens=torch.randn(n, 12, channels, generator=draw),
        pooled=torch.randn(n, channels, generator=draw))


def data_samples(n=2, classes=3, size=(32, 32), captions=CAPTIONS):
    made = []
    for row in range(n):
        meta = dict(sample_id=f's{row}', ori_shape=size, img_shape=size, pad_shape=size)
        sample = ChangeDataSample(metainfo=meta)
        sample.gt_captions = [captions[row % len(captions)]]
        sample.gt_change_flag = bool(row % 2)
        mask = torch.randint(0, classes, (1, *size), generator=generator(row))
        sample.gt_sem_seg = PixelData(data=mask)
        made.append(sample)
    return made


def semantic_sample(name='s', seed=0, size=(8, 8), classes=2, answered=True):
    """A sample with a change map and the class maps of both dates, true and, partly wrong, said."""
    draw, meta = generator(seed), dict(sample_id=name, ori_shape=size, img_shape=size,
                                       pad_shape=size)
    sample = ChangeDataSample(metainfo=meta)
    changed = torch.rand(1, *size, generator=draw) < 0.4
    maps = [torch.randint(1, classes + 1, (1, *size), generator=draw) for _ in range(2)]
    maps[1] = maps[1].where(changed, maps[0])
    for side, turn in (('gt', 0), ('pred', 1))[:2 if answered else 1]:
        fields = {'': changed.long(), '_from': maps[0], '_to': maps[1]}
        for date, labels in fields.items():
            setattr(sample, f'{side}_sem_seg{date}', PixelData(data=labels.roll(turn, -1)))
    return sample


def tensors_of(features):
    """Every tensor in a feature record."""
    text = features.text if isinstance(features, ChangeFeatures) else None
    values = [*features.maps, features.tokens, features.pooled, text]
    return [value for value in values if value is not None]


def assert_gradient_reaches_everything(module, loss, but=()):
    module.zero_grad()
    loss.backward()
    untouched = [name for name, parameter in module.named_parameters()
                 if parameter.requires_grad and parameter.grad is None
                 and not any(part in name for part in but)]
    assert not untouched, (
        f'{type(module).__name__}: no gradient reaches {untouched}; the loss must depend on every '
        'parameter that is trained')


TINY_CAPTION_HEAD = dict(
    type='BlipCaptionHead', memory_channels=16, max_tokens=8,
    tokenizer=dict(type='WordTokenizer', words=WORDS),
    config=dict(hidden_size=16, num_hidden_layers=1, intermediate_size=32, num_attention_heads=2,
                max_position_embeddings=32))
TINY_INTERPRETER = dict(
    type='ChangeInterpreter',
    encoder=dict(
        type='BackboneEncoder', out_channels=32, embed_dims=16, position=True,
        backbone=dict(type='mmseg.ResNet', depth=18, base_channels=4, stem_channels=4,
                      norm_eval=False)),
    fusion=dict(type='DifferenceFusion', channels=16, zero_init=False),
    change_head=dict(
        type='mmseg.FPNHead', in_channels=[12, 24, 48, 96], in_index=[0, 1, 2, 3],
        feature_strides=[4, 8, 16, 32], channels=8, num_classes=3, norm_cfg=dict(type='BN'),
        loss_decode=dict(type='CrossEntropyLoss', avg_non_ignore=True)),
    caption_head=TINY_CAPTION_HEAD,
    flag_head=dict(type='ChangeFlagHead', in_channels=48))


def build_interpreter(**changes):
    """A model with every head in miniature; ``changes`` replace parts of its config."""
    torch.manual_seed(0)
    return MODELS.build(copy.deepcopy(TINY_INTERPRETER) | changes)


def batch(n=2, size=(64, 64), dates=2):
    draw = torch.Generator().manual_seed(0)
    inputs = [torch.randint(0, 256, (dates, 3, *size), dtype=torch.uint8, generator=draw)
              for _ in range(n)]
    return dict(inputs=inputs, data_samples=data_samples(n, size=size))


def losses(model, data):
    return model(**model.data_preprocessor(data, True), mode='loss')


def total(values):
    return sum(value for name, value in values.items() if 'loss' in name)


class ModuleTester:
    """What every module shares: a state dict that survives a round trip."""
    cfg: dict

    def build(self):
        torch.manual_seed(0)
        return MODELS.build(copy.deepcopy(self.cfg))

    def test_state_dict_survives_a_round_trip(self):
        one, other = self.build(), self.build()
        for parameter in other.parameters():
            torch.nn.init.constant_(parameter, 0.5)
        other.load_state_dict(one.state_dict())
        for (name, left), right in zip(one.state_dict().items(), other.state_dict().values(),
                                       strict=True):
            assert torch.equal(left, right), (
                f'{name} is not what it was after state_dict() and load_state_dict()')


class EncoderTester(ModuleTester):
    """Subclass with ``cfg`` and, where needed, ``size`` of the images."""
    size = (32, 48)

    def build(self):
        torch.manual_seed(0)
        return build_encoder(copy.deepcopy(self.cfg)).eval()

    def inputs(self, n=2, t=2):
        return torch.randn(n, t, 3, *self.size, generator=generator())

    @torch.no_grad()
    def test_axes_are_samples_and_dates(self):
        for feature in tensors_of(self.build()(self.inputs(2, 3))):
            assert feature.shape[:2] == (2, 3), (
                f'a feature of 2 samples at 3 dates has the shape {tuple(feature.shape)}')
            assert feature.isfinite().all(), 'a feature has values that are not finite'

    @torch.no_grad()
    def test_it_gives_what_it_declares(self):
        encoder = self.build()
        given, features = encoder.gives(), encoder(self.inputs())
        found = FeatureSpec.of(features)
        for name in ('maps', 'tokens', 'pooled'):
            said, real = getattr(given, name), getattr(found, name)
            assert said == real, f'gives() says {name}={said}, and the widths are {real}'
        strides = tuple(self.size[0] // level.shape[-2] for level in features.maps)
        assert given.strides == strides, f'gives() says strides={given.strides}, not {strides}'
        if given.token_stride is not None:
            stride = self.size[0] / features.token_grid[0]
            assert given.token_stride == stride, (
                f'gives() says token_stride={given.token_stride}, and it is {stride}')

    @torch.no_grad()
    def test_tokens_fill_their_grid(self):
        features = self.build()(self.inputs())
        height, width = features.token_grid
        tokens = features.tokens.shape[2]
        assert tokens in (height * width, height * width + 1), (
            f'{tokens} tokens on token_grid={(height, width)}; as many as the grid has places were '
            'expected, or one more, a class token in front')

    @torch.no_grad()
    def test_one_sample_equals_its_row_in_a_batch(self):
        encoder, inputs = self.build(), self.inputs(3)
        for one, many in zip(tensors_of(encoder(inputs[1:2])), tensors_of(encoder(inputs)),
                             strict=True):
            torch.testing.assert_close(one[0], many[1], atol=1e-4, rtol=1e-4)

    @torch.no_grad()
    def test_swapping_the_dates_swaps_the_features(self):
        encoder, inputs = self.build(), self.inputs()
        for swapped, plain in zip(tensors_of(encoder(inputs.flip(1))), tensors_of(encoder(inputs)),
                                  strict=True):
            torch.testing.assert_close(swapped, plain.flip(1), atol=1e-4, rtol=1e-4)

    def test_gradient_reaches_every_parameter(self):
        encoder = self.build()
        loss = sum(feature.square().sum() for feature in tensors_of(encoder(self.inputs())))
        assert_gradient_reaches_everything(encoder, loss)


class FusionTester(ModuleTester):
    """Subclass with ``cfg`` (16 channels) and ``dates``."""
    dates = 2
    tokens: int  # tokens out of 4 x 6 patches per date

    @torch.no_grad()
    def test_shapes(self):
        fused = self.build().eval()(frame_features(3, self.dates))
        assert fused.tokens.shape == (3, self.tokens, 16), (
            f'tokens {tuple(fused.tokens.shape)}; (samples, the attribute tokens, channels) was '
            'expected')
        for feature in fused.maps:
            assert feature.shape[0] == 3 and feature.ndim == 4, (
                f'a map {tuple(feature.shape)} of 3 samples; (N, C, h, w) was expected')
        assert fused.pooled.shape[0] == 3, f'pooled {tuple(fused.pooled.shape)} of 3 samples'

    @torch.no_grad()
    def test_it_gives_what_it_declares(self):
        fusion, features = self.build().eval(), frame_features(2, self.dates)
        fused = fusion(features)
        given = fusion.gives(FeatureSpec.of(features), self.dates)
        found = dict(maps=tuple(level.shape[1] for level in fused.maps),
                     tokens=fused.tokens.shape[-1], pooled=fused.pooled.shape[-1])
        for name, real in found.items():
            said = getattr(given, name)
            assert said == real, f'gives() says {name}={said}, and the widths are {real}'
        assert self.dates in fusion.time_steps, (
            f'time_steps={fusion.time_steps} lacks {self.dates}, the attribute dates')

    def test_features_of_another_width_are_refused_by_name(self):
        fusion, wide = self.build(), frame_features(2, self.dates, channels=24)
        if all(need.width is None for need in fusion.needs()):
            pytest.skip('it takes any width')
        with pytest.raises(ValueError, match=rf'{fusion.title} reads tokens of width 16 '
                           r'\(channels\) and the encoder gives 24: set channels=24'):
            fusion(wide)

    @torch.no_grad()
    @pytest.mark.parametrize('class_token', [False, True])
    def test_the_tokens_fill_their_grid(self, class_token):
        fused = self.build().eval()(frame_features(2, self.dates, class_token=class_token))
        if fused.token_grid is None:
            pytest.skip('these tokens have no place')
        groups, height, width = fused.token_grid
        assert (height, width) == (4, 6)
        assert fused.tokens.shape[1] in (groups * 24, groups * 25)

    @torch.no_grad()
    def test_the_class_token_is_welcome(self):
        fused = self.build().eval()(frame_features(2, self.dates, class_token=True))
        assert fused.tokens.isfinite().all()

    @torch.no_grad()
    def test_evaluation_is_deterministic(self):
        fusion = self.build().eval()
        one, other = fusion(frame_features(2, self.dates)), fusion(frame_features(2, self.dates))
        assert torch.equal(one.tokens, other.tokens)

    @torch.no_grad()
    def test_one_sample_equals_its_row_in_a_batch(self):
        fusion, features = self.build().eval(), frame_features(3, self.dates)
        row = FrameFeatures([features.maps[0][1:2]], features.tokens[1:2], features.token_grid,
                            features.pooled[1:2])
        torch.testing.assert_close(fusion(row).tokens[0], fusion(features).tokens[1])

    def test_gradient_reaches_every_parameter(self):
        fusion = self.build()
        fused = fusion(frame_features(2, self.dates))
        loss = sum(feature.square().sum() for feature in tensors_of(fused))
        if loss.requires_grad:
            assert_gradient_reaches_everything(fusion, loss)
        else:
            assert not list(fusion.parameters())

    @torch.no_grad()
    def test_the_order_of_the_dates_matters(self):
        if self.dates == 1:
            pytest.skip('one date has no order')
        fusion = self.build().eval()
        for parameter in fusion.parameters():
            torch.nn.init.normal_(parameter, std=0.3, generator=generator(5))
        features = frame_features(2)
        swapped = FrameFeatures([features.maps[0].flip(1)], features.tokens.flip(1),
                                features.token_grid, features.pooled.flip(1))
        # As a set of tokens: what a decoder without positions can tell apart.
        one, other = fusion(features).tokens.sum(1), fusion(swapped).tokens.sum(1)
        one_norm, other_norm = (fusion(f).tokens.square().sum(1) for f in (features, swapped))
        assert not (torch.allclose(one, other, atol=1e-5)
                    and torch.allclose(one_norm, other_norm, atol=1e-5))


class CaptionHeadTester(ModuleTester):
    """Subclass with ``cfg`` over 16 channels, for any head that has sentences in the end.

    Heads that write word by word have more tests, see ``AutoregressiveHeadTester``.
    """
    misspelt = ('num_beam', 'num_beams')  # an option of ``generate`` and the one that is meant

    def learned(self, steps=120):
        """A head that has learned two samples, what it learned from, and its losses meanwhile."""
        head, features, samples = self.build(), change_features(2), data_samples(2)
        optimizer, losses = torch.optim.AdamW(head.parameters(), 5e-3), []
        for _ in range(steps):
            optimizer.zero_grad()
            loss = total(head.loss(features, samples))
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
        return head.eval(), features, losses

    def test_it_has_a_limit_and_decoding_options(self):
        self.build().check_limits()

    def test_loss_is_finite_and_reaches_every_parameter(self):
        head = self.build()
        loss = total(head.loss(change_features(3), data_samples(3)))
        assert loss.isfinite(), f'the loss is {loss}'
        assert_gradient_reaches_everything(head, loss)

    def test_training_lowers_the_loss(self):
        losses = self.learned(40)[2]
        assert sum(losses[-5:]) < sum(losses[:5]), (
            f'40 steps on two samples do not lower the loss: {losses[0]:.4f} to {losses[-1]:.4f}')

    def test_one_list_of_captions_per_sample(self):
        written = self.build().eval().generate(change_features(3))
        assert len(written) == 3, f'{len(written)} lists of captions for 3 samples'
        for number, captions in enumerate(written):
            assert captions, f'sample {number} has no caption'
            for caption in captions:
                assert isinstance(caption, ScoredCaption), (
                    f'{caption!r} is a {type(caption).__name__}; ScoredCaption was expected')
                assert caption.score <= 0, (
                    f'{caption!r}: the score is a mean log-probability, 0 or less')
            scores = [caption.score for caption in captions]
            assert len(scores) == 1 or captions[0].score >= min(scores), 'the best comes first'

    def test_one_sample_writes_what_it_writes_in_a_batch(self):
        head, features = self.build().eval(), change_features(3)
        alone, batch = head.generate(row_of(features, 1))[0][0], head.generate(features)[1][0]
        assert alone.text == batch.text, 'a sample alone has another caption than in a batch'

    def test_unknown_decoding_option_names_the_nearest(self):
        wrong, meant = self.misspelt
        with pytest.raises(TypeError, match=f"Did you mean '{meant}'"):
            self.build().generate(change_features(1), **{wrong: 3})


class WordsTester(CaptionHeadTester):
    """Subclass with ``cfg`` over the words above, and ``make_it``: heads that choose words.

    They can learn any sentence, and have to stop somewhere.
    """
    searches = (dict(num_beams=2, num_captions=2), dict(num_beams=2))  # without an end, with one

    def make_it(self, head, ending):
        """Have a head end its sentences, or never end them."""
        raise NotImplementedError(f'{type(self).__name__}.make_it(head, ending) makes a head whose '
                                  'sentences end at once, or never')

    def test_it_learns_to_tell_two_samples_apart(self):
        head, features, _ = self.learned()
        written = [captions[0].text for captions in head.generate(features)]
        assert written == CAPTIONS[:2], (
            f'after 120 steps on two samples it writes {written}; {CAPTIONS[:2]} was learned')

    def test_a_caption_that_reached_the_limit_says_so(self):
        head = self.build().eval()
        for ending in (False, True):
            self.make_it(head, ending)
            limit = None if ending else head.max_tokens
            for captions in head.generate(change_features(2), **self.searches[ending]):
                cut = {caption.cut_at for caption in captions}
                assert cut == {limit}, (
                    f'captions that {"end" if ending else "never end"} have cut_at={cut}; {limit} '
                    'was expected: the limit max_tokens if it was reached, else None')


class AutoregressiveHeadTester(WordsTester):
    """Subclass with ``cfg`` over 16 channels and the words above; heads that write word by word."""

    def make_it(self, head, ending):
        """Have a head end its sentences, or never end them."""
        head.decoding = head.decoding.updated(dict(min_tokens=0 if ending else head.max_tokens))
        head.stop_ids = list(range(head.tokenizer.vocab_size)) if ending else [head.stop_ids[0]]


class ChangeHeadTester(ModuleTester):
    """Subclass with ``cfg`` of 3 classes over two maps of 16 channels, or give ``features``."""
    reads_dates = False  # whether an exchange of the texts of both dates changes the map

    def features(self, n=2):
        return change_features(n)

    def samples(self, n=2):
        return data_samples(n)

    def given(self, factor=1):
        """What a fusion gives, its maps so many times as wide."""
        maps, text = self.features().maps, self.features().text
        return FeatureSpec('Given', maps=tuple(factor * level.shape[1] for level in maps),
                           text=0 if text is None else text.shape[-1])

    def test_loss_is_finite_and_reaches_every_parameter(self):
        head = self.build()
        values = as_change_head(head).loss(self.features(3), self.samples(3))
        assert total(values).isfinite(), f'the losses are {values}'
        assert_gradient_reaches_everything(head, total(values))

    @torch.no_grad()
    def test_one_map_a_sample_that_is_the_same_alone_and_again(self):
        head, features = as_change_head(self.build().eval()), self.features(3)
        metas = [dict(pad_shape=(32, 48), img_shape=(32, 48))] * 3
        head.logits_of(features)  # refuses another form than (N, out_channels, h, w)
        logits = head.predict(features, metas)
        assert logits.shape[0] == 3 and logits.shape[-2:] == (32, 48), (
            f'logits {tuple(logits.shape)} of 3 samples with pad_shape=(32, 48); (3, classes, 32, '
            '48) was expected')
        assert torch.equal(logits, head.predict(features, metas)), 'a second call answers otherwise'
        row = row_of(features, 1)
        torch.testing.assert_close(head.predict(row, metas[:1])[0], logits[1], atol=1e-5, rtol=1e-4)

    @torch.no_grad()
    def test_exchanging_the_dates_matters_as_declared(self):
        head, features = as_change_head(self.build().eval()), self.features()
        if features.text is None:
            assert not self.reads_dates
            return
        plain = head(features)
        features.text = features.text.flip(1)
        same = torch.allclose(plain, head(features))
        assert same != self.reads_dates, (
            f'exchanging the texts of the dates {"leaves" if same else "changes"} the map, and '
            f'reads_dates={self.reads_dates}')

    def test_it_says_what_it_reads(self):
        head = as_change_head(self.build())
        assert head.needs(), (
            f'{head.title} declares no needs(): return a Need for every feature that it reads, '
            "Need('maps', self.in_channels, 'in_channels', self.in_index) for instance; features "
            'of another width are then refused when the model is built')
        option = 'date_channels' if self.given().date_maps else 'in_channels'
        assert head.misfit(self.given()) == '', (
            'the features of this test are refused: give cfg the widths of change_features(), 16 '
            'and 16, or write features()')
        misfit = head.misfit(self.given(2))
        for part in (f'{head.title} reads feature maps of', 'and Given gives', f'set {option}='):
            assert part in misfit, (
                f"maps of twice the width get {misfit!r}; '{part}' was expected in it: is the width"
                f" in needs() that of the maps, and its option '{option}'?")


def row_of(features, row):
    """One sample of fused features, as a batch of one."""
    cut = slice(row, row + 1)
    def cut_of(value):
        return None if value is None else value[cut]

    return ChangeFeatures([level[cut] for level in features.maps], cut_of(features.tokens),
                          cut_of(features.pooled), cut_of(features.text),
                          date_maps=[level[cut] for level in features.date_maps])


class PrompterTester(ModuleTester):
    """Subclass with ``cfg``; ``stored`` are the class names that the samples bring, if any."""
    stored = None

    def answer(self, flip=False):
        images = torch.rand(2, 2, 3, 40, 48, generator=generator())
        samples = data_samples(2)
        for sample in samples if self.stored else []:
            sample.prompts = self.stored[::-1] if flip else self.stored
        prompter = self.build().eval()
        images = images.flip(1) if flip else images
        return prompter(images if prompter.needs_images else None, samples, (2, 2))

    def test_every_date_of_every_sample_gets_its_names(self):
        answer = self.answer()
        assert [len(dates) for dates in answer] == [2, 2]
        assert all(isinstance(name, str) for dates in answer for names in dates for name in names)
        assert answer == self.answer()

    def test_exchanging_the_dates_exchanges_the_names(self):
        assert self.answer(flip=True) == [dates[::-1] for dates in self.answer()]

    def test_nothing_of_it_goes_into_checkpoints(self):
        assert not self.build().state_dict()
