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
      body: whole(words(message)),
      t: Math.floor(Number(message.t)) || 0,
      ack: typeof message.ack === 'number' ? message.ack : 0,
      ...parts(message),
    };
  }

  const FILES = ['image', 'video', 'gif', 'audio', 'ptt', 'ptv', 'document', 'sticker'];
  // What clients show as a message's text. The body of media and of places is a small picture.
  function words({ type, body, caption, loc, pollName, eventName }) {
    if (FILES.includes(type)) return caption;
    const named = { location: loc, poll_creation: pollName, event_creation: eventName };
    return type in named ? named[type] : body;
  }

  // Never `quotedMsgId`: its getter throws where nothing is quoted.
  function parts(message) {
    const found = {};
    if (message.quotedStanzaID) {
      const quoted = message.quotedMsg || {};
      const body = whole(words(quoted)) || null;
      found.reply_to = { id: text(message.quotedStanzaID), participant: text(message.quotedParticipant), body };
    }
    const { type } = message;
    if (type === 'location') {
      const description = whole(message.loc) || null;
      found.location = { latitude: String(message.lat), longitude: String(message.lng), description };
    }
    if (FILES.includes(type)) {
      const { mimetype, filename, size } = message;
      const known = { filename: whole(filename) || null, size: Number.isSafeInteger(size) ? size : null };
      found.media = { mimetype: whole(mimetype) || 'application/octet-stream', ...known };
    }
    if (type === 'vcard') found.cards = [whole(message.body)];
    if (type === 'multi_vcard') found.cards = (message.vcardList || []).map((card) => whole(card.vcard));
    if (type === 'poll_creation') {
      const options = (message.pollOptions || []).map((option) => whole(option.name));
      found.poll = { options, multiple: message.pollSelectableOptionsCount !== 1 };
    }
    return found;
  }
  // Notices of the client itself (encryption changed, …) are no messages; one that was taken back is a change. wa-js tells of one
  // that cannot be read yet, and again when it can.
  const NOTICES = ['ciphertext', 'e2e_notification', 'notification_template', 'gp2', 'protocol', 'revoked', 'call_log'];
  const counts = (message) => !NOTICES.includes(message.type);

  // ---- what happens to messages that are there -------------------------------------------------------------------
  function altered(key, id, { fromMe, participant, at }, what) {
    return {
      kind: 'change', id: text(id), chat: text(key.remote), alias: alias(key.remote), messageId: text(key),
      fromMe: !!fromMe, participant: text(participant), at: Math.floor(at), what,
    };
  }
  // Seconds as wa-js writes them, or milliseconds as the page does.
  const millis = (time) => (time > 1e11 ? time : time * 1000);

  function reaction({ id, msgId, reactionText, sender, timestamp }) {
    const who = { fromMe: id.fromMe, participant: sender, at: millis(timestamp || Date.now() / 1000) };
    return altered(msgId, id, who, { change: 'reacted', text: whole(reactionText) });
  }
  function edited(message) {
    const { latestEditMsgKey: key, latestEditSenderTimestampMs: time, id } = message;
    const who = { fromMe: id.fromMe, participant: id.participant, at: millis(time || message.t) };
    return altered(id, key, who, { change: 'edited', body: whole(words(message)) });
  }
  // Once it is taken back the model carries the key of that, and remembers its own.
  function revoked(message) {
    const { protocolMessageKey: key, id, revokeTimestamp, revokeSender } = message;
    const who = { fromMe: id.fromMe, participant: revokeSender, at: millis(revokeTimestamp || message.t) };
    return altered(key, id, who, { change: 'revoked' });
  }
  function voted(poll, { sender, timestamp, options }) {
    const id = `${poll}_${text(sender)}`;
    const own = quietly(() => WPP.conn.getMyUserWid());
    const who = { fromMe: !!own && text(sender) === text(own), participant: sender, at: timestamp };
    return altered(poll, id, who, { change: 'voted', options: options.filter(Boolean).map((one) => whole(one.name)) });
  }
  // What came before the page was ready was announced to nobody: it is read from the messages themselves.
  async function changesOf(message) {
    if (message.type === 'revoked') return message.protocolMessageKey ? [revoked(message)] : [];
    const found = message.latestEditMsgKey ? [edited(message)] : [];
    if (message.hasReaction) {
      const { reactions } = await WPP.chat.getReactions(message.id);
      for (const { senders } of reactions) for (const one of senders) found.push(reaction({ ...one, msgId: message.id }));
    }
    if (message.type === 'poll_creation' && message.id.fromMe) {
      const { votes } = await WPP.chat.getVotes(message.id);
      for (const { selectedOptions, timestamp, sender } of votes)
        found.push(voted(message.id, { sender, timestamp, options: [...selectedOptions] }));
    }
    return found;
  }

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

  let settled = false;
  const state = () => {
    const now = stage();
    settled ||= now === 'ready';
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
    WPP.on('chat.new_reaction', (event) => push(reaction(event)));
    WPP.on('chat.msg_edited', ({ msg }) => push(edited(msg)));
    WPP.on('chat.msg_revoke', ({ author, id, refId, from }) => {
      const at = Date.now();
      push(altered(refId, id, { fromMe: refId.fromMe, participant: author ?? from, at }, { change: 'revoked' }));
    });
    WPP.on('chat.poll_response', ({ msgId, selectedOptions, timestamp, sender }) => {
      push(voted(msgId, { sender, timestamp, options: [...selectedOptions] }));
    });
    WPP.on('loader.full_ready', () => people.listen(() => settled));
  }

  // wa-js tells of one that can be read at last only if it came while wa-js was there.
  const late = new WeakSet();
  function hearLater(found) {
    // What wa-js finds may be a copy.
    const message = WPP.whatsapp.MsgStore.get(text(found.id)) ?? found;
    if (late.has(message)) return;
    late.add(message);
    message.once('change:type', () => queueMicrotask(() => counts(message) && push(told(message))));
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

  const failed = (code, detail = null) => ({ status: 'failed', code, detail });
  // The page throws errors of several kinds, and texts.
  async function said(work) {
    try {
      return await work();
    } catch (error) {
      const status = error?.status ?? error?.statusCode;
      if (status === 429) return failed('busy');
      return failed('refused', whole(String(error?.code ?? error?.message ?? error)) || whole(String(error?.name ?? status)));
    }
  }
  const within = (ms, work) => Promise.race([work, new Promise((resolve) => setTimeout(resolve, ms, null))]);

  // The message behind an id, full or bare; a full id may name the chat by its other alias. What is not in memory is
  // looked for in the page's store, which may never answer.
  async function find(id, chat) {
    const store = WPP.whatsapp.MsgStore;
    if (!id.includes('_')) return chat?.msgs?.getModelsArray().find((one) => one.id.id === id) ?? null;
    const [fromMe, remote, ...rest] = id.split('_');
    const other = alias(quietly(() => WPP.util.createWid(remote)));
    const ids = [id, other && [fromMe, other, ...rest].join('_')].filter(Boolean);
    for (const one of ids) {
      const found = store.get(one) ?? (await within(3000, WPP.chat.getMessageById(one).catch(() => null)));
      if (found) return found;
    }
    return null;
  }

  // wa-js forwards without telling what became of it and under an id that nobody chose; so what can be copied is copied.
  const COPIES = {
    chat: ['body'], location: ['lat', 'lng', 'loc'], vcard: ['body', 'vcardFormattedName'], multi_vcard: ['vcardList'],
  };

  // What can be a status update.
  const SHOWN = ['status', 'file'];
  // wa-js refuses these, however often they are tried.
  const NEVER = [
    'quoted_msg_can_not_reply', 'invalid_quoted_msg', 'mentioned_is_not_user', 'type_not_valid_for_newsletter',
    'chat_not_found', 'invalid_wid', 'file_too_large',
  ];

  // The other half of what can be asked and done.
  const people = window.__wardroomPeople({ text, whole, quietly, alias, within, failed, counts, find, row: told, push });
  delete window.__wardroomPeople;

  // How each kind of draft is sent.
  const says = {
    text: (to, { text: body, mentions }, options) =>
      WPP.chat.sendTextMessage(to, body, mentions?.length ? { ...options, mentionedList: mentions } : options),
    location: (to, { latitude, longitude, title }, options) =>
      WPP.chat.sendLocationMessage(to, { ...options, lat: latitude, lng: longitude, name: title || undefined }),
    contacts: (to, { cards }, options) => {
      const list = cards.map(({ name, vcard }) => ({ displayName: name, vcard, isMultiVcard: false }));
      const [{ displayName, vcard }] = list;
      const one = { type: 'vcard', body: vcard, vcardFormattedName: displayName };
      return WPP.chat.sendRawMessage(to, list.length > 1 ? { type: 'multi_vcard', vcardList: list } : one, options);
    },
    forward: (to, { original }, options) => {
      const { type, forwardingScore = 0 } = original;
      const copied = Object.fromEntries(COPIES[type].map((name) => [name, original[name]]));
      const raw = { ...copied, type, isForwarded: true, forwardingScore: forwardingScore + 1 };
      return WPP.chat.sendRawMessage(to, raw, options);
    },
    // Without a waveform: wa-js would leave an audio device open for each that it draws.
    file: (to, { parts: held, media, shown, caption, mentions }, options) => {
      const { mimetype, filename = 'file' } = media;
      const type = { voice: 'audio', note: 'video' }[shown] ?? shown;
      const how = { type, isPtt: shown === 'voice', isPtv: shown === 'note', waveform: false };
      const said = { caption: caption || undefined, mentionedList: mentions };
      return WPP.chat.sendFileMessage(to, new File(held, filename, { type: mimetype }), { ...options, ...how, ...said });
    },
    poll: (to, { name, options: choices, multiple }, options) =>
      WPP.chat.sendCreatePollMessage(to, name, choices, { ...options, selectableCount: multiple ? 0 : 1 }),
    event: (to, { name, description, start: startTime, end: endTime, place }, options) =>
      WPP.chat.sendEventMessage(to, { ...options, name, description, startTime, endTime, location: place ? { name: place } : undefined }),
    status: (_, { text: body, background: backgroundColor, font }, options) =>
      WPP.status.sendTextStatus(body, { ...options, backgroundColor, font }),
  };

  // Where status updates stand: nobody's chat. Their keys carry who wrote them, by number.
  const STATUS = 'status@broadcast';
  const ofStatus = () => quietly(() => WPP.whatsapp.StatusV3Store.getMyStatus().msgs);
  // wa-js gives a file there an id of its own, and gives it up after half a minute while it is still on its way: one that was
  // tried within the last hour is known by its content.
  const shown = new Map();
  async function shownBefore(id, { parts: held, caption = '' }) {
    const digest = await base64(new Blob([await crypto.subtle.digest('SHA-256', await new Blob(held).arrayBuffer())]));
    const others = [...shown].filter(([other]) => other !== id).map(([, key]) => key);
    const same = (one) =>
      one.filehash === digest && (one.caption ?? '') === caption && one.ack >= 0 && one.t > Date.now() / 1000 - 3600 &&
      !others.includes(text(one.id));
    const found = ofStatus()?.getModelsArray().find(same) ?? null;
    for (const end = Date.now() + 600000; found?.ack === 0 && Date.now() < end; )
      await new Promise((resolve) => setTimeout(resolve, 250));
    return found?.ack >= 1 ? found : null;
  }
  // wa-js leaves out contacts of whom it knows no name of their own.
  const contacts = () => {
    const known = WPP.whatsapp.ContactStore.getModelsArray().filter((one) => one.isMyContact && !one.isContactBlocked);
    return known.map(({ id }) => text(id)).filter((id) => !people.isOwn(id));
  };

  // What is done to a message, or to a chat. wa-js's own answers prove little: where it can be seen, it is looked at.
  const acts = {
    ...people.acts,
    async seen(chat) {
      await WPP.chat.find(chat);
      await WPP.chat.markIsRead(chat);
    },
    async typing(chat, { on }) {
      const found = await WPP.chat.find(chat);
      await (on ? WPP.chat.markIsComposing(found.id) : WPP.chat.markIsPaused(found.id));
    },
    async react(message, { reaction: emoji }) {
      await WPP.chat.sendReactionToMessage(message, emoji || false);
    },
    async star(message, { on }) {
      await WPP.chat.starMessage(message.id, on);
      return !!message.star === on ? null : failed('refused');
    },
    async edit(message, { text: body }) {
      if (!message.id.fromMe) return failed('refused', 'only an own message can be edited');
      await WPP.chat.editMessage(message.id, body, { linkPreview: false, markIsRead: false, detectMentioned: false });
      return words(message) === body.trim() ? null : failed('refused');
    },
    // wa-js would delete somebody else's message for this account only, and say that it was taken back.
    async revoke(message) {
      if (!message.id.fromMe) return failed('refused', 'only an own message can be taken back');
      if (text(message.id.remote) === STATUS) {
        const { id } = message;
        await WPP.status.remove(id);
        push(altered(id, id, { fromMe: true, participant: id.participant, at: Date.now() }, { change: 'revoked' }));
        return null;
      }
      const chat = await WPP.chat.find(message.id.remote);
      await WPP.chat.deleteMessage(chat.id, message.id, false, true);
      await chat.promises?.sendRevokeMsgs;
      if (message.type !== 'revoked') return failed('refused');
      push(revoked(message));
      return null;
    },
    async pin(message, { seconds }) {
      const { OneDay, SevenDays, ThirtyDays } = WPP.whatsapp.enums.PinExpiryDurationOption;
      const { pinned } = await WPP.chat.pinMsg(message.id, true, { 86400: OneDay, 604800: SevenDays, 2592000: ThirtyDays }[seconds]);
      return pinned ? null : failed('refused');
    },
    async unpin(message) {
      const { pinned } = await WPP.chat.unpinMsg(message.id);
      return pinned ? failed('refused') : null;
    },
    // wa-js has no function for it.
    async vote(message, { options }) {
      const offered = message.type === 'poll_creation' ? message.pollOptions : [];
      const chosen = offered.filter((one) => options.includes(one.name));
      if (chosen.length !== new Set(options).size) return failed('refused', 'the poll has no such answer');
      const ids = new Set(chosen.map((one) => one.localId));
      await window.require('WAWebPollsSendVoteMsgAction').sendVote(message, ids);
      return null;
    },
  };

  // Files on their way into a message, and out of one, in slices.
  const held = new Map();
  const sending = new Map();
  const opened = new Map();
  const bytes = (base64) => Uint8Array.from(atob(base64), (char) => char.charCodeAt(0));
  const base64 = (blob) =>
    new Promise((resolve, reject) => {
      const reader = new FileReader();
      reader.onload = () => resolve(reader.result.slice(reader.result.indexOf(',') + 1));
      reader.onerror = () => reject(reader.error);
      reader.readAsDataURL(blob);
    });

  const api = {
    state,
    // One file at a time is held for a message that leaves; null begins it.
    hold(id, slice) {
      if (slice === null) {
        held.clear();
        held.set(id, []);
      } else held.get(id).push(new Blob([bytes(slice)]));
      return true;
    },
    async open(handle, id, most) {
      const message = await find(id);
      if (!message) return failed('message_not_found');
      if (message.size > most) return failed('file_too_large');
      opened.set(handle, null);
      try {
        const file = await WPP.chat.downloadMedia(message.id);
        // Whoever asked may have given it up.
        if (opened.has(handle)) opened.set(handle, file);
        return { status: 'open', size: file.size, digest: message.filehash ?? null };
      } catch (error) {
        return failed('file_not_found', String(error?.code ?? error?.message ?? error));
      }
    },
    slice: (handle, from, length) => base64(opened.get(handle).slice(from, from + length)),
    close: (handle) => opened.delete(handle),
    // What was downloaded is not what it should be: the next one who asks must not get it again.
    async forget(id) {
      (await find(id))?.mediaData?.set({ mediaBlob: undefined });
      return true;
    },
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
      // Status updates stand in a store of their own.
      const posted = skip === 0 ? quietly(() => WPP.whatsapp.StatusV3Store.getModelsArray()) ?? [] : [];
      const updates = posted.flatMap((one) => quietly(() => one.msgs.getModelsArray()) ?? []);
      const found = updates.filter((one) => one.t >= t && counts(one)).map(told);
      let next = skip;
      for (; next < walk.length && found.length < most; next++) {
        try {
          const messages = await back(walk[next], t);
          for (const message of messages.filter((one) => one.t >= t)) {
            if (counts(message)) found.push(told(message));
            if (message.type === 'ciphertext') {
              found.push(people.waiting(message));
              hearLater(message);
            }
            // What happened to a message must not cost the messages after it.
            found.push(...((await within(3000, changesOf(message).catch(() => null))) ?? []));
          }
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
    async send(to, draft, id, attempts) {
      draft.parts = held.get(id);
      held.clear();
      const known = to.endsWith('@c.us') ? await WPP.contact.queryExists(to) : true;
      if (!known) return failed('not_on_whatsapp');
      if (to === STATUS && draft.kind === 'text') draft.kind = 'status';
      if (to === STATUS && !SHOWN.includes(draft.kind)) return failed('refused', 'a status update is a text, a picture or a film');
      const chat = to === STATUS ? { id: WPP.util.createWid(to), msgs: ofStatus() } : await WPP.chat.find(to);
      // In a group a key carries who wrote the message.
      const hidden = quietly(() => WPP.conn.getMyUserLid());
      const number = WPP.conn.getMyUserWid();
      const author = to === STATUS ? [number] : chat.id.isGroup() ? [hidden ?? number] : [];
      const key = ['true', chat.id, id, ...author].map(text).join('_');
      if (draft.mentions?.includes('all')) {
        const members = chat.id.isGroup() ? await WPP.group.getParticipants(chat.id) : [];
        draft.mentions = members.map((one) => text(one.id)).filter((one) => !people.isOwn(one));
      }
      const before = WPP.whatsapp.MsgStore.get(key);
      if (before && attempts === 0) return failed('id_taken');
      if (before && before.ack >= 1) return { status: 'sent', message: told(before) };
      // Half of a file that was on its way when the page went away; wa-js waits until a message of this id is added.
      if (before && draft.kind === 'file' && !sending.has(id))
        for (const collection of [chat.msgs, WPP.whatsapp.MsgStore]) collection?.remove(before);
      if (to === STATUS && draft.kind === 'file' && attempts > 0 && !sending.has(id)) {
        const before = await shownBefore(id, draft);
        if (before) return { status: 'sent', message: told(before) };
      }
      if (to === STATUS) await WPP.status.updateParticipants(draft.audience?.length ? draft.audience : contacts());
      const options = { messageId: key, linkPreview: draft.preview === true, markIsRead: false, detectMentioned: false };
      if (draft.reply_to) {
        options.quotedMsg = await find(draft.reply_to, chat);
        if (!options.quotedMsg) return failed('message_not_found');
      }
      if (draft.kind === 'forward') {
        draft.original = await find(draft.message);
        if (!draft.original) return failed('message_not_found');
        if (!COPIES[draft.original.type]) return failed('refused', 'it cannot be copied');
      }
      const refused = (error) => {
        if (NEVER.includes(error?.code)) return { sendMsgResult: error.code };
        throw error;
      };
      // A file may still be on its way although whoever asked has given it up.
      const say = () => says[draft.kind](to === STATUS ? to : chat.id, draft, options).catch(refused);
      if (draft.kind === 'file' && !sending.has(id)) sending.set(id, say().finally(() => sending.delete(id)));
      const said = await (sending.get(id) ?? say());
      const verdict = said.sendMsgResult?.messageSendResult ?? said.sendMsgResult;
      if (verdict === 'not_on_whatsapp') return failed('not_on_whatsapp');
      if (verdict !== 'OK') return failed('refused', String(verdict));
      const sent = WPP.whatsapp.MsgStore.get(key) ?? WPP.whatsapp.MsgStore.get(said.id);
      if (to === STATUS && draft.kind === 'file') {
        shown.set(id, text(sent.id));
        if (shown.size > 100) shown.delete(shown.keys().next().value);
      }
      return { status: 'sent', message: told(sent) };
    },
    act: ({ action, ...asked }) =>
      said(async () => {
        const message = 'message' in asked ? await find(asked.message) : null;
        if ('message' in asked && !message) return failed('message_not_found');
        return (await acts[action](message ?? asked.chat, asked)) ?? { status: 'done' };
      }),
    ask: ({ ask, ...asked }) => said(() => people.asks[ask](asked)),
    async pair(phone) {
      const plain = await WPP.conn.genLinkDeviceCodeForPhoneNumber(phone, true);
      return `${plain.slice(0, 4)}-${plain.slice(4)}`;
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
