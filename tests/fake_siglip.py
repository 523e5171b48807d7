"""Random SigLIP models in miniature, in the folder layout of transformers."""
import io
import json

import torch

from rscc import compat

#: Small, with more than one head; the sizes of config.json and of our encoders' options.
VISION = dict(hidden_size=32, intermediate_size=128, num_hidden_layers=4, num_attention_heads=2,
              image_size=32, patch_size=16)
TEXT = dict(hidden_size=32, intermediate_size=128, num_hidden_layers=2, num_attention_heads=2,
            projection_size=32, max_position_embeddings=64, bos_token_id=None, eos_token_id=1)
SENTENCES = ['remote sensing image background objects', 'remote sensing image foreground objects',
             'a road beside a river', 'dense residential area and a parking lot', 'forest, lake']


def save_tokenizer(folder):
    """Train and write a tiny ``spiece.model``; return its number of pieces."""
    import sentencepiece
    model = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter([*SENTENCES, ' '.join('abcdefghijklmnopqrstuvwxyz')] * 4),
        model_writer=model, vocab_size=64, hard_vocab_limit=False, add_dummy_prefix=False,
        pad_id=-1, unk_id=2, bos_id=-1, eos_id=1, control_symbols=['<pad>'],
        minloglevel=2)
    (folder / 'spiece.model').write_bytes(model.getvalue())
    (folder / 'tokenizer_config.json').write_text(json.dumps(dict(
        tokenizer_class='SiglipTokenizer', model_max_length=64, do_lower_case=True,
        eos_token='</s>', pad_token='</s>', unk_token='<unk>')))
    loaded = sentencepiece.SentencePieceProcessor()
    loaded.LoadFromSerializedProto(model.getvalue())
    return loaded.GetPieceSize()


def save_siglip(folder, seed=0, vocabulary=None, **vision):
    """Write a random model with ``config.json`` and ``model.safetensors``, and its tokenizer.

    Returns:
        transformers' own model, in evaluation mode.
    """
    folder.mkdir(exist_ok=True)
    library = compat.import_transformers('models.siglip')
    size = save_tokenizer(folder) if vocabulary is None else vocabulary
    torch.manual_seed(seed)
    model = library.SiglipModel(library.SiglipConfig(
        text_config=dict(TEXT, vocab_size=size), vision_config=VISION | vision))
    with torch.no_grad():  # far from what is drawn at first, so that every tensor matters
        for parameter in model.parameters():
            if parameter.ndim == 1:
                parameter.add_(0.1 * torch.randn_like(parameter))
        model.logit_scale.fill_(2.0)
        model.logit_bias.fill_(-1.5)
    model.eval().save_pretrained(folder)
    return model


def options_of(model):
    """Return the options of our text encoder for the text tower of such a model."""
    text = model.config.text_config
    return dict(type='SiglipTextEncoder', vocab_size=text.vocab_size, width=text.hidden_size,
                heads=text.num_attention_heads, layers=text.num_hidden_layers,
                embed_dim=text.projection_size)
