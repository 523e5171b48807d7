"""Any timm model under small mask and caption heads, whose widths follow the encoder's."""
_base_ = './light_cnn.py'
channels = 128
model = dict(
    encoder=dict(
        _delete_=True,
        type='TimmEncoder',
        model='tf_efficientnet_lite0',
        # Stride 16: at stride 32 a house of a 128x128 image is a third of a token. Plain
        # transformers have tokens of their own and take no notice.
        token_level=2,
        embed_dims=channels,
        position=True),
    fusion=dict(channels='auto'),
    change_head=dict(in_channels='auto', feature_strides='auto'),
    caption_head=dict(memory_channels='auto'),
    flag_head=dict(in_channels='auto'))
