// The operators' page: tenants, who is shut out, what was done. The token is kept in this page only.

const $ = (id) => document.getElementById(id);
const element = (tag, text, className) => Object.assign(document.createElement(tag), { textContent: text, className: className || '' });
const ROOM = { sessions: 'Sessions', messagesPerMinute: 'Messages a minute', storageBytes: 'Bytes of files', webhooks: 'Webhooks' };
let token = '';

async function ask(method, path, body) {
  const headers = { authorization: `Bearer ${token}`, ...(body && { 'content-type': 'application/json' }) };
  const answer = await fetch(path, { method, headers, body: body && JSON.stringify(body) });
  const text = await answer.text();
  if (answer.ok) return text ? JSON.parse(text) : null;
  let problem = text;
  try {
    problem = [JSON.parse(text).message].flat().join(', ');
  } catch {
    // Not all of this listener speaks JSON.
  }
  throw new Error(problem || `status ${answer.status}`);
}
const doing = (place, work) => async (event) => {
  event.preventDefault();
  place.textContent = '';
  try {
    await work(event);
  } catch (problem) {
    place.textContent = problem.message;
  }
};
const act = (work) => doing($('problem'), work);
function sure(text) {
  $('sure-text').textContent = text;
  $('sure').returnValue = 'no';
  $('sure').showModal();
  return new Promise((resolve) => $('sure').addEventListener('close', () => resolve($('sure').returnValue === 'yes'), { once: true }));
}
function button(text, className, work) {
  const one = element('button', text, className);
  one.addEventListener('click', act(work));
  return one;
}

// What a tenant may have with all of its users.
function room(path, id, quota) {
  const [view, form] = [element('details'), element('form')];
  form.append(...Object.entries(ROOM).flatMap(([name, text]) => {
    const { limit, used, isDefault } = quota[name];
    const field = Object.assign(element('input'), { id: `${name}-${id}`, name, type: 'number', min: 0, max: Number.MAX_SAFE_INTEGER });
    Object.assign(field, { value: isDefault ? '' : limit ?? 0, placeholder: `${limit ?? 'any number'} (default)` });
    const label = Object.assign(element('label', `${text}: has ${used.toLocaleString()}`), { htmlFor: field.id });
    return [label, field];
  }), element('p', 'Empty: the default. 0: any number.', 'hint'), element('button', 'Save'));
  form.addEventListener('submit', act(async () => {
    const limits = [...form.querySelectorAll('input')].map(({ name, value }) => [name, value === '' ? null : Number(value)]);
    await ask('PUT', `${path}/quota`, Object.fromEntries(limits));
    await draw();
  }));
  view.append(element('summary', 'What it may have'), form);
  return view;
}
// Where the URLs of its webhooks and files may lead to.
function hosts(path, id, listed) {
  const [view, form] = [element('details'), element('form')];
  const field = Object.assign(element('textarea', (listed ?? []).join('\n')), { id: `hosts-${id}`, name: 'hosts', rows: 4, placeholder: '*.example.com' });
  const any = Object.assign(element('input'), { id: `any-${id}`, type: 'checkbox', checked: !listed });
  const turn = () => { field.disabled = any.checked; };
  any.addEventListener('change', turn);
  turn();
  const [either, choice] = [element('fieldset'), element('label', 'Any host')];
  choice.prepend(any);
  either.append(choice);
  const label = Object.assign(element('label', 'Only these, one on each line'), { htmlFor: field.id });
  form.append(either, label, field, element('p', 'None: they lead nowhere.', 'hint'), element('button', 'Save'));
  form.addEventListener('submit', act(async () => {
    await ask('PUT', `${path}/hosts`, { hosts: any.checked ? null : field.value.split(/\s+/).filter(Boolean) });
    await draw();
  }));
  view.append(element('summary', listed ? `Its URLs may name ${listed.length} hosts` : 'Its URLs may name any host'), form);
  return view;
}
function tenant({ id, name, status, quota, hosts: listed }) {
  const [item, path] = [element('li', '', 'card entry'), `/tenants/${encodeURIComponent(name)}`];
  const active = status === 'active';
  const turn = button(active ? 'Suspend' : 'Resume', active ? 'danger' : '', async () => {
    if (active && !(await sure(`Suspend ${name}? None of its keys and people is let in, and its sessions end.`))) return;
    await ask('PUT', path, { status: active ? 'suspended' : 'active' });
    await draw();
  });
  const remove = button('Delete', 'danger', async () => {
    if (!(await sure(`Delete ${name} with all of its users? Nothing of theirs can be brought back.`))) return;
    await ask('DELETE', path);
    await draw();
  });
  const actions = element('div', '', 'actions');
  actions.append(turn, remove);
  item.append(element('strong', name), element('p', `${status} · ${id}`, 'hint'), actions, room(path, id, quota), hosts(path, id, listed));
  return item;
}
function block({ address, secondsLeft }) {
  const item = element('li', '', 'card entry');
  const text = address === 'sign-ins' ? 'Sign-ins from where nobody signed in before' : address;
  const actions = element('div', '', 'actions');
  actions.append(button('Let in again', '', async () => {
    await ask('DELETE', `/blocks/${encodeURIComponent(address)}`);
    await draw();
  }));
  item.append(element('strong', text), element('p', `for ${Math.ceil(secondsLeft / 60)} minutes more`, 'hint'), actions);
  return item;
}
async function drawRecords() {
  const whose = $('whose').value;
  const records = await ask('GET', `/audit?limit=50${whose && `&tenant=${encodeURIComponent(whose)}`}`);
  $('records').replaceChildren(...records.map(({ at, what, status, address, about, times }) => {
    const facts = [new Date(at).toLocaleString(), status || '', address || about || '', times > 1 ? `${times} times` : ''];
    const item = element('li', `${what} `);
    item.append(element('small', facts.filter(Boolean).join(' · ')));
    return item;
  }));
}
async function draw() {
  const [tenants, blocks] = await Promise.all([ask('GET', '/tenants'), ask('GET', '/blocks')]);
  $('tenants').replaceChildren(...tenants.map(tenant));
  $('blocks').replaceChildren(...(blocks.length ? blocks.map(block) : [element('li', 'Nobody.', 'hint')]));
  const chosen = $('whose').value;
  $('whose').replaceChildren(new Option('the server', ''), ...tenants.map(({ name }) => new Option(name, name, false, name === chosen)));
  await drawRecords();
}

$('enter').addEventListener('submit', doing($('door-problem'), async () => {
  token = $('token').value;
  await draw();
  $('door').hidden = true;
  $('house').hidden = $('leave').hidden = false;
  stay();
  $('enter').reset();
}));
// Whoever leaves, or does nothing for a quarter of an hour, has to show the token again.
let idle = 0;
const leave = () => location.reload();
const stay = () => {
  clearTimeout(idle);
  if (token) idle = setTimeout(leave, 15 * 60 * 1000);
};
for (const sign of ['pointerdown', 'keydown']) document.addEventListener(sign, stay);
$('leave').addEventListener('click', leave);
$('new-tenant').addEventListener('submit', act(async () => {
  await ask('POST', '/tenants', { name: $('name').value });
  $('new-tenant').reset();
  await draw();
}));
$('whose').addEventListener('change', act(drawRecords));
