"""ChangeCLIP with RemoteCLIP's ViT-L/14; RSCC_REMOTECLIP_VITL14 names the file."""
_base_ = './changeclip_vit.py'
clip = 'remoteclip-vit-l-14'
model = dict(
    # The four maps have strides 3.5, 7, 14 and 28; tiles of 256 pixels are padded to 280.
    data_preprocessor=dict(size_divisor=28),
    # quick_gelu: as its authors load it; they do not say how it was trained.
    encoder=dict(
        width=1024, layers=24, heads=16, patch_size=14, output_dim=768, input_resolution=224,
        out_indices=(7, 11, 15, 23), quick_gelu=False, pretrained=clip, checkpointing=True),
    fusion=dict(
        in_channels=(1024, 1024, 1024, 1024),
        text_channels=768,
        prompt_encoder=dict(text_encoder=dict(
            width=768, heads=12, embed_dim=768, pretrained=clip, quick_gelu=False))),
    change_head=dict(text_channels=768),
    test_cfg=dict(crop_size=(252, 252), stride=(126, 126)))
