// The building blocks of a WhatsApp Web page as wa-js knows them: the module loader, events, models, collections, ids.
'use strict';

// ---- the loader that wa-js attaches to -------------------------------------------------------------------------
(() => {
  const modules = Object.create(null);
  const load = (id) => {
    const found = modules[id];
    if (!found) throw new Error(`Requiring unknown module "${id}"`);
    if (!found.inited) {
      found.inited = true;
      found.exports = {};
      found.factory(found.exports);
    }
    return found.exports;
  };
  window.ErrorGuard = { skipGuardGlobal() {} };
  window.importNamespace = load;
  window.require = (id) => (id === '__debug' ? { modulesMap: modules } : load(id));
  window.__d = (id, factory) => {
    modules[id] = { id, factory, inited: false, exports: null };
  };
})();

const define = (id, exported) => window.__d(id, (target) => Object.assign(target, exported));
const hide = (target, name, value) => Object.defineProperty(target, name, { value, enumerable: false, writable: true });

// ---- events, models, collections -------------------------------------------------------------------------------
class Emitter {
  constructor() {
    hide(this, '_listeners', new Map());
  }
  on(names, act, context) {
    for (const name of names.split(' ')) {
      if (!this._listeners.has(name)) this._listeners.set(name, []);
      this._listeners.get(name).push({ act, context });
    }
    return this;
  }
  once(name, act, context) {
    const single = (...args) => {
      this.off(name, single);
      act.apply(context, args);
    };
    single.wraps = act;
    return this.on(name, single);
  }
  off(name, act) {
    const listeners = this._listeners.get(name) || [];
    this._listeners.set(name, listeners.filter((one) => one.act !== act && one.act.wraps !== act));
    return this;
  }
  trigger(name, ...args) {
    for (const { act, context } of [...(this._listeners.get(name) || [])]) act.apply(context || this, args);
    if (name !== 'all') {
      for (const { act, context } of [...(this._listeners.get('all') || [])]) act.call(context || this, name, ...args);
    }
    return this;
  }
  listenTo(other, name, act) {
    other.on(name, act, this);
  }
}

class Model extends Emitter {
  constructor(values = {}) {
    super();
    hide(this, '_owners', []);
    hide(this, 'attributes', {});
    this.set(values, { silent: true });
  }
  set(values, { silent } = {}) {
    for (const [name, value] of Object.entries(values)) {
      const before = this.attributes[name];
      this.attributes[name] = value;
      if (!(name in this)) {
        const get = () => this.attributes[name];
        const set = (next) => this.set({ [name]: next });
        Object.defineProperty(this, name, { configurable: true, enumerable: true, get, set });
      }
      if (silent || before === value) continue;
      for (const target of [this, ...this._owners]) target.trigger(`change:${name}`, this, value, before);
      this.trigger('change', this);
    }
    return this;
  }
  unset(name) {
    return this.set({ [name]: undefined });
  }
  serialize() {
    return { ...this.attributes };
  }
  toJSON() {
    return this.serialize();
  }
}

class Collection extends Emitter {
  constructor() {
    super();
    hide(this, '_all', []);
    hide(this, '_byKey', new Map());
  }
  get(id) {
    return this._byKey.get(String(id?._serialized ?? id));
  }
  // A message that is taken back gets another id.
  replaceId(before, after) {
    const model = this.get(before);
    this._byKey.delete(String(before));
    this._byKey.set(String(after), model);
  }
  add(value) {
    const Kind = this.constructor.model;
    const model = Kind && !(value instanceof Kind) ? new Kind(value) : value;
    const key = String(model.id?._serialized ?? model.id);
    if (this._byKey.has(key)) return this._byKey.get(key);
    model._owners.push(this);
    this._byKey.set(key, model);
    this._all.push(model);
    this.trigger('add', model, this, {});
    return model;
  }
  remove(which) {
    const model = this.get(which.id ?? which);
    if (!model) return which;
    this._byKey.delete(String(model.id));
    this._all = this._all.filter((one) => one !== model);
    this.trigger('remove', model, this, {});
    return model;
  }
  async find(id) {
    return this.get(id) || this.add({ id });
  }
  getModelsArray() {
    return [...this._all];
  }
  get models() {
    return this._all;
  }
  get length() {
    return this._all.length;
  }
  filter(test) {
    return this._all.filter(test);
  }
  map(change) {
    return this._all.map(change);
  }
  forEach(act) {
    this._all.forEach(act);
  }
}

