"""Search for captions: greedy, beams or drawn, for every head that writes token by token.

A head hands its decoder over as a ``DecoderStep``; ``search`` does the rest for all samples and
beams of a batch together. transformers' ``generate`` could serve BLIP and GPT-2 but not the LSTM,
the originals' beam scorers or a generator of one's own; it projects the memory once a beam where
once a sample is enough, and computes a batch until its longest sentence ends. So its logits
processors are used and its loop is not; the tests hold greedy and beam results against
``generate``, option by option.

N samples, n of them still being written, B beams of each, R = n * B rows, C candidates, V ids.
"""
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from rscc import compat
from rscc.models.generation.beam_scorers import (
    Beams,
    Candidates,
    FinishedSentences,
    History,
    Hypothesis,
    build_beam_scorer,
)
from rscc.models.generation.decoders import DecoderStep
from rscc.models.generation.options import Decoding
from rscc.structures import ScoredCaption


@torch.no_grad()
def search(decoder: DecoderStep, state: Any, options: Decoding, stop_ids: Sequence[int],
           pad_id: int, banned: Sequence[int] = (), given: Sequence[int] = ()
           ) -> list[list[Hypothesis]]:
    """Write sentences for every sample: greedy, beams, or drawn.

    Greedy search (``num_beams=1``) takes the likeliest id each time; ``sample`` draws it, each of
    ``num_captions`` sentences for itself; more beams follow ``options.beam_rule``. Greedy search
    and the standard beams choose the ids that transformers' ``generate`` chooses.

    Args:
        decoder: The decoder.
        state: Its state before the first id, one row a sample.
        options: How to search. After ``max_tokens`` ids a sentence is cut where it is; its stop id
            is one of them.
        stop_ids: Ids that end a sentence; with none, all are written to the limit.
        pad_id: Id that is fed to beams after their end, where the scorer keeps them.
        banned: Ids that are never written.
        given: Ids that every sentence starts with and that are not returned; they only count as
            written where repetition is discouraged.

    Returns:
        Per sample ``options.num_captions`` hypotheses (fewer where no more exist): beams best
        first by their scorer, drawn sentences by score.

    Raises:
        ValueError: If a sample's scores are not numbers.
    """
    logits, state = decoder.step(None, state)
    run = _Search(options, stop_ids, pad_id, banned, given, len(logits), logits.device)
    return [sentences[:options.num_captions] for sentences in run(decoder, logits, state)]


class NextScores:
    """Scores of the next id, from the decoder's logits by transformers' logits processors.

    Args:
        options: ``min_tokens``, ``repetition_penalty``, ``no_repeat_ngram``; when sampling also
            ``temperature``, ``top_k`` and ``top_p``.
        stop_ids: Ids that end a sentence (S,).
        banned: Ids that are never written.
        given: Number of ids that every sentence starts with.
    """

    def __init__(self, options: Decoding, stop_ids: Tensor, banned: Sequence[int],
                 given: int) -> None:
        library = compat.import_transformers('generation.logits_process')
        device, self.stop_ids = stop_ids.device, stop_ids

        # Repetition makes an id less likely.
        self.penalty, self.on_logits = None, options.num_beams == 1
        if options.repetition_penalty != 1:
            self.penalty = library.RepetitionPenaltyLogitsProcessor(
                float(options.repetition_penalty))

        # What may not come.
        self.bans = library.LogitsProcessorList()
        if options.no_repeat_ngram:
            self.bans.append(library.NoRepeatNGramLogitsProcessor(options.no_repeat_ngram))
        if options.min_tokens:
            self.bans.append(library.MinNewTokensLengthLogitsProcessor(
                given, options.min_tokens, stop_ids))
        self.banned = torch.tensor(list(banned), dtype=torch.long, device=device)

        # The distribution that is drawn from.
        self.warpers = library.LogitsProcessorList()
        if options.sample:
            self.warpers.append(library.TemperatureLogitsWarper(float(options.temperature)))
            if options.top_k:
                self.warpers.append(library.TopKLogitsWarper(options.top_k))
            if options.top_p < 1:
                self.warpers.append(library.TopPLogitsWarper(options.top_p))
            self.warpers.append(library.LogitNormalization())

    def __call__(self, logits: Tensor, logprobs: Tensor, written: Tensor) -> Tensor:
        """Score the next id.

        Args:
            logits: Of the decoder (R, V).
            logprobs: Their log-softmax (R, V), float32.
            written: Ids so far (R, t), with those that were given.

        Returns:
            Scores (R, V): log-probabilities where nothing is asked for, minus infinity where an id
            is not allowed.
        """
        scores = logprobs
        if self.penalty is not None:
            # As transformers does: on logits where one id is chosen, on log-probabilities of beams.
            scores = self.penalty(written, logits.float() if self.on_logits else logprobs)
        if self.bans or len(self.banned):
            allowed = self.bans(written, scores).index_fill(1, self.banned, -torch.inf)
            # Where nothing is left to say, the sentence may end.
            stuck = allowed.isneginf().all(1, keepdim=True)
            scores = allowed.index_copy(1, self.stop_ids, torch.where(
                stuck, scores[:, self.stop_ids], allowed[:, self.stop_ids]))
        return self.warpers(written, scores)


