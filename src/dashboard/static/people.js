// People: signing in with a password, taking an invitation up, and who else is in the tenant.

const $ = (id) => document.getElementById(id);
const element = (tag, text, className) => Object.assign(document.createElement(tag), { textContent: text, className: className || '' });
const ROLES = ['viewer', 'operator', 'admin', 'owner'];
const ROOM = { sessions: 'Sessions', messagesPerMinute: 'Messages a minute', storageBytes: 'Bytes of files', webhooks: 'Webhooks' };
const INVITATION = '#invitation=';

// `ask` asks the API, `doing` runs what a form asks for, `enter` shows the house.
export function door({ ask, doing, enter }) {
  const needsCode = (needed) => {
    $('code').hidden = $('code-label').hidden = !needed;
    $('code').value = '';
  };
  $('person-form').addEventListener('submit', doing($('person-problem'), async () => {
    const code = $('code').hidden ? null : $('code').value;
    try {
      await ask('POST', '/dashboard/sign-in', { email: $('email').value, password: $('password').value, code });
    } catch (problem) {
      if (problem.code !== 'second_factor_needed') throw problem;
      needsCode(true);
      $('code').focus();
      return;
    }
    $('person-form').reset();
    needsCode(false);
    await enter();
  }));
  $('invitation-form').addEventListener('submit', doing($('invitation-problem'), async () => {
    const invitation = location.hash.slice(INVITATION.length);
    await ask('POST', '/api/auth/invitation', { invitation, password: $('chosen').value });
    $('invitation-form').reset();
    // The link is used up, and is not to stand in the address any more.
    history.replaceState(null, '', location.pathname);
    $('invitation').hidden = true;
    $('sign-in').hidden = false;
    $('email').focus();
  }));
}

// Whether the page was opened by a link of an invitation; it is shown then.
export function invited() {
  if (!location.hash.startsWith(INVITATION)) return false;
  $('invitation').hidden = false;
  $('chosen').focus();
  return true;
}

// The view of all people of the tenant.
export function people({ ask, doing, sure }) {
  // What somebody may have, and has of it; asked for when it is opened.
  function room(person) {
    const view = element('details');
    const form = element('form', '', 'quota');
    async function drawRoom({ user }) {
      form.replaceChildren(...Object.entries(ROOM).flatMap(([name, text]) => {
        const { limit, used, isDefault } = user[name];
        const field = element('input');
        Object.assign(field, { id: `${name}-${person.id}`, name, type: 'number', min: 0, max: Number.MAX_SAFE_INTEGER });
        Object.assign(field, { value: isDefault ? '' : limit ?? 0, placeholder: `${limit ?? 'any number'} (default)` });
        const label = element('label', `${text}: has ${used.toLocaleString()}`);
        label.htmlFor = field.id;
        return [label, field];
      }), element('p', 'Empty: the default. 0: any number.', 'hint'), element('button', 'Save'));
    }
    view.addEventListener('toggle', doing($('people-problem'), async () => {
      if (view.open) await drawRoom(await ask('GET', `/api/quotas?user=${person.id}`));
    }));
    form.addEventListener('submit', doing($('people-problem'), async () => {
      const limits = [...form.querySelectorAll('input')].map(({ name, value }) => [name, value === '' ? null : Number(value)]);
      await drawRoom({ user: await ask('PUT', `/api/users/${person.id}/quota`, Object.fromEntries(limits)) });
    }));
    view.append(element('summary', 'What they may have'), form);
    return view;
  }
  const whole = ({ limit, used }, text) => `${used.toLocaleString()}${limit ? ` of ${limit.toLocaleString()}` : ''} ${text}`;
  const show = ({ invitation }) => {
    $('invited-link').textContent = `${location.origin}/${INVITATION}${invitation}`;
    $('invited').hidden = false;
  };
  async function draw() {
    const [list, { tenant }] = await Promise.all([ask('GET', '/api/users'), ask('GET', '/api/quotas')]);
    $('people-room').textContent =
      `All together: ${Object.entries(ROOM).map(([name, text]) => whole(tenant[name], text.toLowerCase())).join(' · ')}`;
    $('people-list').replaceChildren(...list.map((person) => {
      const item = element('li', '', 'card entry');
      const path = `/api/users/${person.id}`;
      const act = (work) => doing($('people-problem'), async () => ((await work()) === false ? null : draw()));
      const button = (text, className, work) => {
        const one = element('button', text, className);
        one.addEventListener('click', act(work));
        return one;
      };
      const role = element('select');
      role.setAttribute('aria-label', `Role of ${person.name}`);
      role.append(...ROLES.map((name) => new Option(name, name, false, name === person.role)));
      role.addEventListener('change', (event) => {
        const shown = doing($('people-problem'), () => ask('PUT', path, { role: role.value }).finally(draw));
        shown(event);
      });
      const active = person.status === 'active';
      const turn = button(active ? 'Shut out' : 'Let in', active ? 'danger' : '', async () => {
        if (active && !(await sure(`Shut ${person.name} out? Their stays end at once, and their keys are not good.`))) return false;
        await ask('PUT', path, { status: active ? 'suspended' : 'active' });
      });
      const again = button('New invitation', '', async () => {
        if (!(await sure(`Invite ${person.name} again? With the link they choose a new password.`))) return false;
        show(await ask('POST', `${path}/invitation`));
      });
      const factor = button('Second factor off', 'danger', async () => {
        if (!(await sure(`Take the second factor off ${person.name}? Only if it is they who ask. Their stays end.`))) return false;
        await ask('DELETE', `${path}/second-factor`);
      });
      const remove = button('Delete', 'danger', async () => {
        if (!(await sure(`Delete ${person.name}? Their sessions are logged out and removed, and nothing of theirs can be brought back.`))) return false;
        await ask('DELETE', path);
      });
      const actions = element('div', '', 'actions');
      actions.append(role, turn, ...(person.email ? [again] : []), ...(person.secondFactor ? [factor] : []), remove);
      const facts = [
        person.email || 'keys only', active ? '' : 'shut out', person.email && !person.hasPassword ? 'invited' : '',
        person.secondFactor ? 'second factor' : '',
      ];
      item.append(element('strong', person.name), element('p', facts.filter(Boolean).join(' · '), 'hint'), actions, room(person));
      return item;
    }));
  }
  // Whoever did it has a name here; keys and the server's own have none.
  async function drawDone() {
    const [records, list] = await Promise.all([ask('GET', '/api/audit?limit=100'), ask('GET', '/api/users')]);
    const names = new Map(list.map(({ id, name }) => [id, name]));
    $('done').replaceChildren(...records.map(({ at, what, status, user, address, times }) => {
      const item = element('li', `${what} `);
      const facts = [new Date(at).toLocaleString(), names.get(user), status, address, times > 1 ? `${times} times` : ''];
      item.append(element('small', facts.filter(Boolean).join(' · ')));
      return item;
    }));
  }
  $('done-view').addEventListener('toggle', doing($('people-problem'), async () => {
    if ($('done-view').open) await drawDone();
  }));
  $('new-person').addEventListener('submit', doing($('people-problem'), async () => {
    const [name, email, role] = ['name', 'email', 'role'].map((part) => $(`person-${part}`).value);
    show(await ask('POST', '/api/users', { name, email, role }));
    $('new-person').reset();
    await draw();
  }));
  return async () => {
    $('invited').hidden = true;
    $('done-view').open = false;
    $('invited-link').textContent = $('people-problem').textContent = '';
    await draw().catch((problem) => ($('people-problem').textContent = problem.message));
  };
}