// ---- ids -------------------------------------------------------------------------------------------------------
class Wid {
  constructor(text) {
    [this.user, this.server] = text.split('@');
    this._serialized = text;
  }
  static isXWid() {
    return false;
  }
  static isStatusV3() {
    return false;
  }
  static isStatus() {
    return false;
  }
  static isGroup(id) {
    return String(id).endsWith('@g.us');
  }
  isGroupCall() {
    return false;
  }
  isRegularUser() {
    return this.isUser();
  }
  toString() {
    return this._serialized;
  }
  toJid() {
    return this._serialized;
  }
  toJSON() {
    return this._serialized;
  }
  equals(other) {
    return !!other && other.toString() === this._serialized;
  }
  isUser() {
    return this.server === 'c.us' || this.isLid();
  }
  isLid() {
    return this.server === 'lid';
  }
  isGroup() {
    return this.server === 'g.us';
  }
  isNewsletter() {
    return this.server === 'newsletter';
  }
  isBroadcast() {
    return this.server === 'broadcast';
  }
  isStatus() {
    return this._serialized === 'status@broadcast';
  }
  isStatusV3() {
    return this.isStatus();
  }
  isBot() {
    return this.server === 'bot';
  }
  isPSA() {
    return false;
  }
}
const wid = (text) => new Wid(String(text));
const STATUS = 'status@broadcast';

class MsgKey {
  constructor(parts) {
    // wa-js finds the class by the text of this error.
    if (!parts) throw new Error('MsgKey error: obj is null/undefined');
    this.fromMe = parts.fromMe ?? parts.selfDir === 'out';
    this.remote = parts.remote || (this.fromMe ? parts.to : parts.from);
    this.id = parts.id;
    this.participant = parts.participant;
    const fields = [this.fromMe, this.remote, this.id, this.participant];
    this._serialized = fields.filter((field) => field !== undefined).join('_');
  }
  toString() {
    return this._serialized;
  }
  equals(other) {
    return !!other && other.toString() === this._serialized;
  }
  static newId() {
    const bytes = crypto.getRandomValues(new Uint8Array(9));
    return '3EB0' + [...bytes].map((byte) => byte.toString(16).padStart(2, '0')).join('').toUpperCase();
  }
  static fromString(text) {
    const [fromMe, remote, id, participant] = text.split('_');
    const author = participant && wid(participant);
    return new MsgKey({ fromMe: fromMe === 'true', remote: wid(remote), id, participant: author });
  }
}

// ---- what stands in collections ----------------------------------------------------------------------------------
class Msg extends Model {
  updateAck(ack) {
    this.ack = ack;
  }
  get senderObj() {
    return { isMe: this.id.fromMe };
  }
  // What an answer carries of the message that it answers.
  msgContextInfo() {
    const { type, body, caption, loc, pollName } = this;
    const quotedParticipant = this.from;
    return { quotedMsg: { type, body, caption, loc, pollName }, quotedParticipant, quotedStanzaID: this.id.id };
  }
}
class Chat extends Model {
  constructor(values) {
    super({ unreadCount: 0, t: 0, archive: false, labels: [], ...values });
    this.msgs = new Collection();
    hide(this, 'promises', {});
    this.canSend = true;
  }
  get hasUnread() {
    return this.unreadCount > 0;
  }
  get lastReceivedKey() {
    return this.msgs.models.at(-1)?.id;
  }
}
// With getters of its own: those that wa-js would add read modules that are not here. It looks at the prototype first.
class Contact extends Model {
  get isMyContact() {
    return !!this.attributes?.isMyContact;
  }
  get isWAContact() {
    return true;
  }
  get isMe() {
    return false;
  }
  get notifyName() {
    return this.attributes?.notifyName ?? '';
  }
  get formattedShortName() {
    return this.attributes?.name ?? '';
  }
  get formattedName() {
    return this.attributes?.name ?? '';
  }
  get displayName() {
    return this.attributes?.name ?? '';
  }
}
// wa-js finds the three models by their proxyName.
Msg.prototype.proxyName = 'msg';
Chat.prototype.proxyName = 'chat';
Contact.prototype.proxyName = 'contact';

class MsgCollectionImpl extends Collection {
  static model = Msg;
  async processMultipleMessages(chat, messages) {
    messages.forEach((message) => this.add(message));
    return messages;
  }
}
class ChatCollectionImpl extends Collection {
  static model = Chat;
}
class ContactCollectionImpl extends Collection {
  static model = Contact;
}
class CallCollectionImpl extends Collection {
  setActiveCall() {}
  processIncomingCall() {}
}
class CmdImpl extends Emitter {
  constructor() {
    super();
    this.isMainLoaded = false;
  }
  refreshQR() {
    this.trigger('wants_code');
  }
}
