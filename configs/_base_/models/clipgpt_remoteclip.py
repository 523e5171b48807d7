"""CLIP-GPT with RemoteCLIP's ViT-B/32; RSCC_REMOTECLIP_VITB32 and RSCC_GPT2 name files."""
_base_ = './clipgpt.py'
# quick_gelu: as its authors load it; they do not say how it was trained.
model = dict(encoder=dict(pretrained='remoteclip-vit-b-32', quick_gelu=False))
