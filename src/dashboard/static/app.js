// The dashboard: sessions with live status, linking, a chat to try a message. Status, codes and messages arrive over the
// socket; the API is asked for what was there before and for everything that changes something.

import { keys } from '/dashboard/keys.js';
import { door, invited, people } from '/dashboard/people.js';
import { draw, soon } from '/dashboard/supervision.js';
import { settings, stream } from '/dashboard/session.js';
import { letters, webhooks } from '/dashboard/webhooks.js';
import { you } from '/dashboard/you.js';

const $ = (id) => document.getElementById(id);
const sessions = new Map();
const codes = new Map();
let current = null;
let chat = null;
let socket = null;
let cursor = null;

// ---- asking ------------------------------------------------------------------------------------------------------
class Problem extends Error {
  constructor(status, text, code) {
    super(text);
    this.status = status;
    this.code = code;
  }
}
async function ask(method, path, body) {
  const options = { method, headers: {} };
  if (body !== undefined) {
    options.body = JSON.stringify(body);
    options.headers['content-type'] = 'application/json';
  }
  const response = await fetch(path, options);
  const text = await response.text();
  const answer = text ? JSON.parse(text) : null;
  if (!response.ok) {
    const message = [answer?.message].flat().filter(Boolean).join('; ') || response.statusText;
    // There it is a password or a code that is wrong.
    const shown = /^\/dashboard\/sign-in$|^\/api\/auth\/(invitation|password|second-factor)/.test(path);
    if (response.status === 401 && !shown) showSignIn();
    throw new Problem(response.status, message, answer?.code);
  }
  return answer;
}
// Runs what a form or button asks for, with its button disabled meanwhile; what goes wrong is told in `place`.
const doing = (place, work) => async (event) => {
  event.preventDefault();
  const button = event.submitter || event.currentTarget;
  place.textContent = '';
  button.disabled = true;
  try {
    await work(event);
  } catch (problem) {
    place.textContent = problem.message;
  } finally {
    button.disabled = false;
    if (current) renderSession();
  }
};
// Messages come in bursts, and a list of chats costs a question to the page.
const rarely = (work) => {
  let timer = 0;
  return () => {
    timer ||= setTimeout(() => {
      timer = 0;
      work();
    }, 250);
  };
};
const chatsSoon = rarely(() => current && loadChats());
const path = (name, rest = '') => `/api/sessions/${encodeURIComponent(name)}${rest}`;
const element = (tag, text, className) => Object.assign(document.createElement(tag), { textContent: text, className: className || '' });

$('plain').hidden = location.protocol === 'https:' || ['localhost', '127.0.0.1', '[::1]'].includes(location.hostname);

// ---- signing in --------------------------------------------------------------------------------------------------
function showSignIn() {
  // What stands in the page is the last person's: it goes with the page.
  if (!$('views').hidden) {
    location.reload();
    return;
  }
  socket?.close();
  socket = null;
  for (const id of ['house', 'sign-out', 'views', ...Object.keys(VIEWS)]) $(id).hidden = true;
  forget();
  $('sign-in').hidden = false;
  $('email').focus();
}
$('sign-in-form').addEventListener('submit', doing($('sign-in-problem'), async () => {
  await ask('POST', '/dashboard/sign-in', { key: $('key').value });
  $('sign-in-form').reset();
  await enter();
}));
$('sign-out').addEventListener('click', doing($('sign-in-problem'), async () => {
  await ask('POST', '/dashboard/sign-out');
  showSignIn();
}));
async function enter() {
  const demanded = await loadSessions().then(() => false, (problem) => {
    if (problem.code !== 'second_factor_required') throw problem;
    return true;
  });
  admit(demanded);
}
// Of whom a second factor is demanded, they see to that first.
function admit(demanded) {
  $('sign-in').hidden = true;
  $('sign-out').hidden = $('views').hidden = false;
  for (const button of $('views').children) button.hidden = demanded && button.dataset.view !== 'you';
  $('you-demand').hidden = !demanded;
  $('line').hidden = true;
  show(demanded ? 'you' : null);
  if (!demanded) listen();
}
// Whoever had to set up a second factor first goes on.
async function allowed() {
  if ($('you-demand').hidden) return;
  await loadSessions();
  $('you-demand').hidden = true;
  for (const button of $('views').children) button.hidden = false;
  listen();
}

