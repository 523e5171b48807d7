"""How sentences are sampled: the options of caption heads that diffuse."""
from dataclasses import dataclass

from rscc.models.caption_heads.options import DecodingOptions
from rscc.models.diffusion.choose import choose
from rscc.registry import SAMPLERS, SIGMA_SCHEDULES


@dataclass(frozen=True)
class DiffusionDecoding(DecodingOptions):
    """How sentences are sampled.

    Attributes:
        sampler: Name of a sampler, or ``dict(type=name, **options)``.
        schedule: Name of a noise schedule, or ``dict(type=name, **options)``.
        steps: Noise levels before the last, which is 0. Most samplers call the network once a
            step, ``heun``, ``dpm_2`` and ``dpmpp_2s`` twice.
        sigma_min: Smallest noise level above 0.
        sigma_max: Noise level of the start.
        num_samples: Sentences K drawn per sample in one batch; the one most like the others wins
            (minimum Bayes risk).
        num_captions: Different sentences returned per sample, best first; fewer where fewer are
            drawn.
        guidance: Weight of the image against no image (classifier-free guidance): 1 is the plain
            estimate; above 1 needs a head trained with ``condition_dropout``.
        clamp: Noise level below which every estimate snaps to the nearest words; 0 never.
        abstain: Agreement of the K sentences, 0 to 1, below which they are marked as abstained.
        seed: Of the noise. Every sample gets the same noise, so its sentences do not depend on
            the batch it is in. None draws a seed from the global generator at every call.
        use_cache: Keep keys and values of the memory; off projects it at every step, for
            comparison.
        return_strip: Return what the words were at every noise level.
    """
    sampler: str | dict = 'dpmpp_2m'
    schedule: str | dict = 'karras'
    steps: int = 16
    sigma_min: float = 0.01
    sigma_max: float = 160.0
    num_samples: int = 1
    num_captions: int = 1
    guidance: float = 1.0
    clamp: float = 0.0
    abstain: float = 0.0
    seed: int | None = 0
    use_cache: bool = True
    return_strip: bool = False

    def __post_init__(self) -> None:
        choose(SAMPLERS, self.sampler)
        choose(SIGMA_SCHEDULES, self.schedule)
        for name in ('steps', 'num_samples', 'num_captions'):
            if getattr(self, name) < 1:
                raise ValueError(f'decoding {name}={getattr(self, name)} must be 1 or more')
        if not 0 < self.sigma_min < self.sigma_max:
            raise ValueError(f'decoding sigma_min={self.sigma_min} and sigma_max={self.sigma_max}: '
                             'expected 0 < sigma_min < sigma_max')
        for name in ('guidance', 'clamp'):
            if getattr(self, name) < 0:
                raise ValueError(f'decoding {name}={getattr(self, name)} must be 0 or more')
        if not 0 <= self.abstain <= 1:
            raise ValueError(f'decoding abstain={self.abstain} is an agreement in [0, 1]')
        if self.abstain and self.num_samples == 1:
            raise ValueError(f'decoding abstain={self.abstain} with num_samples=1: one sentence '
                             'always agrees with itself; draw several, num_samples=8 for instance')
