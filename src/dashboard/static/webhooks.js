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
        button('Edit', () => {
          $('hook-url').value = hook.url;
          $('hook-events').value = hook.events.join(', ');
          $('hook-hmac').value = '';
          $('hook-url').focus();
        }),
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
    return { before, hook: { ...before, url, events: events.length ? events : ['*'], hmac } };
  }
  $('hook-form').addEventListener('submit', doing($('hooks-problem'), async () => {
    const saved = await save((all) => {
      const { before, hook } = written(all);
      return before ? all.map((one) => (one === before ? hook : one)) : [...all, hook];
    });
    if (saved) $('hook-form').reset();
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
  async function draw() {
    const list = await ask('GET', '/api/webhooks/dead-letters');
    $('letters').replaceChildren(...list.map((letter) => {
      const item = element('li', '', 'card entry');
      const actions = element('div', '', 'actions');
      actions.append(button('Tell again', doing($('letters-problem'), async () => {
        await ask('POST', `/api/webhooks/dead-letters/${letter.id}/replay`);
        await draw();
      })));
      const when = new Date(letter.failedAt).toLocaleString();
      const what = [letter.session, letter.code, `${letter.attempts} attempts`, when].join(' · ');
      item.append(element('strong', letter.event), element('p', what, 'hint'), element('code', letter.url || ''), actions);
      return item;
    }));
    $('no-letters').hidden = list.length > 0;
  }
  return async () => {
    $('letters-problem').textContent = '';
    await draw().catch((problem) => ($('letters-problem').textContent = problem.message));
  };
}
