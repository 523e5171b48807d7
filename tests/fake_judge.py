"""A language model in miniature that judges captions."""
import torch

from rscc.compat import import_transformers
from rscc.text.pretrained_tokenizer import train_byte_pairs

TEMPLATE = ("{% for m in messages %}<|{{ m['role'] }}|>{{ m['content'] }}\n{% endfor %}"
            "{% if add_generation_prompt %}<|assistant|>{% endif %}")


def save_judge(folder):
    """A GPT-2 of two narrow layers with drawn weights, saved as a published model is."""
    transformers = import_transformers()
    (folder / 'bytes.json').write_text(train_byte_pairs(['a house is built', '新建了房屋'], 280))
    tokenizer = transformers.PreTrainedTokenizerFast(
        tokenizer_file=str(folder / 'bytes.json'), eos_token='<|endoftext|>')
    tokenizer.chat_template = TEMPLATE
    tokenizer.save_pretrained(folder)
    torch.manual_seed(0)
    transformers.GPT2LMHeadModel(transformers.GPT2Config(
        vocab_size=len(tokenizer), n_embd=16, n_layer=2, n_head=2, n_positions=2048,
        initializer_range=0.3)).save_pretrained(folder)
    return str(folder)
