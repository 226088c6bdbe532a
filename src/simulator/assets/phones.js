// The human page: choose a phone, link it, chat as it.
'use strict';
const $ = (id) => document.getElementById(id);
let current = null;
let shown = [];

const say = (text) => ($('said').textContent = text);
async function call(path, body) {
  const options = body === undefined ? {} : { method: 'POST', headers: { 'content-type': 'application/json' }, body: JSON.stringify(body) };
  const response = await fetch(path, options);
  const text = await response.text();
  const answer = text ? JSON.parse(text) : null;
  if (!response.ok) throw new Error(answer?.error || response.statusText);
  return answer;
}
const tried = (work, done) => async (event) => {
  event?.preventDefault();
  try {
    await work(event?.target);
    say(done);
  } catch (error) {
    say(error.message);
  }
  refresh();
};

async function refresh() {
  const phones = await call('/api/phones');
  $('phones').replaceChildren(
    ...phones.map((phone) => {
      const button = document.createElement('button');
      button.textContent = `${phone.name} (${phone.number})`;
      const state = document.createElement('small');
      state.textContent = phone.devices.length ? `${phone.online.length} of ${phone.devices.length} linked devices online` : 'not linked';
      button.append(state);
      button.setAttribute('aria-current', String(phone.number === current));
      button.onclick = () => choose(phone);
      const item = document.createElement('li');
      item.append(button);
      return item;
    }),
  );
  if (current) await messages();
}
function choose(phone) {
  current = phone.number;
  shown = [];
  $('phone').hidden = false;
  $('title').textContent = `${phone.name} (${phone.number})`;
  $('messages').replaceChildren();
  refresh();
}
// What a line shows of a message that is more than a text.
function said({ type, text, data = {}, votes = {} }) {
  if (type === 'revoked') return 'This message was deleted.';
  if (type === 'location') return `📍 ${data.loc || `${data.lat}, ${data.lng}`}`;
  if (type === 'vcard') return `👤 ${data.vcardFormattedName}`;
  if (type === 'multi_vcard') return data.vcardList.map((card) => `👤 ${card.displayName}`).join('\n');
  if (data.filehash) return [`📎 ${data.filename || data.mimetype}`, text].filter(Boolean).join('\n');
  if (type !== 'poll_creation') return text;
  const count = (option) => Object.values(votes).filter((ids) => ids.includes(option.localId)).length;
  return [`📊 ${data.pollName}`, ...data.pollOptions.map((option) => `○ ${option.name} (${count(option)})`)].join('\n');
}
const digits = (text) => text.replace(/\D/g, '');
async function messages() {
  shown = await call(`/api/phones/${current}/messages`);
  if (!$('chat').value && shown.length) $('chat').value = digits(shown.at(-1).chat);
  const chat = `${digits($('chat').value)}@c.us`;
  const lines = shown.filter((one) => one.chat === chat);
  const ticks = { 1: '✓', 2: '✓✓', 3: '✓✓ read' };
  $('messages').replaceChildren(
    ...lines.map((one) => {
      const line = document.createElement('p');
      const own = one.from === `${current}@c.us`;
      line.className = own ? 'own' : '';
      line.textContent = said(one);
      if (one.data?.filehash && one.type === 'image') {
        const image = document.createElement('img');
        image.src = `/media/${one.data.filehash}`;
        image.alt = one.text || 'A picture';
        line.append(image);
      }
      const foot = document.createElement('small');
      const time = new Date(one.timestamp * 1000).toLocaleTimeString();
      const marks = [time, one.edited && 'edited', one.pinned && '📌', own && ticks[one.ack], ...Object.values(one.reactions || {})];
      foot.textContent = marks.filter(Boolean).join(' ');
      line.append(foot);
      return line;
    }),
  );
  $('messages').scrollTop = $('messages').scrollHeight;
  const unread = lines.some((one) => one.from === chat && one.ack < 3);
  if (unread && document.hasFocus()) await call(`/api/phones/${current}/read`, { chat });
}
$('add').onsubmit = tried(async (form) => {
  await call('/api/phones', { number: digits(form.number.value), name: form.name.value || undefined });
  form.reset();
}, 'The phone is there.');
$('scan').onsubmit = tried((form) => call(`/api/phones/${current}/scan`, { qr: form.qr.value.trim() }), 'Linked.');
$('newest').onclick = tried(() => call(`/api/phones/${current}/scan`, { qr: 'newest' }), 'Linked.');
$('pair').onsubmit = tried((form) => call(`/api/phones/${current}/pair`, { code: form.code.value }), 'Linked.');
$('send').onsubmit = tried(async (form) => {
  await call(`/api/phones/${current}/messages`, { to: digits($('chat').value), text: form.text.value });
  form.reset();
}, 'Sent.');
const KINDS = { image: 'image', video: 'video', audio: 'ptt' };
$('file').onsubmit = tried(async (form) => {
  const [file] = form.file.files;
  const about = { to: digits($('chat').value), kind: KINDS[file.type.split('/')[0]] || 'document', filename: file.name };
  const path = `/api/phones/${current}/files?${new URLSearchParams(about)}`;
  const answer = await fetch(path, { method: 'POST', headers: { 'content-type': file.type || 'application/octet-stream' }, body: file });
  if (!answer.ok) throw new Error((await answer.json()).error);
  form.reset();
}, 'Sent.');
$('unlink').onclick = tried(() => call(`/api/phones/${current}/unlink`, {}), 'The linked devices are removed.');
setInterval(() => refresh().catch((error) => say(error.message)), 1000);
refresh();
