"""The KD-RSCC caption head: continuous diffusion of word vectors.

Papers: Yu, Ma, Qiao, KD-RSCC: A Karras Diffusion Framework for Efficient Remote Sensing Change
Captioning, IEEE GRSL 22 (2025), https://doi.org/10.1109/LGRS.2025.3608489; Karras et al. (EDM),
NeurIPS 2022, https://arxiv.org/abs/2206.00364; Li et al., Diffusion-LM, NeurIPS 2022,
https://arxiv.org/abs/2205.14217.
"""
from typing import ClassVar, Literal

import torch
from mmengine.dist import get_dist_info
from torch import Tensor, nn

from rscc.models.caption_heads.base import CaptionHead
from rscc.models.diffusion.caption_loss import CaptionRows, DenoisingLoss, Estimate, WordSpace
from rscc.models.diffusion.caption_sampling import (
    DiffusionDecoding,
    Estimator,
    sample_words,
    to_sampled_captions,
)
from rscc.models.diffusion.cuda_graphs import CudaGraphs
from rscc.models.diffusion.denoiser import ChangeDenoiser, Memory
from rscc.models.diffusion.noise_levels import stratified
from rscc.models.diffusion.preconditioning import denoise, precondition
from rscc.models.diffusion.samplers import choose
from rscc.registry import LOSS_WEIGHTINGS, MODELS, NOISE_DENSITIES
from rscc.structures import ChangeDataSample, ChangeFeatures, ScoredCaption
from rscc.utils import did_you_mean

LENGTH = 'caption_length'
ESTIMATES = ('vectors', 'words')


