// Comparing the dates, dimming the map, and finding regions in list and picture.
(() => {
  'use strict';
  const $ = (selector, root = document) => root.querySelector(selector);
  const stage = $('.stage'), wipe = $('.wipe'), handle = $('.handle'), spot = $('.spot');
  const form = $('form.bar'), list = $('.cards');
  const cards = [...document.querySelectorAll('.card')].map(node => ({
    node,
    bounds: JSON.parse(node.dataset.bounds),
    group: node.dataset.group,
    text: node.textContent.toLowerCase(),
    order: Number(node.dataset.order),
    area: Number(node.dataset.area),
    score: Number(node.dataset.score),
  }));

  function moveWipe() {
    const half = handle.firstElementChild.offsetWidth / 2, width = stage.clientWidth;
    const x = wipe.value / 100 * width;
    stage.style.setProperty('--wipe', wipe.value + '%');
    handle.style.setProperty('--lean', Math.min(Math.max(x, half), width - half) - x + 'px');
  }

  // The place of a pointer in percent of the picture.
  function placeOf(event) {
    const box = stage.getBoundingClientRect();
    return [100 * (event.clientX - box.left) / box.width,
            100 * (event.clientY - box.top) / box.height];
  }

  function wipeTo(event) {
    if (!wipe) return;
    wipe.value = placeOf(event)[0];
    moveWipe();
  }

  // The smallest listed region below a pointer, with a margin for fingers.
  function cardAt(event) {
    const [x, y] = placeOf(event);
    const marginX = 800 / stage.clientWidth, marginY = 800 / stage.clientHeight;
    const size = ({bounds: [left, top, right, bottom]}) => (right - left) * (bottom - top);
    return cards.filter(({node, bounds: [left, top, right, bottom]}) => !node.hidden &&
      x > left - marginX && x < right + marginX && y > top - marginY && y < bottom + marginY)
      .sort((one, other) => size(one) - size(other))[0];
  }

  function select(card) {
    $('.card[aria-current]')?.removeAttribute('aria-current');
    card.node.setAttribute('aria-current', 'true');
    const [left, top, right, bottom] = card.bounds;
    Object.assign(spot.style, {
      left: (left + right) / 2 + '%', top: (top + bottom) / 2 + '%',
      width: `calc(${right - left}% + 14px)`, height: `calc(${bottom - top}% + 14px)`,
    });
    spot.hidden = false;
    spot.classList.remove('new');
    void spot.offsetWidth;  // starts the animation again
    spot.classList.add('new');
  }

  let pressed = null;
  stage.addEventListener('pointerdown', event => {
    if (event.button) return;
    pressed = {x: event.clientX, moved: false};
    wipe?.focus({preventScroll: true});  // arrow keys go on from here
    stage.setPointerCapture(event.pointerId);
  });
  stage.addEventListener('pointermove', event => {
    if (!pressed) return;
    pressed.moved ||= Math.abs(event.clientX - pressed.x) > 4;
    if (pressed.moved) wipeTo(event);
  });
  stage.addEventListener('pointerup', event => {
    if (pressed && !pressed.moved) {
      const card = cardAt(event);
      if (card) {
        select(card);
        card.node.scrollIntoView({block: 'center', behavior: 'smooth'});
      } else {
        wipeTo(event);
      }
    }
    pressed = null;
  });
  stage.addEventListener('pointercancel', () => { pressed = null; });

  list.addEventListener('click', event => {
    const node = event.target.closest('.card');
    if (!node || getSelection().toString()) return;
    select(cards.find(card => card.node === node));
    const {top, bottom} = stage.getBoundingClientRect();
    if (event.target.closest('button, .crops') && (top < -40 || bottom > innerHeight + 40)) {
      stage.scrollIntoView({block: 'center', behavior: 'smooth'});
    }
  });

  const compare = {
    area: (one, other) => other.area - one.area,
    score: (one, other) => other.score - one.score,
    group: (one, other) => one.group.localeCompare(other.group) || other.area - one.area ||
      other.score - one.score,
    order: (one, other) => one.order - other.order,
  };

  function update() {
    const words = form.search.value.toLowerCase().split(/\s+/).filter(Boolean);
    const group = form.group?.value;
    let shown = 0;
    for (const card of cards) {
      card.node.hidden = Boolean(group) && card.group !== group ||
        !words.every(word => card.text.includes(word));
      shown += !card.node.hidden;
    }
    list.append(...[...cards].sort(compare[form.sort.value]).map(card => card.node));
    const [count, total] = [shown, cards.length];
    $('.shown').textContent = form.dataset.shown.replace('{}', count).replace('{}', total);
    $('.none').hidden = shown > 0 || !cards.length;
  }

  if (wipe) {
    wipe.addEventListener('input', moveWipe);
    addEventListener('resize', moveWipe);
    moveWipe();
  }
  $('.opacity')?.addEventListener('input', event => {
    $('.map', stage).style.opacity = event.target.value / 100;
  });
  form.addEventListener('submit', event => event.preventDefault());
  form.addEventListener('input', update);
  form.hidden = !cards.length;
  update();
})();
