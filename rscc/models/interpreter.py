"""The model: frames through encoder and fusion to the heads.

Parts are built from their configs, compared with each other, and run in one order:
``encoder -> fusion -> [neck ->] change_head`` and ``fusion [-> guidance] -> caption_head,
flag_head``, where the guidance also reads the change map.
"""
from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields, replace
from typing import Any, ClassVar

import torch
from mmengine.dist import is_distributed
from mmengine.model import BaseModel
from mmengine.structures import PixelData
from torch import Tensor, nn

from rscc.models.adaptation import add_lora, apply_freeze, keep_frozen_in_eval
from rscc.models.batch_rows import (
    bare_sample,
    cut_padding_of_reference,
    masks_at_original_size,
    rows_with_masks,
    select_rows,
)
from rscc.models.caption_heads.base import CaptionHead, write_captions
from rscc.models.change_heads.base import ChangeHead, as_change_head
from rscc.models.contracts import FeatureSpec, after_neck, fill_widths, together
from rscc.models.data_preprocessor import ChangeDataPreprocessor
from rscc.models.encoders.base import Encoder, build_encoder
from rscc.models.fusion.base import Fusion
from rscc.models.loss_weighting import HeadLosses, heads_of, learning_heads, reconcile
from rscc.models.novelty import FeatureDistance
from rscc.models.prompters import Prompter, Prompts
from rscc.models.test_time import TestTime, average_views, changed_rows, exchanged, slide
from rscc.registry import MODELS, Part
from rscc.structures import ChangeDataSample, ChangeFeatures, FrameFeatures
from rscc.utils import did_you_mean
from rscc.utils.signatures import refuse_unknown


