"""The record of one sample: what is known about it and what was predicted."""
from mmseg.structures import SegDataSample

_TEXT_FIELDS = {
    'gt_captions': list,  # list[str], every reference sentence
    'target_captions': list,  # list[str], those drawn for this training visit
    'gt_change_flag': bool,
    'pred_caption': str,
    'pred_captions': list,  # list[ScoredCaption], n-best, best first
    'pred_caption_score': float,
    'pred_change_flag': bool,
    'pred_change_score': float,  # probability of "changed", 0 to 1
    'prompts': list,  # list[list[str]], class names per date
}


class ChangeDataSample(SegDataSample):
    """MMSegmentation's sample plus captions, so that its heads and metrics work unchanged.

    Inherited fields: ``gt_sem_seg`` and ``pred_sem_seg`` (``PixelData`` whose ``data`` is int64
    (1, H, W)), ``seg_logits`` ((classes, H, W)).

    Fields of ours: ``gt_captions``, ``target_captions``, ``gt_change_flag``, ``pred_caption``,
    ``pred_captions``, ``pred_caption_score``, ``pred_change_flag``, ``pred_change_score``,
    ``prompts``.

    Metainfo: ``sample_id``, ``img_path_from`` and ``img_path_to`` (or ``img_path``), ``ori_shape``
    and ``img_shape`` ((H, W) on disk and as given to the model), ``pad_shape``.
    """


def _text_property(name: str, kind: type) -> property:

    def getter(self: ChangeDataSample) -> object:
        return getattr(self, f'_{name}')

    def setter(self: ChangeDataSample, value: object) -> None:
        self.set_field(value, f'_{name}', dtype=kind)

    def deleter(self: ChangeDataSample) -> None:
        delattr(self, f'_{name}')

    return property(getter, setter, deleter)


for _name, _kind in _TEXT_FIELDS.items():
    setattr(ChangeDataSample, _name, _text_property(_name, _kind))
