from types import SimpleNamespace

import pytest
import torch

from rscc import compat
from rscc.models.generation.beam_scorers import FinishedSentences, History
from rscc.models.generation.beam_search import NextScores, search
from rscc.models.generation.decoders import CausalLMStep
from rscc.models.generation.options import Decoding


def rows(*values):
    return [torch.tensor([list(row)]) for row in values]


def test_a_sentence_is_read_along_its_pointers_and_cut_at_its_stop_id():
    history = History()
    history.add(*rows((5, 6), (-1., -2.), (0, 0), (0, 0)))
    history.add(*rows((7, 3), (-3., -4.), (0, 1), (1, 0)))
    history.add(*rows((0, 8), (0., -6.), (1, 0), (1, 0)))
    history.unfold()
    ended = history.read(2, 0, {3})
    assert (ended.ids, ended.logprobs, ended.rows) == ([5, 3], [-1, -4], [0, 1])
    assert ended.score == -2.5 and not ended.truncated
    endless = history.read(2, 1, {3})
    assert endless.ids == [6, 7, 8] and endless.truncated


def test_the_best_stay_and_cut_sentences_come_last():
    finished = FinishedSentences.empty(2, 2, torch.device('cpu'))
    sample = torch.tensor([1])
    finished.add(sample, torch.tensor([[-3., -torch.inf]]), 4, torch.tensor([[8, 9]]))
    assert finished.count(torch.tensor([0, 1])).tolist() == [0, 1]
    finished.add(sample, torch.tensor([[-1., -2.]]), 5, torch.tensor([[10, 11]]), truncated=True)
    assert finished.ends() == [[], [(4, 8), (5, 10)]]
    finished.add(sample, torch.tensor([[-5., -2.]]), 6, torch.tensor([[12, 13]]))
    assert finished.ends() == [[], [(6, 13), (4, 8)]]


STOP, VOCABULARY = 3, 13
OPTIONS = [
    {}, dict(num_beams=3, num_captions=3), dict(num_beams=5, length_penalty=2.0),
    dict(num_beams=4, length_penalty=0.0), dict(num_beams=3, length_penalty=-1.0),
    dict(num_beams=3, num_captions=2, min_tokens=4), dict(min_tokens=6),
    dict(num_beams=3, no_repeat_ngram=2), dict(no_repeat_ngram=1),
    dict(repetition_penalty=1.5), dict(num_beams=3, repetition_penalty=1.5)]


def language_model(seed=0):
    """A tiny GPT-2 whose sentences differ in length."""
    gpt2 = compat.import_transformers('models.gpt2')
    torch.manual_seed(seed)
    return gpt2.GPT2LMHeadModel(gpt2.GPT2Config(
        vocab_size=VOCABULARY, n_positions=64, n_embd=16, n_layer=2, n_head=2, bos_token_id=0,
        eos_token_id=STOP, initializer_range=0.6)).eval()


def prefixes(n=4, seed=0):
    return torch.randn(n, 5, 16, generator=torch.Generator().manual_seed(seed))


def generated(model, prefix, options, stops):
    """What transformers writes, cut after the stop id."""
    more = dict(length_penalty=options.length_penalty) if options.num_beams > 1 else {}
    if options.min_tokens:
        more['min_new_tokens'] = options.min_tokens
    ids = model.generate(
        inputs_embeds=prefix, attention_mask=torch.ones(prefix.shape[:2]), pad_token_id=0,
        eos_token_id=stops, num_beams=options.num_beams, max_new_tokens=options.max_tokens,
        num_return_sequences=options.num_captions, do_sample=False,
        repetition_penalty=options.repetition_penalty,
        no_repeat_ngram_size=options.no_repeat_ngram, **more)
    return [[cut(row, stops) for row in rows]
            for rows in ids.unflatten(0, (-1, options.num_captions)).tolist()]


def cut(ids, stops):
    end = next((place for place, token in enumerate(ids, 1) if token in stops), len(ids))
    return ids[:end]


def written(model, prefix, options, stops=(STOP,), **more):
    decoder = CausalLMStep(model, options.use_cache)
    return search(decoder, decoder.start(prefix), options, stops, 0, **more)


