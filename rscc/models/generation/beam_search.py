"""Search for captions: greedy, beams or drawn, for every head that writes token by token.

A head wraps its decoder in a ``Stepper``; ``search`` does the rest for all samples and beams of a
batch together. Samples that are done leave the batch, so a long sentence does not keep its
neighbours computing; sentences are read off back pointers at the very end.
"""
from collections.abc import Callable, Sequence
from typing import Any, Protocol

import torch
from torch import Tensor

from rscc.models.generation.beam_scorers import (
    Beams,
    Candidates,
    Finished,
    History,
    Hypothesis,
    StandardRule,
    build_rule,
)
from rscc.models.generation.constraints import Constraints
from rscc.models.generation.options import Decoding
from rscc.structures import ScoredCaption


class Stepper(Protocol):
    """A decoder seen one id at a time; a state holds whatever it remembers of R rows."""

    def step(self, ids: Tensor | None, state: Any) -> tuple[Tensor, Any]:
        """Read one id a row and score the next.

        Args:
            ids: The id just chosen in each row (R,); None at the start, where each row is one
                sample and what is given (a prefix, a start id) is in the state.
            state: As ``select`` or the last step left it.

        Returns:
            Logits of the next id (R, V), and the new state.
        """

    def select(self, state: Any, rows: Tensor) -> Any:
        """Return the state of these rows (R',) in this order; a row may come several times."""


@torch.no_grad()
def search(stepper: Stepper, state: Any, options: Decoding, stop_ids: Sequence[int], pad_id: int,
           max_tokens: int | None = None, banned: Sequence[int] = (),
           given: Sequence[int] = ()) -> list[list[Hypothesis]]:
    """Write sentences for every sample: greedy, beams, or drawn.

    Greedy search (``num_beams=1``) takes the likeliest id each time; ``sample`` draws it, each of
    ``num_captions`` sentences for itself; more beams follow ``options.beam_rule``. Greedy search
    and the standard beams choose the ids that transformers' ``generate`` chooses.

    Args:
        stepper: The decoder.
        state: Its state before the first id, one row a sample.
        options: How to search.
        stop_ids: Ids that end a sentence; with none, all are written to the limit.
        pad_id: Id that is fed to beams after their end, where the rule keeps them.
        max_tokens: Most ids in a sentence, stop id included; ``options.max_tokens`` if None,
            so that no sentence has more words than that (one of just as many has no stop id).
        banned: Ids that are never written.
        given: Ids that every sentence starts with and that are not returned; they only count as
            written where repetition is discouraged.

    Returns:
        Per sample ``options.num_captions`` hypotheses (fewer where no more exist): beams best
        first by their rule, drawn sentences by score.

    Raises:
        ValueError: If a sample's scores are not numbers.
    """
    logits, state = stepper.step(None, state)
    limit = options.max_tokens if max_tokens is None else max_tokens
    run = _Search(options, stop_ids, pad_id, limit, banned, len(logits), logits.device)
    written = torch.tensor(list(given), dtype=torch.long, device=logits.device)
    return [sentences[:options.num_captions]
            for sentences in run(stepper, logits, state, written)]


