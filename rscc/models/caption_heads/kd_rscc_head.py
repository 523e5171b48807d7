"""The KD-RSCC caption head: continuous diffusion of word vectors.

Papers: Yu, Ma, Qiao, KD-RSCC: A Karras Diffusion Framework for Efficient Remote Sensing Change
Captioning, IEEE GRSL 22 (2025), https://doi.org/10.1109/LGRS.2025.3608489; Karras et al. (EDM),
NeurIPS 2022, https://arxiv.org/abs/2206.00364; Li et al., Diffusion-LM, NeurIPS 2022,
https://arxiv.org/abs/2205.14217.
"""
from typing import ClassVar, Literal

import torch
from torch import Tensor

from rscc.models.caption_heads.whole_caption_head import WholeCaptionHead
from rscc.models.diffusion.caption_loss import DenoisingLoss, Estimate, WordSpace
from rscc.models.diffusion.caption_sampling import DiffusionDecoding, Estimator, sample_words
from rscc.models.diffusion.cuda_graphs import CudaGraphs
from rscc.models.diffusion.denoiser import Memory
from rscc.models.diffusion.preconditioning import denoise, precondition
from rscc.models.diffusion.sampled_captions import to_sampled_captions
from rscc.models.diffusion.samplers import choose
from rscc.registry import LOSS_WEIGHTINGS, MODELS, NOISE_DENSITIES
from rscc.structures import ChangeDataSample, ChangeFeatures, ScoredCaption
from rscc.utils import did_you_mean

ESTIMATES = ('vectors', 'words')


@MODELS.register_module()
class KarrasCaptionHead(WholeCaptionHead):
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
        if estimate not in ESTIMATES:
            raise ValueError(f"KarrasCaptionHead estimate='{estimate}' is none of "
                             f'{list(ESTIMATES)}.{did_you_mean(estimate, ESTIMATES)}')
        super().__init__(tokenizer, memory_channels, loss_weight, pad_weight, condition_dropout,
                         rows_per_sample)

        # Where captions diffuse, and the network F; with estimate='words' it scores all words.
        self.space = WordSpace(self.tokenizer.vocab_size, embed_channels, sigma_data, normalise)
        self.words = estimate == 'words'
        self.denoiser = MODELS.build(dict(
            type='ChangeDenoiser', channels=embed_channels, memory_channels=memory_channels,
            out_channels=self.tokenizer.vocab_size if self.words else None) | dict(denoiser or {}))
        self.set_length(max_tokens)

        # What it learns from: levels of noise, weights of the losses, rows of L positions.
        self.density = choose(NOISE_DENSITIES, density)
        self.terms = DenoisingLoss(choose(LOSS_WEIGHTINGS, weighting), diffusion_weight,
                                   rounding_weight, denoised_weight, self.tokenizer.pad_id,
                                   pad_weight)
        self.decoding = DiffusionDecoding().updated(dict(decoding or {}))
        self.check_decoding(self.decoding)
        self._last: tuple[list[str], Tensor] | None = None
        self._graphs = CudaGraphs()

    def loss(self, features: ChangeFeatures, data_samples: list[ChangeDataSample]
             ) -> dict[str, Tensor]:
        """Denoising loss of the sentences; ``features`` with ``tokens`` (N, M, C)."""
        # K rows of every sample, R = N * K: ids (R, L) with noise of levels (R,).
        rows = self.rows_of(data_samples, features.tokens.device)
        ids = rows.ids.flatten(0, 1)
        sigma = self.draw_sigma(len(ids), ids.device)
        self._last = [str(sample.get('sample_id')) for sample in data_samples], sigma.detach()
        noise = torch.randn(*ids.shape, self.space.table.shape[1], device=ids.device)
        errors = self.errors(ids, sigma, noise, self.with_dropout(features.tokens))
        return self.averaged(errors, rows)

    def draw_sigma(self, count: int, device: torch.device) -> Tensor:
        """Draw noise levels (count,) from the density, stratified over all processes."""
        return self.density(self.draw_levels(count, device), sigma_data=self.space.sigma_data)

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
        memories = self.denoiser.remember(memory)
        previous = self.earlier(lambda: self.estimate(noisy, sigma, memories).vectors)
        found = self.estimate(noisy, sigma, memories, previous)
        return self.terms(self.space, ids, noisy, sigma, found)

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
        logits[..., list(self.unwritten)] = -torch.inf
        seen = self._look(final, memory, options) if maps else None
        likelihood, ids = logits.float().log_softmax(-1).max(-1)
        return to_sampled_captions(ids, likelihood, trajectory, self.tokenizer, options,
                                   self.max_tokens, seen, features.token_grid)

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