def ids_of(everything):
    return [[sentence.ids for sentence in sentences] for sentences in everything]


@pytest.mark.parametrize('stops', [[STOP], [STOP, 5]])
@pytest.mark.parametrize('options', OPTIONS, ids=str)
def test_ids_equal_those_of_transformers(options, stops):
    options = Decoding(max_tokens=9, **options)
    for seed in range(3):
        model, prefix = language_model(seed), prefixes(seed=seed)
        assert ids_of(written(model, prefix, options, stops)) == generated(model, prefix, options,
                                                                           stops)


@pytest.mark.parametrize('rule', ['standard', 'clipcap', 'show_attend_tell'])
@pytest.mark.parametrize('beams', [1, 3])
def test_a_cache_and_a_batch_change_nothing(rule, beams):
    model, prefix, stops = language_model(), 3 * prefixes(8), (2, STOP, 5)
    options = Decoding(num_beams=beams, beam_rule=rule, max_tokens=9)
    together = ids_of(written(model, prefix, options, stops))
    assert len({len(sentences[0]) for sentences in together}) > 1, 'all of one length: no test'
    plain = options.updated(dict(use_cache=False))
    for row, expected in enumerate(together):
        assert ids_of(written(model, prefix[row:row + 1], plain, stops)) == [expected]


@pytest.mark.parametrize('rule', ['standard', 'clipcap', 'show_attend_tell'])
def test_a_score_is_the_mean_log_probability_of_its_sentence(rule):
    model, prefix = language_model(), prefixes(2)
    options = Decoding(num_beams=3, num_captions=3, beam_rule=rule, max_tokens=6)
    for row, sentences in enumerate(written(model, prefix, options)):
        assert len(sentences) == 3
        for sentence in sentences:
            words = model.get_input_embeddings()(torch.tensor([sentence.ids]))
            with torch.no_grad():
                logits = model(inputs_embeds=torch.cat([prefix[row:row + 1], words], 1)).logits
            # The last of the prefix predicts the first id.
            told = logits[0, 4:-1].log_softmax(-1).gather(1, torch.tensor(sentence.ids)[:, None])
            torch.testing.assert_close(torch.tensor(sentence.logprobs), told[:, 0])
            assert sentence.score == pytest.approx(told.mean().item(), abs=1e-5)


class Table:
    """A decoder whose next id depends on the last one only; counts the rows that it steps."""

    def __init__(self, probabilities, samples=1):
        self.logits = torch.tensor(probabilities).log()
        self.rows, self.samples = [], samples

    def step(self, ids, state):
        if ids is None:
            ids = torch.zeros(self.samples, dtype=torch.long)
        self.rows.append(len(ids))
        return self.logits[ids + state], state

    def select(self, state, rows):
        return state[rows]


# After 0 comes 1 (.6) or 2 (.4); what follows 1 is unsure, and 2 ends (3) almost surely.
FORK = [[0, .6, .4, 0], [0, .36, .3, .34], [0, .05, .05, .9], [0, 0, 0, 1.]]


@pytest.mark.parametrize('rule', ['standard', 'clipcap', 'show_attend_tell'])
def test_beams_find_what_greedy_search_misses(rule):
    def run(**options):
        table = Table(FORK)
        return ids_of(search(table, torch.zeros(1, dtype=torch.long),
                             Decoding(max_tokens=4, **options), [3], 0))
    assert run() == [[[1, 1, 1, 1]]]
    assert run(num_beams=2, beam_rule=rule)[0][0] == [2, 3]


def test_samples_that_are_done_are_stepped_no_more():
    # The second sample reads a table where everything ends at once.
    table = Table([*FORK, *[[0, 0, 0, 1.]] * 4], samples=2)
    table.logits = torch.where(table.logits.isfinite(), table.logits, -1e4)
    found = search(table, torch.tensor([0, 4]), Decoding(max_tokens=4), [3], 0)
    assert ids_of(found) == [[[1, 1, 1, 1]], [[3]]]
    assert table.rows == [2, 1, 1, 1]


