"""A small change captioner with masks on the built-in dataset, in English and Chinese.

Both languages are learnt; which one is written and scored is the language of the dataset:
python tools/test.py configs/blip_synth_bilingual.py CKPT --cfg-options \
    test_dataloader.dataset.language=zh
"""
_base_ = './blip_synth.py'
model = dict(
    caption_head=dict(
        tokenizer=dict(
            _delete_=True,
            type='BilingualWordTokenizer',
            vocab_files=dict(en='synth/vocab_en.json', zh='synth/vocab_zh.json'))))
train_dataloader = dict(dataset=dict(languages=('en', 'zh')))
