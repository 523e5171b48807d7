import json

import pytest
from mmengine.config import Config

from tools.benchmark.compared_facts import main


@pytest.mark.parametrize('name', ['bit_synth', 'chg2cap_synth'])
def test_a_trained_model_is_counted_and_timed_on_its_test_pairs(trained, tmp_path, name):
    config, checkpoint = trained(name)
    cfg = Config.fromfile(config)
    for stage in ('train', 'test'):
        cfg[f'{stage}_dataloader'].dataset.cache.size = (64, 64)
    cfg.dump(tmp_path / 'small.py')
    main([str(tmp_path / 'small.py'), checkpoint, str(tmp_path / 'facts.json')])
    found = json.loads((tmp_path / 'facts.json').read_text())
    assert found['parameters'] == found['trained'] > 8e5
    assert 0.1 < found['gflop'] < 10 and found['answered_per_s'] > 0