def test_a_rows_pointer_names_the_row_that_chose_each_id():
    model, prefix = language_model(), prefixes(3)
    decoder = CausalLMStep(model)
    seen, step = [], decoder.step

    def recording(ids, state):
        logits, state = step(ids, state)
        seen.append(logits.log_softmax(-1))
        return logits, state

    decoder.step = recording
    for sentences in search(decoder, decoder.start(prefix), Decoding(num_beams=3, max_tokens=8),
                            [STOP], 0):
        best = sentences[0]
        told = [float(seen[at][row, token])
                for at, (row, token) in enumerate(zip(best.rows, best.ids, strict=True))]
        assert told == pytest.approx(best.logprobs, abs=1e-6)


@pytest.mark.parametrize('options', [
    {}, dict(num_beams=2, num_captions=2), dict(num_beams=2, beam_rule='clipcap'),
    dict(num_beams=2, beam_rule='show_attend_tell'), dict(sample=True, seed=0)], ids=str)
def test_a_sentence_that_reaches_the_limit_is_cut_and_says_so(options):
    endless = Table([[0, .9, .1]] * 3)
    found = search(endless, torch.zeros(1, dtype=torch.long), Decoding(max_tokens=3, **options),
                   [0], 0)
    assert {(len(sentence.ids), sentence.truncated) for sentence in found[0]} == {(3, True)}
    ending = Table([[0, 1., 0, 0], [0, 0, 1., 0], *[[0, 0, 0, 1.]] * 2])
    for max_tokens, cut in ((2, True), (3, False), (9, False)):
        best = search(ending, torch.zeros(1, dtype=torch.long),
                      Decoding(max_tokens=max_tokens, **options), [3], 0)[0][0]
        assert best.ids == [1, 2, 3][:max_tokens] and best.truncated == cut


def test_no_stop_id_means_the_limit():
    found = written(language_model(), prefixes(), Decoding(max_tokens=7), stops=())
    assert {len(sentences[0].ids) for sentences in found} == {7}
    assert all(sentences[0].truncated for sentences in found)


def test_banned_ids_never_come():
    everything = ids_of(written(language_model(), prefixes(8),
                                Decoding(sample=True, num_captions=5, seed=0), banned=[1, 2, 7]))
    assert not {1, 2, 7} & {token for rows in everything for ids in rows for token in ids}


def test_a_sentence_may_end_where_nothing_else_is_left():
    options = Decoding(no_repeat_ngram=1, max_tokens=30, min_tokens=30)
    found = written(language_model(), prefixes(2), options, banned=[0])
    # Every word once, then the end, although 30 were wanted.
    assert [len(sentences[0].ids) for sentences in found] == [12, 12]
    assert all(sentences[0].ids[-1] == STOP for sentences in found)


def test_a_vocabulary_smaller_than_the_beams_is_searched_whole():
    table = Table([[0, .5, .5], [0, .25, .75], [0, .75, .25]])
    found = search(table, torch.zeros(1, dtype=torch.long),
                   Decoding(num_beams=6, num_captions=6, max_tokens=2), [], 0)
    assert sorted(ids_of(found)[0]) == [[1, 1], [1, 2], [2, 1], [2, 2]]


@pytest.mark.parametrize('beams', [1, 3])
def test_samples_repeat_with_their_seed_alone(beams):
    model, prefix = language_model(), prefixes()

    def draw(seed):
        options = dict(num_captions=3, num_beams=beams, sample=True, seed=seed, max_tokens=8)
        return ids_of(written(model, prefix, Decoding(**options)))

    torch.manual_seed(7)
    expected = torch.rand(1)
    torch.manual_seed(7)
    assert draw(1) == draw(1)
    assert torch.equal(torch.rand(1), expected), 'the global generator was used'
    assert draw(1) != draw(2)


def test_draws_follow_the_distribution():
    table = Table([[0, .6, .3, .1]])
    found = search(table, torch.zeros(1, dtype=torch.long),
                   Decoding(sample=True, num_captions=4000, seed=0, max_tokens=1), [], 0)
    counts = torch.bincount(torch.tensor(ids_of(found)[0]).flatten(), minlength=4) / 4000
    torch.testing.assert_close(counts, torch.tensor([0, .6, .3, .1]), atol=0.03, rtol=0)
    scores = [sentence.score for sentence in found[0]]
    assert scores == sorted(scores, reverse=True)


