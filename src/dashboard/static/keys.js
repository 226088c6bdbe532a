// Keys of the API: made, shown once, revoked.

const $ = (id) => document.getElementById(id);
const element = (tag, text, className) => Object.assign(document.createElement(tag), { textContent: text, className: className || '' });
const ACTIONS = ['read', 'send', 'control', 'setting', 'app', 'delete'];

function sentence({ isAdmin, isActive, session, actions, lastUsedAt, oldKeyUntil }) {
  const may = isAdmin ? 'admin' : ACTIONS.filter((action) => actions?.[action]).join(', ') || 'nothing but files or screen';
  const used = lastUsedAt ? `last used ${new Date(lastUsedAt).toLocaleString()}` : 'never used';
  const old = oldKeyUntil > Date.now() ? `the old secret is good until ${new Date(oldKeyUntil).toLocaleString()}` : '';
  return [session ? `session ${session}` : 'all sessions', may, used, old, isActive ? '' : 'switched off'].filter(Boolean).join(' · ');
}

// `ask` asks the API, `doing` runs what a button or form asks for, `sure` asks the person.
export function keys({ ask, doing, sure, sessions }) {
  const show = (secret) => {
    $('fresh-key').textContent = secret;
    $('fresh').hidden = false;
  };
  async function draw() {
    const list = await ask('GET', '/api/keys');
    $('keys').replaceChildren(...list.map((key) => {
      const item = element('li', '', 'card entry');
      const path = `/api/keys/${encodeURIComponent(key.id)}`;
      const button = (text, className, act) => {
        const one = element('button', text, className);
        one.addEventListener('click', doing($('keys-problem'), async () => ((await act()) === false ? null : draw())));
        return one;
      };
      const { isAdmin, isActive, session, actions: may } = key;
      const rotate = button('New secret', '', async () => {
        if (!(await sure('Give this key a new secret? The old one is good for another hour.'))) return false;
        show((await ask('POST', `${path}/rotate`, { overlapSeconds: 3600 })).key);
      });
      const turn = button(isActive ? 'Switch off' : 'Switch on', '', () =>
        ask('PUT', path, { isAdmin, isActive: !isActive, session, actions: may }));
      const revoke = button('Revoke', 'danger', async () => {
        if (!(await sure('Revoke this key? Whoever uses it is shut out at once.'))) return false;
        await ask('DELETE', path);
      });
      const actions = element('div', '', 'actions');
      // A session's key for its files or its screen can only be removed and made again.
      const derived = /^key_id_(media|control)_/.test(key.id);
      actions.append(...(derived ? [] : [rotate, turn]), revoke);
      item.append(element('code', key.id), element('p', sentence(key), 'hint'), actions);
      return item;
    }));
    $('key-session').replaceChildren(
      new Option('all sessions', ''), ...[...sessions.keys()].map((name) => new Option(name, name)),
    );
  }
  $('new-key').addEventListener('submit', doing($('keys-problem'), async () => {
    const chosen = [...document.querySelectorAll('#new-key input[name=action]:checked')].map((box) => box.value);
    const actions = Object.fromEntries(ACTIONS.map((action) => [action, chosen.includes(action)]));
    const { key } = await ask('POST', '/api/keys', { isAdmin: false, session: $('key-session').value || null, isActive: true, actions });
    show(key);
    await draw();
  }));
  return async () => {
    $('fresh').hidden = true;
    $('fresh-key').textContent = $('keys-problem').textContent = '';
    await draw().catch((problem) => ($('keys-problem').textContent = problem.message));
  };
}
