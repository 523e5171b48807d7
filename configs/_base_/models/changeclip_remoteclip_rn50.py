"""ChangeCLIP with RemoteCLIP's ResNet-50; RSCC_REMOTECLIP_RN50 names the file."""
_base_ = './changeclip_rn50.py'
clip = 'remoteclip-rn50'
model = dict(
    encoder=dict(pretrained=clip),
    # quick_gelu: as its authors load it; they do not say how it was trained.
    fusion=dict(prompt_encoder=dict(text_encoder=dict(pretrained=clip, quick_gelu=False))))
