"""The text encoder of CLIP, with learnable context between the start token and the words.

Papers: Radford et al., Learning Transferable Visual Models From Natural Language Supervision, ICML
2021, https://arxiv.org/abs/2103.00020; Zhou et al., Learning to Prompt for Vision-Language Models,
IJCV 2022, https://arxiv.org/abs/2109.01134 (the context).
"""
from typing import ClassVar

import torch
from torch import Tensor, nn

from rscc import compat
from rscc.models.attention import use_batch_first_attention
from rscc.registry import MODELS, Part


@MODELS.register_module()
class CLIPTextEncoder(Part, nn.Module):
    """Token ids to one vector per text, in CLIP's joint space.

    Every sequence is ``start, contexts, words, end``, read out at its end token. Attention is
    causal, so what follows the last end token of the batch cannot matter and is not computed. The
    modules are open_clip's and keep the key names of CLIP's files.

    Args:
        context_length: Number of stored positions, contexts included.
        vocab_size: Number of token ids; the end token has the largest.
        width: Width of the transformer, and of the contexts.
        heads: Attention heads of every block.
        layers: Number of blocks.
        embed_dim: Width of the joint space: 1024 beside RN50, 512 beside ViT-B.
        quick_gelu: Activation ``x * sigmoid(1.702 x)``, with which OpenAI's weights were trained,
            in place of the exact GELU of most other weights.
        pretrained: CLIP weights: a file, ``'RN50:openai'`` or ``'remoteclip-rn50'``; see
            ``rscc.models.clip.weights``.

    Attributes:
        truncate: Whether positions after the last end token of the batch are left out; a benchmark
            may want to see what that saves.
        family: Whose token ids it reads.
        space: Identity of the weights, see ``FeatureSpec.space``; None for random ones.
    """

    PRETRAINED_OPTIONAL: ClassVar[bool] = True
    family: ClassVar[str] = 'clip'

    def __init__(self, context_length: int = 77, vocab_size: int = 49408, width: int = 512,
                 heads: int = 8, layers: int = 12, embed_dim: int = 1024, quick_gelu: bool = True,
                 pretrained: str | None = None) -> None:
        super().__init__()
        self.context_length, self.vocab_size = context_length, vocab_size
        self.width, self.embed_dim = width, embed_dim
        self.truncate = True
        transformer = compat.import_open_clip('transformer')
        # open_clip's tower draws random weights by CLIP's scheme; its parts become ours, so that
        # they keep CLIP's names.
        tower = transformer.TextTransformer(
            context_length=context_length, vocab_size=vocab_size, width=width, heads=heads,
            layers=layers, output_dim=embed_dim,
            act_layer=transformer.QuickGELU if quick_gelu else nn.GELU)
        self.token_embedding = tower.token_embedding
        self.positional_embedding = tower.positional_embedding
        self.transformer = tower.transformer
        use_batch_first_attention(self.transformer)
        self.ln_final = tower.ln_final
        self.text_projection = tower.text_projection
        mask = torch.full((context_length, context_length), float('-inf')).triu(1)
        self.register_buffer('causal_mask', mask, persistent=False)
        self.space = None
        if pretrained is not None:
            from rscc.models.clip.weights import load_text
            self.space = load_text(self, pretrained, quick_gelu=quick_gelu).facts.identity

    def forward(self, ids: Tensor, contexts: Tensor | None = None) -> Tensor:
        """Encode S texts.

        Args:
            ids: Token ids (S, L), zero after the end token. They may stay on the CPU: how far they
                reach is then known without waiting for the device.
            contexts: Context embeddings (P, width) shared by all texts, or None.

        Returns:
            One vector per text (S, embed_dim), not normalised.

        Raises:
            ValueError: If contexts and tokens together need more than ``context_length`` positions.
        """
        # The end token has the largest id; nothing after the last one of the batch can matter.
        ends = ids.argmax(-1)
        reach = int(ends.max()) + 1 if self.truncate else ids.shape[1]
        tokens = ids[:, :reach].to(self.token_embedding.weight.device)
        # start, contexts, words, end as (S, P + L, width), through causal blocks.
        hidden = self._embed(tokens, contexts)
        length = hidden.shape[1]
        hidden = hidden + self.positional_embedding[:length]
        hidden = self.transformer(hidden, attn_mask=self.causal_mask[:length, :length])
        # The vector at every text's own end token, moved back by the P contexts, (S, width).
        ends = ends.to(hidden.device) + length - tokens.shape[1]
        last = hidden[torch.arange(len(hidden), device=hidden.device), ends]
        return self.ln_final(last) @ self.text_projection

    def _embed(self, tokens: Tensor, contexts: Tensor | None) -> Tensor:
        """Return ``start, contexts, words`` as embeddings (S, P + L, width)."""
        extra = 0 if contexts is None else len(contexts)
        if tokens.shape[1] + extra > self.context_length:
            raise ValueError(
                f'{tokens.shape[1]} tokens and {extra} contexts need {tokens.shape[1] + extra} '
                f'positions, and the text encoder has context_length={self.context_length}: give '
                f'the tokenizer context_length={self.context_length - extra} or shorten the text')
        words = self.token_embedding(tokens)
        if contexts is None:
            return words
        shared = contexts.to(words.dtype).expand(len(words), -1, -1)
        return torch.cat([words[:, :1], shared, words[:, 1:]], 1)
