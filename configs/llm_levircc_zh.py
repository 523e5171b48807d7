"""A language model that captions the changes of LEVIR-CC in Chinese, from a file of your own.

We know of no published Chinese captions of LEVIR-CC. Translate LevirCCcaptions.json and put the
sentences, as raw_chinese beside every raw, into a copy called LevirCCcaptions_zh.json.
"""
_base_ = './llm_levircc.py'
model = dict(caption_head=dict(tokenizer=dict(language='zh', prompt='两幅影像之间的变化：')))
chinese = dict(language='zh', ann_file='LevirCCcaptions_zh.json')
train_dataloader = dict(dataset=chinese)
val_dataloader = dict(dataset=chinese)
test_dataloader = dict(dataset=chinese)
