/* What the page does by itself: the line between the dates, the strength of the map, uploads. */
(function () {
  'use strict';

  document.addEventListener('input', function (event) {
    var input = event.target;
    if (!(input instanceof HTMLInputElement)) { return; }
    if (input.classList.contains('cut')) {
      input.closest('.rscc-swipe').style.setProperty('--cut', input.value + '%');
    } else if (input.classList.contains('dim')) {
      var swipe = input.closest('.rscc-view').querySelector('.rscc-swipe');
      swipe.style.setProperty('--dim', input.value / 100);
    }
  });

  /* The native slider jumps by its thumb's width; the line follows the pointer exactly. */
  document.addEventListener('pointermove', follow);
  document.addEventListener('pointerdown', follow);
  function follow(event) {
    var input = event.target;
    if (!(input instanceof HTMLInputElement) || !input.classList.contains('cut')) { return; }
    if (event.type === 'pointermove' && event.buttons !== 1) { return; }
    var box = input.getBoundingClientRect();
    var cut = Math.min(100, Math.max(0, 100 * (event.clientX - box.left) / box.width));
    input.closest('.rscc-swipe').style.setProperty('--cut', cut + '%');
  }
  document.addEventListener('pointerup', function (event) {
    var input = event.target;
    if (!(input instanceof HTMLInputElement) || !input.classList.contains('cut')) { return; }
    var box = input.getBoundingClientRect();
    input.value = Math.round(100 * (event.clientX - box.left) / box.width);
  });

  /* On a telephone the answer stands below the form: go there. */
  document.addEventListener('click', function (event) {
    var button = event.target.closest('[id^=rscc-run-]');
    if (!button || window.innerWidth > 700) { return; }
    var answer = document.getElementById(button.id.replace('run', 'answer'));
    window.setTimeout(function () {
      answer.closest('.column').scrollIntoView({ behavior: 'smooth', block: 'start' });
    }, 300);
  });

  function say(zone, busy, problem) {
    zone.querySelector('.busy').textContent = busy;
    zone.querySelector('.say').textContent = problem;
  }

  /* Send a file as it is; the answer is a token, or a sentence about what is wrong with it. */
  function send(zone, file, done) {
    var request = new XMLHttpRequest();
    request.open('POST', 'rscc/upload');
    request.setRequestHeader('Content-Type', 'application/octet-stream');
    request.setRequestHeader('X-File-Name', encodeURIComponent(file.name).slice(0, 2000));
    request.upload.addEventListener('progress', function (event) {
      if (!event.lengthComputable) { return; }
      var share = Math.floor(100 * event.loaded / event.total);
      say(zone, share < 100 ? zone.dataset.sending + ' ' + share + ' %' : zone.dataset.received,
          '');
    });
    request.addEventListener('load', function () {
      var answer;
      try { answer = JSON.parse(request.responseText); } catch (error) { answer = {}; }
      if (request.status === 200 && answer.token) { done(answer.token); return; }
      say(zone, '', answer.problem || zone.dataset.lost);
    });
    request.addEventListener('error', function () { say(zone, '', zone.dataset.lost); });
    var most = Number(zone.dataset.most);
    if (most && file.size > most) {  // the server refuses it as well, but only after it was sent
      say(zone, '', zone.dataset.large.replace('{name}', file.name)
        .replace('{found}', Math.ceil(file.size / 1e6)));
      return;
    }
    say(zone, zone.dataset.sending, '');
    request.send(file);
  }

  /* Called once for every part of the page that takes images. */
  window.rsccZones = function (element, trigger) {
    /* The server tells refusals in the language that the page is shown in. */
    function tell() {
      var zone = element.querySelector('.rscc-zone');
      if (zone) {
        document.cookie = 'rscc_language=' + zone.dataset.language + '; path=/; SameSite=Strict';
      }
    }
    tell();
    new MutationObserver(tell).observe(element, { childList: true, subtree: true });
    function zoneOf(event) { return event.target.closest('.rscc-zone'); }
    function take(zone, files) {
      if (files && files.length) {
        send(zone, files[0], function (token) {
          trigger('upload', { date: zone.dataset.date, token: token });
        });
      }
    }
    element.addEventListener('change', function (event) {
      var zone = zoneOf(event);
      if (zone && event.target.type === 'file') {
        take(zone, event.target.files);
        event.target.value = '';
      }
    });
    element.addEventListener('dragover', function (event) {
      var zone = zoneOf(event);
      if (zone) { event.preventDefault(); zone.classList.add('over'); }
    });
    element.addEventListener('dragleave', function (event) {
      var zone = zoneOf(event);
      if (zone) { zone.classList.remove('over'); }
    });
    element.addEventListener('drop', function (event) {
      var zone = zoneOf(event);
      if (zone) {
        event.preventDefault();
        zone.classList.remove('over');
        take(zone, event.dataTransfer.files);
      }
    });
    element.addEventListener('click', function (event) {
      var button = event.target.closest('[data-example]');
      if (button) { trigger('select', { name: button.dataset.example }); }
    });
  };
}());
