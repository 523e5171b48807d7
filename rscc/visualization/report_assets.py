"""Style and behaviour of the HTML report; both are written into the file, nothing is fetched."""

CSS = """
:root { color-scheme: light dark;
  --paper: #f6f7f9; --card: #fff; --ink: #1c2026; --soft: #667079; --line: #dfe3e8;
  --accent: #0c62a8; --good: #0a7d50; --bad: #b3361b; --shade: #eef1f4;
  --tint: #deedfa; }
@media (prefers-color-scheme: dark) { :root {
  --paper: #14171b; --card: #1d2126; --ink: #e6e9ec; --soft: #98a2ac; --line: #333a42;
  --accent: #6cb4f0; --good: #4fc796; --bad: #f08a6c; --shade: #272c33;
  --tint: #1b3a55; } }
* { box-sizing: border-box; }
body { margin: 0; background: var(--paper); color: var(--ink); line-height: 1.5;
  font: 15px/1.5 system-ui, "Segoe UI", Roboto, "Noto Sans", "Noto Sans CJK SC", "PingFang SC",
  "Microsoft YaHei", sans-serif; }
header, main, footer { max-width: 1500px; margin: 0 auto; padding: 0 20px; }
h1 { font-size: 1.5rem; margin: 24px 0 4px; } h2 { font-size: 1.05rem; margin: 24px 0 8px; }
.facts { display: flex; flex-wrap: wrap; gap: 4px 28px; margin: 8px 0; color: var(--soft); }
.facts dt { display: inline; } .facts dt::after { content: ": "; }
.facts dd { display: inline; margin: 0; color: var(--ink); overflow-wrap: anywhere; }
.note { color: var(--soft); max-width: 75ch; margin: 6px 0; }
.tables { display: flex; flex-wrap: wrap; gap: 8px 40px; align-items: flex-start; }
.tables > section { min-width: 0; max-width: 100%; } .scroll { overflow-x: auto; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; }
th, td { padding: 4px 10px; border-bottom: 1px solid var(--line); text-align: right;
  white-space: nowrap; }
th { font-weight: 600; color: var(--soft); } tbody th, thead th:first-child { text-align: left; }
tbody th { color: var(--ink); } tr.floor > * { color: var(--soft); font-weight: 400; }
.bar { position: sticky; top: 0; z-index: 5; background: var(--paper); margin-top: 20px;
  border-block: 1px solid var(--line); }
.bar form { max-width: 1500px; margin: 0 auto; padding: 10px 20px; display: flex; flex-wrap: wrap;
  gap: 8px 16px; align-items: center; }
.bar label { display: flex; align-items: center; gap: 6px; color: var(--soft); }
select, input[type=search], button { font: inherit; color: var(--ink); background: var(--card);
  border: 1px solid var(--line); border-radius: 6px; padding: 4px 8px; max-width: 100%; }
input[type=search] { width: 15rem; } button { cursor: pointer; }
button[aria-pressed=true] { background: var(--accent); color: var(--card); }
:focus-visible { outline: 2px solid var(--accent); outline-offset: 1px; }
.count { margin-left: auto; color: var(--soft); font-variant-numeric: tabular-nums; }
.legend { display: flex; flex-wrap: wrap; gap: 4px 16px; flex-basis: 100%; font-size: .87rem;
  color: var(--soft); } .legend:empty { display: none; }
.legend i { display: inline-block; width: 12px; height: 12px; border-radius: 3px;
  margin-right: 6px; vertical-align: -1px; }
main { padding-top: 16px; padding-bottom: 40px; }
.card { background: var(--card); border: 1px solid var(--line); border-radius: 10px; padding: 14px;
  margin-bottom: 14px; display: grid; gap: 8px 24px; content-visibility: auto;
  contain-intrinsic-size: auto 380px; grid-template-columns: minmax(0, 1fr); }
.card[hidden] { display: none; }
@media (min-width: 1080px) {
  .card { grid-template-columns: minmax(0, 62%) minmax(0, 1fr);
    contain-intrinsic-height: auto 360px; }
  .card > h3 { grid-column: 1 / -1; }
  .card.single { grid-template-columns: 300px minmax(0, 1fr); } }
.card h3 { margin: 0; font-size: 1rem; display: flex; flex-wrap: wrap; gap: 4px 10px;
  align-items: center; overflow-wrap: anywhere; }
.chip { font-size: .78rem; font-weight: 500; padding: 0 8px; border-radius: 99px;
  color: var(--soft); background: var(--shade); }
.chip.wrong { color: var(--bad); } .chip.right { color: var(--good); }
.pictures { display: grid; gap: 10px; align-items: start;
  grid-template-columns: repeat(auto-fit, minmax(min(170px, 100%), 1fr)); }
figure { margin: 0; min-width: 0; } figcaption { font-size: .85rem; color: var(--soft);
  display: flex; gap: 8px; justify-content: space-between; align-items: center; min-height: 30px; }
figcaption button { font-size: .8rem; padding: 0 8px; }
figure img { display: block; width: 100%; border-radius: 4px; }
.missing { border: 1px dashed var(--line); border-radius: 4px; padding: 24px 12px;
  font-size: .85rem; color: var(--bad); overflow-wrap: anywhere; }
.stack { position: relative; --wipe: 0%; overflow: hidden; border-radius: 4px; }
.stack > img ~ img { position: absolute; inset: 0; height: 100%; }
.stack .after { clip-path: inset(0 0 0 var(--wipe)); }
.stack.blink .after { animation: blink 1.2s steps(1) infinite; clip-path: none; }
.stack.blink .layer, .stack.blink .handle { display: none; }
@keyframes blink { 50% { visibility: hidden; } }
.stack .handle { position: absolute; inset: 0 auto 0 var(--wipe); width: 2px; margin-left: -1px;
  background: #fff; box-shadow: 0 0 3px #000; pointer-events: none; }
.stack .handle::after { content: "\\2194"; position: absolute; top: 50%; left: 50%;
  transform: translate(-50%, -50%); background: #fff; color: #1c2026; border-radius: 99px;
  width: 22px; height: 22px; line-height: 21px; text-align: center; font-size: 14px; }
.stack input { position: absolute; inset: 0; width: 100%; height: 100%; margin: 0; opacity: 0;
  cursor: ew-resize; }
.stack:focus-within { outline: 2px solid var(--accent); outline-offset: 2px; }
.layer { display: none !important; }
[data-layer=pred] .layer.pred, [data-layer=gt] .layer.gt, [data-layer=errors] .layer.errors {
  display: block !important; }
.text h4 { margin: 0 0 2px; font-size: .82rem; font-weight: 600; color: var(--soft); }
.text .prediction { font-size: 1.08rem; margin: 0 0 10px; overflow-wrap: anywhere; }
.text .empty { color: var(--soft); font-style: italic; }
.text ul, .text ol { margin: 0 0 10px; padding-left: 1.2em; overflow-wrap: anywhere; }
.text h4.main { color: var(--accent); }
.scores { display: flex; flex-wrap: wrap; gap: 4px 14px; margin: 0 0 8px; font-size: .87rem;
  font-variant-numeric: tabular-nums; color: var(--soft); } .scores b { color: var(--ink); }
details { margin-bottom: 8px; } summary { cursor: pointer; color: var(--soft); font-size: .87rem; }
.agreement { margin: -4px 0 10px; font-size: .87rem; color: var(--soft); display: flex;
  flex-wrap: wrap; gap: 2px 10px; align-items: center; font-variant-numeric: tabular-nums; }
.agreement b { color: var(--accent); } .agreement.doubt b { color: var(--bad); }
.gauge { width: 120px; height: 8px; border-radius: 4px; background: linear-gradient(
  currentColor, currentColor) 0 / calc(100% * var(--share)) no-repeat var(--shade);
  color: var(--accent); } .doubt .gauge { color: var(--bad); }
.strip { grid-column: 1 / -1; margin: 0; border-top: 1px solid var(--line); padding-top: 8px; }
.strip ol { list-style: none; margin: 0; padding: 0; }
.strip li { display: grid; gap: 0 16px; padding: 4px 0; align-items: start;
  grid-template-columns: 112px 84px minmax(0, 1fr); }
.strip li + li { border-top: 1px solid var(--shade); }
.sigma { font-size: .82rem; color: var(--soft); line-height: 1.8;
  font-variant-numeric: tabular-nums; white-space: nowrap; }
.sigma small { display: block; line-height: 1.2; font-size: .75rem; }
.strip i { height: 4px; border-radius: 2px; background: var(--soft); margin-top: 10px;
  width: max(5px, 100% * var(--noise)); }
.strip p { margin: 0; color: var(--soft); overflow-wrap: anywhere; }
.strip b { color: var(--ink); font-weight: 500; }
.strip mark { color: var(--accent); background: var(--tint); border-radius: 4px; padding: 0 4px;
  margin: 0 -2px; box-decoration-break: clone; -webkit-box-decoration-break: clone; }
.strip u { text-decoration: underline dotted; text-underline-offset: 4px; }
.strip .kinds { display: flex; flex-wrap: wrap; gap: 2px 18px; font-size: .82rem;
  padding: 4px 0 6px 228px; }
.none { color: var(--soft); padding: 40px 0; text-align: center; }
@media (max-width: 640px) { .count { margin-left: 0; }
  .strip li { grid-template-columns: 1fr 84px; } .strip li p { grid-column: 1 / -1; }
  .strip .kinds { padding-left: 0; }
  .sigma small { display: inline; margin-left: 10px; }
  header, main, .bar form { padding-inline: 12px; }
  .bar { position: static; } input[type=search] { width: 100%; } .bar label.wide { width: 100%; } }
@media (prefers-reduced-motion: reduce) { .stack.blink .after { animation-duration: 3s; } }
@media print { :root { --paper: #fff; --card: #fff; --ink: #000; --soft: #444; --line: #ccc; }
  .bar, figcaption button, .handle { display: none !important; }
  .card { content-visibility: visible; break-inside: avoid; } body { font-size: 11px; }
  * { print-color-adjust: exact; -webkit-print-color-adjust: exact; } }
"""