@pytest.mark.parametrize('options, possible', [
    (dict(top_p=0.55), {1}), (dict(top_p=0.65), {1, 2}), (dict(top_k=2), {1, 2}),
    (dict(temperature=0.05), {1}), (dict(top_p=0.95), {1, 2, 3})])
def test_the_nucleus_is_the_smallest_set_of_that_probability(options, possible):
    found = search(Table([[0, .6, .3, .1]]), torch.zeros(1, dtype=torch.long),
                   Decoding(sample=True, num_captions=200, seed=0, max_tokens=1, **options), [], 0)
    assert {sentence.ids[0] for sentence in found[0]} == possible
    # The score is the model's own, whatever the draw was made from.
    assert found[0][0].score == pytest.approx(torch.tensor(.6).log().item(), abs=1e-5)


def test_scores_that_are_not_numbers_are_named():
    decoder = SimpleNamespace(step=lambda ids, state: (torch.full((2, 5), torch.nan), state),
                              select=lambda state, rows: state)
    with pytest.raises(ValueError, match=r'no sentence for sample 0: .* are not numbers'):
        search(decoder, None, Decoding(num_beams=2), [3], 0)


def next_scores(options, scores, written=((1, 1), ), given=0, banned=()):
    run = NextScores(Decoding(**options), torch.tensor([3]), banned, given)
    return run(scores, scores.log_softmax(-1), torch.tensor(written))


def test_log_probabilities_pass_where_nothing_is_asked_for():
    scores = torch.randn(1, 6)
    assert torch.equal(next_scores({}, scores), scores.log_softmax(-1))


def test_given_ids_do_not_count_towards_the_fewest_tokens():
    scores, options = torch.zeros(1, 5), dict(min_tokens=2)
    assert next_scores(options, scores, [[1, 1, 2]], given=2)[0, 3] == -torch.inf
    assert next_scores(options, scores, [[1, 1, 2, 4]], given=2)[0, 3].isfinite()


def test_given_ids_count_where_repetition_is_discouraged():
    scores = torch.tensor([[2.0, -2.0, 1.0, 0.0, 0.0]])
    punished = next_scores(dict(repetition_penalty=2.0), scores, [[0, 1, 1]], given=2)
    assert punished.tolist() == [[1.0, -4.0, 1.0, 0.0, 0.0]]
    allowed = next_scores(dict(no_repeat_ngram=2), scores, [[4, 1, 4]], given=2)
    assert allowed.isneginf().nonzero().tolist() == [[0, 1]]


def test_beams_are_punished_on_log_probabilities_and_greedy_search_on_logits():
    scores = torch.tensor([[2.0, 0.0, 0.0, 0.0]])
    greedy, beams = (next_scores(dict(repetition_penalty=2.0, num_beams=count), scores, [[0]])
                     for count in (1, 2))
    assert greedy[0, 0] == 1
    torch.testing.assert_close(beams[0, 0], 2 * scores.log_softmax(-1)[0, 0])


def test_where_nothing_may_be_said_the_sentence_may_end():
    scores = torch.randn(2, 5)
    found = next_scores(dict(no_repeat_ngram=1, min_tokens=9), scores, [[0, 1, 2, 4], [0, 0, 0, 0]])
    assert found[0].isfinite().nonzero().tolist() == [[3]]
    assert found[1].isfinite().nonzero().flatten().tolist() == [1, 2, 4]


def test_the_shaped_distribution_sums_to_one():
    torch.manual_seed(0)
    shaped = next_scores(dict(sample=True, temperature=0.7, top_k=9, top_p=0.8),
                         torch.randn(5, 20), torch.ones(5, 2).long().tolist())
    torch.testing.assert_close(shaped.exp().sum(1), torch.ones(5))
    assert (shaped.isfinite().sum(1) <= 9).all()


def test_the_likeliest_id_stays_whatever_the_nucleus():
    shaped = next_scores(dict(sample=True, top_p=0.01), torch.tensor([[0.9, 0.1, 0.0, 0.0]]).log())
    assert shaped.exp().tolist() == [[1.0, 0.0, 0.0, 0.0]]
