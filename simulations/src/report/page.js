'use strict';
(() => {
  const data = JSON.parse(document.getElementById('data').textContent);
  const $ = (id) => document.getElementById(id);
  const { names, end, services } = data;
  const many = names.length;

  // Values over time: moments and what was from each on.
  const decode = (flat, width = 1) => {
    const t = [], v = [];
    let now = 0;
    for (let i = 0; i < flat.length; i += width + 1) {
      now += flat[i];
      t.push(now);
      v.push(width === 1 ? flat[i + 1] : flat.slice(i + 1, i + 1 + width));
    }
    return { t, v };
  };
  const index = (t, at) => {
    let low = 0, high = t.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (t[middle] <= at) low = middle + 1; else high = middle;
    }
    return low - 1;
  };
  const value = (series, at, none) => {
    const found = index(series.t, at);
    return found < 0 ? none : series.v[found];
  };
  const spans = (series, from, to) => {
    const found = [];
    for (let i = Math.max(0, index(series.t, from)); i < series.t.length && series.t[i] < to; i++) {
      const until = i + 1 < series.t.length ? series.t[i + 1] : end;
      if (until > from) found.push([Math.max(from, series.t[i]), Math.min(to, until), series.v[i]]);
    }
    return found;
  };

  const lanes = data.lanes.map((lane) => {
    const drawn = {
      up: decode(lane.up), apart: decode(lane.apart), seen: decode(lane.seen), pause: decode(lane.pause),
      tasks: lane.tasks.map((flat) => decode(flat)), view: null,
    };
    if (lane.view) {
      const sees = Array.from({ length: many }, () => ({ t: [], v: [] }));
      const all = decode(lane.view.sees, 2);
      all.t.forEach((at, i) => { sees[all.v[i][0]].t.push(at); sees[all.v[i][0]].v.push(all.v[i][1]); });
      const tells = lane.view.tells.map((flat) => decode(flat, 2));
      drawn.view = { sees, leads: decode(lane.view.leads), tells };
    }
    return drawn;
  });
  const holds = decode(data.holds, 3);
  const wanted = data.wanted.map((flat) => decode(flat));
  const rate = decode(data.rate);
  const cut = (host, at) => value(lanes[host].apart, at, 0);
  const pausedAt = (host, at) => {
    const found = index(lanes[host].pause.t, at);
    return found >= 0 && at < lanes[host].pause.t[found] + lanes[host].pause.v[found];
  };

  const escape = (text) => String(text).replace(/[&<>"]/g, (c) => `&#${c.charCodeAt(0)};`);
  const two = (number) => String(number).padStart(2, '0');
  const clock = (ms, fine = true) => {
    const s = Math.floor(ms / 1000), m = Math.floor(s / 60), h = Math.floor(m / 60), d = Math.floor(h / 24);
    if (d) return `${d}d ${two(h % 24)}:${two(m % 60)}${fine ? ':' + two(s % 60) : ''}`;
    if (h) return `${h}:${two(m % 60)}:${two(s % 60)}`;
    return `${m}:${two(s % 60)}${fine ? '.' + Math.floor(ms / 100) % 10 : ''}`;
  };
  // Hues that neighbours do not share; nodes of a large cluster go once around.
  const hue = (host) => many <= 8 ? [255, 55, 155, 320, 95, 205, 20, 285][host] : (host * 137.5) % 360;
  const colour = (host) => `oklch(var(--node-l) var(--node-c) ${hue(host)})`;
  const bytes = (n) => n >= 1e6 ? `${(n / 1e6).toFixed(1)} MB/s` : n >= 1e3 ? `${(n / 1e3).toFixed(1)} kB/s` : `${n} B/s`;

  let now = 0, from = 0, to = Math.max(end, 1), width = 0, gutter = 96;
  const plot = $('plot'), slider = $('at');
  const x = (at) => gutter + (at - from) / (to - from) * (width - gutter);

  const rect = (a, b, y, h, kind, more = '', least = 1.5) => {
    const left = x(Math.max(a, from)), right = Math.max(x(Math.min(b, to)), left + least);
    return `<rect x="${left.toFixed(1)}" y="${y}" width="${(right - left).toFixed(1)}" height="${h}" class="${kind}" ${more}`;
  };
  const title = (text) => `><title>${escape(text)}</title></rect>`;
  const label = (text, y, kind = 'name') => {
    const most = Math.max(4, Math.floor((gutter - 14) / 6.6));
    const short = text.length > most ? text.slice(0, most - 1) + '…' : text;
    return `<text x="0" y="${y}" class="${kind}">${escape(short)}</text>`;
  };

  const axis = (height) => {
    const steps = [100, 200, 500, 1e3, 2e3, 5e3, 1e4, 15e3, 3e4, 6e4, 12e4, 3e5, 6e5, 18e5, 36e5, 72e5, 216e5, 432e5, 864e5];
    const least = (to - from) / Math.max(2, (width - gutter) / (end > 36e5 ? 110 : 80));
    const step = steps.find((s) => s >= least) || Math.ceil(least / 864e5) * 864e5;
    let drawn = '';
    for (let at = Math.ceil(from / step) * step; at <= to; at += step) {
      const left = x(at);
      drawn += `<line class="grid" x1="${left}" x2="${left}" y1="20" y2="${height}"/>`;
      const anchor = left > width - 24 ? 'end' : left < gutter + 16 ? 'start' : 'middle';
      drawn += `<text x="${left}" y="13" text-anchor="${anchor}">${clock(at, step < 1e3)}</text>`;
    }
    return drawn;
  };

  const phases = (y) => {
    const [faults, calm] = data.phases;
    const parts = [['forming', 0, faults ?? end], ['faults', faults, calm ?? end], ['calm', calm, end]];
    let drawn = label('phase', y + 12, 'soft');
    for (const [what, a, b] of parts) {
      if (a == null || b <= from || a >= to) continue;
      const left = x(Math.max(a, from)), right = x(Math.min(b, to));
      drawn += `<line x1="${left + 1}" x2="${right - 1}" y1="${y + 17}" y2="${y + 17}" class="${what === 'faults' ? 'point' : 'base'}" stroke-width="2"/>`;
      if (right - left > what.length * 7 + 6) drawn += `<text x="${left + 1}" y="${y + 12}">${what}</text>`;
    }
    return drawn;
  };

  const lease = (y) => {
    let drawn = label('leader', y + 14, 'soft');
    holds.t.forEach((at, i) => {
      const [lasts, host, epoch] = holds.v[i], until = at + lasts;
      if (until < from || at > to) return;
      const term = data.epochs[epoch] ? data.epochs[epoch][0] : '?';
      drawn += rect(at, until, y, 19, 'held', `rx="3" style="fill:${colour(host)}"`)
        + title(`${names[host]} holds the lease, term ${term}: ${clock(at)} to ${clock(until)}`);
      const left = x(Math.max(at, from)), room = x(Math.min(until, to)) - left;
      const text = `${names[host]} · ${term}`;
      if (room > text.length * 6.6 + 10) drawn += `<text x="${left + 6}" y="${y + 14}" class="on">${escape(text)}</text>`;
    });
    return drawn;
  };

  // Faults in as few rows as they need; what finds no room in four is in the lanes only.
  const faultRows = () => {
    const rows = [];
    for (const fault of data.faults) {
      const [a, b, , kind] = fault;
      if (b < from || a > to) continue;
      const left = x(Math.max(a, from)), right = Math.max(x(Math.min(b, to)), left + 3);
      const inside = right - left > kind.length * 6.4 + 8;
      const fits = (row) => row.end + 3 <= left;
      let row = rows.find(fits);
      if (!row && rows.length < 4) rows.push(row = { end: -1, items: [] });
      if (!row) continue;
      row.items.push({ fault, left, right, inside });
      row.end = right;
    }
    return rows;
  };
  const faultBars = (rows, y) => {
    let drawn = rows.length ? label('faults', y + 12, 'soft') : '';
    rows.forEach((row, number) => row.items.forEach(({ fault: [a, b, , kind, words], left, right, inside }, i) => {
      const top = y + number * 18;
      drawn += `<rect x="${left.toFixed(1)}" y="${top}" width="${(right - left).toFixed(1)}" height="15" rx="2" class="fault">`
        + `<title>${escape(`${clock(a)}${b > a ? ' to ' + clock(b) : ''}: ${words}`)}</title></rect>`;
      const next = row.items[i + 1];
      const beside = right + kind.length * 6.4 + 8 < (next ? next.left : width);
      if (inside || beside) {
        drawn += `<text class="kind" x="${(inside ? left + 4 : right + 4).toFixed(1)}" y="${top + 11.5}" pointer-events="none">${kind}</text>`;
      }
    }));
    return drawn;
  };

  const seenWords = ['not known', 'up', 'suspect', 'restarting', 'down'];
  const nodeLane = (host, y) => {
    const lane = lanes[host];
    let drawn = `<circle cx="5" cy="${y + 12}" r="4.5" style="fill:${colour(host)}"/>`
      + `<g transform="translate(16 0)">${label(names[host], y + 16)}</g>`;
    for (const [a, b, code] of spans(lane.seen, from, to)) {
      const state = code & 7, mixed = code & 8;
      if (!state) continue;
      const words = `${names[host]}, as others see it: ${seenWords[state]}${mixed ? ' to most' : ''}, ${clock(a)} to ${clock(b)}`;
      drawn += rect(a, b, y + 2, 9, `s${state}`) + title(words);
      if (mixed) drawn += rect(a, b, y + 2, 9, '', `fill="url(#hatch)" pointer-events="none"`) + '/>';
    }
    const is = (a, b, kind, words, mixed, thin) => {
      if (thin) {
        drawn += rect(a, b, y + 19, 3, kind) + title(`${names[host]} ${words}, ${clock(a)} to ${clock(b)}`);
        return;
      }
      drawn += rect(a, b, y + 13, 9, kind) + title(`${names[host]} ${words}, ${clock(a)} to ${clock(b)}`);
      if (mixed) drawn += rect(a, b, y + 13, 9, '', `fill="url(#hatch)" pointer-events="none"`) + '/>';
    };
    const up = spans(lane.up, from, to);
    up.filter((it) => it[2] === 0).forEach(([a, b]) => is(a, b, 's1', 'runs'));
    for (const [a, b, apart] of spans(lane.apart, from, to)) {
      if (apart) is(a, b, 's5', apart === many - 1 ? 'is cut off' : `cannot speak with ${apart} of ${many - 1}`, apart < many - 1, apart * 2 < many - 1);
    }
    lane.pause.t.forEach((a, i) => {
      const b = a + lane.pause.v[i];
      if (b > from && a < to) is(a, b, 's6', 'is paused');
    });
    up.filter((it) => it[2]).forEach(([a, b, state]) => is(a, b, 's4', state === 1 ? 'has no agent: its containers go on' : 'is off'));
    return drawn;
  };

  // What runs, stacked by node, below what is wanted.
  const serviceRow = (number, y, height) => {
    const moments = new Set([from]);
    const note = (series) => {
      for (let i = Math.max(0, index(series.t, from)); i < series.t.length && series.t[i] < to; i++) {
        if (series.t[i] >= from) moments.add(series.t[i]);
      }
    };
    lanes.forEach((lane) => note(lane.tasks[number]));
    note(wanted[number]);
    const at = [...moments].sort((a, b) => a - b);
    const ends = [...at.slice(1), to];
    const sums = new Array(at.length).fill(0);
    const stacks = lanes.map((lane) => at.map((moment, i) => {
      const low = sums[i];
      sums[i] += value(lane.tasks[number], moment, 0);
      return [low, sums[i]];
    }));
    const want = at.map((moment) => value(wanted[number], moment, 0));
    const top = Math.max(1, ...sums, ...want);
    const Y = (n) => (y + height - n / top * (height - 6)).toFixed(1);
    let drawn = label(services[number], y + 16) + `<text x="0" y="${y + 32}">most ${top}</text>`
      + `<line class="base" x1="${gutter}" x2="${width}" y1="${y + height}" y2="${y + height}"/>`;
    stacks.forEach((stack, host) => {
      let path = '';
      stack.forEach(([low, high], i) => {
        if (high === low) return;
        path += `M${x(at[i]).toFixed(1)} ${Y(low)}V${Y(high)}H${(x(ends[i]) + .3).toFixed(1)}V${Y(low)}Z`;
      });
      if (path) drawn += `<path d="${path}" style="fill:${colour(host)}"><title>${escape(`${services[number]} on ${names[host]}`)}</title></path>`;
    });
    let lack = '', line = '';
    want.forEach((n, i) => {
      if (n > sums[i]) lack += `M${x(at[i]).toFixed(1)} ${Y(sums[i])}V${Y(n)}H${x(ends[i]).toFixed(1)}V${Y(sums[i])}Z`;
      line += `${i ? 'V' : `M${x(at[0]).toFixed(1)} `}${Y(n)}H${x(ends[i]).toFixed(1)}`;
    });
    return drawn + `<path class="lack" d="${lack}"/><path class="wanted" d="${line}"/>`;
  };

  const network = (y, height) => {
    const parts = spans(rate, from, to);
    const top = Math.max(1, ...parts.map((part) => part[2]));
    let path = '';
    for (const [a, b, n] of parts) {
      path += `M${x(a).toFixed(1)} ${y + height}V${(y + height - n / top * (height - 4)).toFixed(1)}H${(x(b) + .3).toFixed(1)}V${y + height}Z`;
    }
    return label('network', y + 16, 'soft') + `<text x="0" y="${y + 31}" font-size="11">${bytes(top)}</text>`
      + `<path class="rate" d="${path}"><title>bytes a node a second</title></path>`
      + `<line class="base" x1="${gutter}" x2="${width}" y1="${y + height}" y2="${y + height}"/>`;
  };

  const shades = (y, each) => data.faults.map(([a, b, hosts]) => {
    if (b < from || a > to) return '';
    return hosts.map((host) => rect(a, b, y + host * each, each, 'shade', 'pointer-events="none"') + '/>').join('');
  }).join('');

  const flags = (height) => data.flags.map(([at, host, law]) => {
    if (at < from || at > to) return '';
    const left = x(at), room = law.length * 7 + 12, turned = left + room > width;
    const start = turned ? left - room : left;
    return `<line class="flag" x1="${left}" x2="${left}" y1="20" y2="${height}"/>`
      + `<rect class="flagged" x="${start}" y="20" width="${room}" height="18" rx="2"/>`
      + `<text class="on" x="${start + 6}" y="33">${escape(law)}</text>`
      + (host == null ? '' : `<circle class="flagged" cx="${left}" cy="${lanesTop + host * 28 + 12}" r="5"/>`);
  }).join('');

  let lanesTop = 0;
  const draw = () => {
    width = plot.clientWidth;
    gutter = width < 600 ? 78 : Math.min(150, Math.max(84, 30 + 7.2 * Math.max(...names.map((n) => n.length), ...services.map((n) => n.length))));
    document.documentElement.style.setProperty('--gutter', `${gutter}px`);
    const body = [];
    let y = data.flags.length ? 44 : 24;
    body.push(phases(y)); y += 24;
    body.push(lease(y)); y += 28;
    const rows = faultRows();
    body.push(faultBars(rows, y)); y += rows.length * 18 + 8;
    lanesTop = y;
    names.forEach((_, host) => { body.push(nodeLane(host, y)); y += 28; });
    y += 10;
    services.forEach((_, number) => { body.push(serviceRow(number, y, 54)); y += 70; });
    body.push(network(y, 36)); y += 40;
    plot.innerHTML = `<svg height="${y}" viewBox="0 0 ${width} ${y}" role="img" aria-label="Lanes of nodes and services over time">`
      + `<defs><pattern id="hatch" width="5" height="5" patternUnits="userSpaceOnUse" patternTransform="rotate(25)">`
      + `<rect width="2.5" height="5" style="fill:var(--up)"/></pattern></defs>`
      + axis(y) + shades(lanesTop, 28) + body.join('') + flags(y)
      + `<line class="cursor" id="cursor" y1="16" y2="${y}"/></svg>`;
    cursor();
  };

  const events = [...document.querySelectorAll('#happened [data-at]')].map((it) => Number(it.dataset.at));
  const cursor = () => {
    const line = $('cursor');
    if (!line) return;
    line.setAttribute('x1', x(now));
    line.setAttribute('x2', x(now));
  };

  const state = (host) => {
    const up = value(lanes[host].up, now, 2);
    if (up === 2) return ['off', 's4'];
    if (up === 1) return ['no agent', 's4'];
    if (pausedAt(host, now)) return ['paused', 's6'];
    const apart = cut(host, now);
    if (apart) return [apart === many - 1 ? 'cut off' : `cut from ${apart}`, 's5'];
    return ['runs', 's1'];
  };
  const shown = names.map((_, host) => host).filter((host) => lanes[host].view);
  const sees = (view, host) => {
    const all = view.sees.map((series) => value(series, now, 0));
    if (many <= 12) {
      const words = all.map((life, of) => `${names[of]}: ${seenWords[life]}`);
      return `<span class="dots" role="img" aria-label="${escape(words.join(', '))}">`
        + all.map((life, of) => `<i class="dot s${life}" title="${escape(words[of])}"></i>`).join('') + '</span>';
    }
    const count = (life) => all.filter((it) => it === life).length;
    return [1, 2, 3, 4].filter(count).map((life) => `<i class="dot s${life}"></i> ${count(life)} ${seenWords[life]}`).join(' ');
  };
  const leads = (view) => {
    const code = value(view.leads, now, -2);
    if (code < 0) return '<span class="off">nobody</span>';
    const [term, host] = data.epochs[code >> 1];
    const name = `${escape(names[host] ?? '?')} <small>term ${term}</small>`;
    return code & 1 ? name : `<span class="off">${name}, silent</span>`;
  };
  const tells = (view, number) => {
    const [run, want] = value(view.tells[number], now, [-1, -1]);
    if (run < 0) return '<span class="off">–</span>';
    const kind = run < want ? 'less' : run > want ? 'more' : '';
    return `<span class="${kind}">${run}</span> / ${want}`;
  };
  const views = () => {
    const known = services.map((_, number) => number)
      .filter((number) => shown.some((host) => value(lanes[host].view.tells[number], now, [-1])[0] >= 0));
    const head = ['Node', 'Is', 'Sees', 'Leader', ...known.map((number) => services[number])].map((it) => `<th scope="col">${escape(it)}</th>`).join('');
    const rows = shown.map((host) => {
      const [word, kind] = state(host), view = lanes[host].view;
      const here = `<td><i class="mark" style="background:${colour(host)}"></i>${escape(names[host])}</td>`
        + `<td><i class="dot ${kind}"></i> ${word}</td>`;
      if (value(lanes[host].up, now, 2) !== 0) return `<tr>${here}<td class="off" colspan="${2 + known.length}">nobody to ask</td></tr>`;
      return `<tr>${here}<td>${sees(view, host)}</td><td>${leads(view)}</td>`
        + known.map((number) => `<td>${tells(view, number)}</td>`).join('') + '</tr>';
    });
    $('seen').innerHTML = `<thead><tr>${head}</tr></thead><tbody>${rows.join('')}</tbody>`;
    const running = known.map((number) => {
      const sum = lanes.reduce((all, lane) => all + value(lane.tasks[number], now, 0), 0);
      return `${sum} of ${value(wanted[number], now, 0)} ${services[number]}`;
    });
    const part = shown.length < many ? `Views of ${shown.length} of ${many} nodes are kept. ` : '';
    $('views-note').textContent = `${part}In truth ${running.length ? running.join(', ') + ' run.' : 'nothing runs.'}`
      + (many <= 12 ? ` Dots stand for ${names.join(', ')}, in this order.` : '');
  };

  let pending = false;
  const show = () => {
    cursor();
    const text = clock(now);
    $('moment').textContent = text;
    $('views-at').textContent = `at ${text}`;
    slider.min = Math.floor(from);
    slider.max = Math.ceil(to);
    slider.value = Math.round(now);
    slider.setAttribute('aria-valuetext', text);
    const last = events.reduce((found, at, i) => at <= now ? i : found, -1);
    document.querySelectorAll('#happened li').forEach((it, i) => it.classList.toggle('now', i === last));
    if (pending) return;
    pending = true;
    requestAnimationFrame(() => { pending = false; views(); });
  };
  const go = (at) => {
    now = Math.min(end, Math.max(0, at));
    if (now < from || now > to) {
      const room = to - from;
      from = Math.max(0, Math.min(now - room / 2, end - room));
      to = from + room;
      draw();
    }
    show();
  };
  const zoom = (factor) => {
    const room = Math.min(Math.max(end, 1), Math.max(Math.min(500, end), (to - from) * factor));
    const part = (now - from) / (to - from);
    from = Math.max(0, Math.min(now - room * part, end - room));
    to = from + room;
    draw();
    show();
  };
  const whole = () => { from = 0; to = Math.max(end, 1); draw(); show(); };
  // In a long run an event is a hair's breadth: look closer at it.
  const visit = (at) => {
    if (end > 36e5 && to - from > 18e5) {
      from = Math.max(0, Math.min(at - 9e4, end - 3e5));
      to = Math.min(end, from + 3e5);
      draw();
    }
    go(at);
  };
  const next = () => { const at = events.find((it) => it > now + .5); if (at != null) visit(at); };
  const before = () => { const at = events.filter((it) => it < now - .5).pop(); if (at != null) visit(at); };

  slider.addEventListener('input', () => go(Number(slider.value)));
  slider.addEventListener('keydown', (event) => {
    const way = { ArrowRight: 1, ArrowUp: 1, ArrowLeft: -1, ArrowDown: -1 }[event.key];
    if (!way || event.ctrlKey || event.metaKey || event.altKey) return;
    event.preventDefault();
    go(now + way * (to - from) / (event.shiftKey ? 20 : 200));
  });
  document.addEventListener('keydown', (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const keys = { '[': before, ']': next, '+': () => zoom(.5), '=': () => zoom(.5), '-': () => zoom(2), '0': whole };
    if (keys[event.key]) { event.preventDefault(); keys[event.key](); }
  });
  let held = false;
  const point = (event) => {
    const left = event.clientX - plot.getBoundingClientRect().left;
    if (left >= gutter) go(from + (left - gutter) / (width - gutter) * (to - from));
  };
  plot.addEventListener('pointerdown', (event) => { held = event.isPrimary && event.button === 0; if (held) point(event); });
  addEventListener('pointermove', (event) => { if (held && event.pointerType === 'mouse') point(event); });
  addEventListener('pointerup', () => { held = false; });
  $('before').addEventListener('click', before);
  $('after').addEventListener('click', next);
  $('in').addEventListener('click', () => zoom(.5));
  $('out').addEventListener('click', () => zoom(2));
  $('all').addEventListener('click', whole);
  document.querySelectorAll('[data-at]').forEach((it) => it.addEventListener('click', () => visit(Number(it.dataset.at))));
  $('copy').addEventListener('click', () => {
    const done = () => { $('copy').textContent = 'Copied'; };
    const mark = () => getSelection().selectAllChildren($('command'));
    if (navigator.clipboard) navigator.clipboard.writeText($('command').textContent).then(done, mark); else mark();
  });
  new ResizeObserver(() => { if (plot.clientWidth !== width) draw(); }).observe(plot);

  now = data.flags.length ? data.flags[0][0] : data.faults.length ? data.faults[0][0] : events[0] ?? 0;
  draw();
  show();
})();
