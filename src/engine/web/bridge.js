// Runs in the page, behind wa-js. It keeps what happens in a queue until the driver has taken and committed it, and tells
// where the page stands. Nothing here reaches the network by itself.
(() => {
  'use strict';
  if (window.__wardroom || window.top !== window) return;
  const QUEUE = 10000;
  const queue = [];
  let last = 0;
  let overflow = false;
  let loggedOut = false;
  let wasAuthenticated = false;
  let idle = false;
  let code = null;
  let wake = () => {};
  const changed = () => wake();

  function push(event) {
    if (queue.length >= QUEUE) {
      overflow = true;
      return changed();
    }
    queue.push({ ...event, seq: ++last });
    changed();
  }

  const text = (value) => (value === undefined || value === null ? null : String(value._serialized ?? value));
  const quietly = (work) => {
    try {
      return work();
    } catch {
      return null;
    }
  };

  // Phone number for a hidden id and the other way round, where the page knows it.
  function alias(id) {
    const cache = quietly(() => WPP.whatsapp.lidPnCache);
    if (!cache || !id) return null;
    return text(quietly(() => (id.isLid() ? cache.getPhoneNumber(id) : cache.getCurrentLid(id))));
  }

  // Half of a character pair is no text that a wire could carry.
  const whole = (value) => (typeof value === 'string' ? value.toWellFormed() : '');

  function told(message) {
    const id = message.id;
    return {
      kind: 'message',
      id: text(id),
      chat: text(id.remote),
      alias: alias(id.remote),
      fromMe: !!id.fromMe,
      participant: text(id.participant),
      name: whole(quietly(() => message.notifyName || WPP.whatsapp.ContactStore.get(id.remote)?.pushname)) || null,
      type: whole(message.type) || 'unknown',
      body: whole(message.body),
      t: Math.floor(Number(message.t)) || 0,
      ack: typeof message.ack === 'number' ? message.ack : 0,
    };
  }
  // Notices of the client itself (encryption changed, …) are no messages.
  const counts = (message) => !['e2e_notification', 'notification_template', 'gp2', 'protocol'].includes(message.type);

  function stage() {
    if (!window.WPP || !WPP.isReady) return 'boot';
    const authenticated = quietly(() => WPP.conn.isAuthenticated());
    const { mode, info } = quietly(() => WPP.conn.getStreamData()) || {};
    if (mode === 'CONFLICT') return 'conflict';
    if (mode === 'TOS_BLOCK' || mode === 'SMB_TOS_BLOCK') return 'banned';
    if (mode === 'DEPRECATED_VERSION' || quietly(() => WPP.conn.needsUpdate())) return 'outdated';
    if (mode === 'PROXYBLOCK') return 'blocked';
    if (loggedOut || (wasAuthenticated && mode === 'QR')) return 'logged_out';
    if (!authenticated) return idle ? 'login_idle' : code || mode === 'QR' ? 'login' : 'boot';
    wasAuthenticated = true;
    if (mode === 'MAIN' && info === 'NORMAL' && WPP.isFullReady) return 'ready';
    return mode === 'MAIN' || info === 'OFFLINE' ? 'offline' : 'syncing';
  }

  function account() {
    const own = quietly(() => WPP.conn.getMyUserWid());
    if (!own) return null;
    const name = quietly(() => WPP.whatsapp.Conn.pushname) || '';
    return { id: text(own), lid: text(quietly(() => WPP.conn.getMyUserLid())), name };
  }

  const state = () => {
    const now = stage();
    return { stage: now, code: now === 'login' ? code : null, account: wasAuthenticated ? account() : null, overflow };
  };

  // wa-js leaves out the fifth field, the kind of client.
  async function readCode() {
    const found = await WPP.conn.getAuthCode().catch(() => null);
    const kind = quietly(() => window.require('WAWebCompanionRegClientUtils').DEVICE_PLATFORM) ?? '1';
    code = found?.fullCode ? `${found.fullCode},${kind}` : null;
    changed();
  }

  function attach() {
    for (const event of ['conn.main_init', 'conn.main_ready', 'conn.authenticated', 'conn.online', 'conn.needs_update'])
      WPP.on(event, changed);
    for (const event of ['loader.ready', 'loader.full_ready', 'conn.stream_mode_changed', 'conn.stream_info_changed'])
      WPP.on(event, changed);
    WPP.on('conn.auth_code_change', readCode);
    WPP.on('conn.require_auth', readCode);
    WPP.on('conn.qrcode_idle', () => {
      idle = true;
      changed();
    });
    WPP.on('conn.logout', () => {
      loggedOut = true;
      changed();
    });
    WPP.on('chat.new_message', (message) => counts(message) && push(told(message)));
    WPP.on('chat.msg_ack_change', ({ ack, ids, sender }) => {
      for (const id of ids) {
        push({ kind: 'ack', id: text(id), chat: text(id.remote), fromMe: !!id.fromMe, participant: text(sender), ack });
      }
    });
    WPP.on('chat.presence_change', ({ id, state: what }) => {
      push({ kind: 'presence', chat: text(id), presence: what === 'composing' ? 'typing' : what || 'paused' });
    });
  }

  let walk = [];
  // A chat's messages back to `t`. wa-js asks for one less than `count` before the last message and adds that one only where
  // it is at hand; so one less than asked for is still a full answer.
  async function back(chat, t) {
    for (let count = 100; ; count *= 4) {
      const messages = await WPP.chat.getMessages(chat, { count });
      if (messages.length < count - 1 || messages[0].t < t) return messages;
    }
  }

  const api = {
    state,
    // Drops what was committed up to `done`, then waits for events or a change of state, at most `wait` ms.
    async pull(done, most, wait, before) {
      while (queue.length && queue[0].seq <= done) queue.shift();
      const same = () => queue.length === 0 && JSON.stringify(state()) === before;
      if (same()) {
        await new Promise((resolve) => {
          const timer = setTimeout(resolve, wait);
          wake = () => {
            if (same()) return;
            clearTimeout(timer);
            resolve();
          };
        });
        wake = () => {};
      }
      return { events: queue.slice(0, most), state: state() };
    },
    // Messages of all chats not older than `t`, oldest first inside each chat; `skip` chats were done before. The list of
    // chats is made once: the page sorts its own by activity, so a place in it means nothing a moment later.
    async since(t, skip, most) {
      if (skip === 0) {
        overflow = false;
        walk = WPP.whatsapp.ChatStore.getModelsArray().filter((chat) => (chat.t || 0) >= t).map((chat) => chat.id);
      }
      const found = [];
      let next = skip;
      for (; next < walk.length && found.length < most; next++) {
        try {
          const messages = await back(walk[next], t);
          found.push(...messages.filter((message) => message.t >= t && counts(message)).map(told));
        } catch (error) {
          console.error('a chat could not be read', error);
        }
      }
      return { events: found, next: next < walk.length ? next : null };
    },
    // Whether the network answers: it is asked about the account's own number, past wa-js's caches. Nobody sees that.
    async probe(wait) {
      const own = WPP.conn.getMyUserWid();
      const late = new Promise((resolve) => setTimeout(() => resolve(false), wait));
      const answer = Promise.resolve(WPP.whatsapp.functions.queryWidExists(own)).then((found) => !!found, () => false);
      return Promise.race([answer, late]);
    },
    async send(to, body, id) {
      const found = to.endsWith('@c.us') ? await WPP.contact.queryExists(to) : true;
      if (!found) return { status: 'not_on_whatsapp' };
      const chat = await WPP.chat.find(to);
      const key = `true_${chat.id}_${id}`;
      const known = WPP.whatsapp.MsgStore.get(key);
      if (known && known.ack >= 1) return { status: 'sent', message: told(known) };
      const options = { messageId: key, createChat: true, linkPreview: false, markIsRead: false, detectMentioned: false };
      const { sendMsgResult } = await WPP.chat.sendTextMessage(chat.id, body, options);
      const result = await sendMsgResult;
      const verdict = result?.messageSendResult ?? result;
      if (verdict === 'not_on_whatsapp') return { status: 'not_on_whatsapp' };
      if (verdict !== 'OK') return { status: 'refused', detail: String(verdict) };
      return { status: 'sent', message: told(WPP.whatsapp.MsgStore.get(key)) };
    },
    async pair(phone) {
      const plain = await WPP.conn.genLinkDeviceCodeForPhoneNumber(phone, true);
      return `${plain.slice(0, 4)}-${plain.slice(4)}`;
    },
    async seen(chat) {
      await WPP.chat.find(chat);
      await WPP.chat.markIsRead(chat);
      return true;
    },
    async typing(chat, on) {
      const found = await WPP.chat.find(chat);
      await (on ? WPP.chat.markIsComposing(found.id) : WPP.chat.markIsPaused(found.id));
      return true;
    },
    // WPP.conn.logout() waits for an event that may have passed; the state tells as well.
    logout() {
      WPP.whatsapp.Socket.logout();
      return true;
    },
    storage: () => JSON.stringify({ ...localStorage }),
  };
  Object.defineProperty(window, '__wardroom', { value: Object.freeze(api) });
  if (window.WPP) attach();
  else console.error('wa-js is not here');
})();
