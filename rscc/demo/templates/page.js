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

  /* Images on their way, by tab of the page: nothing is described before they have arrived. */
  var expected = {};

  function runButton(side) { return document.getElementById('rscc-run-' + side); }
  function expect(side) {
    expected[side] = (expected[side] || 0) + 1;
    var button = runButton(side);
    if (button && !button.disabled) { button.disabled = button.rsccHeld = true; }
  }
  function arrived(side) {
    expected[side] -= 1;
    var button = runButton(side);
    if (!expected[side] && button && button.rsccHeld) {
      button.disabled = button.rsccHeld = false;
    }
  }
  /* The framework may enable the button meanwhile, and an attribute stops no script. */
  document.addEventListener('click', function (event) {
    var button = event.target.closest('[id^=rscc-run-]');
    if (button && expected[button.id.replace('rscc-run-', '')]) {
      event.preventDefault();
      event.stopImmediatePropagation();
    }
  }, true);

  /* On a telephone the answer stands below the form: go there. */
  document.addEventListener('click', function (event) {
    var button = event.target.closest('[id^=rscc-run-]');
    if (!button || window.innerWidth > 700) { return; }
    var answer = document.getElementById(button.id.replace('run', 'answer'));
    window.setTimeout(function () {
      answer.closest('.column').scrollIntoView({ behavior: 'smooth', block: 'start' });
    }, 300);
  });

  /* Texts are told as functions of a zone's words: in the language that the page is shown in, and
     anew when another one is chosen. */
  function lost(words) { return words.lost; }

  /* Send a file as it is; the answer is a token, or a sentence about what is wrong with it. */
  function send(file, tell, done, failed) {
    var request = new XMLHttpRequest();
    request.open('POST', 'rscc/upload');
    request.setRequestHeader('Content-Type', 'application/octet-stream');
    request.setRequestHeader('X-File-Name', encodeURIComponent(file.name).slice(0, 2000));
    request.upload.addEventListener('progress', function (event) {
      if (!event.lengthComputable) { return; }
      var share = Math.floor(100 * event.loaded / event.total);
      tell(function (words) {
        return share < 100 ? words.sending + ' ' + share + ' %' : words.received;
      });
    });
    request.addEventListener('load', function () {
      var answer;
      try { answer = JSON.parse(request.responseText); } catch (error) { answer = {}; }
      if (request.status === 200 && answer.token) { done(answer.token); return; }
      failed(function (words) {
        return (answer.problems || {})[words.language] || answer.problem || lost(words);
      });
    });
    request.addEventListener('error', function () { failed(lost); });
    tell(function (words) { return words.sending; });
    request.send(file);
    return request;
  }

  /* Called once for every part of the page that takes images. */
  window.rsccZones = function (element, trigger) {
    var side = element.closest('[id^=rscc-zones-]').id.replace('rscc-zones-', '');
    var sending = {};   // date -> the request that brings its image
    var asked = {};     // turn -> date of what the server was told and has not shown yet
    var told = {};      // date -> what its zone says: [busy, problem], functions of its words
    var line = [];      // what the server is told next: one thing after the other
    var turns = 0;

    function zones() { return Array.from(element.querySelectorAll('.rscc-zone')); }
    function zoneFor(date) {
      return zones().find(function (zone) { return zone.dataset.date === date; });
    }
    function say(date, busy, problem) {
      zones().forEach(function (zone) {
        if (date === null || zone.dataset.date === date) {
          told[zone.dataset.date] = [busy, problem];
        }
      });
      repeat();
    }
    /* The part is drawn anew whenever an image has arrived, without what its zones said. */
    function repeat() {
      zones().forEach(function (zone) {
        ['.busy', '.say'].forEach(function (name, place) {
          var said = (told[zone.dataset.date] || [])[place], line = zone.querySelector(name);
          var text = said ? said(zone.dataset) : '';
          if (line.textContent !== text) { line.textContent = text; }
        });
      });
    }
    function tell(kind, date, values) {
      line.push([kind, date, values]);
      next();
    }
    function next() {
      if (!line.length || Object.keys(asked).length) { return; }
      var item = line.shift(), turn = String(turns += 1);
      asked[turn] = item[1];
      trigger(item[0], Object.assign({ turn: turn }, item[2]));
      window.setTimeout(function () {
        if (turn in asked) { release(turn, lost); }
      }, 60000);
    }
    function release(turn, problem) {
      var date = asked[turn];
      delete asked[turn];
      if (!(date in sending)) { say(date, null, problem); }
      arrived(side);
      next();
    }
    function drawn() {
      var zone = zones()[0];
      if (!zone) { return; }
      /* Links that are gone are told in the language that the page is shown in. */
      document.cookie = 'rscc_language=' + zone.dataset.language + '; path=/; SameSite=Strict';
      var shown = element.querySelector('.rscc-zones').dataset.turns.split(' ');
      Object.keys(asked).forEach(function (turn) {
        if (shown.indexOf(turn) >= 0) { release(turn); }
      });
      repeat();
    }
    drawn();
    /* The framework changes what is there in place: attributes and texts as well as elements. */
    new MutationObserver(drawn).observe(element, {
      attributes: true, attributeFilter: ['data-language', 'data-turns'], characterData: true,
      childList: true, subtree: true
    });

    function take(date, file) {
      var most = Number(zoneFor(date).dataset.most);
      drop(date);  // the later choice counts, whichever is sent sooner
      if (most && file.size > most) {  // the server refuses it as well, but after it was sent
        say(date, null, function (words) {
          return words.large.replace('{found}', Math.ceil(file.size / 1e6))
            .replace('{name}', function () { return file.name; });
        });
        return;
      }
      expect(side);
      sending[date] = send(file, function (text) {
        say(date, text);
      }, function (token) {
        delete sending[date];
        tell('upload', date, { date: date, token: token });
      }, function (problem) {
        delete sending[date];
        say(date, null, problem);
        arrived(side);
      });
    }
    function drop(date) {
      if (!(date in sending)) { return; }
      sending[date].abort();
      delete sending[date];
      arrived(side);
    }
    element.addEventListener('change', function (event) {
      var zone = event.target.closest('.rscc-zone');
      if (zone && event.target.type === 'file') {
        if (event.target.files.length) { take(zone.dataset.date, event.target.files[0]); }
        event.target.value = '';
      }
    });
    element.addEventListener('dragover', function (event) {
      var zone = event.target.closest('.rscc-zone');
      if (zone) { event.preventDefault(); zone.classList.add('over'); }
    });
    element.addEventListener('dragleave', function (event) {
      var zone = event.target.closest('.rscc-zone');
      if (zone) { zone.classList.remove('over'); }
    });
    element.addEventListener('drop', function (event) {
      var zone = event.target.closest('.rscc-zone');
      if (zone) {
        event.preventDefault();
        zone.classList.remove('over');
        if (event.dataTransfer.files.length) {
          take(zone.dataset.date, event.dataTransfer.files[0]);
        }
      }
    });
    element.addEventListener('click', function (event) {
      var button = event.target.closest('[data-example]');
      if (button) {
        Object.keys(sending).forEach(drop);
        expect(side);
        say(null, function (words) { return words.loading; });
        tell('select', null, { name: button.dataset.example });
      }
    });
  };
}());
