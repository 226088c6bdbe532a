// Of the session that is open: what happens in it, as it happens, and what can be set.

const $ = (id) => document.getElementById(id);
const element = (tag, text, className) => Object.assign(document.createElement(tag), { textContent: text, className: className || '' });

const KEPT = 100;
// What happened, the newest first. Only names and short texts: the chat shows the rest. Whoever opens another session empties
// the list.
export function stream({ open }) {
  const brief = ({ status, chatId, group, id, from, to, fromMe, body, ackName, archived }) => {
    const where = group?.subject ?? group?.id ?? chatId ?? (fromMe ? to : from) ?? (archived === undefined ? null : id);
    return [status, where, ackName, body?.slice?.(0, 200)].filter(Boolean).join(' · ');
  };
  return ({ event, session, timestamp, payload }) => {
    if (session !== open() || event === 'message' || event === 'auth.qr' || event === 'session.supervision') return;
    const item = element('li', '');
    item.append(element('small', new Date(timestamp).toLocaleTimeString()), ' ', element('strong', event), ' ', brief(payload ?? {}));
    $('stream').prepend(item);
    while ($('stream').children.length > KEPT) $('stream').lastChild.remove();
  };
}

const IGNORED = ['status', 'groups', 'channels', 'broadcast'];
// What the form knows of the session's config; the rest stays as it is.
export function settings({ ask, doing, sure, open, changed }) {
  const path = (name) => `/api/sessions/${encodeURIComponent(name)}`;
  const lines = (metadata) => Object.entries(metadata ?? {}).map(([key, value]) => `${key}: ${value}`).join('\n');
  async function draw() {
    const name = open();
    $('settings-save').disabled = true;
    const { config } = await ask('GET', path(name));
    if (name !== open()) return;
    for (const kind of IGNORED) $(`ignore-${kind}`).checked = !!config.ignore?.[kind];
    $('fetch-files').value = config.media?.fetch ?? '';
    $('metadata').value = lines(config.metadata);
    $('settings-save').disabled = false;
  }
  // What the form says now, as a change of a config.
  function written() {
    const ignored = Object.fromEntries(IGNORED.map((kind) => [kind, $(`ignore-${kind}`).checked]));
    const fetch = $('fetch-files').value || undefined;
    const text = $('metadata').value;
    const entries = text.split('\n').filter((line) => line.trim()).map((line) => {
      const at = line.indexOf(':');
      if (at < 1) throw new Error(`Metadata: "${line}" is no "name: value".`);
      return [line.slice(0, at).trim(), line.slice(at + 1).trim()];
    });
    return (config) => ({
      ...config, ignore: { ...config.ignore, ...ignored }, media: { ...config.media, fetch },
      metadata: text === lines(config.metadata) ? config.metadata : Object.fromEntries(entries),
    });
  }
  $('settings').addEventListener('submit', doing($('settings-problem'), async () => {
    const [name, change] = [open(), written()];
    if (!(await sure('Save? The session is stopped and started again with its new settings.'))) return;
    const { config } = await ask('GET', path(name));
    await ask('PUT', path(name), { config: change(config) });
    await changed();
    await draw();
  }));
  return () => draw().catch((problem) => ($('settings-problem').textContent = problem.message));
}
