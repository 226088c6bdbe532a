// Whoever is here: how they get in, and where else they are signed in.

const $ = (id) => document.getElementById(id);
const element = (tag, text, className) => Object.assign(document.createElement(tag), { textContent: text, className: className || '' });
const time = (at) => new Date(at).toLocaleString();

// `ask` asks the API, `doing` runs what a form or button asks for, `left` shows the way in.
export function you({ ask, doing, sure, left, allowed }) {
  const act = (work) => doing($('you-problem'), work);
  let secret = '';
  function stay({ id, kind, isCurrent, address, agent, createdAt, usedAt }) {
    const item = element('li', '', 'card entry');
    const actions = element('div', '', 'actions');
    const end = element('button', isCurrent ? 'Sign out here' : 'Sign out there', 'danger');
    end.addEventListener('click', act(async () => {
      await ask('DELETE', `/api/auth/sign-ins/${id}`);
      await (isCurrent ? left() : drawStays());
    }));
    actions.append(end);
    const facts = [kind === 'tokens' ? `a program, last here ${time(usedAt)}` : 'the dashboard', `from ${address}`, `since ${time(createdAt)}`];
    item.append(element('strong', isCurrent ? 'Here' : agent || 'Somewhere'), element('p', facts.join(' · '), 'hint'), actions);
    return item;
  }
  async function drawStays() {
    $('stays').replaceChildren(...(await ask('GET', '/api/auth/sign-ins')).map(stay));
  }
  function forget() {
    secret = '';
    for (const form of ['password-form', 'factor-begin', 'factor-remove']) $(form).reset();
    $('factor-qr').removeAttribute('src');
    $('factor-secret').textContent = $('you-problem').textContent = $('password-done').textContent = '';
    $('paper').hidden = true;
    $('paper-codes').replaceChildren();
  }
  async function draw() {
    const { user, tenant, role, isAdmin, email, secondFactor } = await ask('GET', '/api/auth/me');
    const may = role || (isAdmin ? 'admin key' : 'key');
    $('you-who').textContent = [user, email, may, `in ${tenant}`].filter(Boolean).join(' · ');
    $('you-person').hidden = !role;
    $('you-key').hidden = Boolean(role);
    if (!role) return;
    for (const id of ['password-code', 'password-code-label']) $(id).hidden = !secondFactor;
    $('factor-offer').hidden = secondFactor;
    $('factor-begin').hidden = true;
    $('factor-remove').hidden = !secondFactor;
    await drawStays();
  }
  $('password-form').addEventListener('submit', act(async () => {
    const code = $('password-code').hidden ? null : $('password-code').value;
    await ask('POST', '/api/auth/password', { current: $('password-current').value, new: $('password-new').value, code });
    $('password-form').reset();
    $('password-done').textContent = 'It is changed. Wherever else you were signed in, you are not any more.';
    await drawStays();
  }));
  $('factor-offer').addEventListener('click', act(async () => {
    const offer = await ask('GET', '/api/auth/second-factor');
    secret = offer.secret;
    $('factor-qr').src = offer.qr;
    $('factor-secret').textContent = secret;
    $('factor-begin').hidden = false;
    $('factor-offer').hidden = true;
    $('factor-password').focus();
  }));
  $('factor-begin').addEventListener('submit', act(async () => {
    const body = { password: $('factor-password').value, secret, code: $('factor-code').value };
    const { recoveryCodes } = await ask('POST', '/api/auth/second-factor/begin', body);
    forget();
    $('paper-codes').replaceChildren(...recoveryCodes.map((code) => element('li', code)));
    $('paper').hidden = false;
    await draw();
    await allowed();
  }));
  $('factor-remove').addEventListener('submit', act(async () => {
    if (!(await sure('Take the second factor off? From then on your password is enough.'))) return;
    await ask('POST', '/api/auth/second-factor/remove', { password: $('remove-password').value, code: $('remove-code').value });
    forget();
    await draw();
  }));
  $('everywhere').addEventListener('click', act(async () => {
    if (!(await sure('Sign out everywhere? You are signed out here, too.'))) return;
    await ask('DELETE', '/api/auth/sign-ins');
    await left();
  }));
  return async () => {
    forget();
    await draw().catch((problem) => ($('you-problem').textContent = problem.message));
  };
}