class _Search:
    """One run of ``search``. Sentences that are drawn apart count as samples of their own."""

    def __init__(self, options: Decoding, stop_ids: Sequence[int], pad_id: int,
                 banned: Sequence[int], given: Sequence[int], samples: int, device: torch.device
                 ) -> None:
        self.options = options
        self.stops = torch.tensor(sorted(set(stop_ids)), dtype=torch.long, device=device)
        self.given = torch.tensor(list(given), dtype=torch.long, device=device)
        self.next_scores = NextScores(options, self.stops, banned, len(given))
        self.scorer = build_beam_scorer(options, len(self.stops), pad_id)
        self.copies = (options.num_captions if options.sample and options.num_beams == 1 else 1)
        self.generator = None
        if options.sample and options.seed is not None:
            self.generator = torch.Generator(device).manual_seed(options.seed)
        self.history = History()
        self.finished = FinishedSentences.empty(samples * self.copies, options.num_beams, device)

    def __call__(self, decoder: DecoderStep, logits: Tensor, state: Any
                 ) -> list[list[Hypothesis]]:
        """Step until every sample is done or at the limit of tokens."""
        rows = torch.arange(len(logits), device=logits.device).repeat_interleave(self.copies)
        beams, held = Beams.start(rows, self.given), len(logits)
        logits = logits[rows] if self.copies > 1 else logits
        for step in range(self.options.max_tokens):
            beams = self._advance(beams, logits, step)

            # Samples that are done leave the batch: their neighbours do not wait for them.
            done = self.scorer.done(beams, self.finished) | (step + 1 == self.options.max_tokens)
            if done.any():
                self.scorer.finish(beams.of(done), step, self.finished)
                beams = beams.of(~done)
            if not len(beams.samples):
                break

            # The decoder's state follows the beams that go on, (R, V) logits come back.
            rows = beams.rows.flatten()
            if not _all_in_order(rows, held):
                state = decoder.select(state, rows)
            held = len(rows)
            beams.rows = torch.arange(held, device=rows.device).view_as(beams.rows)
            logits, state = decoder.step(beams.ids[..., -1].flatten(), state)
        return self._sentences()

    def _advance(self, beams: Beams, logits: Tensor, step: int) -> Beams:
        """Write one id in every beam; ``logits`` (n * B, V) are in the order of the beams."""
        # The C best continuations, ranked by processed scores; their own log-probabilities (n, C).
        logprobs = logits.float().log_softmax(-1)
        scores = self.next_scores(logits, logprobs, beams.ids.flatten(0, 1))
        found = self._pick(beams, scores.unflatten(0, beams.totals.shape))
        own = logprobs.unflatten(0, beams.totals.shape).flatten(1).gather(
            1, found.parents * logits.shape[1] + found.tokens)

        # All of them go into the history; the scorer keeps those that have ended.
        self.history.add(found.tokens, own, beams.rows.gather(1, found.parents),
                         beams.slots.gather(1, found.parents))
        slots = torch.arange(own.numel(), device=own.device).view_as(own)
        totals, going = self.scorer.update(beams, found, slots, step, self.finished).topk(
            self.options.num_beams)

        # The best B that go on, (n, B), with the ids before them (n, B, t + 1).
        parents = found.parents.gather(1, going)
        tokens = found.tokens.gather(1, going)
        before = beams.ids.gather(1, parents[..., None].expand(-1, -1, beams.ids.shape[2]))
        return Beams(samples=beams.samples,
                     totals=found.totals.gather(1, going).where(totals.isfinite(), -torch.inf),
                     lengths=found.lengths.gather(1, going),
                     finished=found.finished.gather(1, going),
                     ids=torch.cat([before, tokens[..., None]], 2),
                     rows=beams.rows.gather(1, parents), slots=slots.gather(1, going))

    def _pick(self, beams: Beams, scores: Tensor) -> Candidates:
        """Choose the candidates of a step from the scores (n, B, V) of the next id."""
        # Of all continuations of a sample, (n, B * V), the likeliest C, or C drawn.
        ranks, totals = (value.flatten(1) for value in self.scorer.extend(beams, scores))
        count = min(self.scorer.num_candidates, ranks.shape[1])
        if self.options.sample:
            chosen = torch.multinomial(ranks.softmax(-1), count, generator=self.generator)
        else:
            chosen = ranks.topk(count).indices

        # A vocabulary smaller than the beams leaves some empty.
        lacking = self.scorer.num_candidates - count
        totals = functional.pad(totals.gather(1, chosen), (0, lacking), value=-torch.inf)
        chosen = functional.pad(chosen, (0, lacking))

        # Beam and id of each (n, C); sentences that had ended grow no longer.
        parents = chosen.div(scores.shape[2], rounding_mode='floor')
        tokens = chosen % scores.shape[2]
        had_ended = beams.finished.gather(1, parents)
        return Candidates(totals, parents, tokens,
                          lengths=beams.lengths.gather(1, parents) + ~had_ended,
                          finished=had_ended | torch.isin(tokens, self.stops))

    def _sentences(self) -> list[list[Hypothesis]]:
        """Read the finished sentences of every sample off the history."""
        self.history.unfold()
        stops, everything = set(self.stops.tolist()), []
        for sample, ends in enumerate(self.finished.ends()):
            if not ends:
                raise ValueError(f'no sentence for sample {sample // self.copies}: the scores of '
                                 'the next token are not numbers (NaN); check the weights, or '
                                 'run without --amp')
            everything.append([self.history.read(step, slot, stops) for step, slot in ends])
        if self.copies == 1:
            return everything

        # Sentences drawn apart go back to their sample, the likeliest first.
        drawn = [sentences[0] for sentences in everything]
        return [sorted(drawn[start:start + self.copies], key=lambda sentence: -sentence.score)
                for start in range(0, len(drawn), self.copies)]


def _all_in_order(rows: Tensor, count: int) -> bool:
    return len(rows) == count and torch.equal(rows, torch.arange(count, device=rows.device))


def to_captions(hypotheses: list[list[Hypothesis]], decode: Callable[[list[int]], str],
                max_tokens: int) -> list[list[ScoredCaption]]:
    """Detokenise what a search wrote.

    Args:
        hypotheses: Sentences of every sample, best first.
        decode: A tokenizer's ``decode``: ids to sentence.
        max_tokens: The limit of the search, noted in the captions that were cut at it.
    """
    return [[ScoredCaption(decode(sentence.ids), sentence.score,
                           max_tokens if sentence.truncated else None)
             for sentence in sentences] for sentences in hypotheses]
