"""The order of axes in which open_clip's transformers are fast everywhere."""
from torch import nn

from rscc import compat


def run_sequence_first(module: nn.Module) -> None:
    """Let open_clip's transformers inside ``module`` work on (L, M, C) instead of (M, L, C).

    Their inputs and outputs stay (M, L, C) and their values the same. torch's attention hands
    batch-first tokens to its projections as a transposed view. Under bfloat16 autocast on CPUs,
    where the weights are frozen or torch is in inference mode, that multiplies with one copy of the
    weights per token: a ViT-B/16 then takes more than three times as long.

    Args:
        module: A CLIP or one of its towers; others are left as they are.
    """
    kind = compat.import_open_clip('transformer').Transformer
    for transformer in module.modules():
        if isinstance(transformer, kind) and all(
                isinstance(block.attn, nn.MultiheadAttention) for block in transformer.resblocks):
            transformer.batch_first = False
            for block in transformer.resblocks:
                block.attn.batch_first = False
