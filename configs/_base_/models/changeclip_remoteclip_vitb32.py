"""ChangeCLIP with RemoteCLIP's ViT-B/32; RSCC_REMOTECLIP_VITB32 names the file."""
_base_ = './changeclip_vit.py'
clip = 'remoteclip-vit-b-32'
model = dict(
    # quick_gelu: as its authors load it; they do not say how it was trained.
    encoder=dict(patch_size=32, input_resolution=224, quick_gelu=False, pretrained=clip),
    fusion=dict(
        score_level=3,  # the map whose stride is that of the patches
        prompt_encoder=dict(text_encoder=dict(pretrained=clip, quick_gelu=False))))
