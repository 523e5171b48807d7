"""Every dataset by the tests that all of them share, on files made for its config."""
from data_testers import DatasetTester


class TestLEVIRCC(DatasetTester):
    cfg = dict(type='LEVIRCCDataset', data_root='LEVIR-CC')
    keys = ('sample_id', 'gt_captions', 'gt_change_flag')


class TestLEVIRMCI(TestLEVIRCC):
    cfg = dict(type='LEVIRMCIDataset', data_root='LEVIR-MCI-dataset')


class TestSynth(TestLEVIRCC):
    cfg = dict(type='SynthChangeDataset', data_root='synth')


class TestDubaiCC(TestLEVIRCC):
    cfg = dict(type='DubaiCCDataset', data_root='DubaiCCPublic')


class TestSydneyCaptions(DatasetTester):
    cfg = dict(type='SydneyCaptionsDataset', data_root='Sydney_captions')
    keys = ('sample_id', 'gt_captions')


class TestUCMCaptions(TestSydneyCaptions):
    cfg = dict(type='UCMCaptionsDataset', data_root='UCM_captions')


class TestRSICD(TestSydneyCaptions):
    cfg = dict(type='RSICDDataset', data_root='RSICD')


class TestPathList(DatasetTester):
    cfg = dict(type='PathListCDDataset', data_root='LEVIR-CD', ann_file='train.txt')

    def of(self, split):
        return dict(ann_file=f'{split}.txt')
