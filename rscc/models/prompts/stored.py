"""Class names that the samples bring along."""
from torch import Tensor

from rscc.models.prompts.prompter import Prompter, Prompts
from rscc.registry import MODELS
from rscc.structures import ChangeDataSample
from rscc.utils.notes import say_once


@MODELS.register_module()
class StoredPrompts(Prompter):
    """The samples' own ``prompts``: those of a CLIP confidence file, for instance.

    Args:
        fallback: Config of the prompter for samples that have none; by default they get no class
            names. That it is used is said once in the log.
    """

    def __init__(self, fallback: dict | None = None) -> None:
        super().__init__()
        self.fallback = MODELS.build(fallback or dict(type='FixedPrompts'))
        self.needs_images = self.fallback.needs_images

    def forward(self, images: Tensor | None, data_samples: list[ChangeDataSample] | None,
                size: tuple[int, int]) -> Prompts:
        """Return what is stored, and the fallback's answer where nothing is.

        Raises:
            ValueError: If a sample has names for another number of dates.
        """
        stored = [None] * size[0] if data_samples is None else [
            _stored(sample, size[1]) for sample in data_samples]
        rows = [row for row, names in enumerate(stored) if names is None]
        if not rows:
            return stored
        say_once(f'samples without class names of their own get those of '
                 f'{type(self.fallback).__name__}', 20)
        answers = self.fallback(
            None if images is None else images[rows],
            None if data_samples is None else [data_samples[row] for row in rows],
            (len(rows), size[1]))
        for row, names in zip(rows, answers, strict=True):
            stored[row] = names
        return stored


def _stored(sample: ChangeDataSample, dates: int) -> list[list[str]] | None:
    names = getattr(sample, 'prompts', None)
    if names is not None and len(names) != dates:
        raise ValueError(f"sample '{sample.get('sample_id')}' has class names for {len(names)} "
                         f'date(s), and its images are of {dates}; give one list a date')
    return names
