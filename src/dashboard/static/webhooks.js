// Whom a session tells what happens, and what could not be told.

const $ = (id) => document.getElementById(id);
const element = (tag, text, className) => Object.assign(document.createElement(tag), { textContent: text, className: className || '' });
const button = (text, press) => {
  const made = element('button', text);
  made.type = 'button';
  made.addEventListener('click', press);
  return made;
};

// The webhooks of the session that is open.
export function webhooks({ ask, doing, sure, open, changed }) {
  const path = (name) => `/api/sessions/${encodeURIComponent(name)}`;
  // The webhook that the form was filled from.
  let editing = null;
  // Other fields of the config stay as the server has them.
  async function save(change) {
    const name = open();
    if (!(await sure('Save? The session is stopped and started again with its new settings.'))) return false;
    const { config } = await ask('GET', path(name));
    await ask('PUT', path(name), { config: { ...config, webhooks: change(config.webhooks || []) } });
    await changed();
    await draw();
    return true;
  }
  async function draw() {
    const name = open();
    $('hook-tested').textContent = '';
    const { config } = await ask('GET', path(name));
    if (name !== open()) return;
    const hooks = config?.webhooks || [];
    $('hooks').replaceChildren(...hooks.map((hook) => {
      const item = element('li', '', 'entry');
      const actions = element('div', '', 'actions');
      actions.append(
        button('Edit', doing($('hooks-problem'), async () => {
          // As it stands now: the form then speaks for all that it shows.
          const { config: now } = await ask('GET', path(name));
          const { url, events, retries, customHeaders } = (now.webhooks || []).find((one) => one.url === hook.url) ?? hook;
          editing = url;
          $('hook-url').value = url;
          $('hook-events').value = (events ?? []).join(', ');
          $('hook-hmac').value = '';
          $('hook-policy').value = retries?.policy ?? '';
          $('hook-delay').value = retries?.delaySeconds ?? '';
          $('hook-attempts').value = retries?.attempts ?? '';
          $('hook-headers').value = (customHeaders ?? []).map((one) => `${one.name}: ${one.value}`).join('\n');
          $('hook-url').focus();
        })),
        button('Remove', doing($('hooks-problem'), () => save((all) => all.filter((one) => one.url !== hook.url)))),
      );
      item.append(element('code', hook.url), element('p', hook.events.join(', '), 'hint'), actions);
      return item;
    }));
    $('no-hooks').hidden = hooks.length > 0;
  }
  // What the form says, over what the config has under the same URL.
  function written(all) {
    const url = $('hook-url').value;
    const events = $('hook-events').value.split(/[\s,]+/).filter(Boolean);
    const key = $('hook-hmac').value;
    const before = all.find((one) => one.url === url);
    const hmac = key ? { ...before?.hmac, key } : (before?.hmac ?? null);
    const number = (id) => ($(id).value === '' ? undefined : Number($(id).value));
    const filled = { policy: $('hook-policy').value || undefined, delaySeconds: number('hook-delay'), attempts: number('hook-attempts') };
    const retries = { ...before?.retries, ...Object.fromEntries(Object.entries(filled).filter(([, value]) => value !== undefined)) };
    const lines = $('hook-headers').value.split('\n').filter((line) => line.trim());
    const headers = lines.map((line) => {
      const [name, ...value] = line.split(':');
      return { name: name.trim(), value: value.join(':').trim() };
    });
    // An empty field of a form that was not filled from this webhook says nothing.
    const customHeaders = headers.length || editing === url ? headers : (before?.customHeaders ?? []);
    return { before, hook: { ...before, url, events: events.length ? events : ['*'], hmac, retries, customHeaders } };
  }
  $('hook-form').addEventListener('submit', doing($('hooks-problem'), async () => {
    const saved = await save((all) => {
      const { before, hook } = written(all);
      return before ? all.map((one) => (one === before ? hook : one)) : [...all, hook];
    });
    if (saved) $('hook-form').reset();
    if (saved) editing = null;
  }));
  $('hook-test').addEventListener('click', doing($('hooks-problem'), async () => {
    $('hook-tested').textContent = '';
    if (!$('hook-url').reportValidity()) return;
    const session = open();
    const { config } = await ask('GET', path(session));
    const { hook } = written(config.webhooks || []);
    const { taken, code, ms } = await ask('POST', '/api/webhooks/test', { session, webhook: hook });
    $('hook-tested').textContent = taken ? `Taken after ${ms} ms.` : `Not taken: ${code} after ${ms} ms.`;
  }));
  return () => draw().catch(() => $('hooks').replaceChildren());
}

// Events that no receiver took.
export function letters({ ask, doing }) {
  let list = [];
  const again = (ids) => ask('POST', '/api/webhooks/dead-letters/replay', { ids });
  // Those that the form asks for; times are this person's.
  function wanted() {
    const session = $('letters-session').value.trim();
    const [from, to] = ['letters-from', 'letters-to'].map((id) => Date.parse($(id).value));
    return list.filter(
      (one) => (!session || one.session === session) && !(one.recordedAt < from) && !(one.recordedAt >= to),
    );
  }
  function row(letter) {
    const item = element('li', '', 'card entry');
    const actions = element('div', '', 'actions');
    const inside = element('pre', '');
    inside.hidden = true;
    actions.append(
      button('Tell again', doing($('letters-problem'), async () => {
        await again([letter.id]);
        await load();
      })),
      button('Show', doing($('letters-problem'), async () => {
        if (inside.hidden) {
          const { body } = await ask('GET', `/api/webhooks/dead-letters/${letter.id}`);
          inside.textContent = JSON.stringify(body, null, 2);
        }
        inside.hidden = !inside.hidden;
      })),
    );
    const when = new Date(letter.recordedAt).toLocaleString();
    const what = [letter.session, letter.code, `${letter.attempts} attempts`, when].join(' · ');
    item.append(element('strong', letter.event), element('p', what, 'hint'), element('code', letter.url || ''), actions, inside);
    return item;
  }
  function draw() {
    const shown = wanted();
    $('letters').replaceChildren(...shown.map(row));
    $('no-letters').hidden = shown.length > 0;
  }
  async function load() {
    list = await ask('GET', '/api/webhooks/dead-letters?limit=1000');
    draw();
  }
  $('letters-form').addEventListener('input', draw);
  $('letters-form').addEventListener('submit', (event) => event.preventDefault());
  $('letters-all').addEventListener('click', doing($('letters-problem'), async () => {
    const ids = wanted().map(({ id }) => id);
    if (ids.length) await again(ids);
    await load();
  }));
  return async () => {
    $('letters-problem').textContent = '';
    await load().catch((problem) => ($('letters-problem').textContent = problem.message));
  };
}
