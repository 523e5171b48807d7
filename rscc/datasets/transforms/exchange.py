"""Exchange of the dates."""
from mmcv.transforms import BaseTransform

from rscc.datasets.transforms.directions import CAPTION_KEYS, check_mode
from rscc.registry import TRANSFORMS


@TRANSFORMS.register_module()
class FramesExchangeDates(BaseTransform):
    """Exchange the two dates of a pair.

    Consequences. Captions are directed ("a house has been built"; of LEVIR-CC's changed captions
    87 % tell of things appearing), so a changed pair read backwards has none that fit. An unchanged
    pair keeps its captions. A mask of *where* something changed holds both ways and is kept; a mask
    of what a place *became* would not, and such data must not use this transform.

    Args:
        prob: Probability of the exchange.
        captions: ``'unchanged'`` exchanges unchanged pairs only and keeps all captions; ``'drop'``
            exchanges any pair and removes the captions of the changed ones it exchanged (training
            of masks only).
    """

    def __init__(self, prob: float = 0.5, captions: str = 'unchanged'):
        self.prob, self.captions = prob, check_mode(captions, ('unchanged', 'drop'))

    def transform(self, results: dict) -> dict:
        """Reverse ``frames``, the two paths and the dates' ``prompts``.

        Raises:
            ValueError: If the sample is no pair.
        """
        if len(results['frames']) != 2:
            raise ValueError("FramesExchangeDates needs a pair; sample "
                             f"'{results.get('sample_id')}' has {len(results['frames'])} frame(s).")
        unchanged = results.get('gt_change_flag') is False
        if results['rng'].random() >= self.prob or not (unchanged or self.captions == 'drop'):
            return results
        if not unchanged:
            for key in CAPTION_KEYS:
                results.pop(key, None)
        results['frames'] = results['frames'][::-1]
        if 'img_path_from' in results:
            results['img_path_from'], results['img_path_to'] = (results['img_path_to'],
                                                                results['img_path_from'])
        if results.get('prompts') is not None:
            results['prompts'] = results['prompts'][::-1]
        return results

    def __repr__(self) -> str:
        return f"FramesExchangeDates(prob={self.prob}, captions='{self.captions}')"
