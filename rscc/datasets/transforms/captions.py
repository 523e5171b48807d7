"""Choosing the sentences of a training visit."""
from collections.abc import Mapping

from mmcv.transforms import BaseTransform

from rscc.registry import TRANSFORMS
from rscc.utils import did_you_mean

MODES = ('one', 'all')


@TRANSFORMS.register_module()
class PickCaptions(BaseTransform):
    """Choose the target sentences; needs no images and changes none.

    Args:
        mode: ``'one'`` draws one caption per visit, ``'all'`` takes every one (the model then
            encodes the images once for all of them).
        no_change: Sentence that replaces the captions of unchanged pairs, or a dict with one per
            language, or None to keep theirs.
            The five stock sentences of LEVIR-CC say the same; training on one of them stops the
            model from spreading its probability over five ("the scene is the same as before" is
            best for BLEU-4 and METEOR).
    """

    def __init__(self, mode: str = 'one', no_change: str | Mapping[str, str] | None = None):
        if mode not in MODES:
            raise ValueError(f"PickCaptions mode='{mode}' is unknown: use one of {list(MODES)}."
                             f'{did_you_mean(mode, MODES)}')
        self.mode, self.no_change = mode, no_change

    def transform(self, results: dict) -> dict:
        """Set ``target_captions`` (list of sentences); ``gt_captions`` stay.

        Raises:
            ValueError: If the sample has no captions.
        """
        captions = results.get('gt_captions')
        if not captions:
            raise ValueError(f"sample '{results.get('sample_id')}' has no captions to pick from; "
                             'leave PickCaptions out of the pipeline to train on masks only.')
        if self.no_change is not None and results.get('gt_change_flag') is False:
            results['target_captions'] = [self._stock_sentence(results)]
        elif self.mode == 'all':
            results['target_captions'] = list(captions)
        else:
            results['target_captions'] = [captions[results['rng'].integers(len(captions))]]
        return results

    def _stock_sentence(self, results: dict) -> str:
        if isinstance(self.no_change, str):
            return self.no_change
        language = results.get('language', 'en')
        if language not in self.no_change:
            raise ValueError(f"PickCaptions no_change has no sentence in '{language}', the "
                             f"language of sample '{results.get('sample_id')}': found "
                             f'{sorted(self.no_change)}.')
        return self.no_change[language]

    def __repr__(self) -> str:
        return f"PickCaptions(mode='{self.mode}', no_change={self.no_change!r})"
