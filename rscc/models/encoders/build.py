"""Building an encoder from a config, wrapping plain backbones."""
from rscc.models.encoders.backbone_encoder import BackboneEncoder
from rscc.models.encoders.base import FrameEncoder
from rscc.registry import MODELS


def build_encoder(cfg: dict) -> FrameEncoder:
    """Build an encoder; a config of another scope (``mmseg.ResNet``) is a backbone to wrap."""
    if '.' in cfg['type']:
        return BackboneEncoder(cfg)
    return MODELS.build(cfg)
