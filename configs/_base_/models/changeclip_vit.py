"""ChangeCLIP with CLIP's ViT-B/16; RSCC_CLIP_VIT names a local file of its weights."""
_base_ = './changeclip_rn50.py'
clip = '{{$RSCC_CLIP_VIT:ViT-B-16:openai}}'
model = dict(
    encoder=dict(_delete_=True, type='CLIPViT', pretrained=clip),
    fusion=dict(
        in_channels=(768, 768, 768, 768),
        text_channels=512,
        score_level=2,
        prompt_encoder=dict(text_encoder=dict(embed_dim=512, pretrained=clip))),
    change_head=dict(text_channels=512))
