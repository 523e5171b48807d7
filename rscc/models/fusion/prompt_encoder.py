"""From class names to text embeddings, with learned context and nothing encoded twice.

Papers: Zhou et al., CoOp, IJCV 2022, https://arxiv.org/abs/2109.01134 (learned context); Dong et
al., ChangeCLIP, ISPRS J. 208 (2024) 53-69, https://doi.org/10.1016/j.isprsjprs.2024.01.004.
"""
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from rscc.registry import MODELS, TOKENIZERS

BACKGROUND = 'remote sensing image background objects'
FOREGROUND = 'remote sensing image foreground objects'


class PromptEncoder(nn.Module):
    """Embed a background and a foreground sentence for every date of every sample.

    The foreground sentence is ``foreground`` followed by the class names, joined by commas. Texts
    do not depend on pixels, so each distinct sentence of a batch is encoded once (gradients are the
    same) and at inference each is encoded once at all. Anything that can change the weights or
    their place (``train()``, ``eval()``, loading, moving) empties that memory.

    Args:
        text_encoder: Config of a text encoder.
        contexts: Learned context tokens after the start token; 0 for none.
        context_std: Spread of their initial values; CLIP's own token embeddings have about 0.02,
            the original ChangeCLIP starts from 1.
        background: Sentence for what is of no interest.
        foreground: Beginning of the sentence for what is.
        tokenizer: Config of the tokenizer; CLIP's unless given.
        cache_size: Sentences remembered at inference, the oldest forgotten first; 0 for none.
        deduplicate: Whether equal sentences of a batch share one encoding.

    Attributes:
        encoded: Sentences that went through the text encoder so far.

    Raises:
        ValueError: If the tokenizer does not fit the text encoder, or leaves no room for contexts.
    """

    def __init__(self, text_encoder: Mapping, contexts: int = 13,
                 context_std: float = 0.02, background: str = BACKGROUND,
                 foreground: str = FOREGROUND, tokenizer: Mapping | None = None,
                 cache_size: int = 4096, deduplicate: bool = True) -> None:
        super().__init__()
        self.text_encoder = MODELS.build(text_encoder)
        self.tokenizer = TOKENIZERS.build(tokenizer or dict(type='CLIPTokenizer'))
        _check_tokenizer(self.text_encoder, self.tokenizer, contexts)
        self.contexts = None
        if contexts:
            self.contexts = nn.Parameter(torch.empty(contexts, self.text_encoder.width))
            nn.init.trunc_normal_(self.contexts, std=context_std, a=-2 * context_std,
                                  b=2 * context_std)
        self.background, self.foreground = background, foreground
        self.cache_size, self.deduplicate = cache_size, deduplicate
        self.encoded = 0
        self._cache: OrderedDict[tuple, Tensor] = OrderedDict()
        self.register_load_state_dict_pre_hook(_forget)

    def sentences(self, names: Sequence[str]) -> list[str]:
        """Return the two sentences of one image."""
        return [self.background, ', '.join([self.foreground, *names])]

    def forward(self, prompts: list[list[list[str]]]) -> Tensor:
        """Embed the sentences of N samples with T dates.

        Args:
            prompts: Class names ``[N][T][any number]``.

        Returns:
            (N, T, 2, C), background first.
        """
        # Two sentences a date, in the order sample, date, sentence: (N*T*2) texts.
        texts = [text for dates in prompts for names in dates for text in self.sentences(names)]
        return self._embed(texts).unflatten(0, (len(prompts), -1, 2))

    def _embed(self, texts: list[str]) -> Tensor:
        """Return (len(texts), C)."""
        if not self.deduplicate:
            return self._encode(texts)
        # Every distinct sentence once, (D, C), then one row for each text that asked for it.
        distinct = list(dict.fromkeys(texts))
        if self.training or torch.is_grad_enabled() or not self.cache_size:
            rows = self._encode(distinct)
        else:
            rows = self._remembered(distinct)
        place = {text: row for row, text in enumerate(distinct)}
        return rows[torch.tensor([place[text] for text in texts], device=rows.device)]

    def _remembered(self, distinct: list[str]) -> Tensor:
        # Reduced precision has its own entries: it would otherwise leak into full precision.
        device = next(self.text_encoder.parameters()).device
        kind = (torch.is_autocast_enabled(device.type), torch.get_autocast_dtype(device.type))
        # Encode what is new, take every row from memory, forget the oldest beyond the limit.
        absent = [text for text in distinct if (text, kind) not in self._cache]
        if absent:
            fresh = self._encode(absent)
            self._cache.update({(text, kind): row for text, row in zip(absent, fresh, strict=True)})
        rows = torch.stack([self._cache[text, kind] for text in distinct])
        while len(self._cache) > self.cache_size:
            self._cache.popitem(last=False)
        return rows

    def _encode(self, texts: list[str]) -> Tensor:
        self.encoded += len(texts)
        return self.text_encoder(self.tokenizer.batch_encode(texts), self.contexts)

    @property
    def truncate(self) -> bool:
        """Whether positions after the last end token are left out, which changes no result."""
        return self.text_encoder.truncate

    @truncate.setter
    def truncate(self, value: bool) -> None:
        self.text_encoder.truncate = value

    def clear_cache(self) -> None:
        """Forget every remembered sentence."""
        self._cache.clear()

    def train(self, mode: bool = True) -> 'PromptEncoder':
        """Switch the mode; weights may have changed since the last time."""
        self.clear_cache()
        return super().train(mode)

    def _apply(self, *args, **kwargs) -> 'PromptEncoder':
        self.clear_cache()
        return super()._apply(*args, **kwargs)


def _check_tokenizer(text_encoder: nn.Module, tokenizer: Any, contexts: int) -> None:
    """Refuse a tokenizer of another family, and one whose texts and the contexts have no room."""
    if None in (getattr(text_encoder, 'family', None), getattr(tokenizer, 'family', None)):
        return  # somebody's own, of which nothing is known
    reader, writer = type(text_encoder).__name__, type(tokenizer).__name__
    if text_encoder.family != tokenizer.family or text_encoder.vocab_size < tokenizer.vocab_size:
        raise ValueError(
            f'{reader} knows {text_encoder.vocab_size} token ids of {text_encoder.family}, and '
            f'{writer} gives {tokenizer.vocab_size} of {tokenizer.family}: give prompt_encoder the '
            'tokenizer of these weights, CLIPTokenizer beside CLIPTextEncoder and SiglipTokenizer '
            'beside SiglipTextEncoder')
    room = text_encoder.context_length - contexts
    if tokenizer.context_length > room:
        raise ValueError(
            f'{writer} gives up to {tokenizer.context_length} tokens (context_length), and '
            f'{contexts} contexts leave {room} of the {text_encoder.context_length} positions of '
            f'{reader}: set context_length={room} of the tokenizer, or fewer contexts')


def _forget(module: PromptEncoder, *_: object) -> None:
    module.clear_cache()