SCRIPT = """
(() => {
  const $ = (query, root = document) => root.querySelector(query);
  const main = $('main'), form = $('.bar form'), legend = $('.legend');
  const cards = [...document.querySelectorAll('.card')].map((node, index) => ({
    node, index, flag: node.dataset.flag, wrong: 'wrong' in node.dataset,
    abstained: 'abstained' in node.dataset,
    scores: JSON.parse(node.dataset.scores),
    text: ($('h3', node).textContent + ' ' + $('.text', node).textContent).toLowerCase() }));
  const legends = JSON.parse($('#legends').textContent);

  function matches(card, show, words) {
    const marks = {wrong: card.wrong, abstained: card.abstained};
    if (show !== 'all' && !(marks[show] ?? card.flag === show)) return false;
    return words.every(word => card.text.includes(word));
  }
  // A sample without the chosen score goes last in either direction.
  function compare(key, direction) {
    return (a, b) => {
      const [x, y] = [a.scores[key], b.scores[key]];
      if (x === undefined || y === undefined) return (x === undefined) - (y === undefined)
        || a.index - b.index;
      return direction * (x - y) || a.index - b.index;
    };
  }
  function update() {
    const [key, order] = form.sort.value.split('|');
    const words = form.search.value.toLowerCase().split(/\\s+/).filter(Boolean);
    const sorted = key ? [...cards].sort(compare(key, order === 'worst' ? 1 : -1)) : cards;
    let shown = 0;
    for (const card of sorted) {
      card.node.hidden = !matches(card, form.show.value, words);
      shown += !card.node.hidden;
    }
    main.append(...sorted.map(card => card.node));
    $('.count').textContent = shown + ' of ' + cards.length + ' samples';
    $('.none').hidden = shown > 0;
    if (form.layer) drawLegend();
  }
  function drawLegend() {
    main.dataset.layer = form.layer.value;
    legend.replaceChildren(...(legends[form.layer.value] || []).map(([name, colour]) => {
      const entry = document.createElement('span'), box = document.createElement('i');
      box.style.background = colour;
      entry.append(box, name);
      return entry;
    }));
  }
  // The comparison reuses the pictures of the two dates, so they are stored once.
  for (const stack of document.querySelectorAll('.stack')) {
    const [before, after] = stack.closest('.pictures').querySelectorAll('img.date');
    $('.before', stack).src = before.src;
    $('.after', stack).src = after.src;
    const slider = $('input', stack);
    const wipe = () => stack.style.setProperty('--wipe', slider.value + '%');
    slider.addEventListener('input', wipe);
    wipe();
  }
  main.addEventListener('click', event => {
    if (!event.target.matches('.blinker')) return;
    const on = $('.stack', event.target.closest('figure')).classList.toggle('blink');
    event.target.setAttribute('aria-pressed', on);
  });
  if (form.strips) form.strips.addEventListener('change', () => {
    for (const strip of document.querySelectorAll('.strip')) strip.open = form.strips.checked;
  });
  form.addEventListener('submit', event => event.preventDefault());
  form.addEventListener('input', update);
  update();
})();
"""