// What was typed for one session, or shown once, must not be there for another or for the next person.
function forget() {
  for (const view of ['stream-view', 'settings-view', 'hooks-view']) $(view).open = false;
  for (const list of ['stream', 'hooks', 'letters']) $(list).replaceChildren();
  for (const form of ['settings', 'hook-form', 'letters-form']) $(form).reset();
  for (const place of ['settings-problem', 'hooks-problem', 'letters-problem', 'fresh-key', 'invited-link']) $(place).textContent = '';
  $('fresh').hidden = $('invited').hidden = true;
}
// The sessions, or one of the other views.
function show(view) {
  $('house').hidden = view !== null;
  for (const [id, fill] of Object.entries(VIEWS)) {
    $(id).hidden = id !== view;
    document.querySelector(`[data-view=${id}]`).setAttribute('aria-pressed', String(id === view));
    if (id === view) fill();
  }
}
for (const button of document.querySelectorAll('[data-view]')) {
  button.addEventListener('click', () => show($(button.dataset.view).hidden ? button.dataset.view : null));
}

// ---- the socket --------------------------------------------------------------------------------------------------
function listen() {
  if (socket) return;
  const since = cursor ? `&since=${cursor}` : '';
  const here = new WebSocket(`${location.protocol === 'https:' ? 'wss' : 'ws'}://${location.host}/ws?events=*,auth.qr${since}`);
  socket = here;
  here.onopen = () => {
    $('line').hidden = true;
    loadSessions().catch(() => {});
  };
  here.onmessage = (message) => {
    const frame = JSON.parse(message.data);
    hear(frame);
    showEvent(frame);
  };
  here.onclose = () => {
    if (socket !== here) return;
    socket = null;
    $('line').textContent = 'The connection to the server is lost. Trying again…';
    $('line').hidden = false;
    setTimeout(async () => {
      if ($('sign-out').hidden) return;
      // Whoever is not let in any more is told so by this, not by the socket.
      const problem = await loadSessions().catch((problem) => problem);
      if (problem?.code === 'second_factor_required') admit(true);
      else if (!$('sign-out').hidden) listen();
    }, 1000);
  };
}
function hear({ event, session: name, payload, cursor: place }) {
  if (place) cursor = place;
  if (event.startsWith('session.')) soon(ask);
  const session = sessions.get(name);
  switch (event) {
    case 'session.status':
      if (!session) return void loadSessions();
      session.status = payload.status;
      session.lastExit = payload.userAction || payload.reason ? payload : null;
      if (payload.status !== 'SCAN_QR_CODE') codes.delete(name);
      if (payload.status === 'WORKING') loadSessions();
      renderSessions();
      return void (name === current && renderSession());
    case 'auth.qr':
      codes.set(name, payload);
      return void (name === current && renderSession());
    case 'message.any':
      if (name === current) {
        chatsSoon();
        // A person may be known by number and by hidden id; the server knows that they are one.
        if (chat) loadMessages();
      }
      return;
    case 'message.ack':
    case 'message.edited':
    case 'message.revoked':
      return void (name === current && chat && loadMessages());
    case 'gap':
      return void loadSessions();
  }
}

// ---- sessions ----------------------------------------------------------------------------------------------------
async function loadSessions() {
  const list = await ask('GET', '/api/sessions?all=true');
  sessions.clear();
  for (const session of list) sessions.set(session.name, session);
  if (current && !sessions.has(current)) close();
  renderSessions();
  if (current) renderSession();
}
function statusBadge(session) {
  const badge = element('span', session.status.replaceAll('_', ' '), 'status');
  badge.dataset.status = session.status;
  return badge;
}
// Buttons of a list, kept where they stand: one that is replaced while somebody presses it never hears of it.
function renderList(list, items, key, fill, press) {
  const known = new Map([...list.children].map((item) => [item.dataset.key, item]));
  items.forEach((value, place) => {
    let item = known.get(key(value));
    known.delete(key(value));
    if (!item) {
      item = element('li', '');
      item.dataset.key = key(value);
      const button = element('button', '');
      button.addEventListener('click', () => press(item.dataset.key));
      item.append(button);
    }
    fill(item.firstChild, value);
    if (list.children[place] !== item) list.insertBefore(item, list.children[place] || null);
  });
  for (const gone of known.values()) gone.remove();
}
function renderSessions() {
  $('no-sessions').hidden = sessions.size > 0;
  renderList($('sessions'), [...sessions.values()], (session) => session.name, (button, session) => {
    button.replaceChildren(element('span', session.name), statusBadge(session));
    button.setAttribute('aria-current', String(session.name === current));
  }, open);
}
$('create').addEventListener('submit', doing($('create-problem'), async () => {
  const session = await ask('POST', '/api/sessions', { name: $('name').value, config: { network: $('network').value } });
  sessions.set(session.name, session);
  $('name').value = '';
  open(session.name);
}));
function open(name) {
  current = name;
  chat = null;
  $('pair-code').textContent = '';
  $('session-problem').textContent = '';
  $('chat').hidden = true;
  forget();
  $('chats').replaceChildren();
  $('session').hidden = false;
  $('house').classList.add('open');
  renderSessions();
  renderSession();
  loadChats();
  $('session').focus({ preventScroll: true });
}
function close() {
  current = null;
  $('session').hidden = true;
  $('house').classList.remove('open');
  renderSessions();
}
$('back').addEventListener('click', close);

