"""The one model shape: frames, encoder, fusion, heads."""
from collections.abc import Sequence

from mmengine.model import BaseModel
from mmengine.structures import PixelData
from torch import Tensor

from rscc.models.adaptation import add_lora, apply_freeze, keep_frozen_in_eval
from rscc.models.encoders.build import build_encoder
from rscc.models.masks import classes_of, masks_at_original_size, rows_with_masks, select_rows
from rscc.registry import MODELS
from rscc.structures import ChangeDataSample, ChangeFeatures


@MODELS.register_module()
class ChangeInterpreter(BaseModel):
    """From frames to a change map and sentences.

    ``frames (N, T, 3, H, W) -> encoder -> fusion -> [neck ->] change_head`` and
    ``fusion -> caption_head``, ``fusion -> flag_head``. Any head may be absent; samples of a batch
    without a mask, a flag or captions train the other heads.

    Losses returned: those of the heads, prefixed ``change.``, ``caption.`` and ``flag.``.

    Args:
        encoder: Config of a frame encoder, or of a backbone by scope (``mmseg.ResNet``).
        fusion: Config of a fusion.
        change_head: Config of a decode head over the fused maps, one of ours or MMSegmentation's.
        caption_head: Config of a caption head over the fused tokens.
        flag_head: Config of a change-flag head over the pooled features.
        neck: Config of a neck over the fused maps, ``mmseg.Feature2Pyramid`` for instance.
        freeze: Regular expressions of parameter names that stay fixed.
        lora: Fields of peft's ``LoraConfig``; everything but the adapters and ``train`` (a list of
            regular expressions) is then fixed.
        data_preprocessor: Config, ``ChangeDataPreprocessor`` unless given.
        init_cfg: MMEngine's initialisation config.
    """

    def __init__(self, encoder: dict, fusion: dict, change_head: dict | None = None,
                 caption_head: dict | None = None, flag_head: dict | None = None,
                 neck: dict | None = None, freeze: Sequence[str] = (), lora: dict | None = None,
                 data_preprocessor: dict | None = None, init_cfg: dict | None = None) -> None:
        preprocessor = data_preprocessor or dict(type='ChangeDataPreprocessor')
        super().__init__(data_preprocessor=MODELS.build(preprocessor), init_cfg=init_cfg)
        if change_head is None and caption_head is None and flag_head is None:
            raise ValueError('ChangeInterpreter without a head predicts nothing: give change_head, '
                             'caption_head or flag_head')
        self.encoder = build_encoder(encoder)
        self.fusion = MODELS.build(fusion)
        self.neck = MODELS.build(neck) if neck else None
        self.change_head = MODELS.build(change_head) if change_head else None
        self.caption_head = MODELS.build(caption_head) if caption_head else None
        self.flag_head = MODELS.build(flag_head) if flag_head else None
        if lora:
            add_lora(self, **lora)
        apply_freeze(self, freeze)

    def train(self, mode: bool = True) -> 'ChangeInterpreter':
        """Switch the mode; modules that are fixed as a whole stay in evaluation mode."""
        super().train(mode)
        keep_frozen_in_eval(self)
        return self

    def extract(self, inputs: Tensor) -> ChangeFeatures:
        """Encode and fuse normalised frames (N, T, 3, H, W)."""
        return self.fusion(self.encoder(inputs))

    def forward(self, inputs: Tensor, data_samples: list[ChangeDataSample] | None = None,
                mode: str = 'tensor') -> dict | list[ChangeDataSample]:
        """Run the model.

        Args:
            inputs: Normalised frames (N, T, 3, H, W).
            data_samples: N samples, needed by ``loss``.
            mode: ``'loss'``, ``'predict'`` or ``'tensor'`` (raw outputs).
        """
        features = self.extract(inputs)
        if mode == 'loss':
            return self.loss(features, data_samples)
        if mode == 'predict':
            samples = data_samples or [_bare_sample(inputs) for _ in range(len(inputs))]
            return self.predict(features, samples)
        if mode == 'tensor':
            return self.outputs(features)
        raise ValueError(f"mode is 'loss', 'predict' or 'tensor', found '{mode}'")

    def loss(self, features: ChangeFeatures, data_samples: list[ChangeDataSample]
             ) -> dict[str, Tensor]:
        """Sum up what the heads want, each over the samples that have its target."""
        losses = {}
        if self.change_head is not None:
            losses |= _prefixed('change', self._change_loss(features, data_samples))
        if self.caption_head is not None:
            losses |= _prefixed('caption', self.caption_head.loss(features, data_samples))
        if self.flag_head is not None:
            losses |= _prefixed('flag', self.flag_head.loss(features, data_samples))
        return losses

    def _change_loss(self, features: ChangeFeatures, data_samples: list[ChangeDataSample]
                     ) -> dict[str, Tensor]:
        rows = rows_with_masks(data_samples)
        if not rows:
            # Every parameter still takes part, or distributed training would wait for it.
            logits = self.change_head(self._maps(features))
            return dict(loss_ce=logits.sum() * 0)
        maps = [select_rows(feature, rows, len(data_samples)) for feature in self._maps(features)]
        return self.change_head.loss(maps, [data_samples[row] for row in rows], {})

    def _maps(self, features: ChangeFeatures) -> list[Tensor]:
        if not features.maps:
            raise ValueError('change_head needs feature maps and the encoder returned none; for '
                             'BlipViT set out_layers, for example (3, 6, 9, 12)')
        maps = features.maps
        return list(self.neck(maps)) if self.neck is not None else maps

    def predict(self, features: ChangeFeatures, data_samples: list[ChangeDataSample],
                **decoding) -> list[ChangeDataSample]:
        """Fill ``data_samples`` with what the heads say and return them.

        Args:
            features: Fused features.
            data_samples: N samples.
            **decoding: Passed to the caption head.
        """
        if self.change_head is not None:
            self._predict_masks(features, data_samples)
        if self.caption_head is not None:
            every = self.caption_head.generate(features, **decoding)
            for sample, captions in zip(data_samples, every, strict=True):
                sample.pred_captions = captions
                sample.pred_caption, sample.pred_caption_score = captions[0]
        if self.flag_head is not None:
            probabilities = self.flag_head.predict(features)
            for sample, probability in zip(data_samples, probabilities, strict=True):
                sample.pred_change_score = probability
                sample.pred_change_flag = probability >= 0.5
        return data_samples

    def _predict_masks(self, features: ChangeFeatures, data_samples: list[ChangeDataSample]
                       ) -> None:
        metas = [sample.metainfo for sample in data_samples]
        logits = self.change_head.predict(self._maps(features), metas, {})
        threshold = getattr(self.change_head, 'threshold', None)
        for sample, scores in zip(data_samples, masks_at_original_size(logits, metas),
                                  strict=True):
            sample.seg_logits = PixelData(data=scores)
            sample.pred_sem_seg = PixelData(data=classes_of(scores, threshold))

    def outputs(self, features: ChangeFeatures) -> dict[str, Tensor]:
        """Return the raw tensors that exist.

        Returns:
            ``tokens`` (N, L, C), ``change_logits`` (N, classes, h, w), ``flag_logits`` (N,).
        """
        raw = {}
        if features.tokens is not None:
            raw['tokens'] = features.tokens
        if self.change_head is not None:
            raw['change_logits'] = self.change_head(self._maps(features))
        if self.flag_head is not None:
            raw['flag_logits'] = self.flag_head(features)
        return raw


def _prefixed(name: str, losses: dict[str, Tensor]) -> dict[str, Tensor]:
    return {f'{name}.{key}': value for key, value in losses.items()}


def _bare_sample(inputs: Tensor) -> ChangeDataSample:
    size = tuple(inputs.shape[-2:])
    return ChangeDataSample(metainfo=dict(ori_shape=size, img_shape=size, pad_shape=size,
                                          batch_input_shape=size))
