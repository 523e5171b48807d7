"""CLIP-GPT with a Chinese GPT-2 that writes characters; RSCC_GPT2_ZH names its folder."""
_base_ = './clipgpt.py'
gpt = '{{$RSCC_GPT2_ZH:uer/gpt2-chinese-cluecorpussmall}}'
model = dict(caption_head=dict(
    language_model=dict(pretrained=gpt),
    tokenizer=dict(
        _delete_=True, type='WordPieceTokenizer', pretrained=gpt, language='zh', start='[CLS]')))