function renderSession() {
  const session = sessions.get(current);
  if (!session) return;
  $('session-title').textContent = session.name;
  $('session-status').replaceWith(Object.assign(statusBadge(session), { id: 'session-status' }));
  const number = session.me?.id?.split('@')[0];
  $('session-account').textContent = number ? `${session.me.pushName || 'Linked'} · ${number}` : 'No account is linked.';
  const advice = session.lastExit?.userAction;
  if (session.status === 'FAILED' && advice) $('session-problem').textContent = advice;
  const running = !['STOPPED', 'FAILED'].includes(session.status);
  for (const button of document.querySelectorAll('[data-act]')) {
    const act = button.dataset.act;
    button.disabled = (act === 'start' && running) || (act === 'stop' && session.status === 'STOPPED');
  }
  const scanning = session.status === 'SCAN_QR_CODE';
  $('link').hidden = !scanning;
  $('chat-view').hidden = !(session.me || $('chats').childElementCount);
  if (scanning) renderCode();
}
function renderCode() {
  const code = codes.get(current);
  $('qr').hidden = !code;
  if (code) $('qr').src = code.image;
  else loadCode(current);
}
// The code that was shown before this page came.
async function loadCode(name) {
  try {
    const answer = await fetch(`/api/${encodeURIComponent(name)}/auth/qr`, { headers: { accept: 'application/json' } });
    if (!answer.ok || codes.has(name)) return;
    const { mimetype, data } = await answer.json();
    codes.set(name, { image: `data:${mimetype};base64,${data}`, expiresAt: null });
    if (name === current) renderSession();
  } catch {
    // The next code comes over the socket.
  }
}
setInterval(() => {
  const code = codes.get(current);
  const left = code?.expiresAt ? Math.max(0, Math.round((code.expiresAt - Date.now()) / 1000)) : null;
  $('qr-life').textContent = left === null ? '' : `A new code comes in ${left} s.`;
}, 500);

const QUESTIONS = {
  logout: 'Log out? The phone has to scan a new code afterwards.',
  delete: 'Delete this session with everything that belongs to it?',
};
function sure(question) {
  const dialog = $('sure');
  $('sure-text').textContent = question;
  dialog.returnValue = 'no';
  dialog.showModal();
  return new Promise((resolve) => dialog.addEventListener('close', () => resolve(dialog.returnValue === 'yes'), { once: true }));
}
for (const button of document.querySelectorAll('[data-act]')) {
  button.addEventListener('click', doing($('session-problem'), async () => {
    const act = button.dataset.act;
    const name = current;
    if (QUESTIONS[act] && !(await sure(QUESTIONS[act]))) return;
    if (act === 'delete') await ask('DELETE', path(name));
    else sessions.set(name, await ask('POST', path(name, `/${act}`)));
    await loadSessions();
  }));
}
$('pair').addEventListener('submit', doing($('session-problem'), async () => {
  const phoneNumber = $('phone').value;
  const { code } = await ask('POST', `/api/${encodeURIComponent(current)}/auth/request-code`, { phoneNumber });
  $('pair-code').textContent = code;
}));

