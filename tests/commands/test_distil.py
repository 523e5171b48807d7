"""``rscc distil``: what it makes of a teacher's config."""
from pathlib import Path

import pytest

from rscc.apis.launch import read_config
from rscc.commands.distil import describe_split, main


def test_the_search_is_as_wide_as_there_are_sentences_to_write():
    cfg = read_config('configs/blip_synth.py')
    describe_split(cfg, 'train', 4, 'x.pth')
    decoding, metric = cfg.model.caption_head.decoding, cfg.test_evaluator[0]
    assert (decoding.num_beams, decoding.num_captions) == (4, 4)
    assert cfg.test_dataloader.dataset.split == 'train'
    assert metric.out_file == 'captions_blip_synth_train.json'
    cfg = read_config('configs/kdrscc_synth.py')
    describe_split(cfg, 'val', 2, 'x.pth', 'here.json')
    assert cfg.model.caption_head.decoding.num_samples == 2
    assert Path(cfg.test_evaluator[0].out_file).is_absolute()


def test_a_model_without_sentences_and_no_number_are_refused():
    with pytest.raises(ValueError, match=r"changeclip_rn50_synth\.py' has no model\.caption_head"):
        describe_split(read_config('configs/changeclip_rn50_synth.py'), 'train', 1, 'x.pth')
    with pytest.raises(SystemExit, match='--num 0: expected 1 or more'):
        main(['configs/blip_synth.py', 'x.pth', '--num', '0'])