class _Search:
    """One run of ``search``. Sentences that are drawn apart count as samples of their own."""

    def __init__(self, options: Decoding, stop_ids: Sequence[int], pad_id: int, limit: int,
                 banned: Sequence[int], samples: int, device: torch.device) -> None:
        self.options, self.limit = options, limit
        self.stops = torch.tensor(sorted(set(stop_ids)), dtype=torch.long, device=device)
        self.constraints = Constraints(options, self.stops, torch.tensor(
            list(banned), dtype=torch.long, device=device))
        self.rule: StandardRule = build_rule(options, len(self.stops), pad_id, limit)
        self.copies = (options.num_captions if options.sample and options.num_beams == 1 else 1)
        self.generator = None
        if options.sample and options.seed is not None:
            self.generator = torch.Generator(device).manual_seed(options.seed)
        self.history = History()
        self.finished = Finished.empty(samples * self.copies, options.num_beams, device)

    def __call__(self, stepper: Stepper, logits: Tensor, state: Any, given: Tensor
                 ) -> list[list[Hypothesis]]:
        """Step until every sample is done or at the limit."""
        rows = torch.arange(len(logits), device=logits.device).repeat_interleave(self.copies)
        beams, held = Beams.start(rows, given), len(logits)
        logits = logits[rows] if self.copies > 1 else logits
        for step in range(self.limit):
            beams = self._advance(beams, logits, step)
            done = self.rule.done(beams, self.finished) | (step + 1 == self.limit)
            if done.any():
                self.rule.leave(beams.of(done), step, self.finished)
                beams = beams.of(~done)
            if not len(beams.samples):
                break
            rows = beams.rows.flatten()
            if not _all_in_order(rows, held):
                state = stepper.select(state, rows)
            held = len(rows)
            beams.rows = torch.arange(held, device=rows.device).view_as(beams.rows)
            logits, state = stepper.step(beams.ids[..., -1].flatten(), state)
        return self._sentences()

    def _advance(self, beams: Beams, logits: Tensor, step: int) -> Beams:
        """Write one id in every beam; ``logits`` (n * B, V) are in the order of the beams."""
        logprobs = logits.float().log_softmax(-1)
        scores = self.constraints(logits, logprobs, beams.ids.flatten(0, 1), step)
        found = self._pick(beams, scores.unflatten(0, beams.totals.shape))
        own = logprobs.unflatten(0, beams.totals.shape).flatten(1).gather(
            1, found.parents * logits.shape[1] + found.tokens)
        self.history.add(found.tokens, own, beams.rows.gather(1, found.parents),
                         beams.slots.gather(1, found.parents))
        slots = torch.arange(own.numel(), device=own.device).view_as(own)
        totals, going = self.rule.settle(beams, found, slots, step, self.finished).topk(
            self.options.num_beams)
        parents = found.parents.gather(1, going)
        tokens = found.tokens.gather(1, going)
        before = beams.ids.gather(1, parents[..., None].expand(-1, -1, beams.ids.shape[2]))
        return Beams(samples=beams.samples,
                     totals=found.totals.gather(1, going).where(totals.isfinite(), -torch.inf),
                     lengths=found.lengths.gather(1, going), closed=found.closed.gather(1, going),
                     ids=torch.cat([before, tokens[..., None]], 2),
                     rows=beams.rows.gather(1, parents), slots=slots.gather(1, going))

    def _pick(self, beams: Beams, scores: Tensor) -> Candidates:
        """Choose the candidates of a step from the scores (n, B, V) of the next id."""
        ranks, totals = (value.flatten(1) for value in self.rule.extend(beams, scores))
        count = min(self.rule.num_candidates, ranks.shape[1])
        if self.options.sample:
            chosen = torch.multinomial(ranks.softmax(-1), count, generator=self.generator)
        else:
            chosen = ranks.topk(count).indices
        # A vocabulary smaller than the beams leaves some empty.
        lacking = self.rule.num_candidates - count
        totals = torch.nn.functional.pad(totals.gather(1, chosen), (0, lacking), value=-torch.inf)
        chosen = torch.nn.functional.pad(chosen, (0, lacking))
        parents = chosen.div(scores.shape[2], rounding_mode='floor')
        tokens = chosen % scores.shape[2]
        was_closed = beams.closed.gather(1, parents)
        return Candidates(totals, parents, tokens,
                          lengths=beams.lengths.gather(1, parents) + ~was_closed,
                          closed=was_closed | torch.isin(tokens, self.stops))

    def _sentences(self) -> list[list[Hypothesis]]:
        """Read the finished sentences of every sample off the history."""
        self.history.unfold()
        stops, everything = set(self.stops.tolist()), []
        for sample, ends in enumerate(self.finished.ends()):
            if not ends:
                raise ValueError(f'no sentence for sample {sample // self.copies}: the scores of '
                                 'the next token are not numbers; check the weights and, under '
                                 'mixed precision, the range of the activations')
            everything.append([self.history.read(step, slot, stops) for step, slot in ends])
        if self.copies == 1:
            return everything
        drawn = [sentences[0] for sentences in everything]
        return [sorted(drawn[start:start + self.copies], key=lambda sentence: -sentence.score)
                for start in range(0, len(drawn), self.copies)]


def _all_in_order(rows: Tensor, count: int) -> bool:
    return len(rows) == count and torch.equal(rows, torch.arange(count, device=rows.device))


def to_captions(hypotheses: list[list[Hypothesis]], decode: Callable[[list[int]], str]
                ) -> list[list[ScoredCaption]]:
    """Detokenise what a search wrote.

    Args:
        hypotheses: Sentences of every sample, best first.
        decode: A tokenizer's ``decode``: ids to sentence.
    """
    return [[ScoredCaption(decode(sentence.ids), sentence.score) for sentence in sentences]
            for sentences in hypotheses]
