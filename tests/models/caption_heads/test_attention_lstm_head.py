from testers import WORDS, CaptionHeadTester


class TestAttentionLSTMHead(CaptionHeadTester):
    cfg = dict(type='AttentionLSTMHead', memory_channels=16, embed_dims=16, hidden_dims=32,
               attention_dims=16, max_tokens=8, tokenizer=dict(type='WordTokenizer', words=WORDS))