@MODELS.register_module()
class ChangeInterpreter(Part, BaseModel):
    """From frames to a change map and sentences.

    ``frames (N, T, B, H, W) -> encoder -> fusion -> [neck ->] change_head`` and
    ``fusion -> caption_head``, ``fusion -> flag_head``. Any head may be absent; samples of a batch
    without a mask, a flag or captions train the other heads.

    Widths that say ``'auto'`` in the config of a fusion, neck or head (``channels``,
    ``in_channels``, ``feature_strides``, ``memory_channels``) are those of what comes before.

    Losses returned: those of the heads, prefixed ``change.``, ``caption.`` and ``flag.``, after
    ``loss_weighting``.

    Args:
        encoder: Config of a frame encoder, or of a backbone by scope (``mmseg.ResNet``).
        fusion: Config of a fusion.
        change_head: Config of a decode head over the fused maps, one of ours or MMSegmentation's.
        caption_head: Config of a caption head over the fused tokens.
        flag_head: Config of a change-flag head over the pooled features.
        neck: Config of a neck over the fused maps, ``mmseg.Feature2Pyramid`` for instance.
        guidance: Config of what tells caption and flag head of the change map, ``MapGuidance``.
        prompter: Config of what names the classes in every image, for language-guided fusions.
        freeze: Regular expressions of parameter names that stay fixed. A head that is fixed with
            all that stands before it is not asked for its loss, which would teach nothing.
        lora: Fields of peft's ``LoraConfig``; everything but the adapters and ``train`` (a list of
            regular expressions) is then fixed.
        test_cfg: Fields of ``TestTime``: windows and views of change maps.
        loss_weighting: Config of what weighs the losses of the heads against each other,
            ``FixedWeights`` or ``UncertaintyWeights``; by default they are summed as they are.
        data_preprocessor: Config, ``ChangeDataPreprocessor`` unless given.
        init_cfg: MMEngine's initialisation config.

    Attributes:
        novelty: How far images are from those of the training, where the checkpoint tells.
    """

    NESTED_OPTIONS: ClassVar[dict] = dict(lora=add_lora, test_cfg=TestTime)
    novelty: FeatureDistance | None

    def __init__(self, encoder: dict, fusion: dict, change_head: dict | None = None,
                 caption_head: dict | None = None, flag_head: dict | None = None,
                 neck: dict | None = None, prompter: dict | None = None,
                 guidance: dict | None = None,
                 freeze: Sequence[str] = (), lora: dict | None = None,
                 test_cfg: Mapping | None = None, loss_weighting: dict | None = None,
                 data_preprocessor: dict | None = None, init_cfg: dict | None = None) -> None:
        preprocessor = data_preprocessor or dict(type='ChangeDataPreprocessor')
        super().__init__(data_preprocessor=MODELS.build(preprocessor), init_cfg=init_cfg)
        if change_head is None and caption_head is None and flag_head is None:
            raise ValueError('ChangeInterpreter without a head predicts nothing: give change_head, '
                             'caption_head or flag_head')
        self.novelty = None
        # The parts, in the order in which features pass through them.
        self.encoder = build_encoder(encoder)
        _check_kind('encoder', self.encoder, Encoder)
        if isinstance(self.data_preprocessor, ChangeDataPreprocessor):
            self.data_preprocessor.suit(self.encoder)
        self._frames = self.encoder.gives()
        self.fusion = MODELS.build(fill_widths(fusion, 'fusion', lambda: self._frames))
        _check_kind('fusion', self.fusion, Fusion)
        self.neck = MODELS.build(fill_widths(neck, 'neck', self._fused)) if neck else None
        self.change_head = self._build_head('change_head', change_head, self._before_change_head)
        self.guidance = self._build_guidance(guidance) if guidance else None
        self.caption_head = self._build_head('caption_head', caption_head, self._before_words)
        self.flag_head = self._build_head('flag_head', flag_head, self._before_words)
        self.prompter = MODELS.build(prompter) if prompter else None
        self.time_steps = self._check_parts()
        self.test_cfg = dict(test_cfg or {})
        self.test_time()  # wrong settings end here, not after a training
        # What is trained: adapters alone, or all but what is frozen by name.
        if lora:
            refuse_unknown(lora, add_lora, 'lora')
            add_lora(self, **lora)
        # Behind the adapters, which fix all that is there: variances are learned beside them.
        self.loss_weighting = (MODELS.build({**loss_weighting, 'heads': heads_of(self)})
                               if loss_weighting else None)
        apply_freeze(self, freeze)
        preprocessor = self.data_preprocessor
        if isinstance(preprocessor, ChangeDataPreprocessor) and preprocessor.channels_last:
            self.to(memory_format=torch.channels_last)  # or every call would convert the kernels

    @staticmethod
    def _build_head(name: str, cfg: dict | None, given: Callable[[], FeatureSpec]
                    ) -> nn.Module | None:
        """Build a head whose ``'auto'`` widths are those of what comes before it."""
        return MODELS.build(fill_widths(cfg, name, given)) if cfg else None

    def _fused(self, steps: int | None = None) -> FeatureSpec:
        """Return what the fusion gives, at its largest number of time steps unless told."""
        fused = self.fusion.gives(self._frames, steps or max(self.fusion.time_steps))
        if fused.date_maps is None:
            return replace(fused, date_maps=self._frames.maps)
        return fused

    def _before_change_head(self, steps: int | None = None) -> FeatureSpec:
        """Return the same behind the neck, if there is one."""
        fused = self._fused(steps)
        return fused if self.neck is None else after_neck(self.neck, fused)

    def _build_guidance(self, config: Mapping) -> nn.Module:
        """Build what is told of the change map, whose classes it has to know."""
        head = self.change_head
        if head is None or not as_change_head(head).in_halves:
            raise ValueError('guidance tells words of the change map and needs a change_head of '
                             "ours or one that derives from MMSegmentation's BaseDecodeHead; "
                             f'found {type(head).__name__ if head is not None else "none"}')
        filled = fill_widths(config, 'guidance', self._fused)
        known = as_change_head(head)
        count = known.out_channels if known.groups is None else known.groups[0]
        part = MODELS.build({'num_classes': count, **filled})
        misfit = part.misfit(self._fused())
        if misfit:
            raise ValueError(misfit)
        return part

    def _before_words(self, steps: int | None = None) -> FeatureSpec:
        """Return what caption and flag head read: fused features, with the map in them if asked."""
        fused = self._fused(steps)
        return fused if self.guidance is None else self.guidance.gives(fused)

    def _check_parts(self) -> tuple[int, ...]:
        """Compare what every part gives with what the next one reads.

        Returns:
            The numbers T of time steps for which all parts fit.

        Raises:
            TypeError: If the prompter does not derive from the base class of its kind, or the
                caption head has no limit or decoding options.
            ValueError: If two parts do not fit; it names both, both widths and the option to set.
        """
        if self.prompter is not None:
            _check_kind('prompter', self.prompter, Prompter)
        if isinstance(self.caption_head, CaptionHead):
            self.caption_head.check_limits()
        # Encoder against fusion.
        misfit = self.fusion.misfit(self._frames)
        if misfit:
            raise ValueError(misfit)
        # Fusion against heads, at every number of time steps that it takes: widths may grow with T.
        steps = tuple(self.fusion.time_steps)
        if self.change_head is not None:
            steps = together([as_change_head(self.change_head)], self._before_change_head, steps)
        others = [head for head in (self.caption_head, self.flag_head)
                  if isinstance(head, Part)]
        return together(others, self._before_words, steps)

    def _load_from_state_dict(self, state_dict: dict, prefix: str, *others: Any) -> None:
        """Take checkpoints that were trained with another weighting of the losses, or with none."""
        reconcile(self, state_dict, prefix)
        super()._load_from_state_dict(state_dict, prefix, *others)

    def train(self, mode: bool = True) -> 'ChangeInterpreter':
        """Switch the mode; modules that are fixed as a whole stay in evaluation mode."""
        super().train(mode)
        keep_frozen_in_eval(self)
        return self

    def test_time(self) -> TestTime:
        """Return the settings in ``test_cfg``, which may be changed at any time.

        Raises:
            ValueError: If one is unknown, or contradicts another or the prompter.
        """
        known = tuple(field.name for field in fields(TestTime))
        for name in set(self.test_cfg) - set(known):
            raise ValueError(f"test_cfg has no '{name}', only {list(known)}."
                             f'{did_you_mean(name, known)}')
        options = TestTime(**self.test_cfg)
        divisor = self.encoder.size_divisor
        if options.mode == 'slide' and any(side % divisor for side in options.crop_size):
            raise ValueError(f'test_cfg.crop_size={tuple(options.crop_size)} with windows that '
                             f'{self.encoder.title} cannot take: its sides are multiples of '
                             f'{divisor}; set crop_size and stride to such')
        named_anew = options.mode == 'slide' and options.prompts == 'window'
        if named_anew and (self.prompter is None or not self.prompter.needs_images):
            raise ValueError("test_cfg.prompts='window' needs a prompter that looks at images, as "
                             f'CLIPPrompts does; this one is {type(self.prompter).__name__}')
        return options

    def extract(self, inputs: Tensor, prompts: Prompts | None = None) -> ChangeFeatures:
        """Encode and fuse normalised frames (N, T, B, H, W) with the class names of each."""
        return self.encode(inputs, prompts)[1]

    def encode(self, inputs: Tensor, prompts: Prompts | None = None
               ) -> tuple[FrameFeatures, ChangeFeatures]:
        """Return the features of every frame, and those of the samples, see :meth:`extract`."""
        steps = inputs.shape[1]
        if steps not in self.time_steps and steps in self.fusion.time_steps:
            raise ValueError(f'the heads were built for what {self.fusion.title} makes of '
                             f'{self.time_steps[-1]} dates, found samples of {steps}')
        features = self.encoder(inputs)
        return features, self.fusion(replace(features, prompts=prompts) if prompts else features)

    def name_classes(self, inputs: Tensor, data_samples: list[ChangeDataSample] | None = None
                     ) -> Prompts | None:
        """Return class names of every sample and date, or None without a prompter."""
        if self.prompter is None:
            return None
        images = self.data_preprocessor.denormalise(inputs) if self.prompter.needs_images else None
        return self.prompter(images, data_samples, tuple(inputs.shape[:2]))

    def forward(self, inputs: Tensor, data_samples: list[ChangeDataSample] | None = None,
                mode: str = 'tensor') -> dict | list[ChangeDataSample]:
        """Run the model.

        Args:
            inputs: Normalised frames (N, T, B, H, W).
            data_samples: N samples, needed by ``loss``.
            mode: ``'loss'``, ``'predict'`` or ``'tensor'`` (raw outputs).
        """
        if mode == 'loss':
            return self.loss(inputs, data_samples)
        if mode == 'predict':
            return self.predict(inputs, data_samples)
        if mode == 'tensor':
            return self.outputs(self.extract(inputs, self.name_classes(inputs, data_samples)))
        raise ValueError(f"mode is 'loss', 'predict' or 'tensor', found '{mode}'")

    def loss(self, inputs: Tensor, data_samples: list[ChangeDataSample]) -> dict[str, Tensor]:
        """Sum up what the heads want, each over the samples that have its target.

        Args:
            inputs: Normalised frames (N, T, B, H, W).
            data_samples: N samples with masks, captions or flags.
        """
        frames, features = self.encode(inputs, self.name_classes(inputs, data_samples))
        losses: HeadLosses = {}
        fused, asked = features, learning_heads(self)
        logits = None if self.guidance is None else self.map_logits(features)
        if 'change' in asked:
            losses['change'] = self._change_loss(features, data_samples, logits)
        features = self.guided(features, logits, [
            bool(sample.gt_change_flag) if 'gt_change_flag' in sample else None
            for sample in data_samples])
        if 'caption' in asked:
            losses['caption'] = self.caption_head.loss(features, data_samples)
        if 'flag' in asked:
            losses['flag'] = self.flag_head.loss(features, data_samples)
        if is_distributed():
            _reach(losses, frames, fused)
        if self.loss_weighting is not None:
            losses = self.loss_weighting(losses)
        # Every head has a prefix of its own; MMEngine sums what is named a loss.
        return {f'{head}.{name}': value for head, values in losses.items()
                for name, value in values.items()}

    def _change_loss(self, features: ChangeFeatures, data_samples: list[ChangeDataSample],
                     logits: Tensor | None) -> dict[str, Tensor]:
        """Return the losses over the samples that have a mask, of logits where they are known."""
        rows, count = rows_with_masks(data_samples), len(data_samples)
        if not rows:
            # Every parameter still takes part, or distributed training would wait for it.
            logits = self.map_logits(features) if logits is None else logits
            return dict(loss_ce=logits.sum() * 0)
        known = [data_samples[row] for row in rows]
        if logits is None:
            return self._change().loss(self._behind_neck(select_rows(features, rows, count)), known)
        return self._change().loss_of(logits[rows] if len(rows) < count else logits, known)

    def map_logits(self, features: ChangeFeatures) -> Tensor:
        """Return the change head's logits (N, classes, h, w) at its own resolution."""
        return self._change().logits_of(self._behind_neck(features))

    def guided(self, features: ChangeFeatures, logits: Tensor | None = None,
               flags: Sequence[bool | None] | None = None) -> ChangeFeatures:
        """Return what caption and flag head read.

        Args:
            features: Of N samples, from ``extract``.
            logits: What ``map_logits`` returns of them, where it is known already.
            flags: Whether they changed, where that is known; in training.
        """
        if self.guidance is not None:
            raw = self.map_logits(features) if logits is None else logits
            features = self.guidance(features, self._change().split(raw)[0])
        return features if self.flag_head is None else self.flag_head.tell(features, flags)

    def _change(self) -> ChangeHead:
        """Return the change head with the face that all of them have, MMSegmentation's too."""
        return as_change_head(self.change_head)

    def _behind_neck(self, features: ChangeFeatures) -> ChangeFeatures:
        """Return what the change head reads."""
        if self.neck is None:
            return features
        return replace(features, maps=list(self.neck(features.maps)), date_maps=[])

    def predict(self, inputs: Tensor, data_samples: list[ChangeDataSample] | None = None,
                describe: Sequence[Callable[[ChangeDataSample], bool]] | None = None,
                classes: bool = True, **decoding) -> list[ChangeDataSample]:
        """Fill ``data_samples`` with what the heads say and return them.

        Args:
            inputs: Normalised frames (N, T, B, H, W).
            data_samples: N samples; made here where there are none.
            describe: Of each sample, whether it gets sentences, told from its map and flag, which
                are there by then; None for all. Where most of a scene is unchanged, words cost most
                of the time.
            classes: Draw the maps (``pred_sem_seg`` and, of heads with class maps,
                ``pred_sem_seg_from`` and ``pred_sem_seg_to``); without it logits alone tell.
            **decoding: Passed to the caption head. ``language`` may be several, a tuple: sentences
                in each are written about the same features and ``pred_sentences`` has all. Without
                it, a head that knows several languages writes in the sample's (``language`` of its
                metainfo), unless its own options say another.
        """
        samples = data_samples or [bare_sample(inputs) for _ in range(len(inputs))]
        options = self.test_time()
        # Windows and views concern change maps; sentences and flags are those of the whole image.
        at_once = options.plain or self.caption_head is not None or self.flag_head is not None
        named = at_once or options.prompts == 'image'
        prompts = self.name_classes(inputs, samples) if named else None
        frames, features = self.encode(inputs, prompts) if at_once else (None, None)
        if self.novelty is not None and frames is not None:
            self._write_novelty(frames, samples)
        self._answer(inputs, features, samples, prompts, options, describe, classes, decoding)
        if options.swap and inputs.shape[1] == 2:
            self._answer_swapped(inputs, frames, samples, prompts, options, decoding)
        return samples

    def _answer_swapped(self, inputs: Tensor, frames: FrameFeatures | None,
                        samples: list[ChangeDataSample], prompts: Prompts | None,
                        options: TestTime, decoding: Mapping) -> None:
        """Set ``pred_swapped`` of the changed pairs: the answer with the dates exchanged."""
        rows = changed_rows(samples)
        if not rows:
            return
        others = [ChangeDataSample(metainfo=samples[row].metainfo) for row in rows]
        names = prompts and [prompts[row][::-1] for row in rows]
        features = None if frames is None else self.fusion(
            exchanged(replace(frames, prompts=prompts), rows))
        # What is drawn here must not change what is drawn for the pairs that follow.
        devices = [inputs.device] if inputs.device.type == 'cuda' else []
        with torch.random.fork_rng(devices):
            self._answer(inputs[rows].flip(1), features, others, names, options, None, True,
                         decoding)
        for row, other in zip(rows, others, strict=True):
            for name in ('seg_logits', 'seg_logits_from', 'seg_logits_to'):
                if name in other:  # nobody reads them, and they are large
                    delattr(other, name)
            samples[row].pred_swapped = other

    def _answer(self, inputs: Tensor, features: ChangeFeatures | None,
                samples: list[ChangeDataSample], prompts: Prompts | None, options: TestTime,
                describe: Sequence[Callable[[ChangeDataSample], bool]] | None, classes: bool,
                decoding: Mapping) -> None:
        """Fill samples with what the heads say of features; see ``predict``."""
        raw = (self.map_logits(features) if features is not None and self.guidance is not None
               else None)
        if self.change_head is not None:
            logits = (self._mask_logits(features, inputs.shape[-2:], raw) if options.plain else
                      average_views(lambda images: self._view_logits(images, prompts, options),
                                    inputs, options.views, self._change().groups))
            self._write_masks(logits, samples, classes)
        if features is not None:
            features = self.guided(features, raw)
        if self.flag_head is not None:
            self._write_flags(features, samples)
        if self.caption_head is not None:
            told = {row: sample for row, sample in enumerate(samples)
                    if describe is None or describe[row](sample)}
            write_captions(self.caption_head, told,
                           lambda rows: select_rows(features, rows, len(samples)), decoding)

    def _view_logits(self, inputs: Tensor, prompts: Prompts | None, options: TestTime) -> Tensor:
        """Return logits (N, classes, H, W) of one view, whole or by windows."""
        if options.mode == 'whole':
            return self._mask_logits(self.extract(inputs, prompts), inputs.shape[-2:])

        # Windows (M, T, 3, h, w) of several samples in one call, each with the class names of its
        # sample, or with names of its own.
        def logits_of(windows: Tensor, rows: list[int]) -> Tensor:
            own = (self.name_classes(windows) if options.prompts == 'window' else
                   None if prompts is None else [prompts[row] for row in rows])
            return self._mask_logits(self.extract(windows, own), windows.shape[-2:])

        return slide(logits_of, inputs, options)

    def _mask_logits(self, features: ChangeFeatures, size: Sequence[int],
                     raw: Tensor | None = None) -> Tensor:
        """Return the change head's logits (N, classes, H, W) at ``size``, of raw ones if known."""
        meta = dict(img_shape=tuple(size), pad_shape=tuple(size))
        if raw is not None:
            return self._change().enlarge(raw, [meta] * len(raw))
        count = len(features.maps[0]) if features.maps else 0
        return self._change().predict(self._behind_neck(features), [meta] * count)

    def _write_masks(self, logits: Tensor, data_samples: list[ChangeDataSample],
                     classes: bool) -> None:
        metas, head = [sample.metainfo for sample in data_samples], self._change()
        for sample, scores in zip(data_samples, masks_at_original_size(logits, metas),
                                  strict=True):
            for name, data in head.answer(scores, classes).items():
                setattr(sample, name, PixelData(data=data))
            cut_padding_of_reference(sample)

    def _write_novelty(self, frames: FrameFeatures, data_samples: list[ChangeDataSample]) -> None:
        distances = self.novelty(frames)
        if distances is not None:
            for sample, distance in zip(data_samples, distances.tolist(), strict=True):
                sample.pred_novelty = distance

    def _write_flags(self, features: ChangeFeatures, data_samples: list[ChangeDataSample]
                     ) -> None:
        # A probability from 0 to 1, and the answer that follows from it.
        probabilities = self.flag_head.predict(features)
        for sample, probability in zip(data_samples, probabilities, strict=True):
            sample.pred_change_score = probability
            sample.pred_change_flag = probability >= 0.5

    def outputs(self, features: ChangeFeatures) -> dict[str, Tensor]:
        """Return the raw tensors that exist.

        Returns:
            ``tokens`` (N, L, C), ``change_logits`` (N, classes, h, w), ``flag_logits`` (N,).
        """
        raw = {}
        fused, features = features, self.guided(features)
        if features.tokens is not None:
            raw['tokens'] = features.tokens
        if self.change_head is not None:
            raw['change_logits'] = self.map_logits(fused)
        if self.flag_head is not None:
            raw['flag_logits'] = self.flag_head(features)
        return raw


def _check_kind(name: str, part: object, kind: type) -> None:
    """Refuse a part that does not derive from the base class of its kind."""
    if not isinstance(part, kind):
        raise TypeError(f'{name}={type(part).__name__} does not derive from '
                        f'{kind.__module__}.{kind.__name__}, which says what such a part gives and '
                        'reads (see docs/en/models.md#adding-a-part)')


def _reach(losses: HeadLosses, frames: FrameFeatures, fused: ChangeFeatures) -> None:
    """Connect a loss with features that no head may read, by a gradient of zero.

    A detector reads no tokens; where several processes train together, the layers that make them
    would be waited for in vain.
    """
    features = (*frames.maps, frames.tokens, frames.pooled,
                *fused.maps, fused.tokens, fused.pooled, fused.text)
    # One value connects all that made the feature; a sum of all could leave the range of float16.
    zero = sum(0 * feature[(0, ) * feature.ndim].float() for feature in features
               if feature is not None and feature.requires_grad)
    for values in losses.values():
        for name, value in values.items():
            if 'loss' in name and isinstance(value, Tensor):
                values[name] = value + zero
                return
