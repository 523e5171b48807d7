"""CLIP-GPT with Git-RSCLIP-base, a SigLIP ViT-B/16; RSCC_GIT_RSCLIP_BASE names its folder."""
_base_ = './clipgpt.py'
model = dict(
    # Mean and standard deviation are those of the weights, 0.5.
    data_preprocessor=dict(_delete_=True, type='ChangeDataPreprocessor'),
    encoder=dict(
        _delete_=True, type='SiglipViT', width=768, layers=12, heads=12, input_resolution=224,
        out_indices=(), pyramid=False, pretrained='git-rsclip-base'),
    caption_head=dict(memory_channels=768))
