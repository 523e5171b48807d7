import pytest
from fake_clip import save_archive, save_state_dict, tiny_clip

from rscc.models.clip.whole import load_clip


def test_one_set_of_weights_has_one_fingerprint_in_every_file(tmp_path):
    clip = tiny_clip().half().float()
    files = save_state_dict(clip, tmp_path / 'a.pt'), save_archive(clip, tmp_path / 'b.pt')
    one, other = (load_clip(None, file) for file in files)
    assert one.fingerprint == other.fingerprint and len(one.fingerprint) == 16
    assert one.description == other.description and 'patch 8' in one.description
    assert load_clip(None, save_state_dict(tiny_clip(seed=1), tmp_path / 'c.pt')
                     ).fingerprint != one.fingerprint


@pytest.mark.parametrize('kind', ['vit', 'resnet'])
def test_it_is_ready_for_use(tmp_path, kind):
    loaded = load_clip(None, save_state_dict(tiny_clip(kind), tmp_path / 'x.pt'))
    assert not loaded.model.training and loaded.image_size == 32 and loaded.quick_gelu is True
    assert loaded.tokenizer(['a road']).shape == (1, 24)
    assert loaded.transform.transforms[-1].mean[0] == pytest.approx(0.48145466)
