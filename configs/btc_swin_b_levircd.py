"""BTC (Swin-B) on LEVIR-CD."""
_base_ = './btc_swin_t_levircd.py'
swin = '{{$RSCC_BTC_SWIN_B:facebook/mask2former-swin-base-IN21k-cityscapes-semantic}}'
model = dict(encoder=dict(backbone=dict(pretrained=swin)))
