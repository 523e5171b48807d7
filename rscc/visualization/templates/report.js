// Parts of the report, sorting and filtering, pictures as they come near, evidence of words.
(() => {
  'use strict';
  const $ = (query, root = document) => root.querySelector(query);
  const $$ = (query, root = document) => [...root.querySelectorAll(query)];
  const main = $('main'), form = $('.bar form'), legend = $('.legend');
  const legends = JSON.parse($('#legends').textContent);
  const cards = $$('.card').map((node, index) => ({
    node,
    index,
    marks: node.dataset.marks.split(' '),
    scores: JSON.parse(node.dataset.scores),
  }));
  let order = cards;

  // The text of a card is collected when somebody searches for the first time.
  const textOf = card => card.text ??=
    ($('h3', card.node).textContent + ' ' + $('.text', card.node).textContent).toLowerCase();

  function matches(card, show, words) {
    return (show === 'all' || card.marks.includes(show)) &&
      words.every(word => textOf(card).includes(word));
  }

  // A sample without the chosen score goes last in either direction.
  function compare(key, direction) {
    return (a, b) => {
      const [x, y] = [a.scores[key], b.scores[key]];
      if (x === undefined || y === undefined) {
        return (x === undefined) - (y === undefined) || a.index - b.index;
      }
      return direction * (x - y) || a.index - b.index;
    };
  }

  function update() {
    const [key, way] = form.sort.value.split('|');
    const words = form.search.value.toLowerCase().split(/\s+/).filter(Boolean);
    const sorted = key ? [...cards].sort(compare(key, way === 'worst' ? 1 : -1)) : cards;
    let shown = 0;
    for (const card of sorted) {
      card.node.hidden = !matches(card, form.show.value, words);
      shown += !card.node.hidden;
    }
    if (sorted.some((card, place) => card !== order[place])) {
      main.append(...sorted.map(card => card.node));
      order = sorted;
    }
    const numbers = [shown, cards.length];
    $('.count').textContent = form.dataset.shown.replace(/\{\}/g, () => numbers.shift());
    $('.none').hidden = shown > 0;
    if (form.layer) showLayer();
  }

  function showLayer() {
    main.dataset.layer = form.layer.value;
    legend.replaceChildren(...(legends[form.layer.value] || []).map(([name, colour]) => {
      const entry = document.createElement('span'), box = document.createElement('i');
      box.style.background = colour;
      entry.append(box, name);
      return entry;
    }));
  }

  // Pictures of a card are decoded when it comes near. The comparison reuses those of the dates.
  function showPictures(node) {
    if (node.dataset.ready) return;
    node.dataset.ready = 'yes';
    for (const image of $$('img[data-src]', node)) {
      image.src = image.dataset.src;
      delete image.dataset.src;
    }
    const stack = $('.stack', node);
    if (!stack) return;
    const [before, after] = $$('img.date', node);
    $('.before', stack).src = before.src;
    $('.after', stack).src = after.src;
    moveWipe(stack);
  }

  function moveWipe(stack) {
    const value = $('input', stack).value / 100, width = stack.clientWidth;
    const half = $('.handle i', stack).offsetWidth / 2 || 14;
    const lean = Math.min(Math.max(value * width, half), width - half) - value * width;
    stack.style.setProperty('--wipe', 100 * value + '%');
    stack.style.setProperty('--lean', width ? lean + 'px' : '0px');
  }

  const near = new IntersectionObserver(entries => {
    for (const entry of entries) {
      if (!entry.isIntersecting) continue;
      showPictures(entry.target);
      near.unobserve(entry.target);
    }
  }, {rootMargin: '900px 0px'});
  for (const {node} of cards) near.observe(node);
  addEventListener('beforeprint', () => cards.forEach(card => showPictures(card.node)));

  main.addEventListener('input', event => {
    if (event.target.matches('.stack input')) moveWipe(event.target.closest('.stack'));
  });
  main.addEventListener('click', event => {
    if (!event.target.matches('.blinker')) return;
    const on = $('.stack', event.target.closest('figure')).classList.toggle('blink');
    event.target.setAttribute('aria-pressed', on);
  });

  // Where the model looked for a word: its map over every date, and that of the differences over
  // the comparison. Cold places go dark, hot ones glow.
  const GLOW = [[0, 0, 4], [60, 9, 101], [136, 34, 106], [203, 65, 73], [247, 130, 18],
                [252, 205, 60], [252, 255, 164]];

  function glow(level) {
    const place = level / 255 * (GLOW.length - 1), below = Math.min(Math.floor(place), 5);
    return GLOW[below].map((from, i) => from + (GLOW[below + 1][i] - from) * (place - below));
  }

  function drawMap(canvas, sheet, [, , rows, columns], word, group) {
    canvas.width = columns;
    canvas.height = rows;
    const context = canvas.getContext('2d', {willReadFrequently: true});
    context.drawImage(sheet, word * columns, group * rows, columns, rows, 0, 0, columns, rows);
    const pixels = context.getImageData(0, 0, columns, rows);
    for (let at = 0; at < pixels.data.length; at += 4) {
      const level = pixels.data[at];
      pixels.data.set([...glow(level), 165 - 30 * level / 255], at);
    }
    context.putImageData(pixels, 0, 0);
  }

  let lit = null;

  function leaveWord() {
    if (!lit) return;
    lit.classList.remove('on');
    for (const canvas of $$('canvas', lit.closest('.card'))) canvas.remove();
    lit = null;
  }

  async function showWord(word) {
    if (word === lit) return;
    leaveWord();
    if (!word) return;
    lit = word;
    word.classList.add('on');
    const card = word.closest('.card'), sentence = word.closest('.prediction');
    const grid = sentence.dataset.grid.split(' ').map(Number);
    const number = $$('[data-word]', sentence).indexOf(word);
    showPictures(card);
    const sheet = sentence.sheet ??= Object.assign(new Image(), {src: sentence.dataset.evidence});
    await sheet.decode();
    if (lit !== word) return;
    const frames = $$('.frame', card);
    for (let group = 0; group < Math.min(grid[1], frames.length); group++) {
      const canvas = document.createElement('canvas');
      drawMap(canvas, sheet, grid, number, group);
      frames[group].append(canvas);
    }
  }

  document.addEventListener('pointerover', event => {
    if (event.pointerType !== 'touch') showWord(event.target.closest('[data-word]'));
  });
  main.addEventListener('click', event => {
    const word = event.target.closest('[data-word]');
    if (word || lit) showWord(word);
  });
  main.addEventListener('keydown', event => {
    const sentence = event.target.closest('.prediction[data-evidence]');
    const step = {ArrowRight: 1, ArrowLeft: -1}[event.key];
    if (!sentence || !(step || event.key === 'Escape')) return;
    const words = $$('[data-word]', sentence), at = words.indexOf(lit);
    showWord(step ? words[(at + step + words.length + (at < 0 && step < 0)) % words.length] : null);
    event.preventDefault();
  });
  main.addEventListener('focusout', leaveWord);

  // One part at a time; an example of a failure leads to its card among those of its kind.
  function open(name) {
    const part = document.getElementById(name);
    if (!part?.classList.contains('part')) return;
    for (const other of $$('.part')) {
      other.classList.toggle('open', other === part);
      other.classList.toggle('closed', other !== part);
    }
    for (const tab of $$('.tabs a')) {
      if (tab.hash === '#' + name) tab.setAttribute('aria-current', 'true');
      else tab.removeAttribute('aria-current');
    }
    if (name === 'failures') $$('.example', part).forEach(fillExample);
  }

  function fillExample(example) {
    const thumbs = $('.thumbs', example);
    if (thumbs.children.length) return;
    for (const date of $$('img.date', document.getElementById(example.hash.slice(1)))) {
      const image = new Image();
      image.alt = date.alt;
      image.src = date.dataset.src || date.src;
      thumbs.append(image);
    }
  }

  function showKind(kind) {
    form.show.value = kind;
    form.search.value = '';
    update();
    open('samples');
  }

  document.addEventListener('click', event => {
    const tab = event.target.closest('.tabs a'), example = event.target.closest('.example');
    const more = event.target.closest('.more');
    if (tab) {
      event.preventDefault();
      open(tab.hash.slice(1));
      history.replaceState(null, '', tab.hash);
    } else if (example) {
      event.preventDefault();
      showKind(example.dataset.kind);
      const card = document.getElementById(example.hash.slice(1));
      $('.found')?.classList.remove('found');
      card.classList.add('found');
      card.scrollIntoView();
    } else if (more) {
      showKind(more.dataset.show);
      scrollTo(0, 0);
    }
  });
  addEventListener('hashchange', () => open(location.hash.slice(1)));

  form.trajectories?.addEventListener('change', () => {
    for (const node of $$('.trajectory')) node.open = form.trajectories.checked;
  });
  form.addEventListener('submit', event => event.preventDefault());
  form.addEventListener('input', update);
  open('samples');
  open(location.hash.slice(1));
  update();
})();
