(() => {
  const $ = (query, root = document) => root.querySelector(query);
  const main = $('main'), form = $('.bar form'), legend = $('.legend');
  const legends = JSON.parse($('#legends').textContent);
  const cards = [...document.querySelectorAll('.card')].map((node, index) => ({
    node,
    index,
    scores: JSON.parse(node.dataset.scores),
    text: ($('h3', node).textContent + ' ' + $('.text', node).textContent).toLowerCase(),
  }));

  // 'changed' and 'unchanged' are a card's flag, the other choices marks that it may have.
  function matches({node, text}, show, words) {
    const fits = show === 'all' || node.dataset.flag === show || show in node.dataset;
    return fits && words.every(word => text.includes(word));
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
    const [key, order] = form.sort.value.split('|');
    const words = form.search.value.toLowerCase().split(/\s+/).filter(Boolean);
    const sorted = key ? [...cards].sort(compare(key, order === 'worst' ? 1 : -1)) : cards;
    let shown = 0;
    for (const card of sorted) {
      card.node.hidden = !matches(card, form.show.value, words);
      shown += !card.node.hidden;
    }
    main.append(...sorted.map(card => card.node));
    $('.count').textContent = `${shown} of ${cards.length} samples`;
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

  form.trajectories?.addEventListener('change', () => {
    for (const node of document.querySelectorAll('.trajectory')) {
      node.open = form.trajectories.checked;
    }
  });
  form.addEventListener('submit', event => event.preventDefault());
  form.addEventListener('input', update);
  update();
})();
