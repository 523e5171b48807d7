"""Convert a ClipCap or CLIP-GPT checkpoint (a ``.pt`` state dict of mapper and GPT-2).

Kind and sizes of the mapper and of GPT-2 are read from the tensors; the number of attention heads
is no part of them, except for amht. The image encoder is no part of the file either: it comes from
the config, which must name its published weights. By default the new checkpoint holds GPT-2 too;
with ``--language-model`` a GPT-2 that was not tuned is left to where it is published.

Example::

    python tools/model_converters/clipcap_to_rscc.py sydney_transformer.pt converted.pth \
        --config configs/clipgpt_transformer_sydney.py --num-heads 16 --language-model gpt2
    python tools/test.py converted.py converted.pth
"""
from rscc.commands.convert import clipcap as main

if __name__ == '__main__':
    main()