// ---- chats -------------------------------------------------------------------------------------------------------
async function loadChats() {
  const name = current;
  const list = await ask('GET', `/api/${encodeURIComponent(name)}/chats`).catch(() => []);
  if (name !== current) return;
  renderList($('chats'), list, (one) => one.id, (button, one) => {
    button.textContent = one.name ? `${one.name} (${one.id.split('@')[0]})` : one.id.split('@')[0];
    button.setAttribute('aria-current', String(one.id === chat));
  }, openChat);
  renderSession();
}
function openChat(id) {
  chat = id;
  $('chat').hidden = false;
  $('chat-title').textContent = id.split('@')[0];
  $('messages').replaceChildren();
  drawn = [];
  loadMessages(sessions.get(current)?.status === 'WORKING');
  loadChats();
  $('text').focus();
}
$('open-chat').addEventListener('submit', (event) => {
  event.preventDefault();
  openChat(`${$('other').value.replace(/\D/g, '')}@c.us`);
  event.target.reset();
});
// What a line shows of a message that is more than a text.
function said({ body, location, vCards, hasMedia, media, _data: { type, pollOptions } }) {
  if (type === 'revoked') return 'This message was deleted.';
  if (location) return `📍 ${location.description || `${location.latitude}, ${location.longitude}`}`;
  if (vCards.length) return vCards.map((card) => `👤 ${card.match(/^FN:(.*)$/m)?.[1].replace(/\\(.)/g, '$1') || 'Contact'}`).join('\n');
  if (pollOptions) return [`📊 ${body}`, ...pollOptions.map((option) => `○ ${option}`)].join('\n');
  return hasMedia && !media ? `📎 ${body}` : body;
}
// The file of a message, shown where it can be, or as something to save. Its link may name the server as others reach it.
function attached({ media: { url, mimetype, filename }, body }) {
  const source = new URL(url).pathname;
  const tag = { image: 'img', audio: 'audio', video: 'video' }[mimetype.split('/')[0]];
  if (!tag || mimetype.startsWith('image/svg')) {
    return Object.assign(element('a', `📎 ${filename || mimetype}`), { href: source, download: filename || '' });
  }
  const shown = Object.assign(element(tag, ''), { src: source });
  if (tag === 'img') Object.assign(shown, { alt: body || 'A picture', loading: 'lazy' });
  else Object.assign(shown, { controls: true, preload: 'none' });
  return shown;
}
const TICKS = { '-1': 'failed', 0: 'waiting', 1: '✓', 2: '✓✓', 3: '✓✓ read', 4: '✓✓ played' };
// What is drawn of a chat, the newest first: the past is asked for once.
let drawn = [];
async function loadMessages(past = false) {
  const [name, id] = [current, chat];
  const path = `/api/${encodeURIComponent(name)}/chats/${encodeURIComponent(id)}/messages?limit=100`;
  const recorded = () => ask('GET', path).catch(() => null);
  const list = await (past ? ask('GET', `${path}&history=true`).catch(recorded) : recorded());
  if (!list || name !== current || id !== chat) return;
  const fresh = new Set(list.map((one) => one.id));
  drawn = [...list, ...drawn.filter((one) => !fresh.has(one.id))];
  $('messages').replaceChildren(...drawn.toReversed().map((one) => {
    const line = element('p', said(one), one.fromMe ? 'own' : '');
    if (one.media) line.prepend(attached(one));
    if (one.replyTo?.body) line.prepend(element('q', one.replyTo.body));
    const time = new Date(one.timestamp * 1000).toLocaleTimeString([], { hour: '2-digit', minute: '2-digit' });
    const foot = [time, one._data.edited && 'edited', one.fromMe && TICKS[one.ack]];
    line.append(element('small', foot.filter(Boolean).join(' ')));
    return line;
  }));
  $('messages').scrollTop = $('messages').scrollHeight;
}
$('send').addEventListener('submit', doing($('session-problem'), async () => {
  const text = $('text').value;
  await ask('POST', '/api/sendText', { session: current, chatId: chat, text });
  $('text').value = '';
  await loadMessages();
  $('text').focus();
}));
const base64 = (file) =>
  new Promise((resolve, reject) => {
    const reader = new FileReader();
    reader.onload = () => resolve(reader.result.slice(reader.result.indexOf(',') + 1));
    reader.onerror = () => reject(new Error('The file cannot be read.'));
    reader.readAsDataURL(file);
  });
$('send-file').addEventListener('submit', doing($('session-problem'), async () => {
  const [file] = $('file').files;
  const kind = { image: 'Image', video: 'Video' }[file.type.split('/')[0]] || 'File';
  const body = { mimetype: file.type || 'application/octet-stream', filename: file.name, data: await base64(file) };
  await ask('POST', `/api/send${kind}`, { session: current, chatId: chat, file: body });
  $('send-file').reset();
  await loadMessages();
}));

// ---- other views -------------------------------------------------------------------------------------------------
const showEvent = stream({ open: () => current });
const drawSettings = settings({ ask, doing, sure, open: () => current, changed: loadSessions });
$('settings-view').addEventListener('toggle', () => $('settings-view').open && current && drawSettings());
const drawHooks = webhooks({ ask, doing, sure, open: () => current, changed: loadSessions });
$('hooks-view').addEventListener('toggle', () => $('hooks-view').open && current && drawHooks());
const VIEWS = {
  supervision: () => draw(ask).catch(() => {}),
  'dead-letters': letters({ ask, doing }),
  'api-keys': keys({ ask, doing, sure, sessions }),
  people: people({ ask, doing, sure }),
  you: you({ ask, doing, sure, left: async () => showSignIn(), allowed }),
};

door({ ask, doing, enter });
if (!invited()) enter().catch(showSignIn);
