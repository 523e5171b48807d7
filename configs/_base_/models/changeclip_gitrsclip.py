"""ChangeCLIP with Git-RSCLIP, a SigLIP ViT-L/16; RSCC_GIT_RSCLIP names its folder."""
_base_ = './changeclip_vit.py'
clip = 'git-rsclip'
model = dict(
    # Mean and standard deviation are those of the weights, 0.5.
    data_preprocessor=dict(
        _delete_=True, type='ChangeDataPreprocessor', size_divisor=32, channels_last=True),
    encoder=dict(_delete_=True, type='SiglipViT', pretrained=clip, checkpointing=True),
    fusion=dict(
        in_channels=(1024, 1024, 1024, 1024),
        text_channels=1024,
        prompt_encoder=dict(
            text_encoder=dict(_delete_=True, type='SiglipTextEncoder', pretrained=clip),
            # 64 positions less 13 contexts
            tokenizer=dict(type='SiglipTokenizer', pretrained=clip, context_length=51))),
    change_head=dict(text_channels=1024))