@MODELS.register_module()
class KarrasCaptionHead(CaptionHead):
    """Diffusion of whole captions: words out of noise in a few steps.

    A caption is a row of L word vectors, start, end and padding among them. Training adds noise to
    it and learns to take it away; sampling starts from noise alone. The defaults are the published
    method; options that it lacks are off: ``sigma_data='measured'``, ``normalise``,
    ``estimate='words'``, ``denoised_weight``, ``pad_weight``, ``condition_dropout``,
    ``rows_per_sample`` here, and ``residual`` or ``alignment='every_layer'``, ``adaptive_norm``,
    ``self_conditioning`` in the denoiser.

    Losses returned: ``loss_diffusion`` (weighted squared error of F), ``loss_rounding`` (weighted
    cross-entropy of the words at the noisy vectors; it keeps words apart) and, with
    ``denoised_weight``, ``loss_caption`` (cross-entropy of the words at the estimated vectors).
    Also ``accuracy``, the share of positions, padding apart, whose word the estimate has right.

    Args:
        tokenizer: Config of a tokenizer from the TOKENIZERS registry.
        memory_channels: Width of ``ChangeFeatures.tokens``.
        embed_channels: Width C of the word vectors.
        denoiser: Fields of ``ChangeDenoiser``, or the config of another denoiser.
        max_tokens: Limit of a caption, as in ``CaptionHead``; L is two more (start, end). None
            takes the longest caption of the data, which a tokenizer made from
            ``word_encoding.json`` knows, and keeps it in the checkpoint.
        sigma_data: Standard deviation that the preconditioning assumes, or ``'measured'``.
        normalise: Scale word vectors to unit variance.
        density: Name of the density of training noise, or ``dict(type=name, **options)``.
        weighting: Name of the weight of a noise level, likewise.
        estimate: What the network estimates. ``'vectors'``: F of EDM, from which the clean vectors
            follow. ``'words'``: a distribution over the words, whose mean the clean vectors are
            (score interpolation: Dieleman et al., CDCD, 2022, https://arxiv.org/abs/2211.15089).
            What a noisy vector itself says of its word is then known by Bayes' rule, and the
            network learns only what its neighbours and the images say.
        diffusion_weight: Factor of ``loss_diffusion``.
        rounding_weight: Factor of ``loss_rounding``.
        denoised_weight: Factor of ``loss_caption``.
        pad_weight: What padding beyond the first counts in the losses, 0 to 1.
        condition_dropout: Share of samples that learn without their images, 0 to 1; guidance needs
            it.
        rows_per_sample: Noisy captions that learn from one encoding of the images, at least.
        decoding: Defaults of ``generate``, fields of ``DiffusionDecoding``;
            ``return_attention=True`` gives sentences with ``attention``: that of the denoiser to
            the memory, rolled out, for every word.
        loss_weight: Factor of all losses.

    Raises:
        ValueError: If a probability is none, or L is beyond the denoiser's positions.
    """

    CARRIED: ClassVar[tuple[str, ...]] = (*CaptionHead.CARRIED, LENGTH)
    HAS_ATTENTION: ClassVar[bool] = True
    NESTED_OPTIONS: ClassVar[dict] = dict(decoding=DiffusionDecoding)

    def __init__(self, tokenizer: dict, memory_channels: int, embed_channels: int = 16,
                 denoiser: dict | None = None, max_tokens: int | None = None,
                 sigma_data: float | Literal['measured'] = 0.5, normalise: bool = False,
                 density: str | dict = 'cosine_interpolated',
                 weighting: str | dict = 'soft_min_snr', estimate: str = 'vectors',
                 diffusion_weight: float = 1.0, rounding_weight: float = 1.0,
                 denoised_weight: float = 0.0, pad_weight: float = 1.0,
                 condition_dropout: float = 0.0, rows_per_sample: int = 1,
                 decoding: dict | None = None, loss_weight: float = 1.0) -> None:
        for name, value in (('pad_weight', pad_weight), ('condition_dropout', condition_dropout)):
            if not 0 <= value <= 1:
                raise ValueError(f'KarrasCaptionHead {name}={value} is not within [0, 1]')
        if estimate not in ESTIMATES:
            raise ValueError(f"KarrasCaptionHead estimate='{estimate}' is none of "
                             f'{list(ESTIMATES)}.{did_you_mean(estimate, ESTIMATES)}')
        super().__init__(tokenizer, memory_channels, loss_weight)
        if len(self.languages) > 1:
            raise ValueError('KarrasCaptionHead draws whole captions from noise and can be given '
                             f'no language: found a tokenizer of {list(self.languages)}. Take '
                             'WordTokenizer, or BlipCaptionHead for several languages')

        # Where captions diffuse, and the network F; with estimate='words' it scores all words.
        self.space = WordSpace(self.tokenizer.vocab_size, embed_channels, sigma_data, normalise)
        self.words = estimate == 'words'
        self.denoiser = MODELS.build(dict(
            type='ChangeDenoiser', channels=embed_channels, memory_channels=memory_channels,
            out_channels=self.tokenizer.vocab_size if self.words else None) | dict(denoiser or {}))
        self.nothing = (nn.Parameter(torch.zeros(1, 1, memory_channels)) if condition_dropout
                        else None)

        # What it learns from: levels of noise, weights of the losses, rows of L positions.
        self.density = choose(NOISE_DENSITIES, density)
        self.terms = DenoisingLoss(choose(LOSS_WEIGHTINGS, weighting), diffusion_weight,
                                   rounding_weight, denoised_weight, self.tokenizer.pad_id,
                                   pad_weight)
        self.condition_dropout, self.rows_per_sample = condition_dropout, rows_per_sample
        # L: the limit of a caption with start and end; 0 until data or a checkpoint tells.
        longest = self.tokenizer.max_tokens if max_tokens is None else max_tokens
        length = 0 if longest is None else longest + 2
        if length > self.denoiser.max_positions:
            raise ValueError(f'captions of up to {length} ids and a denoiser with positions for '
                             f'{self.denoiser.max_positions}: lower max_tokens or raise '
                             'denoiser.max_positions')
        self.register_buffer(LENGTH, torch.tensor(length))
        self.decoding = DiffusionDecoding().updated(dict(decoding or {}))
        self.check_decoding(self.decoding)
        self._last: tuple[list[str], Tensor] | None = None
        self._graphs = CudaGraphs()

    def check_decoding(self, options: DiffusionDecoding) -> None:
        """Refuse guidance of a head that never learned what is said without an image."""
        super().check_decoding(options)
        if options.guidance != 1 and self.nothing is None:
            raise ValueError(f'decoding guidance={options.guidance} compares with what the head '
                             'says without an image, which this one never learned: train it with '
                             'condition_dropout=0.1, or use guidance=1')

    @property
    def length(self) -> int:
        """Number L of positions in a row.

        Raises:
            ValueError: If neither the config, nor the data, nor a checkpoint has told.
        """
        length = int(self.caption_length)
        if not length:
            raise ValueError('the length of captions is not known: set max_tokens, take the '
                             "tokenizer's words from word_encoding.json (python "
                             'tools/dataset_converters/levircc.py --word-encode), or load a '
                             'checkpoint')
        return length

    @property
    def max_tokens(self) -> int:
        """Limit of a caption: what start and end leave of a row."""
        return self.length - len(self.tokenizer.start_ids) - 1

    def loss(self, features: ChangeFeatures, data_samples: list[ChangeDataSample]
             ) -> dict[str, Tensor]:
        """Denoising loss of the sentences; ``features`` with ``tokens`` (N, M, C)."""
        # K rows of every sample, R = N * K: ids (R, L) with noise of levels (R,).
        sentences = self.encode_targets(data_samples)
        rows = CaptionRows.of(sentences, self.tokenizer.pad_id, self.length, self.rows_per_sample)
        ids, known = rows.to(features.tokens.device)
        count = ids.shape[1]
        ids = ids.flatten(0, 1)
        sigma = self.draw_sigma(len(ids), ids.device)
        self._last = [str(sample.get('sample_id')) for sample in data_samples], sigma.detach()
        noise = torch.randn(*ids.shape, self.space.table.shape[1], device=ids.device)

        # Means over the rows of samples that have a caption.
        errors = self.errors(ids, sigma, noise, self._with_dropout(features.tokens))
        weight = known.repeat_interleave(count).float()
        weight = weight / weight.sum().clamp(min=1)
        return {name: (value * weight).sum() * (self.loss_weight if 'loss' in name else 1)
                for name, value in errors.items()}

    def draw_sigma(self, count: int, device: torch.device) -> Tensor:
        """Draw noise levels (count,) from the density, stratified over all processes."""
        rank, world_size = get_dist_info()
        # Strata in random order: the rows of one sample lie side by side.
        levels = stratified(count, rank, world_size, device=device)[
            torch.randperm(count, device=device)]
        return self.density(levels, sigma_data=self.space.sigma_data)

    def _with_dropout(self, memory: Tensor) -> Tensor:
        """Replace the memory (N, M, C) of some samples by that of no image."""
        if self.nothing is None:
            return memory
        share = self.condition_dropout if self.training else 0
        # (N, 1, 1): classifier-free guidance needs an estimate without the images.
        dropped = torch.rand(len(memory), 1, 1, device=memory.device) < share
        return torch.where(dropped, self.nothing.to(memory.dtype), memory)

    def errors(self, ids: Tensor, sigma: Tensor, noise: Tensor, memory: Tensor
               ) -> dict[str, Tensor]:
        """Return the losses of every row, and its accuracy.

        Args:
            ids: Captions (R, L), K rows of every sample in turn.
            sigma: Noise levels (R,).
            noise: Standard normal noise (R, L, C).
            memory: (N, M, C), R = N * K.

        Returns:
            Tensors (R,) by the names of the losses.
        """
        # x = x0 + sigma n, and what the network makes of it.
        clean = self.space.embed(ids)
        if self.training:
            self.space.measure(clean)
        noisy = clean + sigma[:, None, None] * noise
        found = self._estimate_twice(noisy, sigma, self.denoiser.remember(memory))
        return self.terms(self.space, ids, noisy, sigma, found)

    def _estimate_twice(self, noisy: Tensor, sigma: Tensor, memories: list[Memory]) -> Estimate:
        """Estimate; half the time again, given the first estimate (self-conditioning)."""
        previous = None
        if self.training and self.denoiser.self_conditioning and torch.rand(()) < 0.5:
            with torch.no_grad():
                previous = self.estimate(noisy, sigma, memories).vectors
        return self.estimate(noisy, sigma, memories, previous)

    def estimate(self, noisy: Tensor, sigma: Tensor, memories: list[Memory],
                 previous: Tensor | None = None) -> Estimate:
        """Estimate the clean captions.

        Args:
            noisy: Word vectors with noise (R, L, C).
            sigma: Noise levels (R,).
            memories: What the denoiser remembers of N samples, R = N * K.
            previous: An earlier estimate of the vectors (R, L, C), or None.
        """
        def network(words: Tensor, level: Tensor) -> Tensor:
            return self.denoiser(words, level, memories, previous).float()

        # Eq. (7) of EDM: the network gives F.
        if not self.words:
            vectors = denoise(network, noisy, sigma, self.space.sigma_data)
            return Estimate(vectors, self.space.logits(vectors))

        # Score interpolation: the network gives what neighbours and images say of every word
        # (R, L, V), to which Bayes' rule adds what the noisy vector says.
        factors = precondition(sigma, self.space.sigma_data)
        prior = network(factors.over(noisy).c_in * noisy, factors.c_noise)
        logits = self.space.posterior(noisy, sigma, prior)
        return Estimate(self.space.expect(logits), logits)

    def describe_last_batch(self) -> str:
        """Return the noise levels of the last batch, for who finds that its loss is not finite."""
        if self._last is None:
            return ''
        names, sigma = self._last
        of_sample = sigma.view(len(names), -1).tolist()
        return 'sigma: ' + '; '.join(f'{name} {", ".join(f"{level:.3g}" for level in levels)}'
                                     for name, levels in zip(names, of_sample, strict=True))

    def estimator(self, memory: Tensor, options: DiffusionDecoding) -> Estimator:
        """Return D(x; sigma) of N samples, as a sampler calls it, for memory (N, M, C)."""
        def vectors(memories: list[Memory], noisy: Tensor, sigma: Tensor, previous: Tensor | None
                    ) -> Tensor:
            return self.estimate(noisy, sigma, memories, previous).vectors

        if options.cuda_graphs and not self.training:
            vectors = self._graphs.of(vectors, [*self.parameters(), *self.buffers()])
        conditioned = self.denoiser.self_conditioning

        def estimate(noisy: Tensor, sigma: Tensor, memories: list[Memory],
                     previous: Tensor | None) -> Tensor:
            # What the network would not read is left out: with and without it is one recording.
            return vectors(memories, noisy, sigma, previous if conditioned else None)

        return Estimator(estimate, self.denoiser.remember, memory, options, self.space.nearest,
                         self.nothing, self.space.table.dtype)

    def likeliest(self, vectors: Tensor) -> Tensor:
        """Return the ids (..., L) of the likeliest words at vectors (..., L, C)."""
        return self.space.logits(vectors).argmax(-1)

    def write(self, features: ChangeFeatures, options: DiffusionDecoding
              ) -> list[list[ScoredCaption]]:
        """Sample ``SampledCaption`` s, different ones, for every sample; see ``generate``."""
        maps = self.gives_maps(features, options)
        # Final vectors (N, K, L, C), rounded to words by the classifier tied to them.
        memory, table = features.tokens, self.space.table
        final, trajectory = sample_words(self.estimator(memory, options), self.likeliest,
                                         len(memory), (self.length, table.shape[1]), options,
                                         table.device)
        logits = self.space.logits(final)
        if self.tokenizer.unk_id not in (self.tokenizer.pad_id, self.tokenizer.eos_id):
            logits[..., self.tokenizer.unk_id] = -torch.inf  # it would leave a hole
        seen = self._look(final, memory, options) if maps else None
        return to_sampled_captions(logits, trajectory, self.tokenizer, options, self.max_tokens,
                                   seen, features.token_grid)

    def gives_maps(self, features: ChangeFeatures, options: DiffusionDecoding) -> bool:
        """Return whether sentences come with maps; a denoiser of one's own may have none."""
        return super().gives_maps(features, options) and isinstance(self.denoiser, ChangeDenoiser)

    def _look(self, final: Tensor, memory: Tensor, options: DiffusionDecoding) -> Tensor:
        """Return where the words of finished sentences look.

        Args:
            final: Word vectors (N, K, L, C) without noise.
            memory: (N, M, C).
            options: Those of the sampling.

        Returns:
            Shares (N, K, L, M) of the memory.
        """
        # The denoiser reads the sentences once more, as at the last level of noise.
        vectors = final.flatten(0, 1)
        sigma = vectors.new_full((len(vectors),), options.sigma_min)
        factors = precondition(sigma, self.space.sigma_data)
        seen = self.denoiser.look(factors.over(vectors).c_in * vectors, factors.c_noise,
                                  self.denoiser.remember(memory), vectors)
        return seen.unflatten(0, final.shape[:2]).cpu()

    def _load_from_state_dict(self, state_dict: dict, prefix: str, local_metadata: dict,
                              strict: bool, missing_keys: list, unexpected_keys: list,
                              error_msgs: list) -> None:
        """Refuse rows of another length than the config's."""
        theirs, ours = state_dict.get(prefix + LENGTH), int(self.caption_length)
        if theirs is not None and ours and int(theirs) != ours:
            error_msgs.append(f'captions of the checkpoint have {int(theirs)} ids and those of the '
                              f'config {ours}: set max_tokens={int(theirs) - 2}')
        super()._load_from_state_dict(state_dict, prefix, local_metadata, strict, missing_keys,
                                      unexpected_keys, error_msgs)
