r"""Convert a KD-RSCC checkpoint (a training ``.pth``, or its slim safetensors file).

Of a training file the averaged weights (``model_ema``) are taken, which sampling used. Sizes are
read from the tensors; words and the length of captions are in another file, which
``tools/dataset_converters/levircc.py --word-encode`` writes.

Example::

    python tools/model_converters/kdrscc_to_rscc.py LevirCC_00100000.pth converted.pth \
        --config configs/kdrscc_levircc.py --words data/LEVIR-CC/word_encoding.json
    python tools/test.py converted.py converted.pth
"""
import argparse
from collections.abc import Mapping
from typing import TYPE_CHECKING

from rscc.apis.command_line import add_output_arguments, explained

if TYPE_CHECKING:
    from torch import Tensor



def parse_args() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('source', help="the original's .pth or .safetensors")
    add_output_arguments(parser)
    parser.add_argument('--config', default='configs/kdrscc_levircc.py',
                        help='config of the same dataset and encoder (%(default)s)')
    parser.add_argument('--words', required=True, metavar='FILE',
                        help='word_encoding.json, or the vocab.json of the original')
    parser.add_argument('--max-tokens', type=int, metavar='N', help='longest caption in words, for '
                        "the original's vocab.json, which does not tell (44 ids are 42 words)")
    parser.add_argument('--num-heads', type=int, help="heads of the words' encoder "
                        '(default: width / 64)')
    parser.add_argument('--live', action='store_true',
                        help='take the weights that were trained, not their moving average')
    return parser.parse_args()


def choose_state(stored: Mapping, live: bool) -> 'Mapping[str, Tensor]':
    """Return the state dict of a training file, or the file itself where it is slim.

    Raises:
        ValueError: If a training file lacks the weights asked for.
    """
    if not any(name in stored for name in ('model', 'model_ema')):
        return stored.get('state_dict', stored)
    wanted = 'model' if live else 'model_ema'
    if wanted not in stored:
        raise ValueError(f"the training file has no '{wanted}', only {sorted(stored)}"
                         + ('' if live else ': take the trained weights with --live'))
    return stored[wanted]


def main() -> None:
    """Convert."""
    args = parse_args()
    # Imported late: help and wrong arguments should not wait for torch.
    from rscc.apis.launch import read_config
    from rscc.engine.checkpoint import read_checkpoint
    from rscc.importers.conversion import convert
    from rscc.importers.kd_rscc import read_shape, rename_kd_rscc
    from rscc.registry import TOKENIZERS
    with explained():
        state = choose_state(read_checkpoint(args.source), args.live)
        shape = read_shape(state, args.num_heads)
        cfg = read_config(args.config)
        head = cfg.model.caption_head
        head.tokenizer = dict(type='WordTokenizer', vocab_file=args.words)
        tokenizer = TOKENIZERS.build(dict(head.tokenizer))
        if tokenizer.vocab_size != shape.vocab_size:
            raise ValueError(f"'{args.words}' has {tokenizer.vocab_size} words and the model "
                             f'{shape.vocab_size}: it is the vocabulary of other data')
        for name, value in shape.head.items():
            head[name] = value
        if args.max_tokens is not None:
            head.max_tokens = args.max_tokens
        cfg.merge_from_dict(args.cfg_options or {})
        if tokenizer.max_tokens is None and head.get('max_tokens') is None:
            raise ValueError(f"'{args.words}' does not tell the length of captions: add "
                             '--max-tokens N, two less than the ids that the model was trained on')
        done = convert(rename_kd_rscc(state), cfg, args.out, args.source)
    print(done)


if __name__ == '__main__':
    main()
