// The simulated WhatsApp Web page: what it keeps in the browser, how it talks to the fake network, and the modules that
// the unmodified wa-js finds here. Keys are made once, never extractable, and live in IndexedDB; the marker of the linked
// account lives in localStorage, as on the real page.
'use strict';
(() => {
  const VERSION = '2.3000.1045220589';
  const MARKER = 'wa-sim-device';
  const ACK = { FAILED: -1, CLOCK: 0, SENT: 1, RECEIVED: 2, READ: 3, PLAYED: 4 };

  // ---- what the browser keeps --------------------------------------------------------------------------------
  const promised = (request) =>
    new Promise((resolve, reject) => {
      request.onsuccess = () => resolve(request.result);
      request.onerror = () => reject(request.error);
    });
  const opened = (() => {
    const request = indexedDB.open('wa-sim', 1);
    request.onupgradeneeded = () => {
      request.result.createObjectStore('keys');
      request.result.createObjectStore('meta');
      request.result.createObjectStore('messages', { keyPath: 'order', autoIncrement: true }).createIndex('key', 'key');
    };
    return promised(request);
  })();
  const committed = (transaction) =>
    new Promise((resolve, reject) => {
      transaction.oncomplete = resolve;
      transaction.onerror = transaction.onabort = () => reject(transaction.error);
    });
  const strictly = { durability: 'strict' };

  async function ownKey() {
    const database = await opened;
    const known = await promised(database.transaction('keys').objectStore('keys').get('identity'));
    if (known) return known;
    const made = await crypto.subtle.generateKey({ name: 'ECDSA', namedCurve: 'P-256' }, false, ['sign', 'verify']);
    const transaction = database.transaction('keys', 'readwrite', strictly);
    transaction.objectStore('keys').put(made, 'identity');
    await committed(transaction);
    return made;
  }
  const counter = async () =>
    (await promised((await opened).transaction('meta').objectStore('meta').get('counter'))) || 0;
  async function keep(record, place) {
    const transaction = (await opened).transaction(['messages', 'meta'], 'readwrite', strictly);
    const messages = transaction.objectStore('messages');
    const known = await promised(messages.index('key').getKey(record.key));
    if (known === undefined) messages.add(record);
    if (place !== undefined) transaction.objectStore('meta').put(place, 'counter');
    await committed(transaction);
    return known === undefined;
  }
  async function keepAck(key, ack) {
    const transaction = (await opened).transaction('messages', 'readwrite');
    const messages = transaction.objectStore('messages');
    const order = await promised(messages.index('key').getKey(key));
    if (order !== undefined) {
      const record = await promised(messages.get(order));
      if (record.ack < ack) messages.put({ ...record, ack });
    }
    await committed(transaction);
  }
  // Changes what is kept of a message; `place` confirms what brought the change.
  async function rekeep(key, change, place) {
    const transaction = (await opened).transaction(['messages', 'meta'], 'readwrite', strictly);
    const messages = transaction.objectStore('messages');
    const order = key ? await promised(messages.index('key').getKey(key)) : undefined;
    if (order !== undefined) messages.put({ ...(await promised(messages.get(order))), ...change });
    if (place !== undefined) transaction.objectStore('meta').put(place, 'counter');
    await committed(transaction);
  }
  async function forgetAll() {
    localStorage.removeItem(MARKER);
    const transaction = (await opened).transaction(['keys', 'meta', 'messages'], 'readwrite', strictly);
    for (const store of ['keys', 'meta', 'messages']) transaction.objectStore(store).clear();
    await committed(transaction);
  }

  const hex = (bytes) => [...new Uint8Array(bytes)].map((byte) => byte.toString(16).padStart(2, '0')).join('');
  const base64 = (bytes) => btoa(String.fromCharCode(...new Uint8Array(bytes)));
  const random = (length) => crypto.getRandomValues(new Uint8Array(length));

  // ---- the page's state --------------------------------------------------------------------------------------
  let device = JSON.parse(localStorage.getItem(MARKER) || 'null');
  const account = () => device && wid(`${device.number}@c.us`);
  const hidden = () => device && wid(`${device.lid}@lid`);
  const noise = random(32);
  const secret = base64(random(32));
  let identity = new ArrayBuffer(65);

  const MsgCollection = new MsgCollectionImpl();
  const ChatCollection = new ChatCollectionImpl();
  const ContactCollection = new ContactCollectionImpl();
  const Conn = new Model({ ref: undefined, connected: false, pushname: '', platform: 'android', wid: undefined });
  const Socket = new Model({ state: 'OPENING', stream: 'DISCONNECTED', hasSynced: false });
  const Stream = new Model({ mode: undefined, info: 'OPENING', needsUpdate: false, available: false });
  Stream.markAvailable = Stream.markUnavailable = () => {};
  const Cmd = new CmdImpl();
  const NetworkStatus = Object.assign(new Model({ online: true }), { checkOnline() {} });
  const LinkEvents = Object.assign(new Emitter(), { triggerRefreshAltLinkingCode() {} });

  const show = (text, code = '') => {
    document.getElementById('state').textContent = text;
    document.getElementById('code').textContent = code;
  };

  // ---- the network -------------------------------------------------------------------------------------------
  let socket = null;
  let asked = 0;
  const answers = new Map();
  const tell = (message) => socket?.readyState === WebSocket.OPEN && socket.send(JSON.stringify(message));
  const ask = (message) =>
    new Promise((resolve, reject) => {
      if (socket?.readyState !== WebSocket.OPEN) return reject(new Error('the network is not reachable'));
      answers.set(++asked, { resolve, reject });
      tell({ ...message, ask: asked });
    });

  function connect() {
    socket = new WebSocket(`${location.protocol === 'https:' ? 'wss' : 'ws'}://${location.host}/link`);
    socket.onopen = async () =>
      tell({ type: 'hello', identity: hex(identity), device: device?.device, counter: await counter() });
    socket.onmessage = (event) => hear(JSON.parse(event.data));
    socket.onclose = () => {
      for (const { reject } of answers.values()) reject(new Error('the network went away'));
      answers.clear();
      if (Stream.mode === 'MAIN' || Stream.mode === 'SYNCING') Stream.info = 'OFFLINE';
      if (!Stream.refused) setTimeout(connect, 500);
    };
  }

  // Stored one after the other, so that the order in the page is the order on the wire.
  let chain = Promise.resolve();
  const inOrder = (work) => (chain = chain.then(work).catch((error) => console.error(error)));

  function hear(message) {
    switch (message.type) {
      case 'code':
        Conn.ref = message.ref;
        Object.assign(Socket, { state: 'UNPAIRED' });
        Object.assign(Stream, { mode: 'QR', info: 'PAIRING' });
        show('Scan this code with a phone.', message.ref);
        return started();
      case 'idle':
        Socket.state = 'UNPAIRED_IDLE';
        return show('Nobody scanned the code.');
      case 'pairing_code':
        return answersToPairing.splice(0).forEach((resolve) => resolve(message.code));
      case 'linked':
        return inOrder(() => becomeDevice(message));
      case 'challenge':
        return inOrder(() => prove(message.nonce));
      case 'welcome':
        return welcome(message);
      case 'caught_up':
        return inOrder(() => enterMain());
      case 'message':
        return inOrder(() => receive(message));
      case 'receipt':
        return inOrder(() => receipt(message));
      case 'group':
        return inOrder(() => people.groupChanged(message));
      case 'presence':
      case 'kept':
      case 'call':
      case 'channel':
        return people.heard[message.type](message);
      case 'answer': {
        const waiting = answers.get(message.ask);
        answers.delete(message.ask);
        return waiting?.resolve(message);
      }
      case 'unlinked':
        return inOrder(() => unlinked());
      case 'conflict':
        return refuse('CONFLICT', 'CONFLICT');
      case 'banned':
        return refuse('TOS_BLOCK', 'TOS_BLOCK');
      case 'outdated':
        Stream.needsUpdate = true;
        return refuse('DEPRECATED_VERSION', 'DEPRECATED_VERSION');
      case 'hang': {
        const until = Date.now() + message.seconds * 1000;
        while (Date.now() < until);
        return;
      }
      case 'crash': {
        const ballast = [];
        for (;;) ballast.push(new Array(1 << 20).fill(Math.random()));
      }
    }
  }

  async function becomeDevice(message) {
    device = { device: message.device, number: message.number, lid: message.lid, name: message.name };
    localStorage.setItem(MARKER, JSON.stringify(device));
    Object.assign(Socket, { state: 'PAIRING' });
    Stream.info = 'PAIRING';
    show(`Linked to ${message.name}.`);
    // The real page, too, connects anew once it is a device.
    tell({ type: 'hello', identity: hex(identity), device: device.device, counter: await counter() });
  }

  async function prove(nonce) {
    const { privateKey } = await ownKey();
    const algorithm = { name: 'ECDSA', hash: 'SHA-256' };
    const signature = await crypto.subtle.sign(algorithm, privateKey, new TextEncoder().encode(nonce));
    tell({ type: 'proof', signature: hex(signature) });
  }

  function welcome(message) {
    Conn.set({ connected: true, wid: account(), pushname: message.name, ref: undefined });
    Socket.state = 'CONNECTED';
    people.ground(message.ground);
    Object.assign(Stream, { mode: 'SYNCING', info: 'SYNCING' });
    if (!Cmd.isMainLoaded) {
      Cmd.isMainLoaded = true;
      Cmd.trigger('main_loaded');
    }
    show(`Connected as ${message.name}.`);
    started();
  }

  function enterMain() {
    Object.assign(Stream, { mode: 'MAIN', info: 'NORMAL' });
    Socket.set({ hasSynced: true });
  }

  async function unlinked() {
    await forgetAll();
    device = null;
    Conn.set({ connected: false, wid: undefined });
    Socket.state = 'UNPAIRED';
    Stream.refused = true;
    show('This device was removed.');
    started();
    // The real page asks for the code of the reason before it says so; wa-js listens there.
    importNamespace('WAWebLogoutReason').getErrorCodeFromLogoutReason('user_initiated');
    Cmd.trigger('logout');
    setTimeout(() => location.reload(), 300);
  }

  function refuse(state, mode) {
    Stream.refused = true;
    socket.close();
    Socket.state = state;
    Stream.mode = mode;
    show(`The network refuses: ${mode}`);
  }

  function chatOf(id) {
    const known = ChatCollection.get(id);
    if (known) return known;
    const chat = new Chat({ id: wid(id) });
    people.dress(chat);
    return ChatCollection.add(chat);
  }

  function learn(number, lid, name) {
    people.pair(number, lid);
    for (const id of [`${number}@c.us`, `${lid}@lid`]) {
      const contact = ContactCollection.get(id) || ContactCollection.add({ id: wid(id) });
      contact.set({ pushname: name, notifyName: name, name });
    }
  }

  function place(record, fresh) {
    const chat = chatOf(record.chat);
    const id = MsgKey.fromString(record.key);
    const [from, to] = record.fromMe ? [account(), chat.id] : [chat.id, account()];
    const author = id.participant;
    const message = new Msg({
      id, from, to, author, body: record.body, t: record.t, ack: record.ack, type: record.kind,
      isNewMsg: fresh, self: record.fromMe ? 'out' : 'in', notifyName: record.name, ...unwired(record.data),
      ...fileOf(record),
    });
    chat.msgs.add(message);
    chat.t = Math.max(chat.t, record.t);
    if (fresh && !record.fromMe) chat.unreadCount++;
    if (record.chat === STATUS && record.fromMe) people.posted(message);
    MsgCollection.processMultipleMessages(chat.id, [message]);
    return message;
  }
  // In a group a key carries who wrote the message, of this account its hidden id; among status updates its number.
  function keyOf({ fromMe, chat, id, participant }) {
    const own = Wid.isGroup(chat) ? hidden() : account();
    const author = Wid.isGroup(chat) || chat === STATUS ? [fromMe ? own : participant] : [];
    return [fromMe, chat, id, ...author].join('_');
  }
  const senderOf = ({ fromMe, chat, participant }) => (fromMe ? account() : wid(participant ?? chat));

  // Something is done to a message. Functions that wa-js wraps are called through their modules.
  const done = {
    reaction(target, change) {
      const { text, at } = change;
      const sender = senderOf(change);
      const row = {
        msgKey: keyOf(change), parentMsgKey: target.id.toString(), senderUserJid: sender.toString(),
        reactionText: text, timestamp: at * 1000 + 321, t: at, read: false, orphan: 0, ack: ACK.SENT,
      };
      const others = (target.reactions || []).filter((one) => one.senderUserJid !== row.senderUserJid);
      target.set({ hasReaction: true, reactions: [...others, row] });
      const { addOrUpdateReactionsModelCollection: tellOf } = importNamespace('WAWebReactionsMsgAction');
      tellOf(row, { allowNotify: true });
      return { reactions: target.reactions };
    },
    edit(target, change) {
      const { text, at } = change;
      const latestEditMsgKey = MsgKey.fromString(keyOf(change));
      target.set({ [FILES.includes(target.type) ? 'caption' : 'body']: text, latestEditSenderTimestampMs: at * 1000, latestEditMsgKey });
      return { body: text, edit: { key: latestEditMsgKey.toString(), at } };
    },
    revoke(target, change) {
      const { id, at, fromMe, chat } = change;
      const [from, to] = fromMe ? [account(), wid(chat)] : [wid(chat), account()];
      const author = senderOf(change);
      const notice = new Msg({
        id: MsgKey.fromString(keyOf(change)), from, to, author, type: 'protocol', subtype: 'sender_revoke',
        protocolMessageKey: target.id, isNewMsg: true, t: at, ack: ACK.SENT,
      });
      MsgCollection.processMultipleMessages(wid(chat), [notice]);
      return takenBack(target, id, at, author);
    },
    vote(target, change) {
      const { data, at } = change;
      const sender = senderOf(change);
      const vote = {
        msgKey: MsgKey.fromString(keyOf(change)), parentMsgKey: target.id, sender, t: at, read: false,
        // The wire has seconds, and somebody may change a vote within one.
        selectedOptionLocalIds: data.options, senderTimestampMs: Date.now(), ack: ACK.SENT,
      };
      const others = (target.votes || []).filter((one) => one.sender !== sender.toString());
      const own = { sender: sender.toString(), options: data.options, ms: vote.senderTimestampMs };
      target.set({ votes: [...others, own] });
      importNamespace('WAWebDBPollsUpsertVotes').upsertVotesDb([vote]);
      return { votes: target.votes };
    },
    pin(target, { data }) {
      target.set({ pinned: data.on });
      return { pinned: data.on };
    },
  };

  // The real page, too, gives such a message another id, and remembers its own.
  function takenBack(target, id, at, sender) {
    const before = target.id;
    const parts = { fromMe: before.fromMe, remote: before.remote, id, participant: before.participant };
    const after = new MsgKey(parts);
    for (const collection of [MsgCollection, chatOf(before.remote.toString()).msgs]) collection.replaceId(before, after);
    target.set({
      id: after, type: 'revoked', subtype: 'sender', body: undefined, protocolMessageKey: before, revokeTimestamp: at,
      revokeSender: sender,
    });
    return { kind: 'revoked', body: '', revoke: { id, at, sender: sender.toString() } };
  }

  const known = (chat, id) =>
    MsgCollection.get(`true_${chat}_${id}`) || MsgCollection.get(`false_${chat}_${id}`) ||
    (Wid.isGroup(chat) ? ChatCollection.get(chat)?.msgs.models.find((one) => one.id.id === id) : undefined);
  const keyOfRecord = (target) => (target.protocolMessageKey ?? target.id).toString();

  async function receive(message) {
    learn(message.number, message.lid, message.name);
    if (Object.hasOwn(done, message.kind)) {
      const target = message.text === null ? null : known(message.chat, message.data?.target);
      const key = target && keyOfRecord(target);
      await rekeep(key, target ? done[message.kind](target, message) : {}, message.place);
      return tell({ type: 'stored', place: message.place });
    }
    const key = keyOf(message);
    // One that cannot be read, for good or for so many milliseconds.
    const late = message.data?.unreadable;
    const plain = { kind: message.kind, body: message.text ?? '' };
    const said = late || message.text === null ? { kind: 'ciphertext', body: '' } : plain;
    const record = {
      key, chat: message.chat, fromMe: message.fromMe, ...said, t: message.at, data: message.data, ack: message.fromMe ? ACK.SENT : ACK.RECEIVED,
      name: message.name, number: message.number, lid: message.lid, ...(late && { plain }),
    };
    const fresh = await keep(record, message.place);
    tell({ type: 'stored', place: message.place });
    if (fresh) readLater(place(record, !message.past), record);
  }
  function readLater(placed, { key, kind, plain, data }) {
    const read = () => rekeep(key, plain).then(() => placed.set({ body: plain.body, type: plain.kind }));
    if (kind === 'ciphertext' && plain) setTimeout(read, data.unreadable);
  }

  async function receipt({ chat, who, ids, ack }) {
    const keyOfOwn = (id) => keyOf({ fromMe: true, chat, id });
    const externalIds = ids.filter((id) => MsgCollection.get(keyOfOwn(id)));
    for (const id of externalIds) await keepAck(keyOfOwn(id), ack);
    // Through the module's exports, because wa-js wraps the function there.
    const receipts = importNamespace('WAWebHandleMsgSimpleReceipt');
    const ackString = ack === ACK.READ ? 'read' : 'delivery';
    const of = { ack, ackString, from: wid(chat), externalIds };
    if (externalIds.length && Wid.isGroup(chat)) receipts.handleGroupSimpleReceipt({ ...of, participant: wid(who) });
    else if (externalIds.length && chat === STATUS) receipts.handleStatusSimpleReceipt({ ...of, participant: wid(who) });
    else if (externalIds.length) receipts.handleChatSimpleReceipt(of);
  }

  // ---- the modules; wa-js recognises them by the shape of what they export ---------------------------------------
  const STATES =
    'OPENING PAIRING UNPAIRED UNPAIRED_IDLE CONNECTED TIMEOUT CONFLICT UNLAUNCHED PROXYBLOCK TOS_BLOCK SMB_TOS_BLOCK DEPRECATED_VERSION';
  define('WAWebEventEmitter', { default: Emitter });
  define('WAWebBuildConstants', { SANITIZED_VERSION_STR: VERSION, VERSION_STR: VERSION });
  define('WAWebConnModel', { Conn });
  define('WAWebSocketModel', { Socket });
  define('WAWebStreamModel', { Stream });
  define('WAWebCmd', { Cmd, CmdImpl });
  define('WAWebNetworkStatus', { default: NetworkStatus });
  define('WAWebBackendEventBus', { BackendEventBus: new Emitter(), BackendEvent: {} });
  define('WAWebLinkDeviceEvents', { WAWebLinkDeviceEvents: LinkEvents });
  const SOCKET_STATE = Object.fromEntries(STATES.split(' ').map((state) => [state, state]));
  define('WAWebSocketConstants', { SOCKET_STATE, SOCKET_STREAM: {}, WATCHED_SOCKET_STATE: {} });
  define('WAWebIsOfficialClient', { isOfficialClient: false });
  define('WAWebSignalStoreApi', {
    waSignalStore: { getRegistrationInfo: async () => ({ identityKeyPair: { pubKey: identity } }) },
  });
  define('WAWebUserPrefsInfoStore', { waNoiseInfo: { get: async () => ({ staticKeyPair: { pubKey: noise.buffer } }) } });
  define('WAWebUserPrefsMultiDevice', { getADVSecretKey: () => secret, setADVSignedIdentity() {} });
  define('WAWebCompanionRegClientUtils', { DEVICE_PLATFORM: '1' });
  define('WABase64', {
    encodeB64: base64,
    decodeB64: (text) => Uint8Array.from(atob(text), (char) => char.charCodeAt(0)).buffer,
  });
  define('WAWebUserPrefsMeUser', {
    getMaybeMePnUser: account,
    getMaybeMeLidUser: hidden,
    getMeLidUserOrThrow: () => {
      if (!device) throw new Error('not logged in');
      return hidden();
    },
  });
  define('WAWebLoggedInUtils', { isLoggedIn: () => !!device });
  define('WAWebIsRegistered', { isRegistered: () => !!device });
  define('WAWebLogoutReason', { getErrorCodeFromLogoutReason: () => 0 });
  define('WAWebWid', { default: Wid });
  define('WAWebWidFactory', {
    createWid: wid,
    createUserWidOrThrow: (user, server) => wid(user.includes('@') ? user : `${user}@${server}`),
    isWidlike: (value) => value instanceof Wid,
    createWidFromWidLike: (value) => value,
  });
  define('WAWebMsgKey', { default: MsgKey });
  define('WAWebMsgModel', { Msg });
  define('WAWebChatModel', { Chat });
  define('WAWebContactModel', { Contact });
  define('WAWebMsgCollection', { MsgCollection });
  define('WAWebChatCollection', { ChatCollection, ChatCollectionImpl });
  define('WAWebContactCollection', { ContactCollection, ContactCollectionImpl });
  define('WAWebAck', { ACK, ACK_STRING: {}, EDIT_ATTR: {} });
  define('WATimeUtils', { unixTime: () => Math.floor(Date.now() / 1000), unixTimeMs: () => Date.now() });
  define('WAWebGetEphemeralFieldsMsgActionsUtils', { getEphemeralFields: () => ({}) });
  define('WAWebQuotedMsgModelUtils', { getQuotedMsgObj: () => null });
  const people = peopleModules({ ask, tell, account, hidden, chatOf, Conn, perform });
  define('WAWebQueryExistsJob', {
    queryPhoneExists() {},
    queryWidExists: async (id) => {
      const found = await ask({ type: 'exists', id: id.toString() });
      return found.number ? { wid: wid(`${found.number}@c.us`), lid: wid(`${found.lid}@lid`) } : null;
    },
  });
  define('WAWebUpdateUnreadChatAction', {
    sendSeen: async ({ chat }) => {
      chat.unreadCount = 0;
      tell({ type: 'seen', chat: chat.id.toString() });
    },
    markUnread() {},
  });
  define('WAWebFindChatAction', {
    // A person whose messages come from the hidden id has one chat, under that id.
    findOrCreateLatestChat: async (id) => {
      const other = importNamespace('WAWebApiContact').getCurrentLid(id);
      const known = ChatCollection.get(id) || (other && ChatCollection.get(other));
      return { chat: { id: (known || chatOf(id.toString())).id }, created: !known };
    },
  });
  define('WAWebChatStateBridge', {
    markComposing: async (chat) => tell({ type: 'presence', chat: chat.id.toString(), state: 'composing' }),
    markPaused: async (chat) => tell({ type: 'presence', chat: chat.id.toString(), state: 'paused' }),
    markRecording: async (chat) => tell({ type: 'presence', chat: chat.id.toString(), state: 'recording' }),
  });
  const answersToPairing = [];
  define('WAWebAltDeviceLinkingApi', {
    initializeAltDeviceLinking: async () => {},
    genLinkDeviceCodeForPhoneNumber: (phone) =>
      new Promise((resolve) => {
        answersToPairing.push(resolve);
        tell({ type: 'pairing_code', phone });
      }),
  });
  const raise = ({ externalIds, ack, from }) => {
    for (const id of externalIds) {
      const message = MsgCollection.get(keyOf({ fromMe: true, chat: from.toString(), id }));
      if (message && message.ack < ack) message.ack = ack;
    }
  };
  define('WAWebHandleMsgSimpleReceipt', {
    handleChatSimpleReceipt: raise,
    handleGroupSimpleReceipt: raise,
    handleStatusSimpleReceipt: raise,
  });
  define('WAWebDBMessageFindLocal', {
    getMsgsByMsgKey: async (keys) => keys.map((key) => MsgCollection.get(key)),
    msgFindQuery: async (direction, { remote, count, id }) => {
      const all = ChatCollection.get(remote)?.msgs.getModelsArray() || [];
      const at = id ? all.findIndex((one) => one.id.id === id) : all.length;
      return direction === 'before' ? all.slice(Math.max(0, at - count), at) : all.slice(at + 1, at + 1 + count);
    },
  });
  const RESULTS = ['OK', 'ERROR_UNKNOWN', 'ERROR_NETWORK', 'ERROR_EXPIRED', 'ERROR_CANCELLED', 'ERROR_UPLOAD'];
  define('WAWebSendMsgResult', { SendMsgResult: Object.fromEntries(RESULTS.map((name) => [name, name])) });
  const MSG_TYPE = { CHAT: 'chat', REVOKED: 'revoked', ORDER: 'order', PROTOCOL: 'protocol' };
  define('WAWebMsgType', { MSG_TYPE, SYSTEM_MESSAGE_TYPES: [] });
  define('WAWebChatMessageSearch', {
    getSearchContext: ({ chat, msgKey }) => ({
      collection: { loadAroundPromise: Promise.resolve(), get: () => chat.msgs.get(msgKey) },
    }),
  });
  define('WAWebMsgReply', { canReplyMsg: (message) => !['revoked', 'ciphertext'].includes(message.type) });
  // Own texts, and what stands with own files, for a quarter of an hour and some.
  const editable = (...types) => (message) => message.id.fromMe && types.includes(message.type) && Date.now() / 1000 - message.t < 1200;
  define('WAWebMsgActionCapability', { canEditText: editable('chat'), canEditCaption: editable(...FILES) });
  // Something done here: to the network first, then to the message, as the network would tell another page.
  async function perform(kind, target, { id = MsgKey.newId(), text = '', data = {} } = {}) {
    const chat = target.id.remote.toString();
    const said = await ask({ type: 'send', id, to: chat, kind, text, data: { ...data, target: target.id.id, audience: target.audience } });
    if (said.error) throw new Error(said.error);
    const key = keyOfRecord(target);
    const change = kind === 'revoke' ? takenBack(target, id, said.at, account()) : done[kind](target, { id, text, data, at: said.at, fromMe: true, chat });
    await rekeep(key, change);
    return said;
  }
  define('WAWebReactionsMsgAction', { addOrUpdateReactionsModelCollection: async () => {} });
  define('WAWebDBGetReactions', {
    getReactions: async (id) => {
      const of = MsgCollection.get(id)?.reactions || [];
      const emojis = [...new Set(of.map((one) => one.reactionText))].filter(Boolean);
      return { reactions: emojis.map((emoji) => ({ aggregateEmoji: emoji, senders: of.filter((one) => one.reactionText === emoji) })) };
    },
  });
  define('WAWebSendReactionMsgAction', {
    sendReactionToMsg: async (message, emoji) => void (await perform('reaction', message, { text: emoji })),
  });
  define('WAWebSendMessageEditAction', {
    // A refusal is not thrown: it is a mark on the message.
    addAndSendMessageEdit: async (message, raw) => {
      await perform('edit', message, { id: raw.id.id, text: raw.body }).catch(() => (message.isSendFailure = true));
    },
  });
  define('WAWebDBPollsGetVotes', {
    getVotes: async ([key]) =>
      (MsgCollection.get(key)?.votes || []).map(({ sender, options, ms }) => ({
        sender: wid(sender), selectedOptionLocalIds: options, senderTimestampMs: ms,
      })),
    getVote: async () => null,
  });
  define('WAWebDBPollsUpsertVotes', { upsertVotesDb: async (votes) => votes });
  define('WAWebPollsSendVoteMsgAction', {
    sendVote: async (message, chosen) => void (await perform('vote', message, { data: { options: [...chosen] } })),
  });
  define('WAWebPinMsgConstants', {
    PIN_STATE: { INVALID: 0, PIN: 1, UNPIN: 2 },
    PinExpiryDurationOption: Object.fromEntries(
      ['FiveSeconds', 'FifteenSeconds', 'OneMinute', 'OneDay', 'SevenDays', 'ThirtyDays'].map((name) => [name, name]),
    ),
  });
  const PinInChatCollection = new Collection();
  PinInChatCollection.getByParentMsgKey = (key) => {
    const { pinned } = MsgCollection.get(key) || {};
    return pinned === undefined ? undefined : { pinType: pinned ? 1 : 2 };
  };
  define('WAWebPinInChatCollection', { PinInChatCollection });
  define('WAWebSendPinMessageAction', {
    sendPinInChatMsg: async (message, state) => {
      await perform('pin', message, { data: { on: state === 1 } });
      return { messageSendResult: 'OK' };
    },
  });
  // A model that is in the chat at once, and the promise of what the network says.
  async function send(chat, plain, upload = async () => true) {
    const key = plain.id.toString();
    const raw = chat.id.isStatus() ? { ...plain, audience: people.audience() } : plain;
    const message = MsgCollection.get(key) || new Msg(raw);
    const [data, body] = [wired(raw), textOf(raw)];
    const record = { key, chat: chat.id.toString(), fromMe: true, body, t: raw.t, kind: raw.type, data, ack: ACK.CLOCK };
    await keep(record);
    chat.msgs.add(message);
    chat.t = raw.t;
    MsgCollection.add(message);
    if (chat.id.isStatus()) people.posted(message);
    const result = (async () => {
      const to = chat.id.toString();
      const error = (await upload()) ? undefined : 'ERROR_UPLOAD';
      const said = error ? { error } : await ask({ type: 'send', id: message.id.id, to, kind: raw.type, text: body, data });
      if (said.error) {
        message.ack = ACK.FAILED;
        return { messageSendResult: said.error, t: raw.t };
      }
      await keepAck(key, ACK.SENT);
      if (message.ack < ACK.SENT) message.ack = ACK.SENT;
      return { messageSendResult: 'OK', t: said.at };
    })();
    return [message, result];
  }
  define('WAWebSendMsgChatAction', { addAndSendMsgToChat: (chat, raw) => send(chat, raw) });
  fileModules(send, (chat) => {
    const id = new MsgKey({ fromMe: true, remote: chat.id, id: MsgKey.newId(), participant: account() });
    return { id, t: Math.floor(Date.now() / 1000), from: account(), to: chat.id, self: 'out', isNewMsg: true, local: true, ack: ACK.CLOCK };
  });

  // ---- what wa-js and the network make the page do -------------------------------------------------------------
  // As on the real page these answer nothing; what comes of it is a promise of the chat's.
  const perhaps = (chat, name, work) => {
    chat.promises[name] = work.catch(() => {}).then(() => (chat.promises[name] = null));
  };
  Cmd.sendRevokeMsgs = (chat, { list }) =>
    perhaps(chat, 'sendRevokeMsgs', Promise.all(list.map((message) => perform('revoke', message))));
  const star = (on) => (chat, messages) => {
    messages.forEach((message) => message.set({ star: on }));
    perhaps(chat, 'sendStarMsgs', Promise.all(messages.map((message) => rekeep(keyOfRecord(message), { star: on }))));
  };
  Object.assign(Cmd, { sendStarMsgs: star(true), sendUnstarMsgs: star(false), sendDeleteMsgs() {} });
  Socket.logout = () => tell({ type: 'logout' });
  Cmd.on('wants_code', () => tell({ type: 'refresh' }));

  // wa-js takes this for "the page knows where it stands".
  function started() {
    window.Debug ||= { VERSION };
  }

  (async () => {
    const key = await ownKey();
    identity = await crypto.subtle.exportKey('raw', key.publicKey);
    const records = await promised((await opened).transaction('messages').objectStore('messages').getAll());
    for (const record of records) {
      if (record.number) learn(record.number, record.lid, record.name);
      // A message that was taken back is kept under its own key and shown under the other.
      const message = place({ ...record, kind: record.revoke ? 'chat' : record.kind }, false);
      const { edit, revoke, reactions, votes, star, pinned } = record;
      message.set({ star, pinned, reactions, votes, hasReaction: !!reactions }, { silent: true });
      readLater(message, record);
      if (edit) message.set({ latestEditMsgKey: MsgKey.fromString(edit.key), latestEditSenderTimestampMs: edit.at * 1000 });
      if (revoke) takenBack(message, revoke.id, revoke.at, wid(revoke.sender));
    }
    // A page that is linked and finds no network says so as soon as it can.
    if (device) setTimeout(started, 3000);
    connect();
  })();
})();
