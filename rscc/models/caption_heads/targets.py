"""The sentences that a sample learns."""
from rscc.structures import ChangeDataSample
from rscc.text.tokenizer import CaptionTokenizer


def encode_targets(data_samples: list[ChangeDataSample], tokenizer: CaptionTokenizer,
                   max_len: int) -> list[list[list[int]]]:
    """Return ids per sample and sentence, from ``target_captions``, else ``gt_captions``.

    Args:
        data_samples: N samples; those without captions give no sentence.
        tokenizer: What encodes them.
        max_len: Most ids in a sentence, specials included; longer ones are cut and counted.
    """
    return [[tokenizer.encode(caption, max_len) for caption in
             sample.get('target_captions') or sample.get('gt_captions') or ()]
            for sample in data_samples]
