from rscc.models.pretrained import without_pretrained


def test_only_parts_whose_config_tells_everything_do_without_their_weights():
    cfg = dict(
        encoder=dict(type='CLIPResNet', pretrained='RN50:openai'),
        heads=[dict(text=dict(type='CLIPTextEncoder', width=8, pretrained='file.pt'))],
        caption_head=dict(type='BlipCaptionHead', pretrained='name'),
        backbone=dict(type='mmseg.ResNet', depth=18, pretrained='torchvision://resnet18'))
    without_pretrained(cfg)
    assert cfg['encoder']['pretrained'] is None
    assert cfg['heads'][0]['text'] == dict(type='CLIPTextEncoder', width=8, pretrained=None)
    assert cfg['caption_head']['pretrained'] == 'name'
    assert cfg['backbone']['pretrained'] == 'torchvision://resnet18'
