"""Change heads of MMSegmentation as change heads: what they read, learn and answer."""
from testers import ChangeHeadTester

from rscc.models.change_heads.base import as_change_head
from rscc.models.contracts import FeatureSpec
from rscc.registry import MODELS

LOSS = dict(type='CrossEntropyLoss', avg_non_ignore=True)


class TestFCNHead(ChangeHeadTester):
    cfg = dict(type='mmseg.FCNHead', in_channels=16, in_index=1, channels=8, num_classes=3,
               num_convs=1, norm_cfg=dict(type='BN'), loss_decode=LOSS)


class TestConcatenatedMaps(ChangeHeadTester):
    cfg = TestFCNHead.cfg | dict(in_channels=(16, 16), in_index=(0, 1),
                                 input_transform='resize_concat')


class TestFPNHead(ChangeHeadTester):
    cfg = dict(type='mmseg.FPNHead', in_channels=[16, 16], in_index=[0, 1], feature_strides=[4, 8],
               channels=8, num_classes=3, norm_cfg=dict(type='BN'), loss_decode=LOSS)


def test_maps_that_do_not_exist_are_counted():
    head = as_change_head(MODELS.build(TestFPNHead.cfg | dict(in_index=[0, 2])))
    assert head.misfit(FeatureSpec('Given', maps=(16, 16))) == (
        'FPNHead reads the maps [0, 2] (in_index) and Given gives 2: set in_index and in_channels '
        'to maps of the widths [16, 16]')
